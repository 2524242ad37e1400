"""A matrix product on two ranks: cut by output rows no sum is cut; cut by columns every sum is."""
from __future__ import annotations

from . import scheme

NEEDS = ()
CHAPTER = "step07_serving"
W, X = [[1, 2, 0, 1], [0, 1, 3, 1], [2, 0, 1, 1], [1, 1, 1, 1]], [1, 2, 1, 3]
Y = [sum(w * x for w, x in zip(row, X)) for row in W]
PARTS = [[sum(w * x for w, x in zip(row[a:a + 2], X[a:a + 2])) for row in W] for a in (0, 2)]
SHOWS = ["by output rows", "by columns", f"{PARTS[0][0]} + {PARTS[1][0]} = {Y[0]}"]
COLORS = (scheme.THREADS, scheme.GLOBAL)
CELL = 34


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(330, "One product on two ranks, in two ways")
    for i, title in enumerate(SHOWS[:2]):
        left = 20 + i * 400
        page.text(left, 56, title, bold=True)
        for r, row in enumerate(W):
            for c, w in enumerate(row):
                page.box(left + c * CELL, 104 + r * CELL, CELL - 3, CELL - 3, COLORS[(r if i == 0 else c) // 2], str(w))
        for c, x in enumerate(X):
            page.box(left + c * CELL, 66, CELL - 3, 24, COLORS[c // 2] if i else scheme.GREY, str(x))
        for r, y in enumerate(Y):
            where = left + 4 * CELL + 16
            if i == 0:
                page.box(where, 104 + r * CELL, CELL - 3, CELL - 3, COLORS[r // 2], str(y))
                page.text(where + CELL + 8, 104 + r * CELL + 20, f"of rank {r // 2}", size=11)
            else:
                page.text(where, 104 + r * CELL + 20, f"{PARTS[0][r]} + {PARTS[1][r]} = {y}", size=11)
    page.text(16, 268, "Left: each rank has whole rows, and each output is one chain of sums on one rank. Outputs are gathered. Right: each", size=11)
    page.text(16, 286, "rank has half of every sum, and halves are added at the end. Whole numbers do not mind. Floats do: the sum has", size=11)
    page.text(16, 304, "another order, unless the cut is at a border of the contract's blocks of 64, and the sums of blocks travel.", size=11)
    return page
