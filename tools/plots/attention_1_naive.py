"""Attention in three kernels: every query head reads its KV head again, scores go to memory and back."""
from __future__ import annotations

from . import scheme

NEEDS = ()
SHOWS = ["each 3 times", "2: softmax"]
HEADS, KV_HEADS = 9, 3  # SmolLM2's


def heads_below(page: scheme.Scheme, x: float, name: str, kernel: str) -> None:
    """Three KV heads in global memory at x, and a kernel whose nine query heads read them: an arrow for each time."""
    group = HEADS // KV_HEADS
    page.box(x - 4, 288, HEADS * 20 + 4, 72, scheme.THREADS)
    page.text(x + HEADS * 10, 350, kernel, anchor="middle", bold=True)
    page.boxes([(x + 2 + head * 20, 300) for head in range(HEADS)], 14, 14, scheme.THREADS)
    page.text(x + HEADS * 10, 331, "9 query heads", size=11, anchor="middle")
    for kv in range(KV_HEADS):
        page.box(x + kv * 60, 84, 56, 40, scheme.GLOBAL, f"{name}{kv}")
    page.arrows([(x + head // group * 60 + 28, 127, x + 9 + head * 20, 298) for head in range(HEADS)], scheme.GLOBAL)
    page.text(x + HEADS * 10, 150, f"each {group} times", scheme.GLOBAL, anchor="middle", bold=True, more=scheme.HALO)


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(404, "attention_1_naive: three kernels, one token, 9 query heads on 3 KV heads")
    page.zone(44, 176, "global memory", scheme.GLOBAL)
    page.zone(264, 110, "threads", scheme.THREADS)
    heads_below(page, 44, "K", "1: scores")
    heads_below(page, 530, "V", "3: values")
    left, width = 296, 150
    page.boxes([(left, 84 + row * 13) for row in range(HEADS)], width, 10, scheme.PALE[scheme.GLOBAL], scheme.GLOBAL)
    page.text(left + width / 2, 74, "a row for each query head", size=11, anchor="middle")
    page.box(left + 12, 288, width - 24, 72, scheme.THREADS)
    page.text(left + width / 2, 350, "2: softmax", anchor="middle", bold=True)
    page.text(left + width / 2, 315, "1 thread a row", size=11, anchor="middle")
    page.arrows([(230, 286, left + 8, 206)], scheme.GLOBAL)
    page.text(272, 256, "scores", scheme.GLOBAL, size=11)
    middle = left + width / 2
    page.arrows([(middle - 24, 204, middle - 24, 286), (middle - 4, 204, middle - 4, 286), (middle + 24, 286, middle + 24, 204)], scheme.GLOBAL)
    page.text(middle + 30, 256, "weights", scheme.GLOBAL, size=11)
    page.arrows([(left + width - 8, 204, 528, 286)], scheme.GLOBAL)
    page.box(726, 84, 56, 40, scheme.GLOBAL, "out")
    page.arrows([(716, 286, 754, 127)], scheme.GLOBAL)
    page.text(16, 394, "The scores are written, read twice (maximum, then weights), written as weights, and read again.")
    return page
