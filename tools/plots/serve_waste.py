"""Slots that are held for three texts, by how memory is handed out."""
from __future__ import annotations

from . import scheme

NEEDS = ()
CHAPTER = "step07_serving"
TEXTS, CONTEXT, SIZES = (10, 100, 300), 512, (256, 64, 16)
TOKENS = sum(TEXTS)


def held(size: int) -> int:
    return sum(-(-text // size) * size for text in TEXTS)


ROWS = [("the context for each", CONTEXT * len(TEXTS)), *((f"pages of {size}", held(size)) for size in SIZES)]
BY_HAND = [f"  {name:<20}  {slots:10}  {slots - TOKENS:9}  {100 * (slots - TOKENS) / slots:18.1f}" for name, slots in ROWS]
SHOWS = ["1536 slots, 1126 unused", "pages of 64"]
LEFT, SCALE = 170, 0.24


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(250, "Memory that is held for texts of 10, 100 and 300 tokens")
    for i, (name, slots) in enumerate(ROWS):
        y = 48 + i * 42
        page.text(16, y + 20, name)
        x, sizes = LEFT, [CONTEXT] * 3 if i == 0 else [-(-text // SIZES[i - 1]) * SIZES[i - 1] for text in TEXTS]
        for text, size in zip(TEXTS, sizes):
            page.boxes([(x, y)], size * SCALE, 28, "white", scheme.GREY)
            page.boxes([(x, y)], text * SCALE, 28, scheme.PALE[scheme.THREADS], scheme.THREADS)
            x += size * SCALE + 3
        page.text(x + 8, y + 20, f"{slots} slots, {slots - TOKENS} unused", size=11)
    page.text(16, 232, "Full: slots with a token. Empty: slots that nobody else can have. Only a text's last page can be part empty.", size=11)
    return page
