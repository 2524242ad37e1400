"""w in rows: the lanes of a warp read a whole row apart."""
from __future__ import annotations

from . import scheme

NEEDS = ()
SHOWS = ["32 lanes, 32 sectors:", "1024 bytes move for 128"]
DEPTH = 576  # floats of a row of w, SmolLM2's width


def request(k: int) -> list[int]:
    """The floats of w that the 32 lanes read at input k: lane i computes output i."""
    return [lane * DEPTH + k for lane in range(scheme.LANES)]


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(408, f"linear_1_naive: w in rows [N][{DEPTH}], a lane for each row")
    left, top, row, columns = 132, 62, 10, 40
    page.text(left - 12, 48, "lane", scheme.THREADS, anchor="end")
    page.text(left, 48, "w: a box is a sector, 8 floats")
    page.boxes([(left - 40, top + lane * row) for lane in range(scheme.LANES)], 16, row - 2, scheme.THREADS)
    page.arrows([(left - 22, top + lane * row + 4, left - 3, top + lane * row + 4) for lane in range(scheme.LANES)], scheme.THREADS)
    for lane in (0, 8, 16, 24, 31):
        page.text(left - 46, top + lane * row + 8, f"{lane}", scheme.THREADS, size=11, anchor="end")
    page.memory(left, top, (scheme.LANES, columns), (8, row), DEPTH, request(0), gap=2)
    page.text(left + columns * 8 + 8, top + 8, f"... {DEPTH} floats, {DEPTH * scheme.FLOAT} bytes")
    page.text(left + columns * 8 + 24, top + 100, f"One request, k = 0:\n{scheme.asked(request(0))}", scheme.GLOBAL, bold=True)
    page.text(left + columns * 8 + 24, top + 164, "Filled: the number that a lane wants.\nPale: what comes with it. The next\nseven requests, k = 1 ... 7, ask for\nthe same sectors again.")
    page.text(16, 400, "And every row of x reads all of w again.")
    return page
