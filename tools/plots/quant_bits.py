"""What 32 numbers take as floats and in three formats of few bits, to scale; and where the chapter uses them."""
from __future__ import annotations

from . import scheme

NEEDS = ()
CHAPTER = "step06_quant"
NUMBERS = 32
# name, bits of a code, bits of what the 32 share
FORMATS = [("f32", 32, 0), ("q8_0", 8, 16), ("q4_0", 4, 16), ("kivi2", 2, 32)]


def bits(code: int, shared: int) -> int:
    return NUMBERS * code + shared


SHOWS = [f"{bits(code, shared) // 8} bytes, {bits(code, shared) / NUMBERS:g} bits a number" for _, code, shared in FORMATS]


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(300, "The same 32 numbers: one float each, or a code each and what they share")
    left, unit = 80, 480 / bits(32, 0)
    for i, (name, code, shared) in enumerate(FORMATS):
        y = 48 + i * 34
        page.text(16, y + 15, name, bold=True)
        page.boxes([(left + n * code * unit, y) for n in range(NUMBERS)], code * unit - 0.5, 20, scheme.PALE[scheme.THREADS], scheme.THREADS)
        if shared:
            page.boxes([(left + NUMBERS * code * unit, y)], shared * unit, 20, scheme.GLOBAL)
        page.text(left + bits(code, shared) * unit + 10, y + 15, SHOWS[i])
    page.text(16, 200, "Blue: codes. Orange: the scale, and for kivi2 a minimum, that the 32 share.")
    places = [("the cache", "keys and values:\nrounded as they come"), ("the weights", "rounded once,\nwith all the time needed"), ("the products", "weights and inputs as bytes,\nsums exact")]
    for i, (name, words) in enumerate(places):
        page.box(16 + i * 262, 214, 244, 70, scheme.SHARED, f"{name}\n{words}")
    return page
