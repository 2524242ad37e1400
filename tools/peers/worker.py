"""What every peer's process shares: it takes one race as a line of JSON, warms up, and then runs a round for each
line that comes in. `step03_kvcache speed --wait` does the same for this project's engine, `step06_quant kv-speed --wait` for its
quantised caches, and `step07_serving serve-speed --wait` for its scheduler.

A race: {"model": path, "kind": "prefill", "decode" or "serve", "tokens": n (of "serve": requests), "context": n, "batch": n
(clients), "all_logits": bool, "threads": n, "seconds": s, "warm_up": n}, and whatever a peer wants to know besides.
"""
from __future__ import annotations

import json
import os
import sys
from typing import Callable, Protocol


class Race(Protocol):
    tokens: int  # that one pass moves
    chosen: list[int]  # the most likely tokens, of the last pass and its first sequence
    about: dict  # what the reader of the table has to know

    def seconds(self) -> float:
        """One pass; only the forward passes and the argmax are timed."""
        ...


def text_of(sequence: int, length: int, vocab: int) -> list[int]:
    """The same numbers as in step03_kvcache/include/kvlab/kvcache/decode_pass.hpp: both engines read the same text."""
    return [(7919 * i + 104729 * sequence + 1) % vocab for i in range(length)]


LONGEST_REQUEST = 192  # tokens, of all that raced_request() gives


def raced_request(i: int) -> tuple[int, int]:
    """Tokens of prompt and answer of request i, as in step07_serving/app/experiments/serve_speed.cpp."""
    return 16 + 37 * i % 113, 8 + 29 * i % 57


def round_rate(race: Race, at_least: float) -> float:
    """Tokens per second over as many passes as fill the time."""
    seconds, tokens = 0.0, 0
    while tokens == 0 or seconds < at_least:
        seconds += race.seconds()
        tokens += race.tokens
    return tokens / seconds


def serve(make: Callable[[dict], Race]) -> None:
    """Runs the protocol until standard input ends."""
    # Libraries print to standard output as they please: what they say goes to standard error.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def say(answer: dict) -> None:
        print(json.dumps(answer), file=answers, flush=True)

    try:
        task = json.loads(sys.stdin.readline())
        race = make(task)
        for _ in range(task["warm_up"]):
            round_rate(race, task["seconds"])
        say({"ready": True, "about": race.about})
        for _ in sys.stdin:
            say({"tokens_per_second": round_rate(race, task["seconds"]), "chosen": race.chosen[:32]})
    except Exception as problem:  # one line, for the table
        say({"error": f"{type(problem).__name__}: {problem}".splitlines()[0]})
        sys.exit(1)
