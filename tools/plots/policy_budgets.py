"""PyramidKV: the budgets of four layers, even, as a pyramid, and cut to what the prompt has."""
from __future__ import annotations

from . import scheme

NEEDS = ()
CHAPTER = "step05_policies"
LAYERS = 4
CASES = ((24, 4, 5, 39), (24, 4, 5, 100), (28, 8, 5, 40))  # budget, window, beta, tokens of the prompt


def budgets(budget: int, window: int, beta: int, tokens: int) -> list[int]:
    rest = budget - window
    if tokens < 2 * rest:
        return [budget] * LAYERS
    least = rest // beta
    most = 2 * rest - least
    if most >= tokens - window:
        most = tokens - window
        least = 2 * rest - most
    step = (most - least) // (LAYERS - 1)
    return [window + most - layer * step for layer in range(LAYERS)]


BY_HAND = [f"{budget:6}  {window:6}  {beta:4}  {tokens:6}          " + "  ".join(f"{kept:2}" for kept in budgets(budget, window, beta, tokens))
           for budget, window, beta, tokens in CASES]
SHOWS = [f"mean {sum(budgets(*case)) / LAYERS:g}" for case in CASES]
UNIT = 4.4


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(318, "PyramidKV: how many tokens each of four layers keeps")
    for number, case in enumerate(CASES):
        x = 70 + number * 254
        budget, window, beta, tokens = case
        page.text(x, 56, f"a budget of {budget}", bold=True)
        page.text(x, 74, f"window {window}, prompt of {tokens}", size=11)
        for layer, kept in enumerate(budgets(*case)):
            y = 222 - layer * 44
            page.boxes([(x, y)], kept * UNIT, 34, scheme.PALE[scheme.THREADS], scheme.THREADS)
            page.boxes([(x, y)], window * UNIT, 34, scheme.PALE[scheme.SHARED], scheme.SHARED)
            page.text(x + window * UNIT + 6, y + 22, str(kept), bold=True)
        page.lines([(x + budget * UNIT, 84, x + budget * UNIT, 262)], scheme.GLOBAL)
        page.text(x, 278, SHOWS[number], scheme.GLOBAL)
    for layer in range(LAYERS):
        page.text(8, 244 - layer * 44, f"layer {layer}", size=11)
    page.text(16, 304, "Green: the window, which each layer keeps. Line: the budget. Left: too short a prompt for a pyramid. Right: layer 0 keeps it.", size=10)
    return page
