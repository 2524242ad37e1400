"""Copy on write: two texts share a page that is half full, and one of them grows."""
from __future__ import annotations

from . import scheme
from .serve_pages import COLORS, SLOTS, filled_of, run

NEEDS = ()
CHAPTER = "step07_serving"
STATES = [("after the fork", run("C: a fork of A")), ("after C has written a token", run("C writes a token"))]
BY_HAND = [pool.lines[-1].rstrip() for _, pool in STATES]
SHOWS = ["page 2", "page 4", "2 slots"]


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(330, "Copy on write: nobody writes into a page that another text reads")
    for i, (words, pool) in enumerate(STATES):
        left = 20 + i * 400
        page.text(left, 58, words, bold=True)
        for row, text in enumerate("AC"):
            y = 76 + row * 34
            page.text(left, y + 18, f"table of {text}", COLORS[text], size=11)
            for place, number in enumerate(pool.tables[text]):
                page.box(left + 84 + place * 40, y, 36, 24, COLORS[text], str(number))
        for place, number in enumerate((2, 4) if i else (2,)):
            x, users = left + 20 + place * 180, pool.users[number]
            page.text(x, 196, f"page {number}", size=11, bold=True)
            for s in range(SLOTS):
                full = s < filled_of(pool, number)
                own = number == 4 and s == 2
                page.box(x + s * 32, 204, 30, 34, scheme.SHARED if own else scheme.THREADS if full else scheme.FAINT, ("new" if own else str(8 + s)) if full else "")
            page.text(x + 60, 196, f"{users} users" if users > 1 else "1 user", size=11)
    # From the slots of 8 and 9 to their copies, below both pages.
    for slot, depth in ((0, 278), (1, 270)):
        page.lines([(455 + slot * 32, 240, 455 + slot * 32, depth), (455 + slot * 32, depth, 635 + slot * 32, depth)], scheme.SHARED)
        page.arrows([(635 + slot * 32, depth, 635 + slot * 32, 240)], scheme.SHARED)
    page.text(577, 266, "2 slots", scheme.SHARED, size=11, anchor="middle")
    page.text(16, 296, "Page 2 holds the tokens 8 and 9 of A, and C goes on from them. When C writes its eleventh token it takes a page of", size=11)
    page.text(16, 314, "its own, 2 slots are copied in every layer, and its table says 4 where it said 2. A has noticed nothing.", size=11)
    return page
