"""Why only distances count: query and key turned by their own positions, and the angle between them."""
from __future__ import annotations

import math

from . import rope_arrows, scheme

NEEDS = ()
CHAPTER = "step02_attention"
QUERY, KEY = (2.0, 1.0), (1.0, 1.0)
PLACES = [(1, 0), (5, 4), (3, 0)]
UNIT = 46  # pixels for a length of 1


def turned(pair: tuple, position: int) -> tuple:
    c, s = math.cos(position), math.sin(position)
    return pair[0] * c - pair[1] * s, pair[1] * c + pair[0] * s


def score(at_query: int, at_key: int) -> float:
    return sum(a * b for a, b in zip(turned(QUERY, at_query), turned(KEY, at_key)))


def written(pair: tuple) -> str:
    return "(" + ", ".join(f"{number:.3f}" for number in pair) + ")"


BY_HAND = [f"{abs(number):.3f}" for q, k in PLACES for number in (*turned(QUERY, q), *turned(KEY, k))] + [f"{abs(score(*places)):.6f}"[:6] for places in PLACES]
SHOWS = [f"q · k = {score(*PLACES[0]):.2f}", f"q · k = {score(*PLACES[2]):.2f}"]


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(392, "The same query and key at three pairs of places")
    for number, (at_query, at_key) in enumerate(PLACES):
        x, y = 136 + number * 264, 184
        page.text(x, 54, f"query at {at_query}, key at {at_key}: distance {at_query - at_key}", anchor="middle", bold=True)
        rope_arrows.circle(page, x, y, UNIT * math.hypot(*QUERY))
        for name, pair, color in (("q", turned(QUERY, at_query), scheme.THREADS), ("k", turned(KEY, at_key), scheme.GLOBAL)):
            page.arrows([(x, y, x + UNIT * pair[0], y - UNIT * pair[1])], color)
            length = math.hypot(*pair)
            page.text(x + (UNIT * length + 12) * pair[0] / length, y - (UNIT * length + 12) * pair[1] / length + 4, name, color, anchor="middle", bold=True)
        page.text(x - 96, 320, f"q = {written(turned(QUERY, at_query))}", scheme.THREADS)
        page.text(x - 96, 338, f"k = {written(turned(KEY, at_key))}", scheme.GLOBAL)
        page.text(x - 96, 360, f"q · k = {score(at_query, at_key):.2f}", bold=True)
    page.text(16, 384, "A position turns by 1 radian. From left to middle both arrows go on by 4: the angle between them is the same.", size=11)
    return page
