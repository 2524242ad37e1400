"""Chapter 8: what one token leaves behind in each memory, in floats of one layer, and what is there once for the whole text."""
from __future__ import annotations

from . import scheme
from .style import FAINT, GREY, INK, PURPLE

NEEDS = ()
CHAPTER = "step08_architectures"
HEADS, DIM, WINDOW = 4, 16, 64
# The layers of each model that was trained.
MODELS = {**{name: [name] * 2 for name in ("mha", "gqa", "mqa", "mla", "local", "strided", "dilated", "bigbird", "lsh", "indexed", "linear", "delta", "s4d", "mamba", "rwkv")},
          "gqa4": ["gqa"] * 4, "cla": ["gqa", "shared"] * 2, "yoco": ["local", "local", "gqa", "shared"], "alternating": ["local", "gqa"] * 2,
          "jamba": ["mamba", "mamba", "gqa", "mamba"], "samba": ["mamba", "local"] * 2}
ROW = 2 * 2 * DIM  # keys and values of gqa's two KV heads
STATES = {"linear": HEADS * DIM * (DIM + 1), "delta": HEADS * DIM * DIM + 3 * 3 * HEADS * DIM, "s4d": 64 * 2 * 16, "mamba": 128 * 16 + 3 * 128, "rwkv": 4 * 64}


def layer_floats(mixer: str, tokens: int) -> int:
    """What a layer holds after so many tokens."""
    per_token = {"mha": 2 * HEADS * DIM, "gqa": ROW, "strided": ROW, "bigbird": ROW, "mqa": 2 * DIM, "mla": 24 + 8, "lsh": HEADS * (2 * DIM + 4), "indexed": ROW + 8}
    if mixer in per_token:
        return per_token[mixer] * tokens
    if mixer == "local":
        return ROW * min(tokens, WINDOW)
    if mixer == "dilated":  # the newest 32 tokens, and every eighth of 256: those between are for the next tokens
        return 2 * DIM * (min(tokens, 32) + min(tokens, 31 * 8 + 1))
    return STATES.get(mixer, 0)  # a shared layer has nothing of its own


def floats(model: str, tokens: int) -> int:
    return sum(layer_floats(mixer, tokens) for mixer in MODELS[model])


def adds(model: str, token: int) -> int:
    return floats(model, token) - floats(model, token - 1)


BY_HAND = [f"  {model:<12} {len(layers):6} {floats(model, 0):14} {adds(model, 1000):16} {floats(model, 512):10} {floats(model, 8192):11}" for model, layers in MODELS.items()]
# What is drawn of them, a layer of each: name, words, colour.
ROWS = [("mha", "keys and values of 4 heads", scheme.THREADS), ("gqa", "of 2 heads", scheme.THREADS), ("mqa", "of 1 head", scheme.THREADS),
        ("mla", "one short vector for all heads", scheme.THREADS), ("cla", "every second layer has none", scheme.THREADS),
        ("lsh", "4 heads, and places in buckets", PURPLE), ("indexed", "gqa's, and a short key", PURPLE), ("local", "gqa's, for 64 tokens", scheme.GLOBAL),
        ("linear", "a matrix for each head", scheme.SHARED), ("delta", "matrices, 3 tokens' rows", scheme.SHARED), ("s4d", "16 turning numbers a channel", scheme.SHARED),
        ("mamba", "16 fading sums a channel", scheme.SHARED), ("rwkv", "4 numbers a channel", scheme.SHARED)]
SHOWS = ["128 a token", "32 a token", "64 a token, at most 4096", "2432 once", "65536"]
LEFT, UNIT, CELL, TOP, STEP = 300, 8, 9, 82, 26
PALE = {**scheme.PALE, PURPLE: "#f5e3ec"}


def held(model: str, tokens: int) -> int:
    """Of a layer; of several kinds, their mean."""
    return floats(model, tokens) // len(MODELS[model])


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(TOP + STEP * len(ROWS) + 66, "What does a token leave behind? Floats in one layer")
    page.text(LEFT, 62, "each token leaves (a box: 8 floats)", size=11, bold=True)
    page.text(640, 62, "after 512", size=11, anchor="end", bold=True)
    page.text(760, 62, "8192 tokens", size=11, anchor="end", bold=True)
    for i, (model, words, color) in enumerate(ROWS):
        y = TOP + i * STEP
        page.text(16, y + 10, model, bold=True)
        page.text(84, y + 10, words, size=11)
        each, once = adds(model, 2) // len(MODELS[model]), held(model, 0)
        if each:
            page.boxes([(LEFT + j * CELL, y - 2) for j in range(each // UNIT)], CELL - 2, 14, PALE[color], color)
            most = f", at most {held(model, 8192)}" if model == "local" else ""
            page.text(LEFT + each // UNIT * CELL + 6, y + 10, f"{each} a token{most}", size=11)
        else:
            page.boxes([(LEFT, y - 2)], once / UNIT * 0.5, 14, PALE[color], color)
            page.text(LEFT + once / UNIT * 0.5 + 6, y + 10, f"{once} once", size=11)
        for x, tokens in ((640, 512), (760, 8192)):
            page.text(x, y + 10, str(held(model, tokens)), INK if tokens == 8192 else GREY, size=11, anchor="end")
    page.lines([(16, TOP + (8 + n) * STEP - 9, 784, TOP + (8 + n) * STEP - 9) for n in (-1, 0)], FAINT)
    y = TOP + STEP * len(ROWS) + 14
    page.note(y, "Blue keeps a row of each token, and all of them. Purple keeps more, and looks at fewer. Orange forgets what nobody will ask for again. Green keeps no rows: one state (a wide box, at a sixteenth of the scale), which every token overwrites. cla has no rows in every second layer: its numbers are the mean of its layers.")
    return page
