"""Chapter 8: one decaying sum of four tokens, in their order and in two chunks at the same time: on paper the same, in floats another last bit."""
from __future__ import annotations

import struct
from fractions import Fraction

from . import scheme

NEEDS = ()
CHAPTER = "step08_architectures"
DECAY, INPUTS, CHUNK = 0.8, (1.0, 1.0, 1.0, 1.0), 2


def single(x: float) -> float:
    """To a 32-bit float."""
    return struct.unpack("f", struct.pack("f", float(x)))[0]


def fma(a: float, b: float, c: float) -> float:
    return single(Fraction(a) * Fraction(b) + Fraction(c))


def chunked(chunk: int) -> tuple[list[float], list[float], list[float]]:
    """Of each token: the sum of its chunk alone, the product of the chunk's decays so far, the state."""
    alone, products, states, before = [], [], [], 0.0
    for t, u in enumerate(INPUTS):
        if t % chunk == 0:
            before = states[-1] if states else 0.0
        first = t % chunk == 0
        alone.append(fma(single(DECAY), 0.0 if first else alone[-1], u))
        products.append(single((1.0 if first else products[-1]) * single(DECAY)))
        states.append(alone[-1] if t < chunk else fma(products[-1], before, alone[-1]))
    return alone, products, states


def words(numbers: list[float]) -> str:
    return " ".join(f"{x:.9g}".ljust(10) for x in numbers).rstrip()


ORDER, CHUNKS = chunked(len(INPUTS))[2], chunked(CHUNK)
BY_HAND = ["  in token order   " + words(ORDER), "  in chunks of 2   " + words(CHUNKS[2])]
SHOWS = ["2.95200014", "2.9519999", "1.79999995", "0.640000045"]
LEFT, STEP = 150, 160


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(384, f"s = {DECAY:g} s + u over four tokens with u = 1")
    page.text(16, 72, "token order", scheme.SHARED, bold=True)
    for t, state in enumerate(ORDER):
        x = LEFT + t * STEP
        page.text(x + 50, 50, f"token {t + 1}", size=11, anchor="middle", bold=True)
        page.box(x, 58, 100, 30, scheme.SHARED, f"{state:.9g}")
        if t:
            page.arrows([(x - 58, 73, x - 2, 73)], scheme.SHARED)
            page.text(x - 30, 66, f"· {DECAY:g} + 1", size=10, anchor="middle")
    page.text(16, 140, "two chunks\nat the same\ntime", scheme.GLOBAL, bold=True)
    page.text(16, 228, "products of\ndecays", size=11)
    page.text(16, 290, "put together", scheme.GLOBAL, bold=True)
    alone, products, states = CHUNKS
    for t in range(len(INPUTS)):
        x = LEFT + t * STEP
        page.box(x, 126, 100, 30, scheme.GLOBAL, f"{alone[t]:.9g}")
        if t % CHUNK:
            page.arrows([(x - 58, 141, x - 2, 141)], scheme.GLOBAL)
            page.text(x - 30, 134, f"· {DECAY:g} + 1", size=10, anchor="middle")
        if t >= CHUNK:
            page.box(x, 210, 100, 30, scheme.GREY, f"{products[t]:.9g}")
            page.text(x + 50, 256, f"· {states[CHUNK - 1]:.9g} + {alone[t]:.9g}", size=10, anchor="middle")
        page.box(x, 270, 100, 30, scheme.GLOBAL, f"{states[t]:.9g}")
    page.note(334, f"Chunks do not wait for each other: each one begins with 0, and what the chunk before it has left is added at the end. "
              f"The fourth state is {ORDER[3]:.9g} in one order and {CHUNKS[2][3]:.9g} in the other, so where chunks begin would decide about bits.")
    return page
