"""The fixed order of a sum: blocks of 64 terms, each one chain, then the blocks in order; and one chain over all of them."""
from __future__ import annotations

from . import scheme
from .float_rounding import f32

NEEDS = ()
SHOWS = ["block 0: 16777216", "block 1: 64", "16777216 + 64 = 16777280", "16777216"]
TERMS, BLOCK = [float(2**24)] + [1.0] * 127, 64


def chain(terms: list[float]) -> float:
    total = 0.0
    for term in terms:
        total = f32(total + term)
    return total


def blocks() -> list[float]:
    return [chain(TERMS[begin:begin + BLOCK]) for begin in range(0, len(TERMS), BLOCK)]


def total() -> float:
    sums = blocks()
    result = sums[0]
    for block in sums[1:]:
        result = f32(result + block)
    return result


def strip(page: scheme.Scheme, y: float, color: str) -> None:
    """All terms side by side; the first one, which is large, has a box with its number."""
    left, width = 48, 5.5
    page.boxes([(left + i * width, y) for i in range(1, len(TERMS))], width - 1.5, 22, scheme.PALE[color], color)
    page.box(left - 40, y - 6, 43, 34, color, "2^24")


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(424, "The order of a sum: 16777216 and 127 ones, whose exact sum is " + str(int(sum(TERMS))))
    left, width = 48, 5.5 * len(TERMS)
    page.text(16, 56, "Rule 2: a chain for each block of 64 terms, then the blocks in order", scheme.SHARED, bold=True)
    strip(page, 68, scheme.SHARED)
    sums = blocks()
    for i, block in enumerate(sums):
        x = left + i * width / 2
        page.arrows([(x, 104, x + width / 2 - 10, 104)], scheme.SHARED)
        page.text(x, 122, f"terms {i * BLOCK} to {(i + 1) * BLOCK - 1}", size=11)
        page.box(x + 80, 134, 190, 34, scheme.SHARED, f"block {i}: {block:.0f}")
    page.arrows([(left + 175, 170, left + 250, 206), (left + 175 + width / 2, 170, left + 450, 206)], scheme.SHARED)
    page.box(left + 210, 208, 280, 34, scheme.SHARED, " + ".join(f"{block:.0f}" for block in sums) + f" = {total():.0f}")
    page.text(left + 500, 230, "63 below the exact sum", size=11)
    page.text(16, 286, "One long chain", scheme.GLOBAL, bold=True)
    strip(page, 298, scheme.GLOBAL)
    page.arrows([(left, 334, left + width - 10, 334)], scheme.GLOBAL)
    page.box(left + 270, 350, 160, 34, scheme.GLOBAL, f"{chain(TERMS):.0f}")
    page.text(left + 440, 372, "every single 1 was lost", size=11)
    page.text(16, 412, "Neither is the exact sum. What matters is that everybody who computes it takes the same order.")
    return page
