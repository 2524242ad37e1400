"""The decoder stage by stage, with the shape of everything that tiny makes of five tokens."""
from __future__ import annotations

from . import scheme

NEEDS = ()
CHAPTER = "step02_attention"
T, V, C, L, HQ, HKV, D, F = 5, 256, 64, 2, 4, 2, 16, 172
STREAM = 76  # where the residual stream runs down

ATTENTION = [("RMSNorm", f"[{T}, {C}]"), ("Wq, Wk, Wv", f"q [{T}, {HQ}, {D}]\nk, v [{T}, {HKV}, {D}]"), ("RoPE\non q and k", "same shapes"),
             ("attention", f"[{T}, {HQ}, {D}]"), ("Wo", f"[{T}, {C}]")]
FEED_FORWARD = [("RMSNorm", f"[{T}, {C}]"), ("gate, up", f"two of\n[{T}, {F}]"), ("silu(gate)\ntimes up", f"[{T}, {F}]"), ("down", f"[{T}, {C}]")]
SHOWS = ["attention", f"[{T}, {F}]", "+"]


def branch(page: scheme.Scheme, y: float, stages: list[tuple[str, str]], color: str, step: float) -> None:
    """Out of the stream to the right, through the stages, and back below them to a plus."""
    width, x = 104, 160
    page.arrows([(STREAM, y + 20, x - 2, y + 20)], color)
    for i, (name, shape) in enumerate(stages):
        left = x + i * step
        page.box(left, y, width, 40, scheme.GLOBAL if name == "attention" else color, name)
        page.text(left + width / 2, y + 54, shape, size=11, anchor="middle")
        if i + 1 < len(stages):
            page.arrows([(left + width + 1, y + 20, left + step - 2, y + 20)], color)
    end = x + (len(stages) - 1) * step + width
    page.lines([(end, y + 20, end + 12, y + 20), (end + 12, y + 20, end + 12, y + 88), (end + 12, y + 88, STREAM + 16, y + 88)], color)
    page.arrows([(STREAM + 18, y + 88, STREAM + 13, y + 88)], color)
    page.boxes([(STREAM - 11, y + 78)], 22, 20, "white", color)
    page.text(STREAM, y + 93, "+", color, size=14, anchor="middle", bold=True)


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(528, f"From {T} tokens to {T} rows of logits: tiny")
    page.box(24, 40, 104, 26, scheme.GREY, "tokens")
    page.text(140, 57, f"[{T}]", size=11)
    page.box(24, 84, 104, 40, scheme.THREADS, "embedding:\na row each")
    page.text(140, 108, f"[{T}, {C}]: the residual stream begins", size=11)
    page.boxes([(12, 138)], 776, 252, "none", scheme.FAINT)
    page.text(780, 156, f"a layer: {L} of them, one after the other", scheme.GREY, size=11, anchor="end")
    page.arrows([(STREAM, 66, STREAM, 83), (STREAM, 126, STREAM, 243), (STREAM, 263, STREAM, 359), (STREAM, 379, STREAM, 408)], scheme.THREADS)
    branch(page, 164, ATTENTION, scheme.SHARED, 122)
    branch(page, 280, FEED_FORWARD, scheme.SHARED, 122)
    page.box(24, 410, 104, 30, scheme.SHARED, "RMSNorm")
    page.arrows([(STREAM, 442, STREAM, 458)], scheme.THREADS)
    page.box(24, 460, 104, 30, scheme.SHARED, "output matrix")
    page.text(140, 430, f"[{T}, {C}]", size=11)
    page.text(140, 480, f"[{T}, {V}]: the logits", size=11)
    page.text(16, 516, "Everything works on each token's row by itself. Only attention (orange) lets tokens meet.")
    return page
