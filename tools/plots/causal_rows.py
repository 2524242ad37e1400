"""The causal mask: which tokens' keys and values each token's query sees."""
from __future__ import annotations

from . import scheme

NEEDS = ()
CHAPTER = "step02_attention"
TEXT = ["BOS", "A", "n", "d", "_"]
SHOWS = ["sees 1", "sees 5"]
CELL = 46


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(350, "Causal: the query of token t sees the keys and values of the tokens 0 to t")
    left, top = 210, 80
    page.text(left, 54, "keys and values of", scheme.GLOBAL)
    page.text(60, top - 8, "query of", scheme.THREADS)
    for t, token in enumerate(TEXT):
        y = top + t * CELL
        page.text(left + t * CELL + CELL / 2, top - 8, token, scheme.GLOBAL, anchor="middle")
        page.text(196, y + 28, f"token {t}: {token}", scheme.THREADS, anchor="end")
        page.boxes([(left + s * CELL, y) for s in range(t + 1)], CELL - 4, CELL - 4, scheme.PALE[scheme.SHARED], scheme.SHARED)
        page.boxes([(left + s * CELL, y) for s in range(t + 1, len(TEXT))], CELL - 4, CELL - 4, "white", scheme.FAINT)
        page.text(left + len(TEXT) * CELL + 16, y + 28, f"sees {t + 1}", scheme.SHARED, bold=True)
    page.text(560, top + 28, "Green: a score, a weight,\nand a share of the value.")
    page.text(560, top + 84, "Empty: never visited.")
    page.text(16, 334, "A token that is added later gets a row below and a column on the right. No square that is there changes.")
    return page
