"""A step as a transaction: begin, write, then commit or abandon."""
from __future__ import annotations

from . import scheme

NEEDS = ()
CHAPTER = "step03_kvcache"
CAPACITY, HELD, STEP = 12, 8, 2
STATES = (("before", HELD, 0, 0), ("begin(2), append", HELD, STEP, 0), ("commit()", HELD + STEP, 0, 0), ("or abandon()", HELD, 0, STEP))
SHOWS = [name for name, *_ in STATES] + [f"next_position() = {HELD + STEP}"]
BY_HAND = ["begin(2), append(0, k, v)                        8       4", "commit()                                        10       2"]
CELL = 34


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(388, "A step of two tokens after eight others, in a cache of twelve slots")
    for row, (name, held, opened, junk) in enumerate(STATES):
        y = 72 + row * 74
        page.text(20, y + 20, name, bold=True)
        for slot in range(CAPACITY):
            words, color = (f"{slot}", scheme.SHARED) if slot < held else (f"{slot}", scheme.THREADS) if slot < held + opened else ("?", scheme.GREY)
            page.box(170 + slot * CELL, y, CELL - 3, 30, color, words)
        x = 170 + held * CELL - 1.5
        page.lines([(x, y - 8, x, y + 38)], scheme.SHARED)
        page.text(x, y + 50, f"next_position() = {held}", scheme.SHARED, size=11, anchor="middle")
        if opened:
            page.text(592, y + 12, "written, and not", size=11)
            page.text(592, y + 28, "yet counted", size=11)
        if junk:
            page.text(592, y + 12, "still written there;", size=11)
            page.text(592, y + 28, "nobody looks", size=11)
        if held > HELD:
            page.text(592, y + 12, "one number moved,", size=11)
            page.text(592, y + 28, "no row did", size=11)
    page.text(16, 374, "Green: counts. Blue: belongs to the open step. ?: free, whatever was there before.")
    return page
