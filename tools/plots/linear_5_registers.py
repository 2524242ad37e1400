"""Outputs in registers: 4 x 4 of them for 5 reads of shared memory."""
from __future__ import annotations

from . import scheme

NEEDS = ()
SHOWS = ["5 reads for 16 fma", "2 reads for 1 fma"]
EACH, SIDE = 4, 16  # outputs of a thread each way, threads of a block each way


def outputs(page: scheme.Scheme, x: float, y: float, each: int) -> None:
    """The outputs of one thread, the inputs to their left and the weights above them."""
    cell = 32
    page.boxes([(x + column * cell, y - 48) for column in range(each)], cell - 4, cell - 4, scheme.SHARED)
    page.boxes([(x - 48, y + row * cell) for row in range(each)], cell - 4, cell - 4, scheme.SHARED)
    page.boxes([(x + column * cell, y + row * cell) for row in range(each) for column in range(each)], cell - 4, cell - 4, scheme.PALE[scheme.THREADS], scheme.THREADS)
    page.lines([(x + column * cell + 14, y - 18, x + column * cell + 14, y - 3) for column in range(each)], scheme.SHARED)
    page.lines([(x - 18, y + row * cell + 14, x - 3, y + row * cell + 14) for row in range(each)], scheme.SHARED)


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(316, f"linear_5_registers: {EACH} x {EACH} outputs of a thread for 5 reads")
    page.text(24, 56, "a block: 64 x 64 outputs,\n16 x 16 threads", bold=True)
    tile = 10
    page.boxes([(24 + column * tile, 88 + row * tile) for row in range(SIDE) for column in range(SIDE)], tile, tile, "white", scheme.FAINT)
    page.boxes([(24 + 6 * tile, 88 + 5 * tile)], tile, tile, scheme.THREADS)
    page.text(24, 268, "blue: one thread", scheme.THREADS)
    page.text(270, 56, "linear_4_shared", bold=True)
    outputs(page, 324, 136, 1)
    page.text(268, 216, "1 input, 1 weight:\n2 reads for 1 fma")
    page.text(500, 56, "linear_5_registers", bold=True)
    outputs(page, 560, 136, EACH)
    page.text(704, 106, "one read:\na float4", scheme.SHARED, size=11)
    page.text(500, 288, f"{EACH} inputs, 1 x {EACH} weights:\n{EACH + 1} reads for {EACH * EACH} fma", bold=True)
    page.text(24, 290, "green: from shared memory", scheme.SHARED)
    return page
