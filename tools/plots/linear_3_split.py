"""The depth shared out: a thread for each output and chain of 64 inputs, sums added in order."""
from __future__ import annotations

from . import scheme

NEEDS = ()
SHOWS = ["k 512 ... 575", "total + c8", "blocks[7]"]
DEPTH, BLOCK, AT_ONCE = 576, 64, 8  # a block of threads has 64 x 8


def draw_page() -> scheme.Scheme:
    blocks, row = DEPTH // BLOCK, 30
    page = scheme.Scheme(76 + (blocks + 1) * row + 44, "linear_3_split: a thread for each output and chain of 64 inputs")
    panel, shared, chain, top = 100, 380, 640, 76
    page.text(panel, 50, f"a panel of w, [{DEPTH}][64]\n64 outputs side by side", scheme.GLOBAL)
    page.text(shared, 50, "shared memory, [8][64]:\neach chain's sum, for each output", scheme.SHARED)
    page.text(chain, 50, "one thread of each\noutput adds them", scheme.THREADS)
    for block in range(blocks):
        y = top + block * row + (row if block >= AT_ONCE else 0)
        mine = block % AT_ONCE
        page.text(panel - 8, y + 15, f"k {block * BLOCK} ... {block * BLOCK + BLOCK - 1}", size=11, anchor="end")
        page.box(panel, y, 200, row - 8, scheme.GLOBAL, f"64 threads, row {mine}")
        page.arrows([(panel + 203, y + 11, shared - 3, y + 11)])
        page.box(shared, y, 190, row - 8, scheme.SHARED, f"blocks[{mine}]")
        page.arrows([(shared + 193, y + 11, chain - 3, y + 11)])
        page.box(chain, y, 100, row - 8, scheme.THREADS, "total = c0" if block == 0 else f"total + c{block}")
        if block < blocks - 1:
            down = row * 2 if block == AT_ONCE - 1 else row
            page.arrows([(chain + 50, y + row - 8, chain + 50, y + down - 1)], scheme.THREADS)
    page.text(shared - 8, top + AT_ONCE * row + 16, "barrier, then the same threads again", scheme.GREY, anchor="middle")
    page.text(16, page.height - 28, f"{AT_ONCE} times as many threads, and requests under way.\nA chain never saw the other chains, so the bits stay (rule 2).")
    return page
