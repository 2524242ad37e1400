"""Attention in one kernel: a KV head is read once for its group, scores stay in shared memory."""
from __future__ import annotations

from . import scheme

NEEDS = ()
SHOWS = ["each tile once", "6, 7, 8"]
HEADS, KV_HEADS, SLOTS, TILE = 9, 3, 512, 64


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(432, "attention_3_fused: one kernel, a block of threads for each KV head")
    page.zone(44, 100, "global memory", scheme.GLOBAL)
    page.zone(172, 104, "shared memory", scheme.SHARED)
    page.zone(304, 82, "threads", scheme.THREADS)
    tiles, group, step = SLOTS // TILE, HEADS // KV_HEADS, 252
    for kv in range(KV_HEADS):
        x = 44 + kv * step
        for at, name in ((0, "K"), (88, "V")):
            page.boxes([(x + at + tile * 10, 86) for tile in range(tiles)], 10, 40, scheme.PALE[scheme.GLOBAL], scheme.GLOBAL)
            page.text(x + at + 40, 80, f"{name}{kv}, {tiles} tiles", size=11, anchor="middle")
            page.arrows([(x + at + 5, 129, x + 40 + at / 8, 196)], scheme.GLOBAL)
        page.text(x + 66, 166, "each tile once", scheme.GLOBAL, bold=True, more=scheme.HALO)
        page.box(x, 198, 92, 66, scheme.SHARED, "a tile of K,\nthen of V")
        page.box(x + 102, 198, 112, 30, scheme.SHARED, "3 rows: scores")
        page.box(x + 102, 234, 112, 30, scheme.SHARED, "3 rows: sums")
        page.box(x, 326, 214, 48, scheme.THREADS)
        page.boxes([(x + 12 + row * 20, 343) for row in range(group)], 14, 14, scheme.THREADS)
        page.text(x + 80, 347, f"query heads\n{kv * group}, {kv * group + 1}, {kv * group + 2}", size=11)
        page.arrows([(x + 46, 267, x + 46, 323)], scheme.SHARED)
        page.arrows([(x + 140, 267, x + 140, 323), (x + 170, 323, x + 170, 267)], scheme.SHARED)
        page.box(x + 176, 86, 46, 40, scheme.GLOBAL, "out")
        page.arrows([(x + 218, 326, x + 218, 129)], scheme.GLOBAL)
    page.text(16, 406, "Tile after tile; the maximum grows, and older sums are scaled by a power of two.\nBut only 3 blocks: one for each KV head.")
    return page
