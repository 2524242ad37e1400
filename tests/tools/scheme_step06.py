"""Whether the schemes of chapter 6 show the numbers of its worked examples: those that `step06_quant by-hand` prints in the text,
where tests/tools/snippets.py compares them with the program."""
from __future__ import annotations

import importlib
import re
from pathlib import Path

CHAPTER = Path("step06_quant")


def example(root: Path, name: str) -> list[str]:
    """What the program prints of one example, as the chapter quotes it."""
    text = (root / CHAPTER / "README.md").read_text(encoding="utf-8")
    return text.split(f"<!-- output: step06_quant by-hand {name} -->\n```\n")[1].split("\n```")[0].splitlines()


def numbers(line: str) -> list[float]:
    return [float(found) for found in re.findall(r"-?\d+(?:\.\d+)?", line)]


def check(root: Path) -> list[str]:
    bits, group, gptq, turn, smooth, keys, sharing = (importlib.import_module(f"plots.quant_{name}") for name in ("bits", "group", "gptq", "rotation", "smoothing", "directions", "sharing"))
    cases = []
    # Two steps are in the head of the first example's table; the third is of the values beside 40.
    steps = numbers(example(root, "group")[0])
    cases.append(("steps of the groups", steps, [4, group.grid(group.VALUES, 4)[1], 2, group.grid(group.VALUES, 2)[1], 4, 40, group.grid(group.LARGE, 4)[1]]))
    lines = example(root, "gptq")
    cases.append(("H", [numbers(line) for line in lines[:3]], gptq.gram()))
    cases.append(("the inverse of H", [numbers(line) for line in lines[3:6]], [[round(x, 9) + 0.0 for x in row] for row in gptq.inverse(gptq.gram())]))
    cases.append(("the sum of squares of a turn", sum(x * x for x in turn.stages()[0]), sum(x * x for x in turn.stages()[3])))
    cases.append(("products that smoothing keeps", [round(smooth.INPUT / smooth.scale(a) * smooth.WEIGHT * smooth.scale(a), 9) for _, a in smooth.CASES if a is not None], [16.0] * 3))
    cases.append(("the keys' direction", numbers(example(root, "directions")[0])[-2:], [round(x, 1) for x in keys.OF_KEYS]))
    # Of 64 tokens with one large channel of 64: the numbers beside it in a row, in a block of 32, in its own groups.
    cases.append(("numbers that share with the large channel", [int(sharing.others(t, c).split()[1]) for _, _, t, c in sharing.FORMATS], [64 * 63, 64 * 31, 0]))
    # Bits of the formats as the programs count them: a row of 32 numbers and what stands beside it.
    cases.append(("bits of 32 numbers", [bits.bits(code, shared) for _, code, shared in bits.FORMATS], [32 * 32, 32 * 8 + 16, 32 * 4 + 16, 32 * 2 + 2 * 16]))
    return [f"{name}: the text has {found}, the picture {drawn}" for name, found, drawn in cases if found != drawn]
