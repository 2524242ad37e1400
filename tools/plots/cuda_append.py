"""Task 4.1's layout: where a step's rows of keys go in the cache of chapter 4."""
from __future__ import annotations

from . import scheme

NEEDS = ()
CHAPTER = "step04_cuda"
KV_HEADS, D, CAPACITY, FIRST = 2, 3, 4, 1
NUMBER = 4  # of token 0's row


def place(number: int, token: int) -> int:
    """The float of keys [Hkv, capacity, D] to which this number of a token's row goes."""
    head, component = divmod(number, D)
    return (head * CAPACITY + FIRST + token) * D + component


SHOWS = [f"float {place(NUMBER, 0)}", "slot 1"]


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(292, f"Two KV heads of {D} numbers, room for {CAPACITY} slots; the step's first token has slot {FIRST}")
    cell, left = 30, 50
    page.text(16, 62, "token 0's row of k", scheme.THREADS, bold=True)
    x0 = 200
    for i in range(KV_HEADS * D):
        page.box(x0 + i * cell, 46, cell - 3, 28, scheme.THREADS, f"{i}")
        if i % D == 0:
            page.text(x0 + i * cell, 40, f"head {i // D}", size=11)
    page.text(16, 232, "keys", scheme.GLOBAL, bold=True)
    for h in range(KV_HEADS):
        for s in range(CAPACITY):
            for i in range(D):
                index = (h * CAPACITY + s) * D + i
                x = left + index * cell
                mine = s == FIRST
                page.box(x, 212, cell - 3, 28, scheme.GLOBAL if mine else scheme.FAINT, f"{index}")
                if i == 0:
                    page.text(x, 206, f"slot {s}", size=11)
        page.text(left + h * CAPACITY * D * cell, 188, f"head {h}", bold=True, size=11)
    for i in range(KV_HEADS * D):
        page.arrows([(x0 + i * cell + 13, 76, left + place(i, 0) * cell + 13, 192 if i % D else 192)], scheme.GLOBAL)
    page.text(16, 274, f"Number {NUMBER} is component {NUMBER % D} of head {NUMBER // D}: ({NUMBER // D} · {CAPACITY} + {FIRST}) · {D} + {NUMBER % D} =")
    page.text(420, 274, f"float {place(NUMBER, 0)}", bold=True)
    return page
