"""Whether the schemes of chapter 7 that show no example word for word follow from what stands beside them."""
from __future__ import annotations

import importlib
import re
from pathlib import Path


def example(text: str, name: str) -> str:
    """What the program prints of one example, as the chapter quotes it."""
    return text.split(f"<!-- output: step07_serving by-hand {name} -->\n```\n")[1].split("\n```")[0]


def fed_in_chunks(text: str) -> dict[str, list[int]]:
    """Of A, B and C, step by step."""
    lines = example(text, "chunks").split("in chunks:")[1]
    return {row[1]: [int(word) if word != "." else 0 for word in row[2].split()] for row in re.finditer(r"^    ([ABC]) +(.*)$", lines, re.M)}


def check(root: Path) -> list[str]:
    budget, guesses, tile, rows, handover, radix, eviction = (importlib.import_module(f"plots.serve_{name}")
                                                              for name in ("budget", "guesses", "tile", "rows", "handover", "radix", "eviction"))
    text = (root / "step07_serving" / "README.md").read_text(encoding="utf-8")
    cases = []
    fed = fed_in_chunks(text)
    for shares, (name, _, _) in zip(budget.SHARES, budget.STEPS):
        step = int(name.split()[1]) - 1
        cases.append((f"budget, {name}", {who: row[step] for who, row in fed.items() if row[step]}, dict(shares)))
    asked = re.search(r'"the cat sat on the c" +"(.*?)"', example(text, "lookup"))[1].replace(" ", "\u00b7")
    cases.append(("guesses", asked, "".join(guesses.FED[1:])))
    cases.append(("guesses kept", guesses.KEPT, 1 + sum(a == b for a, b in zip(guesses.CHOSEN, guesses.FED[1:]))))
    cases.append(("tiles", -(-tile.HELD // tile.TILE), len(tile.TABLE)))
    cases.append(("rows", [sum(parts) for parts in zip(*rows.PARTS)], rows.Y))
    cases.append(("pages that are sent", [len(handover.FROM), len(handover.TO)], [handover.SENT] * 2))
    token = re.search(r"2·2·2·16·4 = (\d+)", (root / "step03_kvcache" / "README.md").read_text(encoding="utf-8"))[1]
    cases.append(("bytes of a token", int(token), handover.PER_TOKEN))
    cases.append(("pages of the tree", sum(count for count, *_ in radix.TREE.values()), len(radix.NODES)))
    cases.append(("the same texts", sorted(radix.NODES), sorted(eviction.USED)))
    return [f"{name}: the text has {found}, the picture {drawn}" for name, found, drawn in cases if found != drawn]
