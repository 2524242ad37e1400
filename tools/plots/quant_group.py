"""Eight values on the levels of four bits, of two, and of four bits beside a large value."""
from __future__ import annotations

from . import scheme

NEEDS = ()
CHAPTER = "step06_quant"
VALUES = (-1.25, -0.8, -0.1, 0.0, 0.3, 0.6, 1.1, 2.5)
LARGE = VALUES[:-1] + (40.0,)


def grid(values: tuple[float, ...], bits: int) -> tuple[float, float]:
    """Minimum and step; here both are numbers that 16 bits hold."""
    return min(values), (max(values) - min(values)) / (2**bits - 1)


def code(x: float, m: float, d: float) -> int:
    return round((x - m) / d)


def rows() -> list[str]:
    """As the program prints them."""
    grids = [(VALUES, *grid(VALUES, 4)), (VALUES, *grid(VALUES, 2)), (LARGE, *grid(LARGE, 4))]
    lines = []
    for i, x in enumerate(VALUES):
        line = f"  {x:6g}    "
        for values, m, d in grids:
            q = code(values[i], m, d)
            line += f"{q:4d} {d * q + m:10g}   "
        lines.append(line.rstrip())
    return lines


BY_HAND = rows()
SHOWS = ["4 bits: 16 levels, a step of 0.25", "2 bits: 4 levels, a step of 1.25", "4 bits beside a 40: a step of 2.75"]


def line(page: scheme.Scheme, y: float, values: tuple[float, ...], bits: int, title: str, end: float) -> None:
    m, d = grid(values, bits)
    left, unit = 40, 720 / (end - m)
    page.text(16, y, title, bold=True)
    base = y + 84
    page.lines([(left, base, left + (end - m) * unit, base)])
    levels = [m + d * q for q in range(2**bits)]
    page.lines([(left + (x - m) * unit, base - 6, left + (x - m) * unit, base + 6) for x in levels], scheme.THREADS)
    for q, x in enumerate(levels):
        page.text(left + (x - m) * unit, base + 22, f"{q}", scheme.THREADS, size=11, anchor="middle")
    ends = []
    for x in values:
        to = m + d * code(x, m, d)
        ends.append((left + (x - m) * unit, base - 34, left + (to - m) * unit, base - 8))
    page.arrows(ends, scheme.GLOBAL)
    if end < 10:
        for i, x in enumerate(values):
            page.text(left + (x - m) * unit, base - 40 - 16 * (i % 2), f"{x:g}", size=11, anchor="middle")
    else:
        page.text(left, base - 44, f"{len(values) - 1} values, {len({code(x, m, d) for x in values[:-1]})} codes", size=11)
        page.text(left + (values[-1] - m) * unit, base - 44, f"{values[-1]:g}", size=11, anchor="middle")


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(452, "Eight values and the levels that they are moved to")
    line(page, 56, VALUES, 4, SHOWS[0], 2.5)
    line(page, 186, VALUES, 2, SHOWS[1], 2.5)
    line(page, 316, LARGE, 4, SHOWS[2], 40.0)
    page.text(784, 442, "blue: the codes", scheme.THREADS, size=11, anchor="end")
    return page
