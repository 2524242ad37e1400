"""How the budget of a step is shared out: those that write first, then prompts in their order."""
from __future__ import annotations

from . import scheme

NEEDS = ()
CHAPTER = "step07_serving"
BUDGET = 8
# Before the step: who writes, and what is left of each prompt.
STEPS = [("step 3", ["A"], [("B", 13), ("C", 2)]), ("step 4", ["A"], [("B", 6), ("C", 2)]), ("step 5", ["A", "B"], [("C", 1)])]
COLORS = {"A": scheme.THREADS, "B": scheme.GLOBAL, "C": scheme.SHARED}


def share_out(writing: list[str], prompts: list[tuple[str, int]]) -> list[tuple[str, int]]:
    shares, left = [], BUDGET
    for text in writing:
        shares.append((text, 1))
        left -= 1
    for text, tokens in prompts:
        count = min(tokens, left)
        if count:
            shares.append((text, count))
        left -= count
    return shares


SHARES = [share_out(writing, prompts) for _, writing, prompts in STEPS]
SHOWS = ["B 7", "B 6", "C 1"]
LEFT, WIDE = 110, 52


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(270, f"A budget of {BUDGET} tokens: A writes, a prompt of 13 and one of 2 have come")
    for i, ((name, _, prompts), shares) in enumerate(zip(STEPS, SHARES)):
        y, x = 50 + i * 56, LEFT
        page.text(16, y + 22, name, bold=True)
        page.boxes([(LEFT + s * WIDE, y) for s in range(BUDGET)], WIDE - 4, 34, "white", scheme.FAINT)
        for text, count in shares:
            page.box(x, y, count * WIDE - 4, 34, COLORS[text], f"{text} {count}")
            x += count * WIDE
        left = ", ".join(f"{text} has {tokens - dict(shares).get(text, 0)} to go" for text, tokens in prompts if tokens - dict(shares).get(text, 0))
        page.text(LEFT + BUDGET * WIDE + 8, y + 22, left or "no prompt is left", size=11)
    page.text(16, 236, "A's token comes first in every step, whatever else has come. B's prompt takes what is left of the budget, 7 and", size=11)
    page.text(16, 254, "then 6, and C's first token fills the last place. In step 5 B writes its second token, and C's prompt ends.", size=11)
    return page
