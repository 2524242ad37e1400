"""Softmax weights as p times a power of two below a whole maximum, for three scores."""
from __future__ import annotations

from . import scheme

NEEDS = ()
SHOWS = ["3.4 = 3 + 0.4", "1.5 = 2 - 0.5", "1.3195", "1.31951", "0.35355", "0.03125"]
SCORES = [3.4, 1.5, -2.0]


def parts(score: float) -> tuple[int, float, float]:
    """The nearest whole number (Python rounds halves to even, too), the rest, and 2 to the power of the rest."""
    n = round(score)
    return n, score - n, 2.0**(score - n)


def weights() -> list[float]:
    most = max(parts(score)[0] for score in SCORES)
    return [parts(score)[2] * 2.0**(parts(score)[0] - most) for score in SCORES]


def split(score: float) -> str:
    n, f, _ = parts(score)
    return f"{score:g} = {n} {'-' if f < 0 else '+'} {abs(f):.2g}"


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(336, "Three scores become weights: p times a power of two, at most 1")
    most = max(parts(score)[0] for score in SCORES)
    for x, words in ((24, "score = n + f"), (176, "p = 2^f"), (286, f"2^(n - M), M = {most}"), (450, "weight"), (520, "the weight as a length")):
        page.text(x, 60, words, bold=True)
    for i, (score, weight) in enumerate(zip(SCORES, weights())):
        y = 76 + i * 66
        n, _, p = parts(score)
        page.box(24, y, 130, 34, scheme.THREADS, split(score))
        page.box(176, y, 90, 34, scheme.SHARED, f"{p:.4f}")
        page.box(286, y, 144, 34, scheme.GLOBAL, f"2^({n} - {most}) = {2.0**(n - most):.4g}")
        page.text(450, y + 21, f"{weight:.5f}")
        page.boxes([(520, y + 4)], weight * 180, 26, scheme.THREADS)
    page.lines([(700, 72, 700, 252)])
    page.text(700, 270, "1", anchor="middle")
    page.text(24, 300, "p lies between 0.707 and 1.415, whatever the score is: all of its size went into the power of two.\nIf a larger M turns up later, each weight is multiplied by a power of two: its digits stay as they are.")
    return page
