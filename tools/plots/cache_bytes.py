"""Bytes of a cache by shape: what one token leaves in every layer, drawn to scale."""
from __future__ import annotations

from . import scheme

NEEDS = ()
CHAPTER = "step03_kvcache"
# Name, layers, KV heads, head width, bytes of a number.
SHAPES = (("tiny", 2, 2, 16, 4), ("deep", 8, 2, 32, 4), ("SmolLM2, 3 KV heads", 30, 3, 64, 4), ("the same with 9 (MHA)", 30, 9, 64, 4))


def per_token(layers: int, kv_heads: int, width: int, size: int) -> int:
    return 2 * layers * kv_heads * width * size


def spaced(number: int) -> str:
    return f"{number:,}".replace(",", " ")


SHOWS = [f"{spaced(per_token(*shape))} bytes" for _, *shape in SHAPES]
BY_HAND = [f"       1   {per_token(*SHAPES[0][1:]):13}   {per_token(*SHAPES[0][1:]):8}"]


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(322, "One token in the cache: 2 x layers x KV heads x width x bytes")
    most = max(per_token(*shape) for _, *shape in SHAPES)
    for row, (name, *shape) in enumerate(SHAPES):
        y, length = 62 + row * 58, 520 * per_token(*shape) / most
        layers, kv_heads, width, size = shape
        page.text(16, y + 20, name, bold=True)
        page.boxes([(200, y)], max(length, 0.5), 15, scheme.SHARED)
        page.boxes([(200, y + 16)], max(length, 0.5), 15, scheme.THREADS)
        page.text(200, y + 47, SHOWS[row], bold=True, size=11)
        page.text(330, y + 47, f"2 x {layers} x {kv_heads} x {width} x {size}", size=11)
    page.text(16, 312, "Green: keys, blue: values; all bars on one scale. A bar three times as long is three times as much.", size=11)
    return page
