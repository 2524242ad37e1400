"""Keys through shared memory: copied side by side, then a thread walks along its own key."""
from __future__ import annotations

from . import scheme

NEEDS = ()
SHOWS = ["32 lanes, 32 sectors:", "32 lanes, 4 sectors:", "1 wavefront"]
WIDTH, STRIDE = 64, 65  # floats of a key, and of its row in shared memory


def naive(component: int) -> list[int]:
    """The floats that 32 lanes of attention_1_naive read: each of its own key."""
    return [lane * WIDTH + component for lane in range(scheme.LANES)]


def copied() -> list[int]:
    """The floats that 32 lanes of attention_2_staged copy: side by side."""
    return list(range(scheme.LANES))


def read(component: int) -> list[int]:
    """The words of shared memory that they then read: each of its own key."""
    return [lane * STRIDE + component for lane in range(scheme.LANES)]


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(358, "attention_2_staged: keys are copied side by side, then a thread has a key")
    rows, columns, cell = 12, 24, (8, 14)
    top, bottom = 86, 86 + rows * cell[1]
    for x, floats, words in ((16, naive(0), "attention_1_naive: lane = key"), (284, copied(), "attention_2_staged: the copy")):
        page.text(x, 54, words, bold=True)
        page.text(x, 76, f"keys [S][{WIDTH}] in global memory", scheme.GLOBAL, size=11)
        page.memory(x, top, (rows, columns), cell, WIDTH, [index for index in floats if index < rows * WIDTH and index % WIDTH < columns], gap=3)
        page.text(x + columns * cell[0] + 4, top + 9, "...", size=11)
        page.text(x, bottom + 8, "...", size=11)
        page.text(x, bottom + 30, scheme.asked(floats), scheme.GLOBAL, bold=True)
    x = 552
    page.text(x, 54, "then each thread has a key", bold=True)
    page.text(x, 76, f"tile [64][{STRIDE}] in shared memory", scheme.SHARED, size=11)
    page.boxes([(x + 30, top + row * cell[1]) for row in range(rows)], 180, cell[1] - 3, scheme.PALE[scheme.SHARED], scheme.SHARED)
    page.boxes([(x, top + row * cell[1]) for row in range(rows)], 11, cell[1] - 3, scheme.THREADS)
    page.arrows([(x + 13, top + row * cell[1] + 5, x + 40, top + row * cell[1] + 5) for row in range(rows)], scheme.THREADS)
    page.text(x, bottom + 8, "...", size=11)
    count = scheme.wavefronts(read(0))
    page.text(x, bottom + 30, f"{scheme.LANES} lanes, {scheme.LANES} banks:\n{count} wavefront", scheme.SHARED, bold=True)
    page.text(16, 332, "Each sector of a key moves once for a query head.\nBut each query head still copies the keys of its group for itself.")
    return page
