"""Shared memory's banks: a column of a tile with rows of 64 floats, and of 65."""
from __future__ import annotations

from . import scheme

NEEDS = ()
SHOWS = ["1 bank serves 32 lanes:", "32 wavefronts", "32 banks serve 32 lanes:", "1 wavefront"]


def column(stride: int) -> list[int]:
    """The words that 32 lanes read, each the first float of its own row."""
    return [lane * stride for lane in range(scheme.LANES)]


def grid(page: scheme.Scheme, x: float, stride: int, color: str) -> None:
    """A row for each lane, a column for each bank."""
    top, cell = 96, 8
    words = column(stride)
    page.text(x, 56, f"rows of {stride} floats", bold=True)
    page.text(x, 88, "bank 0")
    page.text(x + scheme.LANES * cell, 88, "bank 31", anchor="end")
    page.boxes([(x + bank * cell, top) for bank in range(scheme.LANES)], cell, scheme.LANES * cell, "white", scheme.FAINT)
    page.boxes([(x + word % scheme.LANES * cell, top + lane * cell) for lane, word in enumerate(words)], cell, cell - 1, color)
    for lane in (0, 31):
        page.text(x - 6, top + lane * cell + 8, f"lane {lane}", scheme.THREADS, size=11, anchor="end")
    count = scheme.wavefronts(words)
    busy = len({word % scheme.LANES for word in words})
    page.text(x, top + scheme.LANES * cell + 20, f"{busy} {'banks serve' if busy > 1 else 'bank serves'} {scheme.LANES} lanes:\n{count} wavefront{'s' if count > 1 else ''}", color, bold=True)


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(404, "Shared memory: 32 lanes read a column of a tile; word i lies in bank i mod 32")
    grid(page, 84, 64, scheme.GLOBAL)
    grid(page, 484, 65, scheme.SHARED)
    return page
