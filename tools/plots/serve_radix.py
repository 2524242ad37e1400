"""The same three texts in two indexes: a chain of pages, and a radix tree."""
from __future__ import annotations

from . import scheme
from .serve_eviction import TEXTS
from .serve_hit import SLOTS, pages

NEEDS = ()
CHAPTER = "step07_serving"
# In the order in which the texts bring them; entry 1 is the first, and 0 is the parent of a first page.
NODES = list(dict.fromkeys(text[:end] for text in TEXTS for end in range(SLOTS, len(text) + 1, SLOTS)))
SHOWS = ["chain: 6 entries", "radix tree: 5 nodes"]
# Node: pages of its edge, place, parent.
TREE = {"the ": (1, 600, 60, ""), "cat ": (1, 500, 130, "the "), "dog ran ": (2, 620, 130, "the "), "cat ran ": (1, 430, 210, "cat "), "cat sat ": (1, 560, 210, "cat ")}


def draw_page() -> scheme.Scheme:
    assert len(NODES) == 6 and len(TREE) == 5
    page = scheme.Scheme(330, "\"the cat sat \", \"the cat ran \" and \"the dog ran \" in both indexes")
    page.text(16, 52, SHOWS[0], bold=True)
    page.text(410, 52, SHOWS[1], bold=True)
    numbers = {"": "0", **{node: str(i) for i, node in enumerate(NODES, 1)}}
    page.text(16, 74, "parent", size=11)
    page.text(90, 74, "its tokens", size=11)
    page.text(210, 74, "entry", size=11)
    for i, node in enumerate(NODES):
        y = 82 + i * 30
        page.box(16, y, 60, 24, scheme.GREY, numbers[node[:-SLOTS]])
        page.box(90, y, 100, 24, scheme.THREADS, pages(node)[-1].replace(" ", "\u00b7"))
        page.box(210, y, 60, 24, scheme.SHARED, numbers[node])
    for name, (count, x, y, parent) in TREE.items():
        if parent:
            of, px, py, _ = TREE[parent]
            page.lines([(px + of * 45, py + 28, x + count * 45, y)])
    for name, (count, x, y, parent) in TREE.items():
        for i, part in enumerate(pages(name)[-count:]):
            page.box(x + i * 90, y, 86, 28, scheme.THREADS, part.replace(" ", "\u00b7"))
    page.text(16, 290, "Left: an entry's key is its parent's number and its own four tokens, compared in full. Right: pages that nobody leaves", size=11)
    page.text(16, 308, "in the middle share a node, such as \"dog\u00b7ran\u00b7\"; a text that leaves there splits it, at the border of a page.", size=11)
    return page
