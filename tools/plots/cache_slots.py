"""Slots, positions and tiles: 70 tokens in a cache with room for 100."""
from __future__ import annotations

from . import scheme

NEEDS = ()
CHAPTER = "step03_kvcache"
TILE, HELD, CAPACITY = 64, 70, 100


def tiles(slots: int) -> int:
    return -(-slots // TILE)


def place(slot: int) -> tuple[int, int]:
    """Its tile, and its place in it."""
    return slot // TILE, slot % TILE


SHOWS = [f"tile {place(69)[0]}, place {place(69)[1]}", f"{HELD} tokens, room for {CAPACITY}, memory for {tiles(CAPACITY) * TILE}"]


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(430, "One KV head of one layer: slots in tiles of 64")
    page.text(24, 60, SHOWS[1], bold=True)
    for tile in range(tiles(CAPACITY)):
        y = 92 + tile * 66
        page.text(24, y + 19, f"tile {tile}")
        for fill, stroke, which in ((scheme.PALE[scheme.SHARED], scheme.SHARED, range(HELD)), ("white", scheme.FAINT, range(HELD, CAPACITY)),
                                    (scheme.FAINT, scheme.FAINT, range(CAPACITY, tiles(CAPACITY) * TILE))):
            page.boxes([(70 + place(slot)[1] * 11, y) for slot in which if place(slot)[0] == tile], 10, 28, fill, stroke)
        page.text(70, y - 5, f"slot {tile * TILE}", size=11)
        page.text(774, y - 5, f"slot {tile * TILE + TILE - 1}", size=11, anchor="end")
    page.boxes([(70 + place(69)[1] * 11, 158)], 10, 28, scheme.THREADS, scheme.THREADS)
    page.text(150, 153, "position 69 = slot 69:", scheme.THREADS, size=11)
    page.text(300, 153, SHOWS[0], scheme.THREADS, size=11, bold=True)
    page.text(70, 210, "green: held; empty: free; grey: beyond the capacity, there because a tile is whole", size=11)
    # What a tile is inside: keys by component, values by slot.
    page.text(70, 246, "keys of a tile: a row for each component", bold=True, size=12)
    page.boxes([(70 + c * 18, 258 + r * 18) for r in range(6) for c in range(14)], 16, 16, "white", scheme.FAINT)
    page.boxes([(70 + 5 * 18, 258 + r * 18) for r in range(6)], 16, 16, scheme.THREADS)
    page.text(70, 386, "slot 69's key is a column:\n64 floats from number to number", size=11)
    page.text(430, 246, "values of a tile: a row for each slot", bold=True, size=12)
    page.boxes([(430 + c * 18, 258 + r * 18) for r in range(6) for c in range(14)], 16, 16, "white", scheme.FAINT)
    page.boxes([(430 + c * 18, 258 + 5 * 18) for c in range(14)], 16, 16, scheme.THREADS)
    page.text(430, 386, "slot 69's value is a row:\none number beside the other", size=11)
    page.text(16, 422, "The lower drawings show six of the rows and fourteen of the columns.", size=11)
    return page
