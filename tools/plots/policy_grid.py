"""Twelve tokens of which four stay: after each token, which are held, by four rules that forget in every step."""
from __future__ import annotations

from . import scheme

NEEDS = ()
CHAPTER = "step05_policies"
TOKENS, BUDGET, SINKS, RECENT, PROMPT = 12, 4, 1, 2, 8
WEIGHTS = [4.0 if token in (2, 8) else 1.0 for token in range(TOKENS)]
CELL, LEFT, TOP = 13, 62, 84


def shares(held: list[int]) -> dict[int, float]:
    """What a query gives to each token that is there."""
    total = sum(WEIGHTS[token] for token in held)
    return {token: WEIGHTS[token] / total for token in held}


def evict(held: list[int], rating: dict[int, float]) -> list[int]:
    """The lowest go, of equal ones the later tokens."""
    stay = sorted(held, key=lambda token: (-rating[token], token))[:BUDGET]
    return sorted(stay)


def run(rate, waits: bool = False) -> list[list[int]]:
    """After each token, those that are held. rate(next, held, sums): a rating of each; `waits`: what goes, goes after the prompt."""
    rows, held, sums = [], [], {}
    for token in range(TOKENS):
        held = [*held, token]
        now = shares(held)
        for other in held:
            sums[other] = sums.get(other, 0.0) + now[other] * (not waits or PROMPT - 2 <= token < PROMPT)
        if len(held) > BUDGET and (not waits or token == PROMPT - 1):
            held = evict(held, rate(token + 1, held, sums, now))
        rows.append(held)
    return rows


def window(following, held, sums, now):
    return {token: token for token in held}


def sinks(following, held, sums, now):
    return {token: float("inf") if token < SINKS else token for token in held}


def h2o(following, held, sums, now):
    return {token: float("inf") if token >= following - RECENT else sums[token] for token in held}


def h2o_mean(following, held, sums, now):
    return {token: float("inf") if token >= following - RECENT else sums[token] / (following - token) for token in held}


def tova(following, held, sums, now):
    return now


def snapkv(following, held, sums, now):
    pooled = {token: sum(sums.get(other, 0.0) for other in range(token - 1, token + 2) if 0 <= other < PROMPT - 2) / 3 for token in held}
    return {token: float("inf") if token >= PROMPT - 2 else pooled[token] for token in held}


def quest() -> list[list[int]]:
    """What is read: three pages of two tokens, the newest among them."""
    rows = []
    for token in range(TOKENS):
        pages = [[s for s in (first, first + 1) if s <= token] for first in range(0, token + 1, 2)]
        best = sorted(pages[:-1], key=lambda page: (-max(WEIGHTS[s] for s in page), page))[:2]
        rows.append(sorted(s for page in [*best, pages[-1]] for s in page))
    return rows


def line(row: list[int], token: int) -> str:
    return "".join("#" if s in row else "." for s in range(token + 1)).ljust(TOKENS)


def printed(grids: dict[str, list[list[int]]]) -> list[str]:
    """As the program prints them."""
    return ["  ".join([f"  token {token:2}", *(line(rows[token], token) for rows in grids.values())]) for token in range(TOKENS)]


def draw_grid(page: scheme.Scheme, x: float, y: float, name: str, words: str, rows: list[list[int]], color: str = scheme.THREADS) -> None:
    page.text(x, y - 26, name, color, bold=True)
    page.text(x, y - 10, words, size=10)
    for filled in (False, True):
        for heavy in (False, True):
            cells = [(x + s * CELL, y + t * CELL) for t, row in enumerate(rows) for s in range(t + 1) if (s in row) == filled and (WEIGHTS[s] > 1) == heavy]
            fill = (scheme.GLOBAL if heavy else color) if filled else scheme.PALE[scheme.GLOBAL] if heavy else "white"
            page.boxes(cells, CELL - 2, CELL - 2, fill, (scheme.GLOBAL if heavy else color) if filled else scheme.FAINT)


def draw_row(title: str, grids: list[tuple[str, str, list[list[int]], str]], below: list[str]) -> scheme.Scheme:
    page = scheme.Scheme(TOP + TOKENS * CELL + 30 + 18 * len(below), title)
    for t in (0, 4, 8, 11):
        page.text(8, TOP + t * CELL + 10, f"token {t}", size=10)
    for number, (name, words, rows, color) in enumerate(grids):
        draw_grid(page, LEFT + number * 184, TOP, name, words, rows, color)
    for number, words in enumerate(below):
        page.text(16, TOP + TOKENS * CELL + 28 + number * 18, words, size=11)
    return page


GRIDS = {"window": run(window), "sinks": run(sinks), "h2o": run(h2o), "h2o-mean": run(h2o_mean)}
BY_HAND = [row.rstrip() for row in printed(GRIDS)]
SHOWS = list(GRIDS)


def draw_page() -> scheme.Scheme:
    words = ("the last four", "the first, the last three", "two heavy, two last", "the same, by the mean")
    grids = [(name, of, rows, scheme.THREADS) for (name, rows), of in zip(GRIDS.items(), words)]
    return draw_row("Four of twelve tokens stay: a row for each step, a column for each token", grids,
                    ["Full: held after this step. Outlined: gone. The tokens 2 and 8, which every query looks at four times as much,",
                     "are orange. To the right of the diagonal there is nothing yet."])
