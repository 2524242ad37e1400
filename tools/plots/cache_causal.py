"""Why an earlier token's keys and values stay: every arrow of attention leads to the right."""
from __future__ import annotations

from . import scheme

NEEDS = ()
CHAPTER = "step03_kvcache"
TOKENS, LAYERS = ("token 0", "token 1", "token 2"), 2
SHOWS = ["token 2", "nothing leads from here to the left"]


def arrows() -> list[tuple[int, int]]:
    """(from token, to token) of attention in a layer."""
    return [(s, t) for t in range(len(TOKENS)) for s in range(t + 1)]


def place(token: int) -> float:
    return 150 + token * 190


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(430, "Three tokens, two layers: who takes from whom")
    for token, name in enumerate(TOKENS):
        new = token == len(TOKENS) - 1
        color = scheme.THREADS if new else scheme.SHARED
        x = place(token)
        page.text(x + 56, 60, name, color, anchor="middle", bold=True)
        for layer in range(LAYERS + 1):
            page.box(x, 72 + layer * 140, 112, 28, color, "embedding" if layer == 0 else f"x after layer {layer - 1}")
        for layer in range(LAYERS):
            page.box(x + 16, 118 + layer * 140, 80, 26, color, "q, k, v")
            page.arrows([(x + 56, 101 + layer * 140, x + 56, 117 + layer * 140)], color)
    for layer in range(LAYERS):
        page.text(24, 136 + layer * 140, f"layer {layer}", bold=True)
        for source, target in arrows():
            page.arrows([(place(source) + 56, 145 + layer * 140, place(target) + 40 + 14 * source, 210 + layer * 140)], scheme.THREADS if target == len(TOKENS) - 1 else scheme.SHARED)
    page.text(664, 176, "takes the keys", size=11)
    page.text(664, 192, "and values of", size=11)
    page.text(664, 208, "all three", size=11)
    page.text(place(2) - 76, 400, "nothing leads from here to the left", scheme.THREADS, bold=True)
    page.text(16, 422, "Green: computed before token 2 came, and not touched by it. Blue: all that token 2 adds.")
    return page
