"""A grid of three blocks of four threads for ten numbers: which thread has which."""
from __future__ import annotations

from . import scheme

NEEDS = ()
CHAPTER = "step04_cuda"
COUNT, BLOCKS, THREADS = 10, 3, 4
SHOWS = ["block 2", "2 · 4 + 1 = 9", "nothing"]


def index(block: int, thread: int) -> int:
    return block * THREADS + thread


BY_HAND = [f"out[{index(2, 1)}] = {2 * index(2, 1)}   nothing   nothing", f"block 1:   out[{index(1, 0)}] =  {2 * index(1, 0)}   out[{index(1, 1)}] = {2 * index(1, 1)}"]


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(312, f"twice<<<{BLOCKS}, {THREADS}>>>: {BLOCKS} blocks of {THREADS} threads for {COUNT} numbers")
    cell, gap, left = 52, 32, 84
    page.text(16, 118, "threads", scheme.THREADS, bold=True)
    page.text(16, 210, "numbers", scheme.GLOBAL, bold=True)
    for b in range(BLOCKS):
        x = left + b * (THREADS * cell + gap)
        page.boxes([(x - 6, 64)], THREADS * cell + 8, 74, "none", scheme.THREADS)
        page.text(x, 56, f"block {b}", scheme.THREADS, bold=True)
        for t in range(THREADS):
            i = index(b, t)
            page.box(x + t * cell, 94, cell - 6, 38, scheme.THREADS, f"{t}")
            if i < COUNT:
                page.arrows([(x + t * cell + (cell - 6) / 2, 134, x + t * cell + (cell - 6) / 2, 184)], scheme.GLOBAL)
                page.box(x + t * cell, 186, cell - 6, 38, scheme.GLOBAL, f"[{i}]")
            else:
                page.text(x + t * cell + (cell - 6) / 2, 176, "nothing", scheme.GREY, size=11, anchor="middle")
        page.text(x, 84, f"blockIdx.x = {b}", scheme.THREADS, size=11)
    page.text(16, 258, f"i = blockIdx.x · blockDim.x + threadIdx.x.  Thread 1 of block 2:")
    page.text(516, 258, f"2 · 4 + 1 = {index(2, 1)}", bold=True)
    page.text(16, 286, f"{BLOCKS * THREADS} threads for {COUNT} numbers: the last {BLOCKS * THREADS - COUNT} find i >= count, and do nothing.")
    return page
