"""What a stranger can learn from a shared beginning, and what a scope changes."""
from __future__ import annotations

from . import scheme
from .serve_hit import KNOWN, SLOTS, computed, found

NEEDS = ()
CHAPTER = "step07_serving"
ONE = found("shop", KNOWN), computed("shop", KNOWN)  # as if the bank were in the same scope
OWN = found("bank", KNOWN), computed("bank", KNOWN)
BY_HAND = [f"  {scope:<5}  \"{KNOWN}\"   {len(KNOWN) // SLOTS:11}  {pages:5}  {tokens:8}" for scope, (pages, tokens) in (("shop", ONE), ("bank", OWN))]
SHOWS = [f"{ONE[1]} tokens computed", f"{OWN[1]} tokens computed", "scope of the shop", "scope of the bank"]
CELL = 14


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(300, "The bank asks what the shop has asked")
    for i, (title, (pages, tokens)) in enumerate((("one scope for all", ONE), ("a scope for each", OWN))):
        x = 20 + i * 396
        page.text(x, 58, title, bold=True)
        for row, who in enumerate(("shop", "bank")):
            y = 78 + row * 60
            page.text(x, y + 20, who)
            for s in range(len(KNOWN)):
                shared = row == 1 and s < pages * SLOTS
                page.boxes([(x + 44 + s * CELL, y)], CELL - 2, 28, scheme.PALE[scheme.THREADS if shared else scheme.GLOBAL], scheme.THREADS if shared else scheme.GLOBAL)
            page.text(x + 44 + len(KNOWN) * CELL + 8, y + 20, f"{tokens if row else len(KNOWN)} tokens" + (" computed" if row else ""), size=11)
        if i:
            page.text(x + 44, 124, "scope of the shop", size=10)
            page.text(x + 44, 184, "scope of the bank", size=10)
    page.text(16, 222, "Blue is taken over, orange is computed, and computing takes time. On the left the bank's first token comes earlier", size=11)
    page.text(16, 240, "than after a text that nobody has sent. So the bank learns that somebody has sent it, and can guess a text page by", size=11)
    page.text(16, 258, "page. On the right all of it is computed again, and its waiting says nothing about the shop. Lost is the saving", size=11)
    page.text(16, 276, "between people who trust each other; they can be given one scope.", size=11)
    return page
