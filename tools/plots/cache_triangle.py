"""The work of four rounds: a triangle of rows and scores without a cache, and its last row with it."""
from __future__ import annotations

from . import scheme

NEEDS = ()
CHAPTER = "step03_kvcache"
TOKENS = 4


def rows_fed(cached: bool) -> list[int]:
    """Of each round."""
    return [1 if cached else T for T in range(1, TOKENS + 1)]


def scores(cached: bool) -> list[int]:
    """Of each round: token t looks at t + 1 slots; with a cache the newest token alone looks."""
    return [T if cached else sum(range(1, T + 1)) for T in range(1, TOKENS + 1)]


SHOWS = [f"in all: {sum(rows_fed(cached))} rows, {sum(scores(cached))} scores" for cached in (False, True)]
BY_HAND = [f"  in all    {sum(rows_fed(False)):6}    {sum(scores(False)):6}       {sum(rows_fed(True)):6}    {sum(scores(True)):6}"]
CELL = 22


def a_round(page: scheme.Scheme, x: float, y: float, T: int, cached: bool) -> None:
    """Rows that go through the matrices, and the square of scores, of a text of T tokens."""
    first = T - rows_fed(cached)[T - 1]
    color = scheme.THREADS if cached else scheme.GLOBAL
    page.text(x, y + T * CELL - 9, f"round {T}", bold=True)
    for t in range(T):
        fed = t >= first
        page.boxes([(x + 66, y + t * CELL)], 50, CELL - 4, color if t == T - 1 else scheme.PALE[color] if fed else scheme.PALE[scheme.SHARED], color if fed else scheme.SHARED)
        page.boxes([(x + 140 + s * CELL, y + t * CELL) for s in range(t + 1)], CELL - 4, CELL - 4, (color if t == T - 1 else scheme.PALE[color]) if fed else "white", color if fed else scheme.FAINT)


def half(page: scheme.Scheme, x: float, cached: bool) -> None:
    color = scheme.THREADS if cached else scheme.GLOBAL
    page.text(x, 56, "with a cache" if cached else "without a cache", color, bold=True, size=13)
    page.text(x + 66, 80, "rows", size=11)
    page.text(x + 140, 80, "scores", size=11)
    for T in range(1, TOKENS + 1):
        y = 90 + sum(t * CELL + 20 for t in range(1, T))
        a_round(page, x, y, T, cached)
        row, score = rows_fed(cached)[T - 1], scores(cached)[T - 1]
        page.text(x + 240, y + T * CELL - 9, f"{row} row{'s' * (row > 1)}, {score} score{'s' * (score > 1)}", size=11)
    page.text(x, 398, SHOWS[cached], color, bold=True)


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(440, "A text of four tokens, one token more in each round")
    half(page, 24, False)
    half(page, 424, True)
    page.text(16, 430, "Full colour: the newest token's. Tinted: made again, with the same result. Green: kept, not computed.")
    return page
