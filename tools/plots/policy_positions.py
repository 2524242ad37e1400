"""Where a token is when others are gone: the angles of four keys and a query, absolute and relative."""
from __future__ import annotations

from . import policy_grid, scheme

NEEDS = ()
CHAPTER = "step05_policies"
HELD = policy_grid.run(policy_grid.sinks)[-1]  # of twelve tokens: a sink and the last three
LEFT, WIDE = 150, 46


def ranks() -> list[int]:
    return list(range(len(HELD)))


SHOWS = ["positions: 0, 9, 10, 11, and 12 for the query", "ranks: 0, 1, 2, 3, and 4 for the query"]


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(330, "A sink and the last three tokens of twelve: where does RoPE think they are?")
    last = HELD[-1] + 1

    def row(y: float, name: str, words: str, places: list[int], query: int) -> None:
        page.text(16, y + 22, name, bold=True)
        page.boxes([(LEFT + p * WIDE, y) for p in range(last + 1)], WIDE - 6, 36, "white", scheme.FAINT)
        for token, place in zip(HELD, places):
            page.box(LEFT + place * WIDE, y, WIDE - 6, 36, scheme.THREADS, str(token))
        page.box(LEFT + query * WIDE, y, WIDE - 6, 36, scheme.SHARED, "q")
        page.text(LEFT, y + 56, words, size=11)

    for p in range(last + 1):
        page.text(LEFT + p * WIDE + 20, 60, str(p), size=11, anchor="middle")
    page.text(16, 60, "angle of place", size=11)
    row(70, "absolute", SHOWS[0], HELD, last)
    row(160, "relative", SHOWS[1], ranks(), len(HELD))
    page.text(16, 256, "In a box: the token of the text; q is the next token's query. Absolute angles keep the gap between 0 and 9, and", size=11)
    page.text(16, 274, "grow with the text. Relative ones close it: the last three are as far from the query as before, the sink is nearer.", size=11)
    page.text(16, 300, "With a budget of four no relative angle ever exceeds 4 places, however long the text.", size=11)
    return page
