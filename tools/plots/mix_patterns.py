"""Chapter 8: who sees whom in sixteen tokens, by three rules, and which rows may be forgotten: local, strided, dilated."""
from __future__ import annotations

from . import scheme
from .style import FAINT

NEEDS = ()
CHAPTER = "step08_architectures"
TOKENS, WINDOW, STRIDE, NEAR, DILATION = 16, 4, 4, 3, 3
BLOCK, BLOCKS_NEAR = 2, 2  # BigBird's window is two blocks of two tokens; one more is drawn by chance
CELL, TOP = 10, 86


def splitmix64(z: int) -> int:
    low = (1 << 64) - 1
    z = (z + 0x9e3779b97f4a7c15) & low
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9 & low
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb & low
    return z ^ (z >> 31)


def drawn_block(own: int) -> int | None:
    """The earlier block that tokens of block `own` see by chance; the first ones have none."""
    before = own + 1 - BLOCKS_NEAR
    return splitmix64(own + 1) % before if before > 0 else None


def bigbird(t: int, s: int) -> bool:
    own, block = t // BLOCK, s // BLOCK
    return block == 0 or own - block < BLOCKS_NEAR or block == drawn_block(own)


# Whether t sees s, and the last token that sees s (None: a later one always comes).
RULES = {"local": (lambda t, s: t - s < WINDOW, lambda s: s + WINDOW - 1),
         "strided": (lambda t, s: t - s < STRIDE or (t - s) % STRIDE == 0, lambda s: None),
         "dilated 0": (lambda t, s: t - s < NEAR, lambda s: s + NEAR - 1),
         "dilated 1": (lambda t, s: (t - s) % DILATION == 0 and t - s < NEAR * DILATION, lambda s: s + (NEAR - 1) * DILATION),
         "bigbird": (bigbird, lambda s: None)}


def mark(name: str, t: int, s: int) -> str:
    """#: t sees it. +: a later one will. '.': forgotten, when t has been."""
    sees, last = RULES[name]
    if sees(t, s):
        return "#"
    return "+" if last(s) is None or last(s) >= t else "."


def held(name: str, t: int) -> int:
    return sum(mark(name, t, s) != "." for s in range(t + 1))


BY_HAND = ["  ".join([f"  token {t:2}", *("".join(mark(name, t, s) for s in range(t + 1)).ljust(TOKENS) for name in RULES)]).rstrip() for t in range(TOKENS)]
DRAWN = [("local", "local", f"the last {WINDOW}"), ("strided", "strided", f"the last {STRIDE}, each {STRIDE}th before"),
         ("dilated 0", "dilated, KV head 0", f"the last {NEAR}"), ("dilated 1", "dilated, KV head 1", f"{NEAR}, {DILATION} apart")]
SHOWS = ["4 of 16 rows held", "16 of 16 rows held", "3 of 16 rows held", "7 of 16 rows held"]


def draw_grid(page: scheme.Scheme, x: float, marks, cell: float = CELL, top: float = TOP) -> None:
    """marks(t, s) for s <= t: a row for each token, a column for each that it may see."""
    looks = {"#": (scheme.THREADS, scheme.THREADS), "+": (scheme.PALE[scheme.SHARED], scheme.SHARED), ".": ("white", FAINT)}
    for kind, (fill, stroke) in looks.items():
        cells = [(x + s * cell, top + t * cell) for t in range(TOKENS) for s in range(t + 1) if marks(t, s) == kind]
        if cells:
            page.boxes(cells, cell - 2, cell - 2, fill, stroke)


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(TOP + TOKENS * CELL + 94, f"{TOKENS} tokens: a row for each token, a column for each that it could see")
    for t in (0, 5, 10, 15):
        page.text(8, TOP + t * CELL + 8, f"token {t}", size=10)
    for number, (name, title, words) in enumerate(DRAWN):
        x = 66 + number * 184
        page.text(x, TOP - 28, title, bold=True)
        page.text(x, TOP - 11, words, size=10)
        draw_grid(page, x, lambda t, s, name=name: mark(name, t, s))
        page.text(x, TOP + TOKENS * CELL + 16, f"{held(name, TOKENS - 1)} of {TOKENS} rows held", size=11)
    y = TOP + TOKENS * CELL + 46
    page.note(y, "Blue: seen by this token. Green: not seen now, and kept, since a later token will see it. Outlined: nobody will ask for it again, so it may be forgotten. A strided rule asks for every token again, four tokens later, and so it keeps all of them.")
    return page
