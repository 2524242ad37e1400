"""Pictures on a dark page: an SVG carries the same colours once more, for readers whose browser asks for dark ones.

Each colour of a picture has its counterpart in DARK, and a style sheet in the file replaces it. Where a picture uses another colour, such as
the cells of a heat map, nothing is replaced: it stays a white card.
"""
from __future__ import annotations

import re

PAGE = "#14181d"
DARK = {
    "#ffffff": PAGE, "#222222": "#e6e6e6", "#6b6b6b": "#a3a8ad", "#d9d9d9": "#454b52",
    "#0072b2": "#62b5ea", "#d55e00": "#f58f4a", "#009e73": "#41c99d", "#cc79a7": "#e09cc3", "#e69f00": "#f0b63f", "#56b4e9": "#94d2f5",
    # Pale: what is only moved, and the bands of the architecture.
    "#d6e6f2": "#1d3b52", "#f9ddcb": "#56321b", "#cfeee3": "#17473a", "#f5e3ec": "#4a2a3c", "#fbecc8": "#4d3a10", "#def0fa": "#1f4256", "#e9e9e9": "#33383e",
    "#f7f7f7": "#1b2026", "#eef2f5": "#262c33", "#f1f5f9": "#20262c",
    # Letters on white, where a colour itself is too light.
    "#a2447c": "#e09cc3", "#8f6200": "#f0b63f", "#1d6f9e": "#94d2f5",
}
NAMES = {"white": "#ffffff"}
COLOUR = re.compile(r'(fill|stroke)(="|: ?)(#[0-9a-f]{6}|white)(?=["; ])')


def colours_of(svg: str) -> list[tuple[str, str, str]]:
    """(fill or stroke, how it is written, colour), each once."""
    return sorted({(found[1], found[2], found[3]) for found in COLOUR.finditer(svg)})


def with_dark(svg: str) -> str:
    """The SVG with its style sheet, as the first element."""
    used = colours_of(svg)
    if "<image" in svg or any(NAMES.get(colour, colour) not in DARK for _, _, colour in used):
        return svg
    rules = ""
    for what, written, colour in used:
        # Attributes yield to a style sheet; what is written in a style attribute does only to !important.
        where, most = (f'[{what}="{colour}"]', "") if written == '="' else (f'[style*="{what}{written}{colour}"]', " !important")
        rules += f"{where}{{{what}:{DARK[NAMES.get(colour, colour)]}{most}}}"
    return re.sub(r"(<svg\b[^>]*>\n?)", lambda head: head[1] + f"<style>@media (prefers-color-scheme: dark){{{rules}}}</style>\n", svg, count=1)


def contrast(one: str, other: str) -> float:
    """Of two colours, from 1 to 21 (WCAG 2.1); letters need 4.5, large ones and lines 3."""
    def luminance(colour: str) -> float:
        parts = [int(NAMES.get(colour, colour)[i:i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    dim, bright = sorted((luminance(one), luminance(other)))
    return (bright + 0.05) / (dim + 0.05)
