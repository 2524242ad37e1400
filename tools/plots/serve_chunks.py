"""What a long prompt does to a text that is being written: fed whole, and in chunks."""
from __future__ import annotations

from . import scheme

NEEDS = ()
CHAPTER = "step07_serving"
BUDGET = 8
REQUESTS = [("A", 3, 6, 1), ("B", 13, 3, 3), ("C", 2, 3, 3)]  # name, prompt, tokens that it writes, the step that it comes before
COLORS = {"A": scheme.THREADS, "B": scheme.GLOBAL, "C": scheme.SHARED}


def share_out(unseen: list[int], chunked: bool) -> list[int]:
    """As the program's: first one token for each that writes, then prompts in their order."""
    shares, left, first = [0] * len(unseen), BUDGET, True
    for i, tokens in enumerate(unseen):
        if tokens == 1 and left > 0:
            shares[i], left = 1, left - 1
    for i, tokens in enumerate(unseen):
        if tokens > 1:
            shares[i] = min(tokens, left) if chunked else tokens if first or tokens <= left else 0
            left, first = max(0, left - shares[i]), False
    return shares


def run(chunked: bool) -> list[list[int]]:
    """[steps][requests]: tokens fed."""
    seen, written, rows = [0] * 3, [0] * 3, []
    while any(w < writes for w, (_, _, writes, _) in zip(written, REQUESTS)):
        here = [i for i, (_, _, writes, since) in enumerate(REQUESTS) if since <= len(rows) + 1 and written[i] < writes]
        unseen = [REQUESTS[i][1] + written[i] - seen[i] for i in here]
        row = [0] * 3
        for i, tokens, share in zip(here, unseen, share_out(unseen, chunked)):
            row[i], seen[i] = share, seen[i] + share
            written[i] += share == tokens
        rows.append(row)
    return rows


def printed(chunked: bool) -> list[str]:
    rows = run(chunked)
    lines = [f"  {'in chunks' if chunked else 'whole'}:"]
    for i, (name, *_) in enumerate(REQUESTS):
        lines.append(f"    {name}     " + "".join("  ." if not row[i] else f" {row[i]:2}" for row in rows))
    return lines + ["    in all" + "".join(f" {sum(row):2}" for row in rows)]


def longest(chunked: bool) -> int:
    """The most tokens in a step in which A writes, after its prompt."""
    return max(sum(row) for row in run(chunked)[1:] if row[0])


BY_HAND = printed(False) + printed(True)
SHOWS = [f"A waits for a step of {longest(False)} tokens", f"A waits for steps of at most {longest(True)}"]
LEFT, TOKEN = 110, 21


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(330, "A writes, and a prompt of 13 comes: the width of a box is the number of its tokens")
    for which, chunked in enumerate((False, True)):
        y, x = 62 + which * 112, LEFT
        page.text(16, y + 32, "in chunks" if chunked else "whole", bold=True)
        for step, row in enumerate(run(chunked)):
            page.text(x, y - 6, str(step + 1), scheme.GREY, size=10)
            for i, tokens in enumerate(row):
                if tokens:
                    page.box(x, y, tokens * TOKEN - 2, 40, COLORS[REQUESTS[i][0]], REQUESTS[i][0])
                    x += tokens * TOKEN
            page.lines([(x + 2, y - 8, x + 2, y + 48)], scheme.GREY)
            x += 7
        page.text(LEFT, y + 64, SHOWS[which], size=11)
    page.text(16, 286, "A line ends a step, and only then do its texts get their tokens. Whole, the prompt makes step 3 long, and A's reader", size=11)
    page.text(16, 304, "waits. In chunks no step is longer than the budget of 8. The price: B's first token comes after 20 units instead", size=11)
    page.text(16, 322, "of 18, C's after 23 instead of 22, and every chunk reads all weights again.", size=11)
    return page
