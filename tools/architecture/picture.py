"""The picture of the tree: floors as bands, seams dark, what fills them pale, links as arrows. Widths are estimated, so that the
same tree gives the same file everywhere."""
from __future__ import annotations

import textwrap
from xml.sax.saxutils import escape

from plots.dark import with_dark
from plots.style import BLUE, FAINT, GREEN, GREY, INK, ORANGE, PURPLE, SKY, VERMILION

from .tree import Class, Floor

WIDTH, MARGIN = 910, 10
LABEL, GUTTER = 176, 64  # the column of names, and of links that pass a floor
SIZE, CELL, GAP, PAD = 11, 22, 5, 10  # of the text in cells; pixels
BETWEEN = 22  # from floor to floor: an arrow
COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)
PALE = {BLUE: "#d6e6f2", VERMILION: "#f9ddcb", GREEN: "#cfeee3", PURPLE: "#f5e3ec", ORANGE: "#fbecc8", SKY: "#def0fa", GREY: "#e9e9e9"}
DARK = {PURPLE: "#a2447c", ORANGE: "#8f6200", SKY: "#1d6f9e"}  # for letters on white, where the colour itself is too light
BAND = "#f7f7f7"


def text_width(text: str, size: float = SIZE, bold: bool = False) -> float:
    """Generous for DejaVu Sans, and so for narrower fonts."""
    wide = sum({"m": 0.98, "w": 0.84, "W": 1.0, "M": 0.9}.get(c, 0.36 if c in "ilj.,:tfr" else 0.72 if c.isupper() else 0.62) for c in text)
    return size * wide * (1.1 if bold else 1.0)


def text(x: float, y: float, words: str, color: str = INK, size: float = SIZE, anchor: str = "start", bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x:g}" y="{y:g}" font-size="{size:g}" fill="{color}" text-anchor="{anchor}"{weight}>{escape(words)}</text>'


