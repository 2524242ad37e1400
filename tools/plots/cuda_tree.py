"""The largest of eight values by a tree of four threads; of equal values the lower index wins."""
from __future__ import annotations

from . import scheme

NEEDS = ()
CHAPTER = "step04_cuda"
VALUES = (3, 7, 7, 1, 7, 2, 0, 9)


def rounds() -> list[list[tuple[int, int]]]:
    """(value, index) of those that are left, round by round."""
    left = [(value, index) for index, value in enumerate(VALUES)]
    found = [left]
    while len(left) > 1:
        half = len(left) // 2
        left = [max(left[t], left[t + half], key=lambda one: (one[0], -one[1])) for t in range(half)]
        found.append(left)
    return found


BY_HAND = ["".join(f"  {index}: {value}" for value, index in left) for left in rounds()]
SHOWS = ["four threads", "two threads", "one thread"]


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(356, "The largest of eight values: thread t meets thread t + half")
    cell, left = 74, 150
    names = ("eight values", "four threads", "two threads", "one thread")
    for row, (name, alive) in enumerate(zip(names, rounds())):
        y = 56 + row * 74
        page.text(16, y + 20, name, scheme.THREADS if row else scheme.GLOBAL, bold=True)
        for t, (value, index) in enumerate(alive):
            page.box(left + t * cell, y, cell - 14, 32, scheme.SHARED if row else scheme.GLOBAL, f"{index}: {value}")
        if row + 1 < len(names):
            half = len(alive) // 2
            for t in range(half):
                x = left + t * cell + (cell - 14) / 2
                page.arrows([(x, y + 34, x, y + 72), (x + half * cell, y + 34, x + 8, y + 72)], scheme.SHARED)
            page.text(784, y + 58, "barrier", scheme.GREY, size=11, anchor="end")
    page.text(16, 336, "index: value. Of the three sevens the lowest index must win, whoever meets whom first.")
    return page
