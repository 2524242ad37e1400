"""A tile of w in shared memory: read once from global memory for 16 rows."""
from __future__ import annotations

from . import scheme

NEEDS = ()
SHOWS = ["once", "row 15"]
ROWS, BLOCK = 16, 64


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(370, f"linear_4_shared: a tile of w is read once for {ROWS} rows")
    page.text(24, 56, "global memory", scheme.GLOBAL, bold=True)
    page.text(290, 56, "shared memory", scheme.SHARED, bold=True)
    page.text(560, 56, "64 x 8 threads, 16 rows of y", scheme.THREADS, bold=True)
    page.boxes([(24, 72)], 120, 190, "white", scheme.GLOBAL)
    page.box(24, 124, 120, 60, scheme.GLOBAL, "64 inputs of\na panel of w")
    page.text(84, 98, "panel [K][64]", anchor="middle", size=11)
    page.box(24, 278, 120, 44, scheme.GLOBAL, "x, 16 rows,\n64 inputs")
    page.box(290, 96, 130, 116, scheme.SHARED, "weights\n[64][64]\nfloats,\nexpanded")
    page.box(290, 278, 130, 44, scheme.SHARED, "inputs\n[16][64]")
    page.arrows([(147, 154, 287, 154), (147, 300, 287, 300)], scheme.GLOBAL)
    page.text(217, 146, "once", scheme.GLOBAL, anchor="middle", bold=True)
    page.text(217, 292, "once", scheme.GLOBAL, anchor="middle", bold=True)
    step = 16
    page.boxes([(560, 68 + row * step) for row in range(ROWS)], 190, step - 5, scheme.PALE[scheme.THREADS], scheme.THREADS)
    page.lines([(423, 300, 557, 75 + row * step) for row in range(ROWS)], scheme.PALE[scheme.SHARED])
    page.arrows([(423, 154, 557, 73 + row * step) for row in range(ROWS)], scheme.SHARED)
    page.text(756, 77, "row 0", size=11)
    page.text(756, 77 + 15 * step, "row 15", size=11)
    page.text(16, 344, "Before, each of the 16 rows read the tile from global memory.\nWhat is left: 2 reads of shared memory for 1 fma.")
    return page
