"""A grid over panels and chains: a block of threads for each, whose sums the next kernel adds in order."""
from __future__ import annotations

from . import scheme

NEEDS = ()
SHOWS = ["81 blocks of threads", "linear_chains", "combine_chains"]
OUTPUTS, DEPTH, SIDE = 576, 576, 64


def draw_page() -> scheme.Scheme:
    panels, chains, cell = OUTPUTS // SIDE, DEPTH // SIDE, 24
    page = scheme.Scheme(400, f"linear_7_wide: w [{OUTPUTS}, {DEPTH}] is {panels} panels of {chains} chains")
    left, top = 84, 112
    page.text(left, 56, "linear_chains", bold=True)
    page.text(left, 76, f"{panels * chains} blocks of threads")
    page.text(left, 102, "panels: 64 outputs each", size=11)
    for chain in range(chains):
        page.text(left - 8, top + chain * cell + 15, f"chain {chain}", size=11, anchor="end")
    page.boxes([(left + panel * cell, top + chain * cell) for panel in range(panels) for chain in range(chains)], cell - 3, cell - 3,
               scheme.PALE[scheme.THREADS], scheme.THREADS)
    middle = 372
    page.text(middle, 56, "global memory, [chains][R][N]", scheme.GLOBAL)
    for chain in range(chains):
        y = top + chain * cell
        page.arrows([(left + panels * cell + 3, y + 10, middle - 3, y + 10)])
        page.box(middle, y, 150, cell - 3, scheme.GLOBAL, f"{OUTPUTS} sums")
    right = 610
    page.text(right, 56, "combine_chains", bold=True)
    page.text(right, 76, "the next kernel: a\nthread for each output")
    for chain in range(chains):
        y = top + chain * cell
        page.arrows([(middle + 153, y + 10, right - 3, y + 10)])
        page.box(right, y, 120, cell - 3, scheme.THREADS, "total = s0" if chain == 0 else f"total + s{chain}")
    page.text(16, top + chains * cell + 30, "Blocks of threads run in any order and cannot wait for each other. A kernel can: for the kernel before it.\n"
              "A chain stays with one thread, and chains are added in order: the bits stay (rule 2).")
    return page
