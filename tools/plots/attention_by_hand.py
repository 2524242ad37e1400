"""One attention head with numbers: token 1 asks, tokens 0 and 1 answer."""
from __future__ import annotations

import math

from . import scheme

NEEDS = ()
CHAPTER = "step02_attention"
X = [(1, 0), (1, 1)]
WQ, WK, WV, WO = ((1, 1), (0, 1)), ((0, 1), (1, 0)), ((4, -4), (0, 4)), ((0.5, 0), (0, 0.5))


def product(w: tuple, x: tuple) -> tuple:
    return tuple(sum(a * b for a, b in zip(row, x)) for row in w)


Q, K, V = ([product(w, x) for x in X] for w in (WQ, WK, WV))
DOTS = [sum(a * b for a, b in zip(Q[1], key)) for key in K]
SCORES = [score / math.sqrt(2) for score in DOTS]
SHARES = [math.exp(score) / sum(math.exp(other) for other in SCORES) for score in SCORES]
OUT = tuple(sum(share * value[i] for share, value in zip(SHARES, V)) for i in range(2))
ADDED = product(WO, OUT)
NEW = tuple(a + b for a, b in zip(X[1], ADDED))


def pair(numbers: tuple, digits: int = 0) -> str:
    return "(" + ", ".join(f"{number:.{digits}f}" for number in numbers) + ")"


BY_HAND = [f"{score:.3f}" for score in SCORES + SHARES] + [f"{number:.3f}" for number in (*OUT, *ADDED, *NEW)]
SHOWS = [pair(OUT, 3), pair(NEW, 3)]


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(452, "One head, two tokens: what token 1 takes from token 0 and from itself")
    blue, red, green = scheme.THREADS, scheme.GLOBAL, scheme.SHARED
    for x, words, color in ((70, "x", scheme.GREY), (210, "query: Wq times x", blue), (400, "key: Wk times x", red), (590, "value: Wv times x", green)):
        page.text(x, 54, words, color, bold=True)
    for t, y in enumerate((64, 118)):
        page.text(16, y + 21, f"token {t}")
        page.box(70, y, 80, 32, scheme.GREY, pair(X[t]))
        for x, numbers, color in ((210, Q, blue), (400, K, red), (590, V, green)):
            page.box(x, y, 90, 32, scheme.GREY if color == blue and t == 0 else color, pair(numbers[t]))
        page.arrows([(152, y + 16, 206, y + 16)])
    page.text(496, 84, "k0", red)
    page.text(496, 138, "k1", red)
    page.text(690, 84, "v0", green)
    page.text(690, 138, "v1", green)
    page.text(306, 138, "q1: asks", blue, size=11)
    page.text(306, 84, "q0", scheme.GREY, size=11)
    for x, words in ((110, "q1 · key"), (250, "/ √2"), (370, "e^score"), (490, "share of the sum"), (690, "times value")):
        page.text(x, 196, words, size=11, anchor="middle" if x != 490 else "start")
    for s, y in enumerate((206, 248)):
        page.text(16, y + 20, f"key {s}", red)
        page.box(70, y, 80, 30, red, f"{DOTS[s]:.0f}")
        page.box(214, y, 72, 30, red, f"{SCORES[s]:.3f}")
        page.box(334, y, 72, 30, red, f"{math.exp(SCORES[s]):.3f}")
        page.boxes([(490, y + 4)], 120 * SHARES[s], 22, scheme.PALE[green], green)
        page.text(496 + 120 * SHARES[s], y + 20, f"{SHARES[s]:.3f}", green, bold=True)
        page.box(660, y, 120, 30, green, pair(tuple(SHARES[s] * v for v in V[s]), 3))
        page.arrows([(152, y + 15, 210, y + 15), (288, y + 15, 330, y + 15), (408, y + 15, 484, y + 15)], red)
    page.arrows([(720, 282, 720, 306)], green)
    page.text(640, 330, "out", green, anchor="end", bold=True)
    page.box(660, 310, 120, 30, green, pair(OUT, 3))
    page.arrows([(720, 342, 720, 366)], green)
    page.text(640, 390, "after Wo", green, anchor="end", bold=True)
    page.box(660, 370, 120, 30, green, pair(ADDED, 3))
    page.arrows([(570, 385, 444, 385)], green)
    page.boxes([(420, 374)], 22, 22, "white", green)
    page.text(431, 390, "+", green, size=14, anchor="middle", bold=True)
    page.text(340, 330, "x of token 1", anchor="end")
    page.box(352, 310, 80, 30, scheme.GREY, pair(X[1]))
    page.arrows([(431, 342, 431, 373)])
    page.arrows([(418, 385, 304, 385)], blue)
    page.box(180, 370, 120, 30, blue, pair(NEW, 3))
    page.text(168, 390, "x of token 1 after it", blue, anchor="end")
    page.text(16, 438, "Nothing of token 0 is used but its key and its value. Nothing of what comes after token 1 is used at all.")
    return page
