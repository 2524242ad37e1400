"""Chapter 8: going back: rows of a cache are simply no longer looked at; a state needs a copy from before, and runs what came after it once more."""
from __future__ import annotations

from . import scheme
from .style import FAINT

NEEDS = ()
CHAPTER = "step08_architectures"
BORDER, TOKENS, REWIND, BACK = 64, 200, 100, 150


def copies() -> list[int]:
    """Positions of the copies that are kept: at borders, as many as REWIND needs."""
    every = list(range(0, TOKENS, BORDER))
    while len(every) > 1 and every[1] <= TOKENS - REWIND:
        every.pop(0)
    return every


def back(to: int) -> tuple[int, int]:
    """The copy that is taken, and the tokens that are run again."""
    copy = max(at for at in copies() if at <= to)
    return copy, to - copy


BY_HAND = [f"  {TOKENS} tokens, rewind {REWIND}: {len(copies())} copies", f"  the furthest that it goes back: {copies()[0]}", f"  back to {BACK}, and on with the same tokens: the same bits"]
SHOWS = ["22 tokens are run again", "copy of 64", "copy of 128", "copy of 192", "back to 150"]
LEFT, UNIT = 60, 3.5


def place(token: int) -> float:
    return LEFT + token * UNIT


def draw_page() -> scheme.Scheme:
    copy, again = back(BACK)
    page = scheme.Scheme(412, f"{TOKENS} tokens have been seen. Back to {BACK}, as if the last {TOKENS - BACK} had never been")
    page.text(16, 54, "a cache of rows", scheme.THREADS, bold=True)
    page.boxes([(place(0), 64)], BACK * UNIT - 2, 26, scheme.PALE[scheme.THREADS], scheme.THREADS)
    page.boxes([(place(BACK), 64)], (TOKENS - BACK) * UNIT, 26, "white", FAINT)
    page.text(place(BACK / 2), 81, f"the rows of {BACK} tokens are still there", size=11, anchor="middle")
    page.text(place((BACK + TOKENS) / 2), 81, "not looked at", size=11, anchor="middle")
    page.text(16, 124, "a state", scheme.GLOBAL, bold=True)
    page.boxes([(place(TOKENS) - 28, 134)], 28, 26, scheme.GLOBAL)
    page.lines([(place(0), 147, place(TOKENS) - 28, 147)], scheme.GLOBAL)
    page.text(place(60), 141, "there is one, of all 200 tokens: none of them can be taken out of it", size=11)
    page.text(16, 196, f"copies of the state where a multiple of {BORDER} begins, for going back by up to {REWIND} tokens", scheme.SHARED, bold=True)
    page.lines([(place(0), 236, place(TOKENS), 236)])
    page.text(place(0), 258, "0", size=11)
    for at in copies():
        page.boxes([(place(at) - 10, 218)], 20, 34, scheme.PALE[scheme.SHARED], scheme.SHARED)
        page.text(place(at), 268, f"copy of {at}", size=11, anchor="middle")
    page.boxes([(place(copies()[0]), 284)], (TOKENS - copies()[0]) * UNIT, 14, scheme.PALE[scheme.SHARED], scheme.SHARED)
    page.text(place(copies()[0]) - 6, 295, "and the rows that went in", size=10, anchor="end")
    page.arrows([(place(TOKENS), 210, place(copy) + 4, 210)], scheme.GLOBAL)
    page.boxes([(place(copy) + 10, 224)], again * UNIT - 10, 22, scheme.SHARED)
    page.text(place(BACK), 336, f"back to {BACK}", scheme.SHARED, anchor="middle", bold=True)
    page.lines([(place(BACK), 224, place(BACK), 320)], scheme.SHARED)
    page.text(place(copy) - 6, 318, f"{again} tokens are run again", scheme.SHARED, size=11, anchor="end")
    page.note(366, f"The copy of {copy} is taken out, and the rows of {copy} to {BACK - 1} go in once more. A recurrence in token order gives them the bits that they had. Before {copies()[0]} there is no copy any more: it would serve nobody who goes back by {REWIND} at most.")
    return page
