#!/usr/bin/env python3
"""What a run on a GPU was to reach, and whether it did, from the report that check.sh leaves.

    goals.py [--add] REPORT     prints a table; --add: also writes it into the report, as "goals"
    goals.py --chapter          the table of chapter 4, of the report that is committed there, step04_cuda/results/gpu.json; while
                                there is none, nothing is measured

The goals are those for an H100; on another GPU the shares and ratios mean the same, the tokens a second do not. A goal whose figures the
report lacks is "not measured"; so are all of a report of the executor. Standard library only. Exit code 0: the table is there, whatever
it says. 2: no report of check.sh.
"""
from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

LARGE = ("R1 N4096 K4096 F32", "R1 N22016 K4096 F32", "R1 N22016 K4096 F16")
FILLING = "T1 slots8192 heads32/32x128"  # attention that reads more than any cache holds
COMMITTED = Path(__file__).resolve().parent.parent.parent / "step04_cuda" / "results" / "gpu.json"
CONTEXT = 512  # tokens before those of SmolLM2 that are timed


class Wrong(Exception):
    """One line for the reader."""


class Figures:
    """The best rungs and ways of a report, and PyTorch's rows; None for what is not there."""

    def __init__(self, report: dict):
        on_gpu = report.get("device") == "gpu"
        of = lambda part, rows: ((report.get(part) or {}).get(rows) or []) if on_gpu else []
        self.rungs, self.tokens = of("bench", "rungs"), of("tokens", "tokens")
        self.pytorch = (report.get("pytorch") or []) if on_gpu else []

    @staticmethod
    def _right(row: dict) -> bool:
        """A rung with other bits reached nothing."""
        return row.get("same_bits", True) is True

    def best(self, op: str, shape: str) -> dict | None:
        rows = [row for row in self.rungs if (row["op"], row["shape"]) == (op, shape) and self._right(row)]
        return min(rows, key=lambda row: row["us"]["median"], default=None)

    def share(self, op: str, shape: str) -> float | None:
        row = self.best(op, shape)
        return row and row.get("share_of_read")

    def peer(self, op: str, shape: str) -> float | None:
        """How many times faster than PyTorch."""
        ours, theirs = self.best(op, shape), [row["us"]["median"] for row in self.pytorch if (row["op"], row["shape"]) == (op, shape)]
        return min(theirs) / ours["us"]["median"] if ours and theirs else None

    def decode(self, model: str, context: int) -> dict | None:
        if any(row["model"] == model and not self._right(row) for row in self.tokens):
            return None
        rows = [row for row in self.tokens if (row["op"], row["model"], row.get("context"), row.get("batch")) == ("decode", model, context, 1)]
        return max(rows, key=lambda row: row["tokens_per_s"], default=None)

    def per_second(self, model: str, context: int) -> float | None:
        row = self.decode(model, context)
        return row and row["tokens_per_s"]

    def graph(self, shape: str) -> float | None:
        """Tokens a second of PyTorch's fastest replay of a whole token."""
        times = [row["warm_us"]["median"] for row in self.pytorch if (row["op"], row["shape"]) == ("token", shape) and "warm_us" in row]
        return 1e6 / min(times) if times else None


def ratio(above: float | None, below: float | None) -> float | None:
    return above / below if above is not None and below else None


def goals(report: dict) -> list[dict]:
    f = Figures(report)
    smollm2, shape = f.decode("smollm2 F32", CONTEXT), f"past{CONTEXT} F32"
    ours = smollm2 and smollm2["tokens_per_s"]
    table = [(f"linear {large}: share of our read kernel", 0.85, f.share("linear", large)) for large in LARGE]
    table += [(f"attention {FILLING}: share of our read kernel", 0.85, f.share("attention", FILLING))]
    table += [(f"linear {large}: times cuBLAS's speed", 1.0, f.peer("linear", large)) for large in LARGE[:2]]
    table += [(f"attention {slots}: times SDPA's speed", 1.0, f.peer("attention", slots)) for slots in ("T1 slots8192", FILLING)]
    table += [
        (f"smollm2 F32, one sequence after {CONTEXT}: tokens a second", 3000, ours),
        ("the same: share of our read kernel", 0.5, smollm2 and smollm2.get("share_of_read")),
        ("the same: times PyTorch's, from a CUDA graph", 2.0, ratio(ours, f.graph(shape))),
        ("smollm2 Q8_0: times F32's tokens a second", 1.5, ratio(f.per_second("smollm2 Q8_0", CONTEXT), ours)),
        ("tiny, one sequence: tokens a second", 20000, f.per_second("tiny", 0)),
    ]
    table += [(f"linear {wide}: times cuBLAS's speed", 0.6, f.peer("linear", wide)) for wide in ("R512 N3072 K576 F32", "R512 N4096 K4096 F32")]
    return [{"goal": goal, "at_least": least, "measured": found, "reached": None if found is None else found >= least} for goal, least, found in table]


def number(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.0f}" if value >= 100 else f"{value:.3f}"


def lines(table: list[dict]) -> list[str]:
    width = max(len(row["goal"]) for row in table)
    said = {None: "-", True: "yes", False: "no"}
    return [f"{'goal':{width}} {'at least':>9} {'measured':>13}  reached"] + [
        f"{row['goal']:{width}} {number(row['at_least']):>9} {number(row['measured']):>13}  {said[row['reached']]}" for row in table]


def chapter_lines(table: list[dict], report: dict) -> list[str]:
    """As Markdown."""
    said = {None: "", True: "yes", False: "no"}
    device = ((report.get("bench") or {}).get("device")) or "not measured yet"
    return [f"| goal, for an H100 | at least | {device} | reached |", "|---|---|---|---|"] + [
        f"| {row['goal']} | {number(row['at_least'])} | {'' if row['measured'] is None else number(row['measured'])} | {said[row['reached']]} |" for row in table]


def load(path: Path) -> dict:
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as problem:
        raise Wrong(f"{path}: {problem}") from None
    found = report.get("experiment") if isinstance(report, dict) else None
    if found != "tools/gpu.sh" or report.get("schema") != 1:
        raise Wrong(f"{path}: expected a report of tools/gpu.sh, schema 1; found " + (f"that of '{found}'" if found else "none of an experiment"))
    return report


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", type=Path, nargs="?", metavar="REPORT")
    parser.add_argument("--add", action="store_true")
    parser.add_argument("--chapter", action="store_true")
    options = parser.parse_args()
    if options.chapter == bool(options.report):
        parser.error("which report? one, or --chapter")
    path = options.report or COMMITTED
    try:
        report = load(path) if options.report or path.exists() else {}
        table = goals(report)
    except Wrong as wrong:
        print(f"goals: {wrong}", file=sys.stderr)
        return 2
    except (KeyError, TypeError, AttributeError) as problem:
        print(f"goals: {path}: a row of another version: {type(problem).__name__}: {problem}", file=sys.stderr)
        return 2
    print("\n".join(chapter_lines(table, report) if options.chapter else lines(table)))
    if options.add:
        report["goals"] = table
        options.report.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
