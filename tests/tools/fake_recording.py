"""Writes recordings as `step05_policies record` does, of two layers with two KV heads: for the tests of the policies' page."""
from __future__ import annotations

from fake_trace import text  # noqa: F401: the same lines of JSON

CLASSES = ["evicted", "kept", "sink", "recent", "heavy", "merged"]
CONFIG = {"layers": 2, "heads": 4, "kv_heads": 2, "head_dim": 16}
PIECES = tuple("\0ab=7;the long way home ab?7")
NEEDLE, QUESTION, WHOLE, WINDOW = [1, 2, 3, 4], [24, 25, 26], 10, 8


def class_of(policy: str, place: int, position: int, end: int) -> int:
    """`window` keeps the last tokens, and place 3 of it one more; `heavy` also those whose position is 1 + a multiple of 3."""
    if policy == "full":
        return 1
    if position >= end - WINDOW - (place == 3 and policy == "window"):
        return 3
    return 4 if policy == "heavy" and position % 3 == 1 else 0


def step_line(policy: str, step: int, before: list, pieces: tuple, whole: int) -> dict:
    end = whole + step
    changes = []
    for place, now in enumerate(before):
        for position in range(end):
            new = class_of(policy, place, position, end)
            if position == len(now):
                now.append(None)
            if now[position] == new:
                continue
            now[position] = new
            if changes and changes[-1][0] == place and changes[-1][2] == position - 1 and changes[-1][3] == new:
                changes[-1][2] = position
            else:
                changes.append([place, position, position, new])
    right = policy == "full" or end < len(pieces) - 1
    return {"policy": policy, "step": step, "likeliest": pieces[end] if right else "x", "right": right, "bits": 0.5 + step,
            "bytes": 132 * sum(c != 0 for now in before for c in now), "held": [sum(c != 0 for c in now) for now in before],
            "changes": changes}


def fake_recording(policies: tuple = ("full", "window", "heavy"), recall: bool = True, pieces: tuple = PIECES, whole: int = WHOLE,
                   model: str = "tiny") -> list[dict]:
    lines = [{"kvlab_policies": 1, "model": model, "engine": "cpu avx512, 1 thread", "config": CONFIG, "pieces": list(pieces),
              "whole": whole, "recall": {"distance": 22, "needle": NEEDLE, "question": QUESTION} if recall else None,
              "budget": WINDOW, "ratio": 0.0, "seed": 42, "classes": CLASSES,
              "policies": [{"name": name, "idea": f"the idea of {name}", "paper": "Somebody 2020"} for name in policies]}]
    for policy in policies:
        before = [[] for _ in range(4)]
        lines += [step_line(policy, step, before, pieces, whole) for step in range(len(pieces) - whole)]
    return lines
