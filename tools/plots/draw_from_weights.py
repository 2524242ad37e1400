"""Drawing from cumulative weights: four candidates on a line, what top-p keeps of it, and where two random numbers fall."""
from __future__ import annotations

from . import scheme

NEEDS = ()
SHOWS = ["0.6 of 8 is 4.8", "0.5 of 6 is 3: number 0", "0.7 of 6 is 4.2: number 1"]
WEIGHTS, TOP_P, RANDOM = [4.0, 2.0, 1.0, 1.0], 0.6, [0.5, 0.7]


def marks(weights: list[float]) -> list[float]:
    """The partial sums."""
    sums, total = [], 0.0
    for weight in weights:
        total += weight
        sums.append(total)
    return sums


def kept() -> int:
    """How many candidates from the front reach the mass that is to be kept."""
    return next(i for i, mark in enumerate(marks(WEIGHTS)) if mark >= TOP_P * sum(WEIGHTS)) + 1


def drawn(random: float) -> int:
    sums = marks(WEIGHTS)[:kept()]
    return next(i for i, mark in enumerate(sums) if mark > random * sums[-1])


def segments(page: scheme.Scheme, y: float, count: int) -> None:
    left, unit = 40, 88
    begin = 0.0
    for i, mark in enumerate(marks(WEIGHTS)):
        color = scheme.THREADS if i < count else scheme.FAINT
        page.box(left + begin * unit, y, (mark - begin) * unit - 2, 34, color, f"number {i}")
        page.text(left + mark * unit - 2, y + 52, f"{mark:g}", anchor="middle")
        begin = mark
    page.text(left, y + 52, "0", anchor="middle")


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(420, "A draw: candidates side by side on a line, each as long as its weight")
    left, unit = 40, 88
    whole, mass = sum(WEIGHTS), TOP_P * sum(WEIGHTS)
    page.text(16, 58, f"All {len(WEIGHTS)} candidates; their weights are {', '.join(f'{w:g}' for w in WEIGHTS)}", bold=True)
    segments(page, 92, len(WEIGHTS))
    page.arrows([(left + mass * unit, 76, left + mass * unit, 90)], scheme.GLOBAL)
    page.text(left + mass * unit + 8, 82, f"{TOP_P:g} of {whole:g} is {mass:g}", scheme.GLOBAL, bold=True)
    total = marks(WEIGHTS)[kept() - 1]
    page.text(16, 186, f"Top-p keeps candidates until they reach that mark: {kept()} of them, {total:g} long", bold=True)
    segments(page, 200, kept())
    page.text(16, 296, "A random number between 0 and 1 picks a place on what was kept", bold=True)
    segments(page, 334, kept())
    for i, random in enumerate(RANDOM):
        x = left + random * total * unit
        page.arrows([(x, 318, x, 332)], scheme.GLOBAL)
        page.text(x + (8 if i else -8), 324, f"{random:g} of {total:g} is {random * total:.2g}: number {drawn(random)}", scheme.GLOBAL, anchor="start" if i else "end", bold=True)
    return page
