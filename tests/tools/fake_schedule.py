"""A schedule as `step07_serving record` writes it, of four requests in six pages of four slots: for the tests of its page.

    request 0   prompt of 8 in two pieces, then decoding; two guesses in step 3, one of them right
    request 1   the same prompt: 7 tokens from the index, of which the second page is copied; cancelled in step 9
    request 2   preempted in step 5, fed again from step 7 on, when pages of the index have been evicted
    request 3   waits, and is cancelled before it ever runs
"""
from __future__ import annotations

import copy
import json

PAGES, SLOTS = 6, 4


def request(number: int, arrival: int, prompt: int, outcome: str, cached: int, written: int, scope: str) -> dict:
    return {"number": number, "arrival_step": arrival, "prompt_tokens": prompt, "max_tokens": 8, "scope": scope, "outcome": outcome,
            "cached": cached, "written": written}


def part(request: int, fed: int, written: int, drafted: int = 0, accepted: int = 0) -> dict:
    return {"request": request, "fed": fed, "wanted": 1 + drafted if written else 0, "drafted": drafted, "accepted": accepted, "written": written}


def event(kind: str, request: int = 0, count: int = 0) -> dict:
    return {"kind": kind, "request": request, "count": count}


# events, parts, tables, pages of the index; copied pages are in COPIED
STEPS = (
    ([event("added", 0), event("admitted", 0)], [part(0, 4, 0)], {0: [0]}, []),
    ([], [part(0, 4, 1)], {0: [0, 1]}, [0, 1]),
    ([event("added", 1), event("added", 2), event("admitted", 1, 7)], [part(0, 1, 1), part(1, 1, 1)], {0: [0, 1, 2], 1: [0, 3]}, [0, 1]),
    ([event("admitted", 2)], [part(0, 3, 2, 2, 1), part(1, 1, 1), part(2, 4, 0)], {0: [0, 1, 2], 1: [0, 3, 4], 2: [5]}, [0, 1]),
    ([], [part(0, 1, 1), part(1, 1, 1)], {0: [0, 1, 2], 1: [0, 3, 4], 2: [5]}, [0, 1]),
    ([event("preempted", 2)], [part(0, 1, 1), part(1, 1, 1)], {0: [0, 1, 2, 5], 1: [0, 3, 4]}, [0, 1]),
    ([event("ended", 0)], [part(0, 1, 1), part(1, 1, 1)], {1: [0, 3, 4]}, [0, 1, 2]),
    ([event("resumed", 2), event("evicted", 0, 1)], [part(2, 8, 0)], {1: [0, 3, 4], 2: [5, 2]}, [0, 1]),
    ([event("evicted", 0, 1)], [part(2, 1, 1)], {1: [0, 3, 4], 2: [5, 2, 1]}, [0]),
    ([event("cancelled", 1), event("added", 3)], [part(2, 1, 1)], {2: [5, 2, 1]}, [0]),
    ([event("cancelled", 3), event("ended", 2)], [part(2, 1, 1)], {}, [0]),
)
COPIED = {2: 1}
# What a request does in each step: p(refill), d(ecode), a(gain), i(dle), w(aiting), P(reempted), none or over: a dot.
STATES = ("ppddddd....", "..pddddii..", "..wpiPPapdd", ".........w.")
NAMES = {"p": "prefill", "d": "decode", "a": "again", "i": "idle", "w": "waiting", "P": "preempted"}


def fake_schedule(model: str = "kvlab-tiny", scope: str = "", more_steps: int = 0, more_pages: int = 0) -> dict:
    """`more_steps`: as many follow, in which a fifth request decodes, for pages that are wide. `more_pages` stay free."""
    requests = [request(0, 0, 8, "length", 0, 7, scope), request(1, 2, 8, "cancelled", 7, 5, scope), request(2, 2, 9, "end_token", 0, 3, "b"),
                request(3, 9, 5, "cancelled", 0, 0, scope)]
    steps = [{"step": number, "seconds": 0.001 * (1 + len(parts)), "parts": parts, "events": events,
              "tables": {str(owner): pages for owner, pages in tables.items()}, "indexed": indexed, "copied": COPIED.get(number, 0)}
             for number, (events, parts, tables, indexed) in enumerate(copy.deepcopy(STEPS))]
    pages = PAGES + more_pages
    for i in range(more_steps):
        held = 1 + i
        pages = max(pages, 1 + -(-held // SLOTS))
        steps.append({"step": len(steps), "seconds": 0.001, "parts": [part(4, 1, 1)], "events": [event("added", 4), event("admitted", 4)] if i == 0 else [],
                      "tables": {"4": list(range(1, 1 + -(-held // SLOTS)))}, "indexed": [0], "copied": 0})
    if more_steps:
        requests.append(request(4, len(STEPS), 1, "running", 0, more_steps, scope))
    return {"schema": 1, "experiment": "step07_serving record", "compiler": "GNU 12.2.0", "flags": "", "processor": "A made-up processor", "seed": 42,
            "model": model, "engine": "cpu avx512, 1 thread", "page_slots": SLOTS, "pages": pages, "requests": requests, "steps": steps}


def text(schedule: dict) -> str:
    return json.dumps(schedule)


def owners(schedule: dict, step: int, page: int) -> list[int]:
    """The requests that have the page in their tables after the step, and -1 for the index."""
    now = schedule["steps"][step]
    return [int(name) for name, pages in now["tables"].items() if page in pages] + ([-1] if page in now["indexed"] else [])
