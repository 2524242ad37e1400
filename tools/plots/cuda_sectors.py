"""What three requests of a warp move: floats side by side, the same one float later, and every second one."""
from __future__ import annotations

from . import scheme

NEEDS = ()
CHAPTER = "step04_cuda"
CASES = ((0, 1), (1, 1), (0, 2))


def request(first: int, apart: int) -> list[int]:
    return [first + apart * lane for lane in range(scheme.LANES)]


def line(first: int, apart: int) -> str:
    """As the program prints it."""
    count = len(scheme.sectors(request(first, apart)))
    return f"  {first:3} + {apart:3} i            {count:7}   {32 * count:11}   {128:12}"


SHOWS = ["lane i reads in[1 + i]", "5 sectors", "8 sectors"]
BY_HAND = [line(first, apart) for first, apart in (*CASES, (0, 8), (0, 576))]


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(286, "Global memory moves in sectors of 32 bytes: eight floats")
    width = 9.5
    for i, (first, apart) in enumerate(CASES):
        y = 52 + i * 66
        floats = request(first, apart)
        name = "in[i]" if (first, apart) == (0, 1) else f"in[{first} + i]" if apart == 1 else f"in[{apart} i]"
        page.text(16, y + 10, f"lane i reads {name}", bold=True)
        page.text(784, y + 10, f"{len(scheme.sectors(floats))} sectors", scheme.GLOBAL, anchor="end", bold=True)
        page.memory(16, y + 20, (1, 80), (width, 26), 80, floats)
    page.text(16, 258, "Filled: the 32 floats that the lanes want. In colour but not filled: what moves with them, because\nnothing smaller than a sector moves. Empty: not touched.")
    return page
