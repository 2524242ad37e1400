"""Four views of the same twelve numbers: shape, strides and first number, and what each of them touches."""
from __future__ import annotations

from dataclasses import dataclass

from . import scheme

NEEDS = ()
SHOWS = ["t.slice(1, 1, 3)", "shape [3, 2]", "strides {4, 1}", "first 1"]
NUMBERS = list(range(12))  # what the memory holds


@dataclass
class View:
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    first: int

    def places(self) -> list[list[int]]:
        """Of all its numbers in the memory, row by row."""
        rows = range(self.shape[0]) if len(self.shape) == 2 else (0,)
        row_stride = self.strides[0] if len(self.shape) == 2 else 0
        return [[self.first + row * row_stride + column * self.strides[-1] for column in range(self.shape[-1])] for row in rows]

    def row(self, i: int) -> View:
        return View(self.shape[1:], self.strides[1:], self.first + i * self.strides[0])

    def slice(self, axis: int, begin: int, end: int) -> View:
        shape = tuple(end - begin if a == axis else extent for a, extent in enumerate(self.shape))
        return View(shape, self.strides, self.first + begin * self.strides[axis])

    def transposed(self) -> View:
        return View(self.shape[::-1], self.strides[::-1], self.first)


WHOLE = View((3, 4), (4, 1), 0)
VIEWS = {"t": WHOLE, "t[1]": WHOLE.row(1), "t.slice(1, 1, 3)": WHOLE.slice(1, 1, 3), "t.transposed(0, 1)": WHOLE.transposed()}
STRIP, CELL = 200, 28  # where the memory begins, and a number's width in it


def hops(page: scheme.Scheme, view: View, y: float) -> None:
    """A step along each axis, as an arrow over or below the memory."""
    def middle(place: int) -> float:
        return STRIP + place * CELL + CELL / 2

    for axis, stride in enumerate(view.strides):
        last = axis == len(view.strides) - 1
        height, words = (y + 36, y + 52) if last else (y - 8, y - 14)
        page.arrows([(middle(view.first), height, middle(view.first + stride), height)], scheme.SHARED if last else scheme.GLOBAL)
        name = "next column" if last else "next row"
        page.text(middle(view.first), words, f"{name}: {stride} further", scheme.SHARED if last else scheme.GLOBAL, size=11)


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(500, "One memory, four views: shape and strides say how it is read, and nothing is copied")
    page.text(STRIP, 52, "the memory", bold=True)
    page.text(600, 52, "what the view shows", bold=True)
    for number, (name, view) in enumerate(VIEWS.items()):
        y = 84 + number * 106
        page.text(16, y + 2, name, scheme.THREADS, bold=True)
        page.text(16, y + 20, f"shape {list(view.shape)}\nstrides {{{', '.join(map(str, view.strides))}}}\nfirst {view.first}")
        touched = [place for row in view.places() for place in row]
        for fill, frame, group in ((scheme.PALE[scheme.THREADS], scheme.THREADS, touched), ("white", scheme.FAINT, [p for p in range(12) if p not in touched])):
            page.boxes([(STRIP + place * CELL, y) for place in group], CELL - 2, 26, fill, frame)
        for place in range(12):
            page.text(STRIP + place * CELL + CELL / 2 - 1, y + 17, str(NUMBERS[place]), anchor="middle")
        hops(page, view, y)
        for r, row in enumerate(view.places()):
            page.boxes([(600 + c * 36, y - 14 + r * 22) for c in range(len(row))], 34, 20, scheme.PALE[scheme.THREADS], scheme.THREADS)
            for c, place in enumerate(row):
                page.text(617 + c * 36, y + r * 22, str(NUMBERS[place]), anchor="middle")
    return page
