"""SmoothQuant: as alpha grows, the size of a large channel moves from the inputs into the weights."""
from __future__ import annotations

from . import scheme

NEEDS = ()
CHAPTER = "step06_quant"
INPUT, WEIGHT = 40.0, 0.4  # of channel 0; channel 1 has 1 and 1


def scale(alpha: float) -> float:
    return INPUT**alpha / WEIGHT**(1 - alpha)


def codes(x: float) -> tuple[int, int]:
    """Of the two channels in a byte each, with one scale."""
    largest = max(x, 1.0)
    return round(x / largest * 127), round(1 / largest * 127)


CASES = [("as it is", None), ("alpha 0", 0.0), ("alpha 0.5", 0.5), ("alpha 1", 1.0)]
BY_HAND = [f"  {a:5g}   {scale(a):14g}   {INPUT / scale(a):6g} {1:6g}   {WEIGHT * scale(a):6g} {1:6g}      {codes(INPUT / scale(a))[0]:4} {codes(INPUT / scale(a))[1]:4}" for _, a in CASES if a is not None]
SHOWS = [f"s = {scale(a):g}" for _, a in CASES if a is not None]
UNIT = 6.0


def bars(page: scheme.Scheme, left: float, y: float, large: float, color: str) -> None:
    for c, x in enumerate((large, 1.0)):
        page.boxes([(left, y + c * 24)], x * UNIT, 18, scheme.PALE[color], color)
        page.text(left + x * UNIT + 6, y + c * 24 + 13, f"{x:g}", size=11)


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(360, "Two channels: inputs up to 40 and 1, weights up to 0.4 and 1")
    for x, words in ((150, "largest inputs, divided by s"), (440, "largest weights, times s"), (620, "code of the input 1")):
        page.text(x, 54, words, size=11, bold=True)
    for i, (name, alpha) in enumerate(CASES):
        y = 70 + i * 68
        s = 1.0 if alpha is None else scale(alpha)
        page.text(16, y + 16, name, bold=True)
        if alpha is not None:
            page.text(16, y + 36, f"s = {s:g}")
        bars(page, 150, y, INPUT / s, scheme.GLOBAL)
        bars(page, 440, y, WEIGHT * s, scheme.THREADS)
        page.text(620, y + 16, f"{codes(INPUT / s)[1]} of 127")
    page.text(16, 350, "The product of a channel's input and weight never changes. What is gained on one side is lost on the other.")
    return page
