"""Generation without a cache: for each new token the whole text goes through the model again."""
from __future__ import annotations

from . import scheme

NEEDS = ()
CHAPTER = "step02_attention"
SHOWS = ["BOS", "round 3", "new"]
PROMPT, WRITTEN = ["BOS", "A", "n", "d", "_"], ["t", "h", "e"]
CELL, TOP, STEP = 34, 76, 84


def a_round(page: scheme.Scheme, number: int, y: float) -> None:
    """A line of the drawing: a text in, one token out."""
    text = PROMPT + WRITTEN[:number]
    page.text(16, y + 21, f"round {number + 1}", bold=True)
    for place, token in enumerate(text):
        page.box(86 + place * CELL, y, CELL - 2, 32, scheme.GREY if place < len(text) - 1 and number else scheme.THREADS, token)
    right = 86 + (len(PROMPT) + len(WRITTEN) - 1) * CELL
    page.arrows([(88 + len(text) * CELL, y + 16, right + 14, y + 16)], scheme.THREADS)
    page.box(right + 16, y - 8, 118, 48, scheme.SHARED, "model:\nall weights")
    page.arrows([(right + 136, y + 16, right + 166, y + 16)], scheme.SHARED)
    page.text(right + 172, y + 13, "256 logits,", size=11)
    page.text(right + 172, y + 28, "the largest:", size=11)
    page.arrows([(right + 256, y + 16, right + 284, y + 16)], scheme.GLOBAL)
    page.box(right + 286, y, CELL - 2, 32, scheme.GLOBAL, WRITTEN[number])
    page.text(right + 326, y + 21, "new", scheme.GLOBAL, bold=True)


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(336, "Writing without a cache: each round runs the whole text to get one token")
    page.text(86, 60, "the text so far", scheme.THREADS, size=11)
    for number in range(len(WRITTEN)):
        a_round(page, number, TOP + number * STEP)
    page.text(16, 320, "Grey frame: was in the model a round before, and goes through it again. The sign _ is a space.")
    return page
