"""DuoAttention: a head that looks anywhere and one that looks at the first and the last tokens, and what each keeps."""
from __future__ import annotations

from . import scheme

NEEDS = ()
CHAPTER = "step05_policies"
TOKENS, SINKS, RECENT, PROMPT = 12, 1, 3, 8
CELL = 24
# Which tokens each query of the two heads looks at, beside itself: made up, so that the one looks far and the other does not.
LOOKS = {"retrieval": {5: [2], 6: [1], 7: [2, 4], 8: [3], 9: [2], 10: [5], 11: [2]}, "streaming": {t: [0, t - 1] for t in range(2, TOKENS)}}


def held(kind: str, token: int) -> list[int]:
    """After this token: until the prompt ends everything, then a streaming head its sinks and the last ones."""
    if kind == "retrieval" or token < PROMPT - 1:
        return list(range(token + 1))
    return [s for s in range(token + 1) if s < SINKS or s > token - RECENT]


def far(kind: str) -> int:
    """Looks of the prompt's queries at what a streaming head would not hold."""
    return sum(1 for t in range(PROMPT) for s in LOOKS[kind].get(t, []) if SINKS <= s < t - RECENT)


SHOWS = [f"of the prompt's looks go far: {far(kind)}" for kind in LOOKS]


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(478, "DuoAttention: two kinds of heads, and what each keeps of twelve tokens")
    for number, (kind, color) in enumerate((("retrieval", scheme.THREADS), ("streaming", scheme.SHARED))):
        x, y = 92 + number * 372, 92
        page.text(x, 58, f"a {kind} head", color, bold=True)
        page.text(x, 76, SHOWS[number], size=11)
        for there in (False, True):
            cells = [(x + s * CELL, y + t * CELL) for t in range(TOKENS) for s in range(t + 1) if (s in held(kind, t)) == there]
            page.boxes(cells, CELL - 4, CELL - 4, scheme.PALE[color] if there else "white", color if there else scheme.FAINT)
        dots = [(x + s * CELL + 6, y + t * CELL + 6) for t in range(TOKENS) for s in [*LOOKS[kind].get(t, []), t]]
        page.boxes(dots, 8, 8, scheme.GLOBAL)
        page.lines([(x - 8, y + PROMPT * CELL - 2, x + TOKENS * CELL, y + PROMPT * CELL - 2)], scheme.GREY)
        page.text(x + PROMPT * CELL + 6, y + PROMPT * CELL - 8, "prompt ends", size=10)
    for t in (0, 7, 11):
        page.text(20, 92 + t * CELL + 15, f"token {t}", size=11)
    page.text(16, 412, "Filled: held after this token. Orange: what its query looks at. The head on the left looks at tokens 1 to 5 again and", size=11)
    page.text(16, 430, "again, and keeps everything. The other looks at token 0 and the newest ones. From the end of the prompt on it", size=11)
    page.text(16, 448, "holds four tokens, and would not have looked at what it drops.", size=11)
    return page
