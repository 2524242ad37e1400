"""Pictures on a dark page, for scheme_test.py: every committed SVG has the style sheet that belongs to its colours, and its texts can be read on what
lies under them, light and dark."""
from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from plots import dark

SVG = "{http://www.w3.org/2000/svg}"
LEAST = 3.0  # contrast of a text
# What a colour is called on one kind of page alone. "Empty", "filled", and the names of colours hold on both.
ONE_SIDED = re.compile(r"\b(?:white|black|dark|bright)\b", re.I)
STYLE = re.compile(r"<style>@media .*?</style>\n")


def box_of(node: ElementTree.Element) -> list[tuple[float, float, float, float]]:
    """The filled boxes of a rect, or of a path that is made of boxes (M x y h w v h): left, top, right, bottom."""
    if node.tag == SVG + "rect":
        x, y, width, height = (float(node.get(key, "0").rstrip("%")) for key in ("x", "y", "width", "height"))
        return [(x, y, x + width, y + height)]
    found = re.findall(r"M([-\d.]+) ([-\d.]+)h([-\d.]+)v([-\d.]+)h", node.get("d", ""))
    return [(float(x), float(y), float(x) + float(w), float(y) + float(h)) for x, y, w, h in found]


def unreadable(svg: str) -> list[str]:
    """Texts with too little contrast to the last box drawn under their middle. Of a scheme: texts and boxes have their colours as attributes."""
    found, boxes = [], []
    for node in ElementTree.fromstring(svg).iter():
        colour = node.get("fill", "none")
        if node.tag in (SVG + "rect", SVG + "path") and colour != "none":
            boxes += [(box, colour) for box in box_of(node)]
        if node.tag != SVG + "text" or colour == "none":
            continue
        x, y, size = float(node.get("x")), float(node.get("y")), float(node.get("font-size"))
        wide = len(node.text or "") * size * 0.6
        middle = x + {"start": wide / 2, "middle": 0, "end": -wide / 2}[node.get("text-anchor", "start")]
        at = (x, y) if node.get("transform") else (middle, y - size / 3)
        under = next((fill for (left, top, right, bottom), fill in reversed(boxes) if left <= at[0] <= right and top <= at[1] <= bottom), "white")
        light = dark.contrast(colour, under)
        night = dark.contrast(*(dark.DARK[dark.NAMES.get(one, one)] for one in (colour, under)))
        if min(light, night) < LEAST:
            found.append(f"'{node.text}' on {under}: contrast {light:.1f}, dark {night:.1f}")
    return found


def check(name: str, svg: str) -> list[str]:
    if svg != dark.with_dark(STYLE.sub("", svg, count=1)):
        return [f"{name}: draw it again, its style sheet for dark pages is not that of its colours (tools/plots/dark.py)"]
    by_hand = '<rect width="' in svg or "Floors and seams" in svg  # the others are matplotlib's
    if "<style>" not in svg:
        return []
    said = [f"{name}: '{text}' is not true on a dark page: write 'empty', 'filled' or the colour" for text in re.findall(r">([^<>]+)</text>", svg) if ONE_SIDED.search(text)]
    return said + [f"{name}: {problem}" for problem in (unreadable(svg) if by_hand else [])]


def check_pictures(root: Path) -> list[str]:
    return [problem for path in sorted([*root.glob("pictures/*.svg"), *root.glob("step*/pictures/*.svg")])
            for problem in check(path.relative_to(root).as_posix(), path.read_text(encoding="utf-8"))]


def self_check() -> list[str]:
    head = '<svg xmlns="http://www.w3.org/2000/svg" width="100" height="100">\n<rect width="100" height="100" fill="white"/>\n'
    ink = '<text x="50" y="50" font-size="12" fill="#222222" text-anchor="middle">a</text>\n'
    orange = '<path d="M10 10h80v80h-80z" fill="#e69f00"/>\n'
    cases = [(dark.with_dark(head + ink + "</svg>"), 0), (head + ink + "</svg>", 1), (dark.with_dark(head + orange + ink + "</svg>"), 1),
             (dark.with_dark(head + ink.replace("#222222", "#56b4e9") + "</svg>"), 1), (dark.with_dark(head + ink.replace("#222222", "#123456") + "</svg>"), 0),
             (dark.with_dark(head + ink + "</svg>").replace("#e6e6e6", "#e6e6e7"), 1),
             (dark.with_dark(head + ink.replace(">a<", ">White: free<") + "</svg>"), 1)]
    wrong = [f"dark_check: case {i} has {check('it', svg)}" for i, (svg, count) in enumerate(cases) if len(check("it", svg)) != count]
    styled = 'style="fill: #222222; stroke: #ffffff"'
    sheet = dark.with_dark(f'<svg a="b">\n<text {styled}/></svg>')
    if f'[style*="fill: #222222"]{{fill:{dark.DARK["#222222"]} !important}}' not in sheet or not sheet.startswith('<svg a="b">\n<style>'):
        wrong.append(f"dark_check: {sheet}")
    if round(dark.contrast("white", "#000000"), 6) != 21 or dark.contrast("#777777", "#777777") != 1:
        wrong.append("dark_check: contrast")
    return wrong
