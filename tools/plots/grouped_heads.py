"""Grouped query heads: which KV head each query head reads, and what a token leaves behind."""
from __future__ import annotations

from . import scheme

NEEDS = ()
CHAPTER = "step02_attention"
# name, query heads, KV heads
KINDS = [("a KV head each (MHA)", 4, 4), ("tiny: two share one (GQA)", 4, 2), ("all share one (MQA)", 4, 1)]
DIM = 16


def kept(kv_heads: int) -> int:
    """Floats of keys and values of a token in a layer."""
    return 2 * kv_heads * DIM


SHOWS = [f"{kept(kv)} floats a token" for _, _, kv in KINDS] + ["SmolLM2: three share one"]


def heads(page: scheme.Scheme, x: float, y: float, query_heads: int, kv_heads: int, cell: float) -> None:
    group = query_heads // kv_heads
    for kv in range(kv_heads):
        middle = x + (kv * group + (group - 1) / 2) * cell + (cell - 6) / 2
        page.arrows([(x + (kv * group + i) * cell + (cell - 6) / 2, y + 32, middle, y + 82) for i in range(group)], scheme.THREADS)
        page.box(middle - 20, y + 84, 40, 30, scheme.GLOBAL, f"KV {kv}" if cell > 46 or group > 1 else str(kv))
    for head in range(query_heads):
        page.box(x + head * cell, y, cell - 6, 30, scheme.THREADS, f"q {head}")


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(396, "Which KV head does a query head read? kv = h / group, whole numbers")
    for number, (name, query_heads, kv_heads) in enumerate(KINDS):
        x = 28 + number * 260
        page.text(x, 56, name, bold=True)
        heads(page, x, 68, query_heads, kv_heads, 54)
        page.text(x, 206, f"{kept(kv_heads)} floats a token", scheme.GLOBAL)
        page.text(x, 222, f"and layer: 2 · {kv_heads} · {DIM}", scheme.GLOBAL, size=11)
    page.text(28, 256, "SmolLM2: three share one", bold=True)
    heads(page, 28, 268, 9, 3, 66)
    page.text(640, 300, "q 8 reads KV 2:\n8 / 3 = 2")
    return page
