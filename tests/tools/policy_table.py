#!/usr/bin/env python3
"""The book's comparison of policies: rows of step05_policies/results/policy_quality_smollm2.json at a quarter of the text, as a Markdown
table.

    policy_table.py budget    those that hold at the window's end what the budget allows
    policy_table.py more      those that hold more: they compress only the prompt, some heads or some layers
    policy_table.py all       those that hold every token: the full cache, what reads a part of it, what merges layers

`below` compares windows with the baseline, which holds the budget: `more` has no such column. Standard library only."""
import json
import pathlib
import sys

from reports.spreads import shown

RESULT = pathlib.Path(__file__).resolve().parents[2] / "step05_policies/results/policy_quality_smollm2.json"
PART, FULL = 4, "full"
KINDS = ("budget", "more", "all")


def kind_of(row: dict, budget: int, window: int) -> str:
    held = row["kept_at_end"]
    return "budget" if held <= budget else "all" if held >= window else "more"


def rows(report: dict, kind: str) -> list[list[str]]:
    """[policy, tokens at the end, bytes, bits per byte, mean KL, (windows below the baseline,) same token] of the budget's block."""
    block = next(block for block in report["budgets"] if block["part"] == PART)
    found = []
    for row in block["equal_tokens"]:
        if kind_of(row, block["budget"], report["window"]) != kind:
            continue
        compared = "windows_below_baseline" in row and row["policy"] != FULL
        below = [f"{row['windows_below_baseline']} of {report['windows']}" if compared else ""] if kind != "more" else []
        found.append([row["policy"], f"{row['kept_at_end']:.1f}", f"{row['bytes_held']:,}".replace(",", " "), f"{row['bits_per_byte']:.4g}",
                      shown(row["window_kl"]), *below, f"{100 * row['agreement']:.2f}%"])
    return found


def main() -> None:
    if len(sys.argv) != 2 or sys.argv[1] not in KINDS:
        sys.exit(f"usage: policy_table.py {'|'.join(KINDS)}")
    report = json.loads(RESULT.read_text(encoding="utf-8"))
    below = [f"below {report['baseline']}"] if sys.argv[1] != "more" else []
    head = ["policy", "tokens held at the end", "bytes", "bits per byte", "KL to the full cache, bits", *below, "same next token"]
    print("| " + " | ".join(head) + " |")
    print("|---" * len(head) + "|")
    for row in rows(report, sys.argv[1]):
        print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()
