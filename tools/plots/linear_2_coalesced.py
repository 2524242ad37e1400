"""w in panels: the lanes of a warp read side by side."""
from __future__ import annotations

from . import scheme

NEEDS = ()
SHOWS = ["32 lanes, 4 sectors:", "128 bytes move for 128"]
PANEL = 64  # outputs of a panel


def request(k: int) -> list[int]:
    """The floats of a panel [K][64] that the 32 lanes read at input k: lane i computes output i."""
    return [k * PANEL + lane for lane in range(scheme.LANES)]


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(272, f"linear_2_coalesced: w in panels [N/{PANEL}][K][{PANEL}], a lane for each column")
    left, top, width, row = 96, 92, 10, 18
    middle = left + PANEL // 2 * width
    page.text(left, 56, "lanes 0 ... 31 of a warp", scheme.THREADS)
    page.text(middle, 56, "the next warp", scheme.GREY)
    page.boxes([(left + lane * width, 64) for lane in range(scheme.LANES)], width - 1, 10, scheme.THREADS)
    page.boxes([(middle + lane * width, 64) for lane in range(scheme.LANES)], width - 1, 10, scheme.FAINT)
    page.arrows([(left + (lane + 0.5) * width, 75, left + (lane + 0.5) * width, top - 2) for lane in range(scheme.LANES)], scheme.THREADS)
    rows = 5
    page.memory(left, top, (rows, PANEL), (width, row), PANEL, request(0), gap=3)
    for k in range(rows):
        page.text(left - 8, top + k * row + 12, f"k = {k}", size=11, anchor="end")
    page.text(left - 8, top + rows * row + 10, "...", size=11, anchor="end")
    page.text(left, top + rows * row + 26, f"One request, k = 0:\n{scheme.asked(request(0))}", scheme.GLOBAL, bold=True)
    page.text(middle, top + rows * row + 26, "A sector holds 8 neighbouring outputs of one input:\nwhat comes is what the lanes want. The next request,\nk = 1, asks for the next sectors.")
    return page
