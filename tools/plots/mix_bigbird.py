"""Chapter 8: BigBird's blocks, the first, the near and a drawn one, and a model whose layers alternate between a window and all."""
from __future__ import annotations

from . import scheme
from .mix_patterns import BLOCK, TOKENS, WINDOW, drawn_block, draw_grid, held, mark

NEEDS = ()
CHAPTER = "step08_architectures"
CELL, TOP = 12, 86


def chance(t: int) -> str:
    """The drawn block of a token, as words."""
    block = drawn_block(t // BLOCK)
    return "none" if block is None else str(block)


SHOWS = ["16 of 16 rows held", "4 of 16 rows held", *(f"tokens {BLOCK * own}, {BLOCK * own + 1}: block {chance(BLOCK * own)}" for own in (3, 7))]


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(TOP + TOKENS * CELL + 94, "BigBird's blocks of two tokens, and two kinds of layers in turn")
    for t in (0, 5, 10, 15):
        page.text(8, TOP + t * CELL + 9, f"token {t}", size=10)
    page.text(66, TOP - 28, "BigBird", bold=True)
    page.text(66, TOP - 11, "the first block, own and last, one drawn", size=10)
    draw_grid(page, 66, lambda t, s: mark("bigbird", t, s), CELL, TOP)
    page.text(272, TOP + 6, "drawn by a hash:", size=11)
    for own in range(1, TOKENS // BLOCK):
        page.text(272, TOP + 8 + own * 2 * CELL, f"tokens {BLOCK * own}, {BLOCK * own + 1}: block {chance(BLOCK * own)}".replace("block none", "none"), size=11)
    for x, title, words, marks in ((430, "alternating: layers 0, 2", f"a window, here of {WINDOW}", lambda t, s: mark("local", t, s)), (624, "layers 1 and 3", "all tokens", lambda t, s: "#")):
        page.text(x, TOP - 28, title, bold=True, size=11)
        page.text(x, TOP - 11, words, size=10)
        draw_grid(page, x, marks, CELL - 2, TOP)
    y = TOP + TOKENS * CELL + 16
    page.text(66, y, f"{held('bigbird', TOKENS - 1)} of {TOKENS} rows held", size=11)
    page.text(430, y, f"{held('local', TOKENS - 1)} of {TOKENS} rows held", size=11)
    page.text(624, y, "all rows held", size=11)
    page.note(y + 28, "Blue is seen, green is kept for a later token, outlined may be forgotten. Which block will be drawn is not known before, so BigBird forgets nothing. Layers that alternate hold few rows in one half of the model, and still see all in the other half.")
    return page
