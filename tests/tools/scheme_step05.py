"""Whether the schemes of chapter 5's pages show the numbers of the examples and tables that stand beside them."""
from __future__ import annotations

import importlib
import re
from pathlib import Path


def texts(root: Path) -> str:
    folder = root / "step05_policies"
    return "\n".join(path.read_text(encoding="utf-8") for path in (folder / "README.md", *sorted((folder / "pages").glob("*.md"))))


def example(text: str, name: str) -> str:
    """What the program prints of one example, as the chapter or a page quotes it."""
    return text.split(f"<!-- output: step05_policies by-hand {name} -->\n```\n")[1].split("\n```")[0]


def check(root: Path) -> list[str]:
    shared, once = (importlib.import_module(f"plots.{name}") for name in ("policy_shared_budget", "policy_once"))
    text = texts(root)
    cases = []
    for floor in shared.FLOORS:
        found = re.search(rf"floor {floor:.1f}: head 0 keeps (\d), head 1 keeps (\d)", example(text, "adakv"))
        cases.append((f"floor {floor}", [int(kept) for kept in found.groups()], shared.kept(floor)))
    table = (root / "step05_policies" / "results" / "compare.txt").read_text(encoding="utf-8")
    for kind, policy in (("full", "full"), ("once", "snapkv"), ("in every step", "h2o")):
        found = re.search(rf"^  {policy} +([\d.]+), ([\d.]+)", table, re.M)
        cases.append((policy, [float(kept) for kept in found.groups()], [once.held(kind, seen) for seen in (once.PROMPT, once.TEXT)]))
    return [f"{name}: the text has {found}, the picture {drawn}" for name, found, drawn in cases if found != drawn]
