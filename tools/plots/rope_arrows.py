"""RoPE: pairs of a head as arrows that turn with the position, each pair at a speed of its own."""
from __future__ import annotations

import math

from . import scheme

NEEDS = ()
CHAPTER = "step02_attention"
DIM, BASE, POSITIONS = 16, 10000.0, 6  # tiny's
PAIRS = (0, 2, 4)


def speed(pair: int) -> float:
    """Radians from one position to the next."""
    return BASE**(-2 * pair / DIM)


SHOWS = [f"{speed(0):g} a position", f"{speed(2):g} a position", f"{speed(4):g} a position"]
RADIUS = 100


def circle(page: scheme.Scheme, x: float, y: float, radius: float) -> None:
    corners = [(x + radius * math.cos(i * math.pi / 36), y - radius * math.sin(i * math.pi / 36)) for i in range(73)]
    page.lines([(*a, *b) for a, b in zip(corners, corners[1:])], scheme.FAINT)


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(362, "RoPE: the same pair (1, 0) of a head at the positions 0 to 5")
    for number, pair in enumerate(PAIRS):
        x, y = 136 + number * 264, 200
        page.text(x, 54, f"pair {pair}", anchor="middle", bold=True)
        page.text(x, 72, f"{speed(pair):g} a position", anchor="middle")
        circle(page, x, y, RADIUS)
        for position in range(POSITIONS):
            angle = position * speed(pair)
            along = (math.cos(angle), math.sin(angle))
            page.arrows([(x, y, x + RADIUS * along[0], y - RADIUS * along[1])], scheme.THREADS if position else scheme.GLOBAL)
            if pair == 0 or (pair == 2 and position in (0, 5)):
                page.text(x + (RADIUS + 12) * along[0], y - (RADIUS + 12) * along[1] + 4, str(position), scheme.THREADS if position else scheme.GLOBAL, anchor="middle")
        if pair == 4:
            page.text(x + RADIUS + 6, y + 4, "0..5", scheme.THREADS, size=11)
    page.text(16, 340, "Angles in radians: 6.28 is once round. Fast pairs tell neighbours apart, slow pairs tell far from near.")
    return page
