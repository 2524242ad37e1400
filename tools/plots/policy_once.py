"""How many tokens each kind of method holds along a text of 512, of which 256 are the prompt."""
from __future__ import annotations

from . import scheme

NEEDS = ()
CHAPTER = "step05_policies"
PROMPT, TEXT, BUDGET = 256, 512, 64
LEFT, BOTTOM, WIDE, HIGH = 76, 320, 470, 250


def held(kind: str, seen: int) -> float:
    """Between steps; what goes after the prompt is there until then."""
    if kind == "full" or seen < PROMPT:
        return seen
    return {"once": BUDGET + seen - PROMPT, "in every step": BUDGET}[kind]


KINDS = {"full": ("full", scheme.GREY), "once": ("once: SnapKV", scheme.THREADS), "in every step": ("in every step: window, H2O", scheme.GLOBAL)}
SHOWS = [f"{words}: {held(kind, TEXT):g}" for kind, (words, _) in KINDS.items()]


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(384, f"Tokens held by each KV head: a budget of {BUDGET} means several things")

    def at(seen: float, tokens: float) -> tuple[float, float]:
        return LEFT + seen / TEXT * WIDE, BOTTOM - tokens / TEXT * HIGH

    page.lines([(LEFT, BOTTOM, LEFT + WIDE, BOTTOM), (LEFT, BOTTOM, LEFT, BOTTOM - HIGH)])
    page.lines([(*at(PROMPT, 0), *at(PROMPT, TEXT))], scheme.FAINT)
    for tokens in (0, 64, 256, 512):
        page.text(LEFT - 8, at(0, tokens)[1] + 4, str(tokens), size=11, anchor="end")
    for seen in (0, 256, 512):
        page.text(at(seen, 0)[0], BOTTOM + 18, str(seen), size=11, anchor="middle")
    page.text(LEFT + WIDE / 2, BOTTOM + 36, "tokens of the text so far", size=11, anchor="middle")
    page.text(at(PROMPT, TEXT)[0] + 6, at(PROMPT, TEXT)[1] + 10, "the prompt ends", size=11)
    for number, (kind, (words, color)) in enumerate(KINDS.items()):
        points = [(0, 0), (PROMPT, PROMPT), (PROMPT, held(kind, PROMPT)), (TEXT, held(kind, TEXT))]
        shift = number - 1  # side by side where they are the same
        page.lines([(at(*a)[0] + shift, at(*a)[1], at(*b)[0] + shift, at(*b)[1]) for a, b in zip(points, points[1:])], color)
        page.text(LEFT + WIDE + 10, at(TEXT, held(kind, TEXT))[1] + 4, SHOWS[number], color, size=11)
    return page
