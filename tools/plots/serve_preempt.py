"""Five pages, two texts that grow: the newer one loses its pages, and is computed again."""
from __future__ import annotations

from . import scheme

NEEDS = ()
CHAPTER = "step07_serving"
SLOTS, POOL = 4, 5
# Of A and B: tokens fed in each step, and pages held after it.
FED = ((7, 6), (1, 1), (1, 1), (1, 0), (1, 0), (1, 0), (1, 0), (0, 9), (0, 1))
COLORS = (scheme.THREADS, scheme.GLOBAL)


def pages() -> list[tuple[int, int]]:
    """After each step; B loses all of its pages in step 4, and who has written its last token lets go."""
    held, rows = [0, 0], []
    for step, fed in enumerate(FED, 1):
        if step == 4:
            held[1] = 0
        held = [tokens + more for tokens, more in zip(held, fed)]
        rows.append(tuple(-(-tokens // SLOTS) for tokens in held))
        if step == 7:
            held[0] = 0
    return rows


COMPUTED = [sum(fed[i] for fed in FED) for i in (0, 1)]
BY_HAND = [f"  {step:4}  {a:8}  {b:4}" for step, (a, b) in enumerate(FED, 1)] + [f"  A: 7 tokens written, {COMPUTED[0]} computed, preempted 0 times",
                                                                                f"  B: 5 tokens written, {COMPUTED[1]} computed, preempted 1 times"]
SHOWS = ["B is preempted", "B is resumed: 9 tokens again"]
LEFT, WIDE, HIGH = 110, 72, 26


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(330, "A pool of five pages: A grows, and B has to make room")
    for number in range(POOL):
        page.text(LEFT - 10, 78 + number * HIGH + 16, f"{number + 1} of {POOL}", size=10, anchor="end")
    for step, held in enumerate(pages(), 1):
        x = LEFT + (step - 1) * WIDE
        owners = [0] * held[0] + [1] * held[1]
        for place in range(POOL):
            if place < len(owners):
                page.box(x, 78 + place * HIGH, WIDE - 8, HIGH - 3, COLORS[owners[place]], "AB"[owners[place]])
            else:
                page.boxes([(x, 78 + place * HIGH)], WIDE - 8, HIGH - 3, "white", scheme.FAINT)
        page.text(x + 32, 226, f"step {step}", size=11, anchor="middle")
        page.text(x + 32, 244, f"A {FED[step - 1][0]}, B {FED[step - 1][1]}", size=10, anchor="middle")
    page.text(16, 244, "tokens fed", size=11)
    page.text(LEFT + 3 * WIDE, 62, SHOWS[0], scheme.GLOBAL, size=11)
    page.text(LEFT + 7 * WIDE - 60, 62, SHOWS[1], scheme.GLOBAL, size=11)
    page.text(16, 284, "In step 4 B would need a third page, and none is free. B came last, so it gives up its own. When A has ended, B's", size=11)
    page.text(16, 302, "prompt of 6 and the 3 tokens that it had written are fed once more, in one step, and B goes on with its fourth token.", size=11)
    page.text(16, 320, f"It was fed {COMPUTED[1]} tokens where {COMPUTED[1] - 8} would have done; its text is the same.", size=11)
    return page
