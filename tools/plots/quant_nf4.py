"""NF4's sixteen levels under a normal distribution, and sixteen even ones; four numbers by hand."""
from __future__ import annotations

import math

from . import scheme

NEEDS = ()
CHAPTER = "step06_quant"
LEVELS = (-1.0, -0.6961928, -0.52507305, -0.3949175, -0.28444138, -0.18477343, -0.091050036, 0.0,
          0.0795803, 0.1609302, 0.2461123, 0.33791524, 0.44070983, 0.562617, 0.72295684, 1.0)
NUMBERS, LARGEST = (2.0, 0.3, -0.5, 0.0), 2.0


def code(y: float) -> int:
    found = 0
    while found < 15 and y > (LEVELS[found] + LEVELS[found + 1]) / 2:
        found += 1
    return found


BY_HAND = [f"  {x:6g}   {x / LARGEST:14g}   {LARGEST * LEVELS[code(x / LARGEST)]:8.4f}" for x in NUMBERS]
SHOWS = ["NF4", "even steps"]


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(352, "Sixteen levels for numbers divided by the largest of their block")
    middle, unit = 430, 320

    def at(y: float) -> float:
        return middle + y * unit

    bell = [(y / 50, 150 - 90 * math.exp(-(y / 50 / 0.42)**2 / 2)) for y in range(-50, 51)]
    page.lines([(at(a), b, at(c), d) for (a, b), (c, d) in zip(bell, bell[1:])], scheme.SHARED)
    page.text(at(-1), 60, "how often numbers\nof each size occur", scheme.SHARED, size=11)
    for y, name, levels, color in ((170, "NF4", LEVELS, scheme.THREADS), (292, "even steps", tuple(-1 + 2 * i / 15 for i in range(16)), scheme.GREY)):
        page.text(16, y + 5, name, bold=True)
        page.lines([(at(-1), y, at(1), y)])
        page.lines([(at(level), y - 8, at(level), y + 8) for level in levels], color)
    for q, level in enumerate(LEVELS):
        page.text(at(level), 192 + (12 if q % 2 else 0), f"{q}", scheme.THREADS, size=11, anchor="middle")
    for x in NUMBERS:
        page.arrows([(at(x / LARGEST), 240, at(LEVELS[code(x / LARGEST)]), 210)], scheme.GLOBAL)
        page.text(at(x / LARGEST), 256, f"{x:g}", size=11, anchor="middle")
    page.text(16, 250, f"by hand, largest {LARGEST:g}:", size=11)
    page.text(16, 340, "NF4 has narrow steps where numbers are many, and 0 is a level. Of the even ones none is 0.")
    return page
