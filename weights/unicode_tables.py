#!/usr/bin/env python3
"""Writes src/tokenizer/unicode_table.inc: the classes letter (L*), number (N*) and space (White_Space) of all code points.

    python3 weights/unicode_tables.py [--version 15.1.0] [--check]

llama.cpp's own table is Unicode 15.1.0 (compared for every code point: equal). The data come from Python: either
its unicodedata has that version (Python 3.13), or `pip install unicodedata2==15.1.0` provides it.
--check writes nothing and fails if the committed file differs.
"""
from __future__ import annotations

import argparse
import sys
import unicodedata
from pathlib import Path

OUTPUT = Path(__file__).resolve().parent / "src" / "unicode_table.inc"
OTHER, LETTER, NUMBER, SPACE = range(4)
# The controls that have White_Space (PropList.txt); its other members are the categories Z*.
SPACE_CONTROLS = {0x09, 0x0A, 0x0B, 0x0C, 0x0D, 0x85}


def database(version: str):
    """The module with the Unicode data of exactly this version."""
    found = [unicodedata]
    try:
        import unicodedata2
        found.append(unicodedata2)
    except ImportError:
        pass
    for module in found:
        if module.unidata_version == version:
            return module
    have = ", ".join(module.unidata_version for module in found)
    sys.exit(f"unicode_tables.py: need Unicode {version}, have {have}; pip install unicodedata2=={version}")


def char_class(code: int, data) -> int:
    category = data.category(chr(code))
    if code in SPACE_CONTROLS or category[0] == "Z":
        return SPACE
    return {"L": LETTER, "N": NUMBER}.get(category[0], OTHER)


def table(version: str) -> str:
    data = database(version)
    # A range begins wherever the class changes; its class sits in the two lowest bits.
    starts, previous = [], -1
    for code in range(0x110000):
        this = char_class(code, data)
        if this != previous:
            starts.append(f"0x{code << 2 | this:06x}")
        previous = this
    lines = [", ".join(starts[i:i + 9]) + "," for i in range(0, len(starts), 9)]
    head = [f"// Written by unicode_tables.py from Unicode {version}. Do not edit.",
            f"// {len(starts)} ranges: (first code point << 2) | class, in ascending order.",
            "// clang-format off",
            f'#define KVLAB_UNICODE_VERSION "{version}"',
            "constexpr std::uint32_t kRanges[] = {"]
    return "\n".join(head + lines + ["};", "// clang-format on", ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", default="15.1.0")
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    text = table(args.version)
    if not args.check:
        OUTPUT.write_text(text)
        print(f"{OUTPUT}: {len(text)} bytes")
    elif OUTPUT.read_text() != text:
        sys.exit(f"unicode_tables.py: {OUTPUT} differs from what Unicode {args.version} gives")


if __name__ == "__main__":
    main()
