#!/usr/bin/env python3
"""Comments as a reader meets them: none ends with a line of a single word, which a formatter left over.

    comments.py [FILE ...]     all sources; names every such line; exit code 1 if there is one
    comments.py --write        moves two words down to each
    comments.py --self-test

A comment here is a run of lines that begin with // and prose. Lines that are indented further, drawings and lists end a run. Standard
library only.
"""
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ENDINGS = (".hpp", ".h", ".cpp", ".cu", ".cuh")
PROSE = re.compile(r"^(\s*// )(\S(?:.*\S)?)$")
FEWEST = 5  # words that the line before has to have, to give some away
MOVED = 2


def is_prose(text):
    return not re.search(r"\S {2,}\S", text) and not re.match(r"(?:ANCHOR|SOLUTION|TASK|[-*|\[] ?|\d+\. )", text)


def left_over(lines):
    """Numbers of the lines, from 0, that hold the last word of a comment."""
    found = []
    for number in range(1, len(lines)):
        last, before = PROSE.match(lines[number]), PROSE.match(lines[number - 1])
        if not last or not before or last[1] != before[1] or " " in last[2]:
            continue
        after = PROSE.match(lines[number + 1]) if number + 1 < len(lines) else None
        if after and after[1] == last[1] and is_prose(after[2]):
            continue  # in the middle
        if is_prose(last[2]) and is_prose(before[2]) and len(before[2].split()) >= FEWEST and re.search(r"[.:;)\"`]$", last[2]):
            found.append(number)
    return found


def mended(lines):
    lines = list(lines)
    for number in left_over(lines):
        start, text = PROSE.match(lines[number - 1]).groups()
        words = text.split()
        lines[number] = f"{start}{' '.join(words[-MOVED:])} {PROSE.match(lines[number])[2]}"
        lines[number - 1] = start + " ".join(words[:-MOVED])
    return lines


def self_test():
    long = "// A key is kept as it came, and a value, too, which no later step"
    cases = [([long, "// changes."], [1]), ([long, "// ever changes."], []), (["// One two", "// three."], []),
             ([long, "//   changes."], []), ([long, "// changes.", "// And so on, for ever and ever."], []),
             ([long, "// ANCHOR:"], []), (["    " + long, "    // changes."], [1]), (["    " + long, "// changes."], []),
             (["// slot   0    1    2    3    4", "// last."], []), ([long, "// changes.", "int x;"], [1])]
    wrong = [case for case, expected in cases if left_over(case) != expected]
    if mended(cases[0][0]) != ["// A key is kept as it came, and a value, too, which no", "// later step changes."]:
        wrong.append("mended")
    for case in wrong:
        print(f"FAILED {case}")
    print(f"{len(cases) + 1 - len(wrong)} passed, {len(wrong)} failed")
    return 1 if wrong else 0


def main():
    arguments = sys.argv[1:]
    if arguments == ["--self-test"]:
        return self_test()
    write = "--write" in arguments
    names = [a for a in arguments if a != "--write"]
    if not names:
        listed = subprocess.run(["git", "-C", ROOT, "ls-files"], capture_output=True, text=True, check=False)
        names = listed.stdout.split("\n") if listed.returncode == 0 else [str(p.relative_to(ROOT)) for p in ROOT.rglob("*")]
    count = 0
    for name in names:
        path = ROOT / name
        if not name.endswith(ENDINGS) or not path.is_file() or "build" in Path(name).parts:
            continue
        lines = path.read_text(encoding="utf-8").split("\n")
        found = left_over(lines)
        if write and found:
            path.write_text("\n".join(mended(lines)), encoding="utf-8")
        for number in found if not write else []:
            count += 1
            print(f"FAILED {name}:{number + 1}: one word of a comment on a line of its own: {lines[number].strip()}")
    if not write:
        print(f"{count} problems")
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main())
