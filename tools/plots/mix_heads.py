"""Chapter 8: 32 query heads over 32, 8 and 1 KV heads, at full size: what a token leaves, and 8192 of them."""
from __future__ import annotations

from . import scheme

NEEDS = ()
CHAPTER = "step08_architectures"
LAYERS, HEADS, DIM, TOKENS, WIDE = 32, 32, 128, 8192, 2  # of a 7B model; bytes of a number
KINDS = [("MHA", 32), ("GQA", 8), ("MQA", 1)]


def of_token(kv_heads: int) -> int:
    return 2 * LAYERS * kv_heads * DIM * WIDE


def gigabytes(kv_heads: int) -> float:
    """1 GB is 2^30 bytes."""
    return of_token(kv_heads) * TOKENS / (1 << 30)


BY_HAND = [f"  {name}  {kv:8}  {of_token(kv):13}  {gigabytes(kv):9.3f} GB" for name, kv in KINDS]
SHOWS = [f"{gigabytes(kv):.3f} GB" for _, kv in KINDS]
LEFT, CELL = 96, 19


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(350, f"{HEADS} query heads share 32, 8 or 1 KV heads: {LAYERS} layers, {TOKENS} tokens, 16 bits")
    for number, (name, kv_heads) in enumerate(KINDS):
        y, group = 50 + number * 86, HEADS // kv_heads
        page.text(16, y + 14, name, bold=True)
        page.text(16, y + 50, f"{kv_heads} KV head{'s' * (kv_heads > 1)}", scheme.GLOBAL, size=11)
        page.boxes([(LEFT + h * CELL, y) for h in range(HEADS)], CELL - 4, 18, scheme.PALE[scheme.THREADS], scheme.THREADS)
        page.lines([(LEFT + h * CELL + (CELL - 4) / 2, y + 18, LEFT + (h // group + 0.5) * group * CELL - 2, y + 38) for h in range(HEADS)], scheme.THREADS)
        page.boxes([(LEFT + (kv + 0.5) * group * CELL - 2 - (CELL - 4) / 2, y + 38) for kv in range(kv_heads)], CELL - 4, 18, scheme.PALE[scheme.GLOBAL], scheme.GLOBAL)
        page.text(784, y + 50, f"{gigabytes(kv_heads):.3f} GB", scheme.GLOBAL, anchor="end", bold=True)
        page.text(784, y + 68, f"2 · {LAYERS} · {kv_heads} · {DIM} · {WIDE} = {of_token(kv_heads)} bytes a token", size=11, anchor="end")
    page.note(318, "A query head (above) reads the keys and values of the KV head that its line leads to. Only they leave something behind.")
    return page
