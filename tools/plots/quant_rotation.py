"""A Hadamard turn of four numbers in two passes of sums and differences: the large one is spread."""
from __future__ import annotations

from . import scheme

NEEDS = ()
CHAPTER = "step06_quant"
NUMBERS = (8.0, 1.0, -1.0, 0.0)


def passed(x: list[float], half: int) -> list[float]:
    out = list(x)
    for i in range(len(x)):
        if i // half % 2 == 0:
            out[i], out[i + half] = x[i] + x[i + half], x[i] - x[i + half]
    return out


def stages() -> list[list[float]]:
    first = passed(list(NUMBERS), 1)
    second = passed(first, 2)
    return [list(NUMBERS), first, second, [y / 2 for y in second]]


BY_HAND = ["  x         " + "".join(f"{x:8g}" for x in NUMBERS), "  H x       " + "".join(f"{x:8g}" for x in stages()[3])]
SHOWS = ["x", "neighbours", "two apart", "divided by 2"]
STEP, UNIT = 200, 7.0


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(356, "Sums and differences spread the 8 over all four numbers")
    rows = [110 + 62 * i for i in range(4)]
    for s, numbers in enumerate(stages()):
        left = 40 + s * STEP
        page.text(left, 60, SHOWS[s], bold=True)
        for i, x in enumerate(numbers):
            color = scheme.GLOBAL if abs(x) == max(abs(y) for y in numbers) and s == 0 else scheme.THREADS
            width = abs(x) * UNIT
            if width:
                page.boxes([(left + 34 if x >= 0 else left + 34 - width, rows[i] - 12)], width, 20, scheme.PALE[color], color)
            page.lines([(left + 34, rows[i] - 16, left + 34, rows[i] + 12)])
            page.text(left + 40 + max(0.0, x) * UNIT, rows[i] + 3, f"{x:g}", size=12)
        if s < 2:
            half = 1 << s
            pairs = [(i, i + half) for i in range(4) if i // half % 2 == 0]
            ends = [(left + 142, rows[a], left + STEP - 12, rows[b]) for a, b in [(i, j) for p in pairs for i in p for j in p]]
            page.arrows(ends, scheme.GREY)
    page.text(16, 346, "Each pair gives its sum, above, and its difference, below. At the end all are divided by the root of 4.")
    return page
