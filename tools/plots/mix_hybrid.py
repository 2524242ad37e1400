"""Chapter 8: the layers of two hybrids, which of them keep a state, rows of all tokens, or rows of a window, and what that comes to."""
from __future__ import annotations

from . import scheme
from .mix_family import MODELS, floats, layer_floats

NEEDS = ()
CHAPTER = "step08_architectures"
DRAWN = [("mamba", "states alone, two layers"), ("jamba", "one of four is attention"), ("samba", "states and windows in turn"), ("gqa4", "attention alone")]
COLORS = {"gqa": scheme.THREADS, "local": scheme.GLOBAL, "mamba": scheme.SHARED}
NAMES = {"gqa": "all rows", "local": "64 rows", "mamba": "a state"}
SHOWS = [f"after {tokens}: {4 * floats(model, tokens)} bytes" for model in ("jamba", "samba") for tokens in (512, 8192)] + ["2432"]
STEP = 196


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(360, "Hybrids: a few layers with rows among layers with a state (floats after 512 tokens)")
    for number, (model, words) in enumerate(DRAWN):
        x = 16 + number * STEP
        page.text(x, 54, model, bold=True)
        page.text(x, 70, words, size=11)
        for layer, mixer in enumerate(MODELS[model]):
            y = 232 - layer * 48
            page.text(x, y + 20, str(layer), size=11)
            page.box(x + 12, y, 130, 32, COLORS[mixer], NAMES[mixer])
            page.text(x + 146, y + 20, str(layer_floats(mixer, 512)), size=11)
        for i, tokens in enumerate((512, 8192)):
            page.text(x, 294 + i * 18, f"after {tokens}: {4 * floats(model, tokens)} bytes", size=11)
    page.note(348, "A state costs the same for any text, and so does a window once it is full. Only a layer with all rows grows.")
    return page
