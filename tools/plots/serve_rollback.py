"""Guesses that cross the border of a page, and the page that goes back when they were wrong."""
from __future__ import annotations

from . import scheme

NEEDS = ()
CHAPTER = "step07_serving"
SLOTS, POOL = 4, 6
# What happens, tokens that count afterwards, how many of the last are new.
STATES = [("before the step", 7, 0), ("a token and three guesses", 11, 4), ("all three guesses were wrong", 8, 0), ("a token and three guesses", 12, 4), ("two guesses were right", 11, 0)]


def table(tokens: int) -> list[int]:
    return list(range(-(-tokens // SLOTS)))


BY_HAND = [f"  {what:<30}  tokens {tokens:2}   table {' '.join(map(str, table(tokens))):<8}  free pages {POOL - len(table(tokens))}" for what, tokens, _ in STATES]
SHOWS = ["page 2", "11 tokens", "8 tokens"]
LEFT, CELL = 250, 32


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(330, "Guesses over the border of a page, and back")
    for number in range(3):
        page.text(LEFT + number * (SLOTS * CELL + 14), 54, f"page {number}", size=11, bold=True)
    for i, (what, tokens, new) in enumerate(STATES):
        y = 64 + i * 44
        page.text(16, y + 20, what)
        for number in range(3):
            x = LEFT + number * (SLOTS * CELL + 14)
            held = number in table(tokens)
            for s in range(SLOTS):
                place = number * SLOTS + s
                color = None if place >= tokens else scheme.THREADS if place <= tokens - new else scheme.GLOBAL
                if color:
                    page.box(x + s * CELL, y, CELL - 3, 28, color, str(place))
                else:
                    page.boxes([(x + s * CELL, y)], CELL - 3, 28, "white", scheme.GREY if held else scheme.FAINT)
        page.text(LEFT + 3 * (SLOTS * CELL + 14) + 4, y + 20, f"{tokens} tokens", size=11)
    page.text(16, 302, "Orange: guesses. In the first step all three are wrong: 8 tokens are left, page 2 is empty, and the pool gets it back.", size=11)
    page.text(16, 320, "In the second one the last guess is wrong. Its slot is free again, and page 2 stays, since two other tokens are in it.", size=11)
    return page
