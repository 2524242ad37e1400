#!/usr/bin/env python3
"""Shape comments speak one language: [T, Hq, D] with the letters of the glossary and nothing else.

Looks at the comments of every .hpp, .cpp, .cu and .cuh of the steps and of weights/. A bracket is taken for
a shape if it holds a comma and only names, numbers and products of them, and begins with a capital letter or
holds one of the glossary's; [begin, end) and [0, 1) are intervals, [i][j] is an index: they are left alone.

    shapes.py              checks the project
    shapes.py --self-test
"""
import glob
import os
import re
import sys
import tempfile

GLOSSARY = {
    "B": "sequences of a batch", "T": "new tokens of this call", "R": "rows: the new tokens of all sequences",
    "S": "tokens visible after append",
    "C": "model width", "Hq": "query heads", "Hkv": "key/value heads", "D": "head width", "F": "ffn width",
    "V": "vocabulary", "L": "layers", "P": "tokens per page", "N": "outputs of a matrix (rows of w)",
    "K": "inputs of a matrix (columns of w)",
}
# Whole words in lower case may stand for an extent that has no letter.
WORD = re.compile(r"[a-z][a-z_0-9]*$")
BRACKET = re.compile(r"\[([^\[\]()]*,[^\[\]()]*)\](?!\()")


def shape_parts(text):
    """The names in a shape, or None if the bracket is not one."""
    parts = []
    for extent in text.split(","):
        factors = re.split(r"[*/+-]", extent.strip())
        if not all(re.fullmatch(r"[A-Za-z_][A-Za-z_0-9]*|\d+", f.strip()) for f in factors):
            return None
        parts += [f.strip() for f in factors]
    return parts if any(p[0].isupper() for p in parts) else None


def comments(text):
    """(line number, comment) of each // comment."""
    for number, line in enumerate(text.split("\n"), 1):
        place = line.find("//")
        if place >= 0:
            yield number, line[place:]


def problems(path):
    with open(path, encoding="utf-8") as file:
        text = file.read()
    for number, comment in comments(text):
        for match in BRACKET.finditer(comment):
            for name in shape_parts(match[1]) or []:
                if not (name.isdigit() or name in GLOSSARY or WORD.match(name)):
                    yield f"{path}:{number}: '{name}' in {match[0]} is not in the glossary: {' '.join(GLOSSARY)}"


def check(root):
    files = [path for folder in glob.glob(os.path.join(glob.escape(root), "step*")) + [os.path.join(root, other) for other in ("weights", "api", "python")]
             for ending in ("hpp", "h", "cpp", "cu", "cuh")
             for path in glob.glob(os.path.join(glob.escape(folder), "**", "*." + ending), recursive=True)]
    found = [p for path in sorted(files) for p in problems(path)]
    for problem in found:
        print("FAILED", problem)
    print(f"{len(files)} files, {len(found)} unknown letters in shapes")
    return 1 if found or not files else 0


def self_test():
    cases = [("// y [T, N]", 0), ("// [T, Hq, D]", 0), ("// [T, H, D]", 1), ("// k [S, Hkv*D]", 0), ("// [Q, X]", 2),
             ("// [panels, K, 64]", 0), ("// i in [0, N)", 0), ("// [0, 1]", 0), ("int x = a[T, Q];", 0),
             ("float y[3];  // [positions, X / 2]", 1), ("// [a, b]", 0), ("// [N/64][K][64]", 0)]
    with tempfile.TemporaryDirectory() as root:
        os.makedirs(os.path.join(root, "step01_x", "src"))
        path = os.path.join(root, "step01_x", "src", "a.cpp")
        for text, expected in cases:
            with open(path, "w") as file:
                file.write(text + "\n")
            if len(list(problems(path))) != expected or check(root) != (1 if expected else 0):
                print(f"SELF-TEST FAILED: {text}: {list(problems(path))}")
                return 1
    print(f"self-test passed: {len(cases)} cases")
    return 0


if __name__ == "__main__":
    if sys.argv[1:] == ["--self-test"]:
        sys.exit(self_test())
    if len(sys.argv) > 2:
        sys.exit(__doc__)
    sys.exit(check(sys.argv[1] if len(sys.argv) == 2 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")))
