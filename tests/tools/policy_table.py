#!/usr/bin/env python3
"""The README's comparison of policies: the rows of step05_policies/results/policy_quality_smollm2.txt at a quarter of
the text, as a Markdown table. Standard library only."""
import pathlib
import re

RESULT = pathlib.Path(__file__).resolve().parents[2] / "step05_policies/results/policy_quality_smollm2.txt"
BUDGET = "budget: 1/4 of the text, "


def rows(text: str) -> list[list[str]]:
    """[policy, tokens at the end, bytes, bits per byte, mean KL, same token] of the block with this budget."""
    block = text.split("\n" + BUDGET, 1)[1].split("\n\n", 1)[0]
    found = []
    for line in block.splitlines()[2:]:
        # Beside a mean over seeds stands how far they are apart.
        policy, _, held, held_bytes, bits, kl, _, _, same = re.sub(r" \+[0-9.e-]+", "", line).split()[:9]
        found.append([policy, held, f"{int(held_bytes):,}".replace(",", " "), bits, kl, same])
    return found


def main() -> None:
    print("| policy | tokens held at the end | bytes | bits per byte | KL to the full cache, bits | same next token |")
    print("|---|---|---|---|---|---|")
    for row in rows(RESULT.read_text()):
        print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()
