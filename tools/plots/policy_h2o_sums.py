"""H2O: the shares of four queries as a triangle, and their sums by column."""
from __future__ import annotations

from . import scheme

NEEDS = ()
CHAPTER = "step05_policies"
SHARES = [[8], [5, 3], [4, 1, 3], [2, 1, 2, 3]]  # eighths
CELL, LEFT, TOP = 64, 150, 78


def sums() -> list[int]:
    return [sum(row[s] for row in SHARES if s < len(row)) for s in range(4)]


def means() -> list[float]:
    return [total / (4 - s) for s, total in enumerate(sums())]


BY_HAND = ["".join(f"{total:8}" for total in sums())]
SHOWS = [str(total) for total in sums()] + [f"{mean:.2f}" for mean in means()]


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(430, "Four queries share out their attention, in eighths: H2O adds up the columns")
    for slot in range(4):
        page.text(LEFT + slot * CELL + 28, TOP - 12, f"slot {slot}", anchor="middle", size=11)
    for t, row in enumerate(SHARES):
        y = TOP + t * 44
        page.text(LEFT - 16, y + 24, f"query {t}", anchor="end")
        for s, share in enumerate(row):
            page.boxes([(LEFT + s * CELL, y)], 56, 38, "white", scheme.FAINT)
            page.boxes([(LEFT + s * CELL, y + 38 - 38 * share / 8)], 56, 38 * share / 8, scheme.PALE[scheme.THREADS], scheme.THREADS)
            page.text(LEFT + s * CELL + 28, y + 15, str(share), anchor="middle", bold=True)
    y = TOP + 4 * 44 + 16
    page.lines([(LEFT - 90, y - 8, LEFT + 4 * CELL, y - 8)])
    for number, (name, values, words) in enumerate((("sum", [str(total) for total in sums()], "the first column is tall because it is old"),
                                                    ("mean", [f"{mean:.2f}" for mean in means()], "the sum, by the queries that could see it"))):
        page.text(LEFT - 16, y + 20 + number * 36, name, anchor="end", bold=True)
        for s, value in enumerate(values):
            page.text(LEFT + s * CELL + 28, y + 20 + number * 36, value, scheme.GREY if s == 3 else scheme.INK, anchor="middle")
        page.text(LEFT + 4 * CELL + 24, y + 20 + number * 36, words, size=11)
    page.text(LEFT + 4 * CELL + 24, TOP + 24, "each row is one query: 8 eighths")
    page.text(LEFT + 4 * CELL + 24, TOP + 4 * 44 - 20, "slot 3 is the newest: protected")
    page.text(16, 352, "By sums the slots 1 and 2 are equal, and the later one goes. By means slot 1 goes: three queries gave it 5 eighths,", size=11)
    page.text(16, 370, "two gave as much to slot 2.", size=11)
    page.text(16, 396, "Had nobody protected slot 3, it would go by its sum: one query has seen it so far.", size=11)
    return page
