"""A pair of numbers is turned: the two unit pairs by the angle with cosine 0.6, and (3, 5) as a mixture of them."""
from __future__ import annotations

from . import scheme

NEEDS = ()
SHOWS = ["(0.6, 0.8)", "(-0.8, 0.6)", "(3, 5)", "(-2.2, 5.4)"]
COSINE, SINE, PAIR = 0.6, 0.8, (3.0, 5.0)


def turned(x: float, y: float) -> tuple[float, float]:
    """The two unit pairs after their turn, x times the one plus y times the other."""
    return x * COSINE + y * -SINE, x * SINE + y * COSINE


def label(pair: tuple[float, float]) -> str:
    return f"({pair[0]:.3g}, {pair[1]:.3g})"


class Axes:
    def __init__(self, page: scheme.Scheme, x: float, y: float, unit: float, reach: tuple[float, float, float]):
        self.page, self.x, self.y, self.unit = page, x, y, unit
        left, right, up = reach
        page.lines([(*self.at(-left, 0), *self.at(right, 0)), (*self.at(0, 0), *self.at(0, up))])

    def at(self, x: float, y: float) -> tuple[float, float]:
        return self.x + x * self.unit, self.y - y * self.unit

    def arrow(self, begin: tuple[float, float], end: tuple[float, float], color: str) -> None:
        self.page.arrows([(*self.at(*begin), *self.at(*end))], color)

    def name(self, end: tuple[float, float], words: str, color: str, dx: float, dy: float, anchor: str = "start") -> None:
        x, y = self.at(*end)
        self.page.text(x + dx, y + dy, words, color, anchor=anchor, bold=True)


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(372, f"Turning a pair by the angle with cosine {COSINE:g} and sine {SINE:g}")
    page.text(16, 56, "The two unit pairs: before in blue, after in green")
    units = Axes(page, 200, 300, 190, (0.95, 1.05, 1.1))
    for pair, dx, dy in (((1.0, 0.0), -24, 18), ((0.0, 1.0), 8, -4)):
        units.arrow((0, 0), pair, scheme.THREADS)
        units.name(pair, label(pair), scheme.THREADS, dx, dy)
    for pair, dx, dy, anchor in (((1.0, 0.0), 8, 0, "start"), ((0.0, 1.0), 8, -10, "middle")):
        end = turned(*pair)
        units.arrow((0, 0), end, scheme.SHARED)
        units.name(end, label(end), scheme.SHARED, dx, dy, anchor)
    page.text(440, 56, f"{label(PAIR)} is {PAIR[0]:g} of the one and {PAIR[1]:g} of the other")
    mixed = Axes(page, 600, 300, 40, (4, 3.8, 5.8))
    before, after = ((0, 0), (PAIR[0], 0), PAIR), ((0, 0), turned(PAIR[0], 0), turned(*PAIR))
    for path, color in ((before, scheme.THREADS), (after, scheme.SHARED)):
        for begin, end in zip(path, path[1:]):
            mixed.arrow(begin, end, color)
    mixed.name(PAIR, label(PAIR), scheme.THREADS, 8, 4)
    mixed.name(after[2], label(after[2]), scheme.SHARED, -8, 4, "end")
    page.text(16, 352, "Right: 3 steps along the one and 5 along the other. The whole path turns, and so does its end.")
    return page
