"""What chapter 1 builds: one product on many paths, whose results have the same bits."""
from __future__ import annotations

from . import scheme

NEEDS = ()
SHOWS = ["the plain loop", "so one checksum"]
PATHS = ["the plain loop", "4, 8 or 16 floats at once", "two threads", "weights packed side by side", "alone, or among other rows"]


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(322, "One product, five ways to compute it, one result")
    page.box(24, 122, 150, 60, scheme.THREADS, "two matrices\nof floats")
    page.box(584, 122, 196, 60, scheme.SHARED, "the same bits,\nso one checksum")
    for i, name in enumerate(PATHS):
        y = 56 + i * 42
        page.box(272, y, 214, 30, scheme.THREADS, name)
        page.arrows([(176, 152, 270, y + 15), (488, y + 15, 582, 152)])
    page.text(24, 292, "Later chapters add their own paths: with and without a cache, a text whole or in pieces, a CPU or a GPU.\nEach is held to the same test.")
    return page
