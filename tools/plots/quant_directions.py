"""Three keys of two numbers, the direction that holds most of them, and the direction that the matrix alone would suggest."""
from __future__ import annotations

import math

from . import scheme

NEEDS = ()
CHAPTER = "step06_quant"
KEYS = ((8.0, 6.0), (1.0, 7.0), (-7.0, 1.0))


def best() -> tuple[float, float]:
    """The angle that makes the sum of squared products largest, in closed form for two numbers."""
    xx, yy, xy = (sum(k[i] * k[j] for k in KEYS) for i, j in ((0, 0), (1, 1), (0, 1)))
    angle = 0.5 * math.atan2(2 * xy, xx - yy)
    return math.cos(angle), math.sin(angle)


def kept(key: tuple[float, float], u: tuple[float, float]) -> float:
    return key[0] * u[0] + key[1] * u[1]


def error(u: tuple[float, float]) -> float:
    return sum((k[0] - kept(k, u) * u[0])**2 + (k[1] - kept(k, u) * u[1])**2 for k in KEYS)


OF_KEYS, OF_W = best(), (0.0, 1.0)
ALL = sum(k[0]**2 + k[1]**2 for k in KEYS)
BY_HAND = [f"    squared error {error(u):.0f} of {ALL:.0f}" for u in (OF_KEYS, OF_W)]
SHOWS = [f"left out: {error(u):.0f} of {ALL:.0f}" for u in (OF_KEYS, OF_W)]
UNIT = 15.0


def panel(page: scheme.Scheme, x0: float, words: str, u: tuple[float, float], shown: str) -> None:
    y0 = 220

    def at(p: tuple[float, float]) -> tuple[float, float]:
        return x0 + p[0] * UNIT, y0 - p[1] * UNIT

    page.text(x0 - 150, 58, words, bold=True)
    page.lines([(x0 - 140, y0, x0 + 150, y0), (x0, y0 + 90, x0, y0 - 130)], scheme.FAINT)
    reach = 10.5 if u[0] else 8.0
    page.lines([(*at((-u[0] * (reach - 3), -u[1] * (reach - 3))), *at((u[0] * reach, u[1] * reach)))], scheme.SHARED)
    for k in KEYS:
        c = kept(k, u)
        foot = (c * u[0], c * u[1])
        page.arrows([(x0, y0, *at(k))], scheme.THREADS)
        if math.dist(k, foot) > 0.1:
            page.lines([(*at(k), *at(foot))], scheme.GLOBAL)
        x, y = at(k)
        page.text(x + (8 if k[0] > 0 else -8), y - 6, f"({k[0]:g}, {k[1]:g})", scheme.THREADS, size=11, anchor="start" if k[0] > 0 else "end")
    page.text(x0 - 150, 336, shown, bold=True)


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(378, "Keys of two numbers, of which one number is kept")
    panel(page, 190, f"along ({OF_KEYS[0]:.1f}, {OF_KEYS[1]:.1f}), where the keys are", OF_KEYS, SHOWS[0])
    panel(page, 590, "along (0, 1), where W is largest", OF_W, SHOWS[1])
    page.text(16, 364, "Blue: the keys. Green: the direction that is kept. Orange: what is lost.")
    return page
