#!/usr/bin/env python3
"""The README's comparison of policies: the rows of step05_policies/results/policy_quality_smollm2.json at a quarter of
the text, as a Markdown table. Standard library only."""
import json
import pathlib

from reports.spreads import shown

RESULT = pathlib.Path(__file__).resolve().parents[2] / "step05_policies/results/policy_quality_smollm2.json"
PART = 4


def rows(report: dict) -> list[list[str]]:
    """[policy, tokens at the end, bytes, bits per byte, mean KL, windows below the baseline, same token] of the budget's block."""
    block = next(block for block in report["budgets"] if block["part"] == PART)
    found = []
    for row in block["equal_tokens"]:
        below = f"{row['windows_below_baseline']} of {report['windows']}" if "windows_below_baseline" in row else ""
        found.append([row["policy"], f"{row['kept_at_end']:.1f}", f"{row['bytes_held']:,}".replace(",", " "), f"{row['bits_per_byte']:.4g}",
                      shown(row["window_kl"]), below, f"{100 * row['agreement']:.2f}%"])
    return found


def main() -> None:
    report = json.loads(RESULT.read_text(encoding="utf-8"))
    print(f"| policy | tokens held at the end | bytes | bits per byte | KL to the full cache, bits | below {report['baseline']} | same next token |")
    print("|---|---|---|---|---|---|---|")
    for row in rows(report):
        print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()
