#!/usr/bin/env python3
"""Draws the architecture from the tree itself: folders and what they link, the seams, and the classes that fill them.

    python3 tools/architecture.py              writes pictures/architecture.svg
    python3 tools/architecture.py --check      fails unless that is what the tree looks like now

Options: --root DIR (default: the project's), -o FILE. Nothing in the picture is typed by hand: a new class is drawn because it is
there. Fails, with one line, where a step includes from a later one. Standard library only.
"""
from __future__ import annotations

import argparse
import sys
from pathlib import Path

from architecture import picture, tree  # the folder beside this file

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=ROOT)
    parser.add_argument("-o", "--out", type=Path)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    out = options.out or options.root / "pictures" / "architecture.svg"
    try:
        drawn = picture.draw(tree.read_tree(options.root))
    except tree.Wrong as wrong:
        print(wrong, file=sys.stderr)
        return 1
    if not options.check:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(drawn, encoding="utf-8")
        return 0
    if out.exists() and out.read_text(encoding="utf-8") == drawn:
        return 0
    print(f"{out}: not what the tree looks like now; python3 tools/architecture.py writes it", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
