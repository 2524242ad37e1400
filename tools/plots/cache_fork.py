"""Going back and going two ways: truncate moves one number, fork copies tiles."""
from __future__ import annotations

from . import scheme
from .cache_slots import TILE, tiles

NEEDS = ()
CHAPTER = "step03_kvcache"
HELD, CAPACITY, BACK = 70, 128, 40
SHOWS = [f"truncate({BACK})", f"fork(): {tiles(HELD)} tiles copied", f"next_position() = {HELD}", f"next_position() = {BACK}"]


def strip(page: scheme.Scheme, y: float, held: int, color: str, stale: int = 0) -> None:
    """Two tiles; `held` slots of them full, up to `stale` with rows that nobody reads."""
    for tile in range(tiles(CAPACITY)):
        page.boxes([(170 + tile * 280, y)], 276, 30, "white", scheme.GREY)
        for end, fill in ((stale, scheme.FAINT), (held, scheme.PALE[color])):
            share = min(max(end - tile * TILE, 0), TILE) / TILE
            if share:
                page.boxes([(171 + tile * 280, y + 1)], 274 * share, 28, fill)
    x = 171 + held // TILE * 280 + held % TILE / TILE * 274
    page.lines([(x, y - 6, x, y + 38)], color)
    page.text(x, y + 50, f"next_position() = {held}", color, size=11, anchor="middle")


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(420, f"{HELD} tokens in two tiles of {TILE} slots; going back, and going two ways")
    page.text(20, 92, "a text", bold=True)
    strip(page, 72, HELD, scheme.SHARED)
    page.text(20, 172, SHOWS[0], bold=True)
    strip(page, 152, BACK, scheme.SHARED, HELD)
    page.text(470, 212, "grey: stale rows, not read before they are written", size=11)
    page.text(20, 256, SHOWS[1], bold=True)
    page.text(20, 292, "the original")
    strip(page, 272, HELD + 8, scheme.SHARED)
    page.text(20, 372, "the copy")
    strip(page, 352, HELD + 20, scheme.THREADS)
    page.text(16, 414, "Afterwards each goes on by itself, here by 8 and by 20 tokens.", size=11)
    return page
