"""Split keys: a block of threads for each tile, parts combined in slot order."""
from __future__ import annotations

from . import scheme

NEEDS = ()
SHOWS = ["448 ... 511", "+ part 7"]
KV_HEADS, SLOTS, TILE = 3, 512, 64


def draw_page() -> scheme.Scheme:
    tiles = SLOTS // TILE
    page = scheme.Scheme(424, f"attention_4_split: a block for each tile: {KV_HEADS} KV heads x {tiles} tiles = {KV_HEADS * tiles} blocks")
    page.text(16, 50, "One KV head, 512 slots:")
    left, step, width = 70, 88, 78
    chain = 352
    for label, y in (("K", 80), ("V", 108), ("blocks", 172), ("parts", 258), ("second\nkernel", chain + 8)):
        page.text(left - 8, y, label, anchor="end", bold=True, color=scheme.THREADS if label in ("blocks", "second\nkernel") else scheme.GLOBAL)
    for tile in range(tiles):
        x = left + tile * step
        page.text(x + width / 2, 132, f"{tile * TILE} ... {tile * TILE + TILE - 1}", size=10, anchor="middle")
        page.boxes([(x, 66), (x, 94)], width, 20, scheme.PALE[scheme.GLOBAL], scheme.GLOBAL)
        page.arrows([(x + width / 2, 136, x + width / 2, 147)], scheme.GLOBAL)
        page.box(x, 149, width, 48, scheme.THREADS)
        page.box(x + 8, 157, width - 16, 32, scheme.SHARED, "scores")
        page.arrows([(x + width / 2, 199, x + width / 2, 226)], scheme.GLOBAL)
        page.box(x, 228, width, 50, scheme.GLOBAL, "values,\nsum, max.")
        page.arrows([(x + width / 2, 281, x + width / 2, chain - 16)], scheme.GLOBAL)
        page.box(x + 8, chain - 14, width - 16, 36, scheme.THREADS, f"{'' if tile == 0 else '+ '}part {tile}")
        if tile > 0:
            page.arrows([(x - step + width - 6, chain + 4, x + 6, chain + 4)], scheme.THREADS)
    page.text(left, 308, "of each row: 64 weighted values, the sum of the weights, the maximum", scheme.GLOBAL, more=scheme.HALO)
    page.text(16, 400, "All tiles at once, in any order; then the parts are added from slot 0 on, as fused adds its tiles.\nA part is a tile, always: how the work is split never depends on the length, so neither do the bits.")
    return page
