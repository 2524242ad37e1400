"""A float's 32 bits, and how a number between two floats is rounded: to the nearer one, of two equally near ones to the even."""
from __future__ import annotations

import struct

from . import scheme

NEEDS = ()
SHOWS = ["16777217", "16777219", "1.625 times 2 to the power 2 is 6.5"]
EXAMPLE = 6.5
LINE_FROM, LINE_TO = 2**24, 2**24 + 4


def f32(number: float) -> float:
    return struct.unpack("<f", struct.pack("<f", number))[0]


def word(number: float) -> int:
    """The bits of a float as a whole number."""
    return struct.unpack("<I", struct.pack("<f", number))[0]


def parts(number: float) -> tuple[int, int, int]:
    """Sign, exponent and fraction, as they are stored."""
    bits = word(number)
    return bits >> 31, bits >> 23 & 255, bits & (1 << 23) - 1


def draw_bits(page: scheme.Scheme, y: float) -> None:
    sign, exponent, fraction = parts(EXAMPLE)
    left, cell = 48, 22
    digits = f"{word(EXAMPLE):032b}"
    for first, count, color in ((0, 1, scheme.GLOBAL), (1, 8, scheme.SHARED), (9, 23, scheme.THREADS)):
        page.boxes([(left + (first + i) * cell, y) for i in range(count)], cell - 2, 26, scheme.PALE[color], color)
    for i, digit in enumerate(digits):
        page.text(left + i * cell + cell / 2 - 1, y + 18, digit, anchor="middle")
    significand = 1 + fraction / 2**23
    page.text(left, y + 46, "sign", scheme.GLOBAL, bold=True)
    page.text(left + 1.6 * cell + 16, y + 46, f"exponent: {exponent} - 127 = {exponent - 127}", scheme.SHARED, bold=True)
    page.text(left + 11 * cell, y + 46, f"fraction: the digits after 1. of 1.{fraction >> 20:03b}, which is {significand:g}", scheme.THREADS, bold=True)
    page.text(left, y + 74, f"{significand:g} times 2 to the power {exponent - 127} is {f32(EXAMPLE):g}", bold=True)


def draw_line(page: scheme.Scheme, y: float) -> None:
    left, step = 100, 150
    page.lines([(60, y, 740, y)])
    for number in range(LINE_FROM, LINE_TO + 1):
        x = left + (number - LINE_FROM) * step
        if f32(number) == number:
            page.boxes([(x - 4, y - 12)], 8, 24, scheme.THREADS)
            page.text(x, y + 30, str(number), scheme.THREADS, anchor="middle", bold=True)
            page.text(x, y + 48, f"fraction ends in {parts(number)[2] & 3:02b}", size=11, anchor="middle")
        else:
            to = left + (f32(number) - LINE_FROM) * step
            page.lines([(x, y - 8, x, y + 8)], scheme.GLOBAL)
            page.text(x, y - 46, str(number), scheme.GLOBAL, anchor="middle", bold=True)
            page.text(x, y - 30, "no float", scheme.GLOBAL, size=11, anchor="middle")
            page.arrows([(x, y - 22, to + (10 if to < x else -10), y - 14)], scheme.GLOBAL)


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(372, "A float: a sign, an exponent, 23 digits; what lies between two floats is rounded")
    page.text(16, 58, f"The 32 bits of {EXAMPLE:g}:", bold=True)
    draw_bits(page, 72)
    page.text(16, 192, "From 16777216 on, only every second whole number is a float:", bold=True)
    draw_line(page, 268)
    page.text(16, 348, "Both numbers lie exactly halfway. Each goes to the neighbour whose fraction ends in 0: ties to even.")
    return page
