"""Which weights share a scale: a row, groups of 32 inside of a row, or NF4's blocks of 64, which run on over the ends of rows."""
from __future__ import annotations

from . import scheme

NEEDS = ()
CHAPTER = "step06_quant"
ROWS, COLUMNS = 3, 80
# Name, numbers that share, whether a group ends with its row.
FORMATS = [("INT8 per row, W8A8: a scale for each row", COLUMNS, True), ("RTN, GPTQ, AWQ in groups of 32: the last of a row is shorter", 32, True), ("NF4: blocks of 64 of the matrix as it lies", 64, False)]


def sizes(share: int, by_row: bool) -> list[int]:
    """Of the groups, in order."""
    whole = [COLUMNS] * ROWS if by_row else [ROWS * COLUMNS]
    return [min(share, numbers - begin) for numbers in whole for begin in range(0, numbers, share)]


SHOWS = [f"{len(sizes(share, by_row))} scales: " + ", ".join(map(str, sizes(share, by_row))) + " numbers" for _, share, by_row in FORMATS]
CELL, HEIGHT = 9.2, 18


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(380, f"A matrix of {ROWS} rows with {COLUMNS} weights each: neighbours of one colour share a scale")
    for i, (name, share, by_row) in enumerate(FORMATS):
        y = 70 + i * 112
        page.text(32, y - 10, name, bold=True)
        first = 0
        corners: list[list[tuple[float, float]]] = [[], []]
        for group, size in enumerate(sizes(share, by_row)):
            corners[group % 2] += [(32 + n % COLUMNS * CELL, y + n // COLUMNS * HEIGHT) for n in range(first, first + size)]
            first += size
        for places, color in zip(corners, (scheme.THREADS, scheme.GLOBAL)):
            page.boxes(places, CELL, HEIGHT - 3, scheme.PALE[color], color)
        page.text(32, y + ROWS * HEIGHT + 14, SHOWS[i], size=11)
    return page
