"""Chapter 8: which layer reads whose keys and values: four layers of their own, CLA's pairs, YOCO's upper half, alternating windows."""
from __future__ import annotations

from . import scheme
from .mix_family import MODELS, adds, floats
from .style import GREY

NEEDS = ()
CHAPTER = "step08_architectures"
# Model, words, whose rows each layer reads (kvlab.kv_layer in the file).
DRAWN = [("gqa4", "each its own", [0, 1, 2, 3]), ("cla", "pairs share", [0, 0, 2, 2]), ("yoco", "one cache for the upper half", [0, 1, 2, 2]), ("alternating", "windows between", [0, 1, 2, 3])]
SHOWS = ["256 floats a token", "128 floats a token", "64 floats a token", "after 512: 131072", "after 512: 65536", "after 512: 40960"]
COLORS = {"gqa": scheme.THREADS, "local": scheme.GLOBAL, "shared": GREY}
NAMES = {"gqa": "rows of all tokens", "local": "rows of 64 tokens", "shared": "no rows"}
STEP = 196


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(350, "Four layers: whose keys and values does each one read?")
    for number, (model, words, reads) in enumerate(DRAWN):
        x = 16 + number * STEP
        page.text(x, 54, model, bold=True)
        page.text(x, 70, words, size=11)
        for layer, (mixer, of) in enumerate(zip(MODELS[model], reads)):
            y = 232 - layer * 48
            page.text(x, y + 20, str(layer), size=11)
            page.box(x + 14, y, 118, 32, COLORS[mixer], NAMES[mixer])
            if of != layer:
                below = y + 48 * (layer - of) + 16
                page.lines([(x + 132, y + 16, x + 150, y + 16), (x + 150, y + 16, x + 150, below)], scheme.SHARED)
                page.arrows([(x + 150, below, x + 134, below)], scheme.SHARED)
                page.text(x + 138, y + 10, f"of {of}", scheme.SHARED, size=11)
        page.text(x, 294, f"{adds(model, 1000)} floats a token", size=11)
        page.text(x, 310, f"after 512: {floats(model, 512)}", size=11)
    page.note(338, "Layer 0 is at the bottom. An empty box has queries and no rows: it reads those of the layer that its arrow leads to.")
    return page
