"""Whether the schemes of chapter 4 show what its text and its programs say. Those of examples that `step04_cuda by-hand` prints are compared by
scheme_test.py; here are the others, and what the figures' words say of them."""
from __future__ import annotations

import importlib
import re
from pathlib import Path


def check(root: Path) -> list[str]:
    append, grid, growing, tree, waiting = (importlib.import_module(f"plots.cuda_{name}") for name in ("append", "grid", "maximum", "tree", "waiting"))
    text = (root / "step04_cuda" / "README.md").read_text(encoding="utf-8")
    race = (root / "step04_cuda" / "pictures" / "cuda_race.svg").read_text(encoding="utf-8")
    report = re.search(r"thread \((\d+),0,0\) writes 4 bytes at byte (\d+) of 'tile'.*?which thread \((\d+),0,0\) read", text)
    last = growing.states()[-1]
    cases = [
        ("append: the float of task 4.1", f"goes to float {append.place(append.NUMBER, 0)}." in text, True),
        ("append: all of a token's places", [append.place(i, 0) for i in range(6)], [3, 4, 5, 15, 16, 17]),
        ("append: what the alternative text says", "floats 3 to 5 of the keys, the last three to floats 15 to 17" in text, True),
        ("race: the report's threads and place", (f"thread {report[1]}" in race, f"thread {report[3]}" in race, f"writes tile[0][{int(report[2]) // 4}]" in race), (True,) * 3),
        ("grid: threads without a number", grid.BLOCKS * grid.THREADS - grid.COUNT, 2),
        ("waiting: the alternative text", f"takes {waiting.clocks(1, 1)} clocks for 4 loads, with four at a time {waiting.clocks(1, 4)}; four warps take {waiting.clocks(4, 1)} for 16" in text, True),
        ("maximum: in one go", last[5], sum(2.0**(score - last[2]) for tile in growing.TILES for score in tile)),
        ("maximum: one factor of each tile is 1", all(1.0 in (old, new) for _, _, _, old, new, _ in growing.states()), True),
        ("tree: the largest, at the lowest index", tree.rounds()[-1], [(max(tree.VALUES), tree.VALUES.index(max(tree.VALUES)))]),
    ]
    return [f"{name}: {found} instead of {expected}" for name, found, expected in cases if found != expected]
