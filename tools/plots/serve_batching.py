"""Four requests, two at a time: one by one, in static batches, and continuously."""
from __future__ import annotations

from . import scheme
from .style import PURPLE

NEEDS = ()
CHAPTER = "step07_serving"
WRITES, PROMPT, RUNNING = (6, 2, 2, 2), 1, 2
COLORS = (scheme.THREADS, scheme.GLOBAL, scheme.SHARED, PURPLE)
KINDS = ("one by one", "static", "continuous")


def fed(kind: str) -> list[list[int]]:
    """[steps][requests]: a prompt of one token, then one token for each further one that is written."""
    left, waiting, running, rows = list(WRITES), list(range(len(WRITES))), [], []
    started: set[int] = set()
    while waiting or running:
        if kind == "continuous" or not running:
            while waiting and len(running) < (1 if kind == "one by one" else RUNNING):
                running.append(waiting.pop(0))
        row = [0] * len(WRITES)
        for request in running:
            row[request] = 1 if request in started else PROMPT
            started.add(request)
            left[request] -= 1
        rows.append(row)
        # A static batch keeps its places until its last text has ended.
        if kind != "static" or all(left[request] <= 0 for request in running):
            running = [request for request in running if left[request] > 0]
    return rows


def padding(kind: str) -> int:
    """Tokens that are fed for texts that have ended."""
    rows = fed(kind)
    return sum(map(sum, rows)) - sum(PROMPT + writes - 1 for writes in WRITES)


def printed(kind: str) -> list[str]:
    rows = fed(kind)
    lines = [f"  {kind}: {len(rows)} steps, {sum(WRITES)} tokens written, {padding(kind)} fed as padding"]
    for request in range(len(WRITES)):
        lines.append(f"    {'ABCD'[request]}     " + "".join("  ." if row[request] == 0 else f" {row[request]:2}" for row in rows))
    return lines + ["    in all" + "".join(f" {sum(row):2}" for row in rows)]


BY_HAND = [line for kind in KINDS for line in printed(kind)]
SHOWS = [f"{len(fed(kind))} steps" for kind in KINDS]
LEFT, WIDE = 110, 48


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(386, "Four requests that write 6, 2, 2 and 2 tokens, at most two at a time")
    y = 46
    for kind in KINDS:
        page.text(16, y + 20, kind, bold=True)
        done = [0] * len(WRITES)
        lanes: list[int | None] = [None, None]
        rows = fed(kind)
        for step, row in enumerate(rows):
            for request in range(len(WRITES)):
                if row[request] and request not in lanes:
                    lanes[next(i for i, one in enumerate(lanes) if one is None or not row[one])] = request
            for lane, request in enumerate(lanes):
                if request is None or not row[request]:
                    continue
                done[request] += 1
                ended = done[request] > WRITES[request]
                page.boxes([(LEFT + step * WIDE, y + lane * 38)], WIDE - 4, 32, "white" if ended else scheme.PALE.get(COLORS[request], "#f5e3ec"), COLORS[request])
                page.text(LEFT + step * WIDE + WIDE / 2 - 2, y + lane * 38 + 20, "-" if ended else "ABCD"[request] + str(done[request]), size=11, anchor="middle")
        page.text(LEFT + len(rows) * WIDE + 8, y + 20, f"{len(rows)} steps", size=11)
        y += 60 if kind == "one by one" else 102
    page.lines([(LEFT, y, LEFT + 12 * WIDE, y)])
    for step in range(12):
        page.text(LEFT + step * WIDE + WIDE / 2 - 2, y + 18, str(step + 1), size=11, anchor="middle")
    page.text(16, y + 18, "step", size=11)
    page.text(16, y + 48, "A3: the third token of A. A dash: the batch carries a text that has ended. A step of two rows takes hardly longer than", size=11)
    page.text(16, y + 66, "one of a single row, as both read the same weights. So half of the steps is nearly twice the speed.", size=11)
    return page
