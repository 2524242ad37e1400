#!/usr/bin/env python3
"""Rows of chapter 4's published counts and estimates, for a text that needs a few of them.

    ladder_rows.py counts OPERATION RUNG...      of step04_cuda/results/ladders.txt
    ladder_rows.py estimate OPERATION RUNG...    of step04_cuda/results/estimate.txt, an A100
    ladder_rows.py --self-test

An operation is named as the files do, up to the colon, with _ for a space: product_of_one_row. Both files are outputs that
tools/experiments.sh publishes. Standard library only.
"""
import sys
from pathlib import Path

RESULTS = Path(__file__).resolve().parents[2] / "step04_cuda" / "results"
# Which words of a row, and what stands above them.
COLUMNS = {"counts": ("ladders.txt", (1, 2, 3, 4, 5, 6), ("launches", "sectors", "of least", "bank conflicts", "barriers", "fma")),
           "estimate": ("estimate.txt", (1, 3, 4, 5, 6, 8, 9, 10, 11),
                        ("busy SM", "DRAM", "sectors", "shared", "fma", "latency", "gaps", "limit", "estimate, µs"))}


def grouped(word: str) -> str:
    return f"{int(word):,}".replace(",", " ") if word.isdigit() and len(word) > 4 else word


def rows(text: str, operation: str, rungs: list[str], columns: tuple[int, ...]) -> list[str]:
    lines = text.splitlines()
    begin = next((i for i, line in enumerate(lines) if line.startswith(operation + ":")), None)
    if begin is None:
        raise SystemExit(f"ladder_rows.py: no operation '{operation}'")
    end = next((i for i in range(begin, len(lines)) if not lines[i].strip()), len(lines))
    found = {words[0]: words for line in lines[begin + 2:end] if (words := line.split())}
    missing = [rung for rung in rungs if rung not in found]
    if missing:
        raise SystemExit(f"ladder_rows.py: '{operation}' has no rung {', '.join(missing)}")
    return [" | ".join([f"| {rung}", *(grouped(found[rung][column]) for column in columns)]) + " |" for rung in rungs]


def self_test() -> int:
    text = "x\none row: a\n  kernel  n sectors\n  naive  1  38024\n  split  2  5768\n\ntwo: b\n  kernel n\n  wide 3 1\n"
    assert rows(text, "one row", ["split", "naive"], (1, 2)) == ["| split | 2 | 5768 |", "| naive | 1 | 38 024 |"]
    for operation, rung in (("none", "naive"), ("one row", "wide")):
        try:
            rows(text, operation, [rung], (1,))
        except SystemExit:
            continue
        raise AssertionError(f"{operation}, {rung}")
    print("self-test passed")
    return 0


def main() -> int:
    if sys.argv[1:] == ["--self-test"]:
        return self_test()
    if len(sys.argv) < 4 or sys.argv[1] not in COLUMNS:
        raise SystemExit(__doc__)
    name, columns, heads = COLUMNS[sys.argv[1]]
    print("| kernel | " + " | ".join(heads) + " |")
    print("|---" * (len(heads) + 1) + "|")
    print("\n".join(rows((RESULTS / name).read_text(encoding="utf-8"), sys.argv[2].replace("_", " "), sys.argv[3:], columns)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
