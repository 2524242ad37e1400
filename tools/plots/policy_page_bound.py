"""Quest: a page of three keys as a box, and the corner that suits a query best."""
from __future__ import annotations

from . import scheme
from .turned_pair import Axes

NEEDS = ()
CHAPTER = "step05_policies"
KEYS, QUERIES = [(1, 3), (-1, 4), (0, 5)], [(2, -1), (2, 1)]


def smallest() -> tuple[int, int]:
    return min(key[0] for key in KEYS), min(key[1] for key in KEYS)


def largest() -> tuple[int, int]:
    return max(key[0] for key in KEYS), max(key[1] for key in KEYS)


def corner(q: tuple[int, int]) -> tuple[int, int]:
    """Each number of the query meets the one that suits it best."""
    return tuple(high if number > 0 else low for number, low, high in zip(q, smallest(), largest()))


def score(q: tuple[int, int], key: tuple[int, int]) -> int:
    return q[0] * key[0] + q[1] * key[1]


BY_HAND = [f"q = ({q[0]}, {q[1]:2})   scores" + "".join(f" {score(q, key):3}" for key in KEYS) + f"   bound {score(q, corner(q)):3}" for q in QUERIES]
SHOWS = [f"bound {score(q, corner(q))}" for q in QUERIES]


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(424, "Quest: what a page of three keys says about itself, and what follows for two queries")
    for number, q in enumerate(QUERIES):
        axes = Axes(page, 150 + number * 390, 330, 44, (2.2, 3.0, 5.6))
        (left, low), (right, high) = smallest(), largest()
        x, y = axes.at(left, high)
        page.boxes([(x, y)], (right - left) * 44, (high - low) * 44, scheme.PALE[scheme.SHARED], scheme.SHARED)
        for key in KEYS:
            x, y = axes.at(*key)
            page.boxes([(x - 4, y - 4)], 8, 8, scheme.THREADS)
            at = corner(q) == key
            page.text(x - 8, y + 18 if key[1] < 5 else y - 8, f"{score(q, key)}", scheme.THREADS, anchor="end", bold=not at, more=scheme.HALO)
        x, y = axes.at(*corner(q))
        page.boxes([(x - 7, y - 7)], 14, 14, "none", scheme.GLOBAL)
        page.text(x + 14, y + 4, f"corner {corner(q)}", scheme.GLOBAL, size=11)
        page.text(x + 14, y + 20, SHOWS[number], scheme.GLOBAL, bold=True)
        axes.arrow((0, 0), q, scheme.GLOBAL)
        x, y = axes.at(*q)
        page.text(x + 8, y + 4, f"q = {q}", scheme.GLOBAL)
    page.text(16, 400, "Blue: the keys with their scores. Green: the box from the smallest to the largest numbers. Left the corner is a key,", size=10)
    page.text(16, 416, "and the bound is met. Right it is none: no key has both the 1 and the 5.", size=10)
    return page