def box(x: float, y: float, width: float, height: float, fill: str, stroke: str, radius: float = 4, more: str = "") -> str:
    return (f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="{radius:g}" fill="{fill}" stroke="{stroke}"{more}/>')


def arrow(points: list[tuple[float, float]], dashed: bool) -> str:
    """Along straight lines; the tip is at the last point."""
    (x0, y0), (x1, y1) = points[-2:]
    length = ((x1 - x0)**2 + (y1 - y0)**2)**0.5
    dx, dy = (x1 - x0) / length, (y1 - y0) / length
    line = "".join(f"{'L' if i else 'M'}{x:g} {y:g}" for i, (x, y) in enumerate([*points[:-1], (x1 - 6 * dx, y1 - 6 * dy)]))
    tip = "".join(f"L{x1 - 8 * dx + side * dy:g} {y1 - 8 * dy + side * dx:g}" for side in (4, -4))
    dash = ' stroke-dasharray="3 3"' if dashed else ""
    return (f'<path d="{line}" fill="none" stroke="{INK}" stroke-width="1.5"{dash}/>'
            f'<path d="M{x1:g} {y1:g}{tip}z" fill="{INK}"/>')


# --- cells and what they are put in -------------------------------------------------------------


class Cell:
    """One name. Dark: a seam. A frame: a seam that fills another one. Pale: a class that is whole. Text alone: declared below."""

    def __init__(self, name: str, color: str, kind: str):
        self.name, self.color, self.kind = name, color, kind
        self.width, self.height = round(text_width(name, bold=kind != "whole")) + 14, CELL

    def draw(self, x: float, y: float) -> list[str]:
        fill, ink, thick = {"seam": (self.color, "white", 1), "whole": (PALE[self.color], INK, 0), "both": ("white", INK, 2),
                            "below": ("none", DARK.get(self.color, self.color), 0)}[self.kind]
        if self.kind == "seam":
            fill = DARK.get(self.color, self.color)  # white on the others is hard to read
        stroke = self.color if thick else "none"
        frame = [] if self.kind == "below" else [box(x, y, self.width, CELL, fill, stroke, more=f' stroke-width="{thick}"' if thick > 1 else "")]
        return [*frame, text(x + self.width / 2, y + CELL / 2 + 4, self.name, ink, anchor="middle", bold=self.kind != "whole")]


class Lines:
    """Things side by side, and below each other where the width ends; each goes into the first line that has room."""

    def __init__(self, things: list, most: float, gap: float = GAP):
        self.gap = gap
        self.lines: list[list] = []
        for thing in things:
            for line in self.lines:
                if sum(other.width + gap for other in line) + thing.width <= most:
                    line.append(thing)
                    break
            else:
                self.lines.append([thing])
        self.width = max((sum(thing.width + gap for thing in line) - gap for line in self.lines), default=0)
        self.height = sum(max(thing.height for thing in line) + gap for line in self.lines) - (gap if self.lines else 0)

    def draw(self, x: float, y: float) -> list[str]:
        parts = []
        for line in self.lines:
            left = x
            tallest = max(thing.height for thing in line)
            for thing in line:
                parts += thing.draw(left, y + (tallest - thing.height) / 2)
                left += thing.width + self.gap
            y += tallest + self.gap
        return parts


class Family:
    """A base and, in a frame with it, the classes of one floor that derive from it."""

    def __init__(self, title: Cell, members: list, most: float):
        self.title = title
        self.members = Lines(members, most - title.width - 3 * GAP)
        self.width = title.width + self.members.width + 3 * GAP
        self.height = max(self.members.height, CELL) + 2 * GAP - 2

    def draw(self, x: float, y: float) -> list[str]:
        frame = box(x, y, self.width, self.height, "white", self.title.color, 6)
        inner = y + GAP - 1
        first = max(thing.height for thing in self.members.lines[0])
        return [frame, *self.title.draw(x + GAP, inner + (first - CELL) / 2), *self.members.draw(x + self.title.width + 2 * GAP, inner)]


# --- the page -----------------------------------------------------------------------------------


def colours(floors: list[Floor]) -> dict[str, str]:
    """A colour for each header that declares seams, those that reach over the most floors first: what comes behind the last
    colour is grey."""
    reach: dict[str, set] = {}
    members: dict[str, int] = {}
    for floor in floors:
        for one in floor.classes:
            header = one.root().header
            reach.setdefault(header, set()).add(floor.name)
            members[header] = members.get(header, 0) + 1
    ranked = sorted(reach, key=lambda header: (-len(reach[header]), -members[header], header))
    named = sorted(ranked[:len(COLOURS)])  # by name, so that a class more changes no colour
    return {header: COLOURS[named.index(header)] if header in named else GREY for header in ranked}


def content(floor: Floor, palette: dict[str, str], most: float) -> Lines:
    """The families of a floor, in the same order on each: those of seams that reach furthest come first."""

    def color(one: Class) -> str:
        return palette[one.root().header]

    def made(one: Class, room: float):
        kind = "whole" if not one.pure else "both" if one.base else "seam"
        cell = Cell(one.name, color(one), kind)
        here = [child for child in one.children if child.floor is floor]
        return Family(cell, [made(child, room - cell.width - 4 * GAP) for child in here], room) if here else cell

    order = list(palette)
    families = [(order.index(one.header), made(one, most)) for one in floor.classes if one.base is None]
    elsewhere: dict[str, list[Class]] = {}
    for one in floor.classes:
        if one.base and one.base.floor is not floor:
            elsewhere.setdefault(one.base.name, []).append(one)
    for fillers in elsewhere.values():
        title = Cell(fillers[0].base.name, color(fillers[0]), "below")
        members = [made(one, most - title.width - 4 * GAP) for one in fillers]
        families.append((order.index(fillers[0].root().header), Family(title, members, most)))
    return Lines([family for _, family in sorted(families, key=lambda pair: pair[0])], most, GAP + 3)


class Band:
    """A floor as it lies on the page."""

    def __init__(self, floor: Floor, palette: dict[str, str]):
        self.floor = floor
        self.subject = textwrap.wrap(floor.subject(), 27)
        self.content = content(floor, palette, WIDTH - 2 * MARGIN - GUTTER - LABEL - 2 * PAD)
        self.height = max(self.content.height, 34 + 13 * len(self.subject)) + 2 * PAD
        self.y = 0.0

    def draw(self) -> list[str]:
        x, y = MARGIN, self.y
        parts = [box(x, y, WIDTH - 2 * MARGIN - GUTTER, self.height, BAND, FAINT, 8),
                 text(x + PAD, y + PAD + 13, ", ".join(self.floor.libraries), size=15, bold=True),
                 text(x + PAD, y + PAD + 28, self.floor.folder.name, GREY, 10)]
        parts += [text(x + PAD, y + PAD + 44 + 13 * i, line, INK, 10) for i, line in enumerate(self.subject)]
        inside = x + LABEL + PAD
        if not self.floor.classes:
            return [*parts, text(inside, y + self.height / 2 + 4, "no seam: values and functions", GREY)]
        return parts + self.content.draw(inside, y + (self.height - self.content.height) / 2)


def links(bands: list[Band]) -> list[str]:
    """From each floor to those that it links: through the gap to the next one, past others in the gutter."""
    parts, lanes = [], []
    by_floor = {band.floor: (number, band) for number, band in enumerate(bands)}
    right = WIDTH - MARGIN - GUTTER
    for number, band in enumerate(bands):
        for below in band.floor.below:
            to, target = by_floor[below]
            dashed = not set(below.libraries) & set(band.floor.includes)
            if to == number - 1:
                parts.append(arrow([(MARGIN + 28, band.y + band.height), (MARGIN + 28, target.y)], dashed))
                continue
            lane = next((i for i, taken in enumerate(lanes) if taken <= to), len(lanes))
            lanes[lane:lane + 1] = [number]
            x, end = right + 12 + 10 * lane, target.y + 18 + 12 * lane
            if x >= WIDTH - MARGIN:
                raise ValueError(f"{len(lanes)} links pass floors side by side, and GUTTER has no room for so many")
            begin = band.y + band.height - 18 - 12 * lane
            parts.append(arrow([(right, begin), (x, begin), (x, end), (right, end)], dashed))
    return parts


LEGEND = (("seam", "Seam", "an abstract class, where it is declared"), ("both", "Seam", "one that fills another"),
          ("whole", "Class", "fills the seam before it"), ("below", "Seam", "declared further down"))


def legend(y: float) -> list[str]:
    parts, x = [], float(MARGIN)
    for kind, name, words in LEGEND:
        cell = Cell(name, BLUE, kind)
        parts += [*cell.draw(x, y), text(x + cell.width + 5, y + CELL / 2 + 4, words, GREY, 10)]
        x += cell.width + text_width(words, 10) + 16
    return parts


def draw(floors: list[Floor]) -> str:
    palette = colours(floors)
    bands = [Band(floor, palette) for floor in floors]
    y = 76.0
    for band in reversed(bands):
        band.y = y
        y += band.height + BETWEEN
    height = y - BETWEEN + 30
    dashed = any(not set(below.libraries) & set(floor.includes) for floor in floors for below in floor.below)
    note = "Arrow: a floor links another one" + (", dashed: and includes nothing of it." if dashed else ".") + " No arrow runs up."
    parts = [box(0, 0, WIDTH, height, "white", "none", 0), text(MARGIN, 26, "Floors and seams", size=15, bold=True), *legend(40),
             *links(bands), *(part for band in reversed(bands) for part in band.draw()), text(MARGIN, height - 12, note, GREY, 10)]
    head = (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height:g}" viewBox="0 0 {WIDTH} {height:g}" '
            'font-family="DejaVu Sans, sans-serif">')
    return with_dark("\n".join([head, *parts, "</svg>\n"]))
