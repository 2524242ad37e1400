"""Where a wrong bit first shows: the operators of two steps, and the first that differs for some wrong programs."""
from __future__ import annotations

import re
from pathlib import Path

from . import scheme

NEEDS = ()
CHAPTER = "step03_kvcache"
SHOWN = ("01", "04", "15", "19")
ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "tests" / "mutants"


def operators() -> list[str]:
    """What a decoder reports of layer 0, in order: the enum Op up to the end of a layer."""
    text = (ROOT / "step02_attention/include/kvlab/attention/observer.hpp").read_text(encoding="utf-8")
    names = re.findall(r"^    (\w+),", text[text.index("enum class Op"):], re.M)
    return names[:names.index("ffn_add") + 1]


OPERATORS = operators()


def mutant(number: str) -> tuple[str, int, str]:
    """What is wrong, and the step and operator of the first difference, from the head of the mutant's file."""
    text = next(FOLDER.glob(f"{number}_*.mutant")).read_text(encoding="utf-8")
    step, op = re.search(r"^Tracer: step (\d+), layer 0, (\w+)", text, re.M).groups()
    return re.search(r"^Short: (.+)$", text, re.M)[1], int(step), op


SHOWS = [f"{number}: {mutant(number)[0]}" for number in SHOWN]


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(424, "The first number that differs, in layer 0, for four wrong programs")
    left, cell = 210, 20
    page.text(left + 6 * cell, 56, "step 0: the prompt", bold=True, anchor="middle")
    page.text(left + 280 + 6 * cell, 56, "step 1: one token", bold=True, anchor="middle")
    for step in range(2):
        for place, name in enumerate(OPERATORS):
            x = left + step * 280 + place * cell
            page.text(x + 9, 78, str(place + 1), anchor="middle", size=11)
    for row, number in enumerate(SHOWN):
        y = 100 + row * 62
        words, at_step, op = mutant(number)
        page.text(16, y + 4, SHOWS[row], bold=True)
        for step in range(2):
            for place, name in enumerate(OPERATORS):
                here = (step, place) == (at_step, OPERATORS.index(op))
                after = (step, place) > (at_step, OPERATORS.index(op))
                fill, stroke = (scheme.GLOBAL, scheme.GLOBAL) if here else ("white", scheme.FAINT) if after else (scheme.PALE[scheme.SHARED], scheme.SHARED)
                page.boxes([(left + step * 280 + place * cell, y + 12)], cell - 3, 22, fill, stroke)
        page.text(16, y + 28, f"first: {op}", scheme.GLOBAL, size=11)
    names = "   ".join(f"{place + 1} {name}" for place, name in enumerate(OPERATORS[:6])), "   ".join(f"{place + 7} {name}" for place, name in enumerate(OPERATORS[6:]))
    page.text(16, 364, names[0], size=11)
    page.text(16, 382, names[1], size=11)
    page.text(16, 412, "Green: every bit equal. Orange: the first difference. Empty: comes later, and is not asked.", size=11)
    return page
