"""TurboQuant's second stage in the plane: random directions, turned to the side of what is left, point to it in the mean."""
from __future__ import annotations

import math

from . import scheme

NEEDS = ()
CHAPTER = "step06_quant"
LEFT_OVER = (0.8, 0.6)  # the direction of what the levels leave
# Directions spread by the golden angle, as if drawn at random.
DIRECTIONS = [(math.cos(i * 2.399963 + 0.4), math.sin(i * 2.399963 + 0.4)) for i in range(9)]


def sign(s: tuple[float, float]) -> int:
    return 1 if s[0] * LEFT_OVER[0] + s[1] * LEFT_OVER[1] >= 0 else -1


def mean() -> tuple[float, float]:
    flipped = [(sign(s) * s[0], sign(s) * s[1]) for s in DIRECTIONS]
    return sum(x for x, _ in flipped) / len(flipped), sum(y for _, y in flipped) / len(flipped)


def off() -> float:
    """Degrees between the mean and what is left."""
    x, y = mean()
    return math.degrees(math.acos((x * LEFT_OVER[0] + y * LEFT_OVER[1]) / math.hypot(x, y)))


KEPT = "kept: " + " ".join("+" if sign(s) > 0 else "-" for s in DIRECTIONS)
SHOWS = [KEPT]
RADIUS = 100


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(370, "What the levels leave, and the signs that are kept of it")
    panels = [(140, "1. what is left, and random s"), (400, "2. each s, turned to its side"), (660, "3. their mean")]
    for i, (x0, words) in enumerate(panels):
        y0 = 200
        page.text(x0 - 116, 62, words, bold=True)
        if i < 2:
            page.arrows([(x0, y0, x0 + f * s[0] * RADIUS, y0 - f * s[1] * RADIUS) for s in DIRECTIONS for f in [sign(s) if i else 1]], scheme.GREY)
        else:
            x, y = mean()
            page.arrows([(x0, y0, x0 + x * RADIUS * 1.25, y0 - y * RADIUS * 1.25)], scheme.THREADS)
        page.arrows([(x0, y0, x0 + LEFT_OVER[0] * RADIUS * 1.2, y0 - LEFT_OVER[1] * RADIUS * 1.2)], scheme.GLOBAL)
    page.text(16, 324, KEPT, bold=True)
    page.text(230, 324, "one bit for each s: on which side of it the rest lies")
    page.text(16, 344, f"The mean of the turned directions is {off():.0f} degrees off here. With more of them it comes nearer.")
    page.text(16, 362, "Orange: what is left. Grey: the directions s. Blue: their mean after turning.")
    return page
