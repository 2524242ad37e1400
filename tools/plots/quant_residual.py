"""KIVI's residual: which keys and values are codes, and which still f16, for a token at each of some positions."""
from __future__ import annotations

from . import scheme

NEEDS = ()
CHAPTER = "step06_quant"
RESIDUAL = 32
POSITIONS = (31, 32, 40, 63, 64, 70)


def coded(position: int, keys: bool) -> int:
    """Slots below are codes."""
    return position - position % RESIDUAL if keys else max(0, position - RESIDUAL)


BY_HAND = [f"  {p:8}  {coded(p, True):5}   {p + 1 - coded(p, True):6}   {coded(p, False):5}   {p + 1 - coded(p, False):6}" for p in POSITIONS]
SHOWS = [f"{coded(p, keys)} codes" for p in POSITIONS for keys in (True, False) if coded(p, keys) >= 31]
UNIT = 4.6


def bar(page: scheme.Scheme, left: float, y: float, position: int, keys: bool) -> None:
    done = coded(position, keys)
    if done:
        page.boxes([(left + s * UNIT, y) for s in range(done)], UNIT, 22, scheme.PALE[scheme.THREADS], scheme.THREADS)
    page.boxes([(left + s * UNIT, y) for s in range(done, position + 1)], UNIT, 22, scheme.PALE[scheme.SHARED], scheme.SHARED)
    page.boxes([(left + position * UNIT, y)], UNIT, 22, scheme.SHARED)
    if done >= 31:
        page.text(left + done * UNIT / 2, y + 16, f"{done} codes", size=11, anchor="middle", more=scheme.HALO)
    if position + 1 - done >= 30:
        page.text(left + (done + position + 1) * UNIT / 2, y + 16, f"{position + 1 - done} in f16", size=11, anchor="middle", more=scheme.HALO)


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(300, f"KIVI with a residual of {RESIDUAL}: what the token at a position sees")
    for name, left, keys in (("keys: all that wait become codes at once", 90, True), ("values: the oldest one leaves each time", 440, False)):
        page.text(left, 54, name, bold=True)
        for i, position in enumerate(POSITIONS):
            bar(page, left, 68 + i * 34, position, keys)
    for i, position in enumerate(POSITIONS):
        page.text(16, 84 + i * 34, f"position {position}"[:12], size=11)
    page.text(16, 290, "A slot is a narrow box. Blue: codes. Green: f16, the last one being the token itself.")
    return page
