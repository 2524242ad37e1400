"""Chapter 8: the indexer by hand: short keys are scored, and the token sees the three of the largest score, of equal ones the earlier."""
from __future__ import annotations

from . import scheme
from .style import FAINT

NEEDS = ()
CHAPTER = "step08_architectures"
KEYS = [(1, 0), (-1, 2), (0, 1), (2, -1), (-1, -1), (0, 2), (-2, 1)]  # of seven tokens, the last one asks
QUERIES, WEIGHTS, TOP_K = [(1, 0), (0, 1)], (2, 1), 3


def fits(s: int) -> list[int]:
    """relu(q_j . k_s) of both index heads."""
    return [max(0, q[0] * KEYS[s][0] + q[1] * KEYS[s][1]) for q in QUERIES]


def score(s: int) -> int:
    return sum(w * fit for w, fit in zip(WEIGHTS, fits(s)))


CHOSEN = sorted(sorted(range(len(KEYS)), key=lambda s: (-score(s), s))[:TOP_K])
BY_HAND = [*(f"  {s:5}   {KEYS[s][0]:2} {KEYS[s][1]:2}   {fits(s)[0]}  {fits(s)[1]}   {WEIGHTS[0]}*{fits(s)[0]} + {WEIGHTS[1]}*{fits(s)[1]} = {score(s)}{'   seen' if s in CHOSEN else ''}" for s in range(len(KEYS))),
           "  seen: " + " ".join(map(str, CHOSEN))]
SHOWS = ["2·1 + 1·0 = 2", "2·2 + 1·0 = 4", "tokens 0, 1 and 3 are seen"]
LEFT, STEP, UNIT = 110, 96, 22


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(386, f"The indexer: which {TOP_K} of {len(KEYS)} tokens are worth a look?")
    page.text(16, 62, "token", size=11)
    page.text(16, 84, "short key k", size=11)
    page.text(16, 116, "relu(q·k) of\ntwo heads", size=11)
    page.text(16, 168, "weights 2, 1\nand the sum", size=11)
    base = 290
    for s in range(len(KEYS)):
        x, color = LEFT + s * STEP, scheme.SHARED if s in CHOSEN else scheme.GLOBAL
        page.text(x + 36, 62, f"{s}" if s < len(KEYS) - 1 else f"{s}, asks", size=11, anchor="middle", bold=True)
        page.text(x + 36, 84, f"({KEYS[s][0]}, {KEYS[s][1]})", size=11, anchor="middle")
        for j, fit in enumerate(fits(s)):
            page.boxes([(x + 8 + j * 30, 102)], 26, 24, "white" if not fit else scheme.PALE[scheme.THREADS], scheme.THREADS if fit else FAINT)
            page.text(x + 21 + j * 30, 119, str(fit), anchor="middle")
        page.text(x + 36, 168, f"{WEIGHTS[0]}·{fits(s)[0]} + {WEIGHTS[1]}·{fits(s)[1]} = {score(s)}", size=10, anchor="middle")
        if score(s):
            page.boxes([(x + 12, base - score(s) * UNIT)], 48, score(s) * UNIT, scheme.PALE[color], color)
        page.text(x + 36, base + 16, str(score(s)), color, anchor="middle", bold=True)
    page.lines([(LEFT, base, LEFT + len(KEYS) * STEP - 20, base)])
    page.text(16, base - 34, "score", size=11)
    page.text(16, 332, f"tokens {', '.join(map(str, CHOSEN[:-1]))} and {CHOSEN[-1]} are seen", scheme.SHARED, bold=True)
    page.note(354, "Tokens 0, 1 and 5 have the same score, and two places are left: the earlier ones have them. What is not seen stays: it may be next time.")
    return page
