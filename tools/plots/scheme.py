"""What the schematic pictures share: an SVG written by hand, memories and the sectors that a request moves.

Their counts are worked out from addresses, as the executor works them out: nothing is drawn that the layout does not give.
"""
from __future__ import annotations

import textwrap
from xml.sax.saxutils import escape

from .dark import with_dark
from .style import BLUE, FAINT, GREEN, GREY, INK, VERMILION

# Round a text that lines cross.
HALO = ' stroke="white" stroke-width="5" paint-order="stroke"'
WIDTH = 800  # pixels, as the other pictures
LINE = 16  # from line to line of a text
SECTOR, FLOAT, LANES = 32, 4, 32  # bytes, bytes, lanes of a warp
# The same thing has the same colour in every scheme: threads, global memory, shared memory; pale where it is only moved.
THREADS, GLOBAL, SHARED = BLUE, VERMILION, GREEN
PALE = {THREADS: "#d6e6f2", GLOBAL: "#f9ddcb", SHARED: "#cfeee3"}


def sectors(floats: list[int]) -> list[int]:
    """The sectors that a request for these floats moves; float 0 begins one."""
    return sorted({index * FLOAT // SECTOR for index in floats})


def wavefronts(floats: list[int]) -> int:
    """How often the busiest bank of shared memory has to serve; a word for several lanes is served once."""
    banks = [index % LANES for index in set(floats)]
    return max(banks.count(bank) for bank in banks)


class Scheme:
    """A white page, 800 pixels wide, on which boxes, lines and texts are put; x to the right, y down."""

    def __init__(self, height: int, title: str):
        self.height = height
        self.parts: list[str] = []
        self.text(16, 24, title, size=14, bold=True)

    def text(self, x: float, y: float, words: str, color: str = INK, size: int = 12, anchor: str = "start", bold: bool = False, more: str = "") -> None:
        """A line of text on the base line y; further lines below. `more`: attributes."""
        weight = ' font-weight="bold"' if bold else ""
        for i, line in enumerate(words.split("\n")):
            self.parts.append(f'<text x="{x:g}" y="{y + i * LINE:g}" font-size="{size}" fill="{color}" text-anchor="{anchor}"{weight}{more}>{escape(line)}</text>')

    def note(self, y: float, words: str) -> None:
        """What stands below a picture, in lines as long as the page is wide."""
        for i, line in enumerate(textwrap.wrap(words, 116)):
            self.text(16, y + i * 18, line, size=11)

    def boxes(self, corners: list[tuple[float, float]], width: float, height: float, fill: str = "none", stroke: str = "none") -> None:
        """Many of one size, one path: their upper left corners."""
        path = "".join(f"M{x:g} {y:g}h{width:g}v{height:g}h{-width:g}z" for x, y in corners)
        self.parts.append(f'<path d="{path}" fill="{fill}" stroke="{stroke}"/>')

    def box(self, x: float, y: float, width: float, height: float, color: str, words: str = "") -> None:
        """A pale box with a frame, and words in its middle."""
        self.boxes([(x, y)], width, height, PALE.get(color, "white"), color)
        if words:
            self.text(x + width / 2, y + height / 2 + 4 - words.count("\n") * LINE / 2, words, anchor="middle")

    def zone(self, y: float, height: float, words: str, color: str) -> None:
        """A band across the page: what lies in one kind of memory."""
        self.boxes([(8, y)], WIDTH - 16, height, "white", PALE[color])
        middle = y + height / 2
        self.text(24, middle, words, color, size=11, anchor="middle", bold=True, more=f' transform="rotate(-90 24 {middle:g})"')

    def lines(self, ends: list[tuple[float, float, float, float]], color: str = GREY) -> None:
        path = "".join(f"M{x0:g} {y0:g}L{x1:g} {y1:g}" for x0, y0, x1, y1 in ends)
        self.parts.append(f'<path d="{path}" fill="none" stroke="{color}"/>')

    def arrows(self, ends: list[tuple[float, float, float, float]], color: str = GREY) -> None:
        """From (x0, y0) to the tip at (x1, y1)."""
        self.lines(ends, color)
        tips = ""
        for x0, y0, x1, y1 in ends:
            length = ((x1 - x0)**2 + (y1 - y0)**2)**0.5
            along, across = ((x1 - x0) / length, (y1 - y0) / length), ((y0 - y1) / length, (x1 - x0) / length)
            corners = [(x1 - 7 * along[0] + side * across[0], y1 - 7 * along[1] + side * across[1]) for side in (3, -3)]
            tips += f"M{x1:g} {y1:g}" + "".join(f"L{x:.1f} {y:.1f}" for x, y in corners) + "z"
        self.parts.append(f'<path d="{tips}" fill="{color}"/>')

    def memory(self, x: float, y: float, shape: tuple[int, int], cell: tuple[float, float], row_floats: int, asked: list[int], gap: float = 1) -> None:
        """A window of shape (rows, columns) on a matrix whose rows have `row_floats` floats, in sectors; those of the floats
        `asked` for are pale, the floats themselves dark."""
        (rows, columns), (width, height) = shape, cell
        per_sector = SECTOR // FLOAT

        def corner(index: int) -> tuple[float, float]:
            return x + index % row_floats * width, y + index // row_floats * height

        every = [row * row_floats + column for row in range(rows) for column in range(0, columns, per_sector)]
        moved = [sector * per_sector for sector in sectors(asked)]
        for group, fill in (([first for first in every if first not in moved], "white"), (moved, PALE[GLOBAL])):
            self.boxes([corner(first) for first in group], per_sector * width, height - gap, fill, FAINT)
        self.boxes([corner(index) for index in asked], width - 1, height - gap, GLOBAL)

    def svg(self) -> str:
        head = (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{self.height}" viewBox="0 0 {WIDTH} {self.height}" '
                'font-family="DejaVu Sans, sans-serif">\n')
        return with_dark(head + f'<rect width="{WIDTH}" height="{self.height}" fill="white"/>\n' + "\n".join(self.parts) + "\n</svg>\n")


def asked(floats: list[int]) -> str:
    """What a request of a warp costs, in words."""
    count = len(sectors(floats))
    return f"{len(floats)} lanes, {count} sectors:\n{count * SECTOR} bytes move for {len(floats) * FLOAT}"
