"""Prefill on one rank, decode on another: pages travel, and the table is made anew."""
from __future__ import annotations

from . import scheme

NEEDS = ()
CHAPTER = "step07_serving"
PROMPT, TILE, PER_TOKEN = 150, 64, 512  # bytes of a token in the tiny model
SENT = -(-PROMPT // TILE)
FROM, TO = (4, 0, 6), (2, 3, 5)
SHOWS = [f"{SENT} pages, {SENT * TILE * PER_TOKEN} bytes", "rank 0: prefill", "rank 1: decode"]


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(290, f"A prompt of {PROMPT} tokens is computed on one rank and continued on another")
    for i, (name, numbers) in enumerate(((SHOWS[1], FROM), (SHOWS[2], TO))):
        y = 50 + i * 122
        page.text(16, y + 20, name, bold=True)
        page.text(16, y + 38, "table: " + " ".join(map(str, numbers)), size=11)
        for number in range(7):
            place = numbers.index(number) if number in numbers else None
            words = "" if place is None else f"{place * TILE} to {min(PROMPT, (place + 1) * TILE) - 1}"
            page.box(160 + number * 88, y, 80, 36, scheme.GREY if place is None else (scheme.THREADS, scheme.SHARED)[i], words)
            page.text(160 + number * 88, y + (-6 if i == 0 else 52), f"page {number}", size=10)
    page.arrows([(160 + a * 88 + 40, 88, 160 + b * 88 + 40, 168) for a, b in zip(FROM, TO)])
    page.text(16, 132, SHOWS[0], size=11)
    page.text(16, 262, "The bytes of a page are the same on both ranks, its number is not. What is sent is whole pages: the last one has 22", size=11)
    page.text(16, 280, "tokens and is sent whole. The first token after the prompt is chosen on rank 0, the next ones on rank 1.", size=11)
    return page
