"""A page is a tile: the same blocks are added in the same order, wherever they lie."""
from __future__ import annotations

from . import scheme

NEEDS = ()
CHAPTER = "step07_serving"
TILE, HELD, TABLE = 64, 150, (7, 2, 9)
SHOWS = ["page 7", "page 2", "page 9", "(sum of tile 0 + sum of tile 1) + sum of tile 2"]
COLORS = (scheme.THREADS, scheme.SHARED, scheme.GLOBAL)


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(400, f"{HELD} tokens in a contiguous cache and in pages of {TILE} slots: one order of sums")
    page.text(16, 62, "contiguous", bold=True)
    page.text(16, 222, "in a pool", bold=True)
    places = {}
    for tile, number in enumerate(TABLE):
        end = min(HELD, (tile + 1) * TILE)
        words = f"slots {tile * TILE} to {end - 1}"
        page.box(120 + tile * 215, 46, 205, 30, COLORS[tile], words)
        x = 120 + {2: 0, 7: 1, 9: 2}[number] * 215
        places[tile] = x
        page.box(x, 196, 205, 40, COLORS[tile], words)
        page.text(x, 190, f"page {number}", size=11, bold=True)
        page.text(120 + tile * 215, 92, f"tile {tile}", size=11)
    page.text(16, 240, "table: 7 2 9", size=11)
    page.arrows([(120 + tile * 215 + 102, 78, places[tile] + 102, 192) for tile in range(3)])
    for tile in range(3):
        page.box(150 + tile * 200, 286, 160, 30, COLORS[tile], f"sum of tile {tile}")
    page.arrows([(places[tile] + 102, 238, 150 + tile * 200 + 80, 283) for tile in range(3)])
    page.text(400, 342, SHOWS[3], anchor="middle", bold=True)
    page.text(16, 372, "Attention asks for tile 0, 1, 2. Only where a tile lies is new: inside of a tile the chain of sums is the same, and", size=11)
    page.text(16, 390, "the tiles are added in the order of the text. So the result has the bits of the contiguous cache.", size=11)
    return page
