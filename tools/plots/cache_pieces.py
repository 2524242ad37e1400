"""A prompt of seven tokens in pieces of three: what each token sees, and where the mask's corner is."""
from __future__ import annotations

from . import scheme

NEEDS = ()
CHAPTER = "step03_kvcache"
TOKENS, PIECE = 7, 3
CELL = 32


def pieces() -> list[tuple[int, int]]:
    """(first token, tokens)."""
    return [(begin, min(PIECE, TOKENS - begin)) for begin in range(0, TOKENS, PIECE)]


def scores(begin: int, count: int) -> int:
    return sum(t + 1 for t in range(begin, begin + count))


SHOWS = [f"piece {number}: {scores(*piece)} scores" for number, piece in enumerate(pieces())]
BY_HAND = [f"{number}   {begin} to {begin + count - 1}   {begin + 1:20}   {begin + count:13}   {scores(begin, count):6}" for number, (begin, count) in enumerate(pieces())]


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(424, "A prompt of seven tokens in pieces of three")
    page.text(150, 62, "looks at slot", size=11)
    for slot in range(TOKENS):
        page.text(150 + slot * CELL + 14, 80, str(slot), anchor="middle")
    for number, (begin, count) in enumerate(pieces()):
        top = 90 + begin * CELL + number * 18
        for t in range(begin, begin + count):
            y = top + (t - begin) * CELL
            page.text(64, y + 19, f"token {t}")
            page.boxes([(150 + s * CELL, y) for s in range(begin)], CELL - 3, CELL - 3, scheme.PALE[scheme.SHARED], scheme.SHARED)
            page.boxes([(150 + s * CELL, y) for s in range(begin, t + 1)], CELL - 3, CELL - 3, scheme.PALE[scheme.THREADS], scheme.THREADS)
            page.boxes([(150 + s * CELL, y) for s in range(t + 1, begin + count)], CELL - 3, CELL - 3, "white", scheme.FAINT)
        page.text(410, top + 19, SHOWS[number], bold=True)
        words = "3 rows through the matrices" if count == 3 else "1 row through the matrices"
        page.text(410, top + 37, words, size=11)
        if begin and count == 3:
            page.text(410, top + 53, "a rectangle of kept slots, then a triangle", size=11)
    page.text(16, 412, "Green: kept from earlier pieces. Blue: of this piece. Empty: not visited, because it lies to the right of the token.", size=11)
    return page
