"""Intervals between barriers: the transposition with its barrier and without it."""
from __future__ import annotations

from . import scheme

NEEDS = ()
CHAPTER = "step04_cuda"
SHOWS = ["with the barrier: two intervals", "without it: one interval", "a race"]


def half(page: scheme.Scheme, x: float, title: str, barrier: bool) -> None:
    page.text(x, 52, title, bold=True)
    for t, thread in enumerate((0, 8)):
        page.text(x + 70 + t * 170, 78, f"thread {thread}", scheme.THREADS, bold=True, anchor="middle")
        page.lines([(x + 70 + t * 170, 84, x + 70 + t * 170, 258)], scheme.FAINT)
    page.box(x + 5, 96, 130, 30, scheme.THREADS, "writes tile[0][0]")
    page.box(x + 175, 132, 130, 30, scheme.THREADS, "writes tile[0][8]")
    if barrier:
        page.lines([(x - 4, 178, x + 344, 178), (x - 4, 182, x + 344, 182)], scheme.SHARED)
        page.text(x + 346, 172, "__syncthreads()", scheme.SHARED, size=11, anchor="end")
    color = scheme.SHARED if barrier else scheme.GLOBAL
    page.box(x + 5, 206, 130, 30, color, "reads tile[0][8]")
    page.arrows([(x + 173, 152, x + 110, 203)], color)


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(336, "A race is not an accident of the day: nothing orders the two accesses")
    half(page, 24, "with the barrier: two intervals", True)
    half(page, 424, "without it: one interval", False)
    page.text(600, 226, "a race", scheme.GLOBAL, bold=True)
    page.text(16, 288, "Each place in memory keeps a stamp: who wrote it last, who read it last, and in which interval. Two threads,\n"
              "one of which writes, in the same interval: reported, whichever of them came first today, and whatever\nnumber came out.")
    return page
