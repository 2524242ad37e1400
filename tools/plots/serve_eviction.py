"""Which page an index lets go: of the leaves that nobody uses, the one unused for longest."""
from __future__ import annotations

from . import scheme
from .serve_hit import SLOTS, pages

NEEDS = ()
CHAPTER = "step07_serving"
TEXTS, POOL = ("the cat sat ", "the cat ran ", "the dog ran "), 12


class Tree:
    def __init__(self) -> None:
        self.used: dict[str, int] = {}  # the text up to the end of a page: when it was used
        self.clock = 0

    def use(self, text: str) -> None:
        self.clock += 1
        for end in range(SLOTS, len(text) + 1, SLOTS):
            self.used[text[:end]] = self.clock

    def evict(self) -> str:
        leaves = [node for node in self.used if not any(other != node and other.startswith(node) for other in self.used)]
        oldest = min(leaves, key=lambda node: self.used[node])
        del self.used[oldest]
        return oldest

    def line(self, what: str) -> str:
        counts = "".join(f"  {sum(text[:end] in self.used for end in range(SLOTS, len(text) + 1, SLOTS))} of 3" for text in TEXTS)
        return f"  {what:<28}{counts}  free {POOL - len(self.used):2}"


def play() -> tuple[dict[str, int], list[str], list[str]]:
    """When each page was used before the first has to go; in which order they go; what the program prints."""
    tree = Tree()
    for text in TEXTS:
        tree.use(text)
    lines = [tree.line("all three ran, in this order")]
    tree.use(TEXTS[0])
    lines.append(tree.line("the first is asked for again"))
    used, gone = dict(tree.used), []
    for what in ("one page has to go", "and another", "and another"):
        gone.append(tree.evict())
        lines.append(tree.line(what))
    return used, gone, lines


USED, GONE, BY_HAND = play()
SHOWS = ["goes first", "goes second", "goes third"]
PLACES = {"the ": (330, 60), "the cat ": (190, 140), "the dog ": (500, 140), "the cat sat ": (70, 220), "the cat ran ": (310, 220), "the dog ran ": (500, 220)}


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(340, "Six pages of three texts; three have to go")
    for node, (x, y) in PLACES.items():
        parent = node[:-SLOTS]
        if parent:
            px, py = PLACES[parent]
            page.lines([(px + 60, py + 34, x + 60, y)])
    for node, (x, y) in PLACES.items():
        going = node in GONE
        page.box(x, y, 120, 34, scheme.GLOBAL if going else scheme.THREADS, pages(node)[-1].replace(" ", "\u00b7"))
        words = f"used at {USED[node]}"
        page.text(x + 126, y + 14, words, size=10)
        if going:
            page.text(x + 126, y + 30, SHOWS[GONE.index(node)], scheme.GLOBAL, size=11)
    page.text(16, 290, "The texts ran at 1, 2 and 3, and the first was asked for again at 4. \"the\u00b7\" and \"cat\u00b7\" carry others and cannot go.", size=11)
    page.text(16, 308, "Of the three leaves \"ran\u00b7\" under \"cat\u00b7\" is the oldest. Then \"ran\u00b7\" under \"dog\u00b7\", which makes \"dog\u00b7\" a leaf, and it is", size=11)
    page.text(16, 326, "older than \"sat\u00b7\". A page in the middle never goes before what follows it: without it, nobody could reach the rest.", size=11)
    return page
