"""Two sets of tiles in turn: one is multiplied while asynchronous copies fill the other."""
from __future__ import annotations

from . import scheme

NEEDS = ()
SHOWS = ["multiply 2", "copy 3", "wait: the copy before has arrived", "barrier"]
STEPS = 5


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(352, "linear_8_pipelined: the next tiles are on their way")
    left, wide, high = 120, 126, 34

    def lane(y: float, words: str, color: str) -> None:
        page.text(16, y + 21, words, color)
    page.text(16, 60, "linear_5_registers: one set of tiles, time goes to the right", bold=True)
    lane(76, "the set", scheme.SHARED)
    for step in range(3):
        page.box(left + 2 * step * 105, 76, 101, high, scheme.GLOBAL, f"copy {step}")
        page.box(left + (2 * step + 1) * 105, 76, 101, high, scheme.THREADS, f"multiply {step}")
    page.text(16, 150, "linear_8_pipelined: two sets in turn", bold=True)
    lane(170, "set 0", scheme.SHARED)
    lane(216, "set 1", scheme.SHARED)
    for step in range(STEPS):
        y = 170 + 46 * (step % 2)
        if step < STEPS - 1:
            page.box(left + (step + 1) * wide, y, wide - 4, high, scheme.THREADS, f"multiply {step}")
        page.box(left + step * wide, y, wide - 4, high, scheme.GLOBAL, f"copy {step}")
    page.lines([(left + step * wide - 2, 164, left + step * wide - 2, 262) for step in range(1, STEPS)], scheme.INK)
    page.text(left + wide - 2, 280, "barrier", size=11, anchor="middle")
    page.text(left + wide + 40, 280, "wait: the copy before has arrived", size=11)
    page.text(16, 314, "Every set is copied into, multiplied, copied into again. Between any two of these lies\n"
              "a barrier, or a fast thread would fill what a slow one still reads.")
    return page
