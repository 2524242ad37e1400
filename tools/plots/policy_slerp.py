"""SLERP: a third of the way from one direction to another, on the arc and on the straight line."""
from __future__ import annotations

import math

from . import scheme

NEEDS = ()
CHAPTER = "step05_policies"
A, B, T = (1.0, 0.0), (0.0, 1.0), 1 / 3
X, Y, RADIUS = 120, 350, 280


def on_the_arc(t: float) -> tuple[float, float]:
    angle = math.acos(A[0] * B[0] + A[1] * B[1])
    of_a, of_b = math.sin((1 - t) * angle) / math.sin(angle), math.sin(t * angle) / math.sin(angle)
    return of_a * A[0] + of_b * B[0], of_a * A[1] + of_b * B[1]


def straight(t: float) -> tuple[float, float]:
    return (1 - t) * A[0] + t * B[0], (1 - t) * A[1] + t * B[1]


def degrees(point: tuple[float, float]) -> float:
    return math.degrees(math.atan2(point[1], point[0]))


def row(t: float) -> str:
    (x, y), line = on_the_arc(t), straight(t)
    return f"{t:.3f}    ({x:.3f}, {y:.3f})   {degrees((x, y)):14.1f}   {degrees(line):.1f}, of length {math.hypot(*line):.3f}"


BY_HAND = [row(T)]
SHOWS = [f"e = ({on_the_arc(T)[0]:.3f}, {on_the_arc(T)[1]:.3f})", f"{degrees(on_the_arc(T)):.0f} degrees from a, length 1"]


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(430, "A third of the way from a to b: on the arc, and straight")

    def at(point: tuple[float, float]) -> tuple[float, float]:
        return X + RADIUS * point[0], Y - RADIUS * point[1]

    steps = [(math.cos(math.radians(d)), math.sin(math.radians(d))) for d in range(0, 91, 3)]
    page.lines([(*at(one), *at(two)) for one, two in zip(steps, steps[1:])], scheme.FAINT)
    page.lines([(*at(A), *at(B))], scheme.FAINT)
    for point, color in ((A, scheme.THREADS), (B, scheme.THREADS), (on_the_arc(T), scheme.SHARED), (straight(T), scheme.GLOBAL)):
        page.arrows([(*at((0, 0)), *at(point))], color)
    page.text(at(A)[0] - 30, at(A)[1] + 22, "a = (1, 0): the lower layer, t = 0", scheme.THREADS)
    page.text(at(B)[0] + 12, at(B)[1] - 6, "b = (0, 1): the upper layer, t = 1", scheme.THREADS)
    x, y = at(on_the_arc(T))
    page.text(x + 14, y - 2, SHOWS[0], scheme.SHARED, bold=True)
    page.text(x + 14, y + 14, SHOWS[1], scheme.SHARED, size=11)
    x, y = at(straight(T))
    page.text(430, 306, f"straight: ({straight(T)[0]:.3f}, {straight(T)[1]:.3f})", scheme.GLOBAL, bold=True)
    page.text(430, 322, f"{degrees(straight(T)):.1f} degrees from a, length {math.hypot(*straight(T)):.3f}", scheme.GLOBAL, size=11)
    page.lines([(x + 6, y + 2, 424, 302)], scheme.GLOBAL)
    page.text(430, 90, "weights on the arc:")
    page.text(430, 110, f"of a: sin 60 / sin 90 = {math.sin(math.radians(60)):.3f}")
    page.text(430, 128, f"of b: sin 30 / sin 90 = {math.sin(math.radians(30)):.3f}")
    page.text(16, 412, "Green keeps the length 1 and moves a third of the angle. Orange is too short and has not moved far enough.", size=11)
    return page
