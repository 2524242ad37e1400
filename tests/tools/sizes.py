#!/usr/bin/env python3
"""Counts lines and holds every step to its budget (sizes.txt, with the reason of each).

A step is its headers and sources (with simt/ and gpu/ of chapter 4), without tests, apps and experiments; blank lines and lines of comment alone
do not count towards the budget, so that nobody saves on them. A file may have 300 lines in all, a function 60 (in tests/ only files are held to it).

    sizes.py              prints the table; fails past a budget
    sizes.py --self-test
"""
import glob
import os
import re
import sys
import tempfile

FILE_LIMIT, FUNCTION_LIMIT = 300, 60
ENDINGS = (".hpp", ".h", ".cpp", ".cu", ".cuh")
OTHERS = ("weights", "api", "python")  # folders with a budget that are no steps


def sources(folder, parts):
    return sorted(path for part in parts for path in glob.glob(os.path.join(glob.escape(folder), part, "**", "*"), recursive=True)
                  if path.endswith(ENDINGS))


def code_lines(path):
    with open(path, encoding="utf-8") as file:
        return sum(1 for line in file if line.strip() and not line.strip().startswith("//"))


def long_functions(path):
    """(first line, length) of each function body beyond the limit, by matching braces."""
    with open(path, encoding="utf-8") as file:
        lines = file.read().split("\n")
    stack, found = [], []
    header = 0  # line where the text before the next brace began
    for number, line in enumerate(lines, 1):
        text = re.sub(r'"(\\.|[^"\\])*"|\'(\\.|[^\'\\])\'', '""', line).split("//")[0]
        if not text.strip() or text.lstrip().startswith("#"):
            continue
        header = header or number
        for place, character in enumerate(text):
            if character == "{":
                before = " ".join(lines[header - 1:number - 1] + [text[:place]])
                opens_scope = re.search(r"\b(namespace|class|struct|union|enum|extern)\b", before) and ")" not in before
                inside = any(kind == "function" for kind, _ in stack)
                kind = "scope" if opens_scope else "block" if inside or "(" not in before else "function"
                stack.append((kind, header or number))
                header = number
            elif character == "}" and stack:
                kind, first = stack.pop()
                if kind == "function" and number - first + 1 > FUNCTION_LIMIT:
                    found.append((first, number - first + 1))
            if character in "{};":
                header = 0
    return found


def budgets(path):
    """{folder: (lines, reason)} from lines 'folder | lines | reason' and file exceptions 'file | lines | reason'."""
    result = {}
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if line.strip() and not line.startswith("#"):
                parts = [part.strip() for part in line.split("|")]
                if len(parts) != 3 or not parts[1].isdigit() or not parts[2]:
                    raise SystemExit(f"{path}:{number}: expected 'folder or file | lines | reason'")
                result[parts[0]] = (int(parts[1]), parts[2])
    return result


def check(root, budget_file):
    allowed, failed = budgets(budget_file), []
    print(f"{'step':<24}{'files':>6}{'code':>7}{'budget':>8}{'apps':>7}")
    for folder in sorted(glob.glob(os.path.join(glob.escape(root), "step*")) + [os.path.join(root, other) for other in OTHERS]):
        name = os.path.basename(folder)
        files, apps = sources(folder, ("include", "src", "simt", "gpu")), sources(folder, ("app", "experiments"))
        if not files:
            continue
        code = sum(map(code_lines, files))
        budget = allowed.get(name, (0, ""))[0]
        print(f"{name:<24}{len(files):>6}{code:>7}{budget:>8}{sum(map(code_lines, apps)):>7}")
        if name not in allowed:
            failed.append(f"{name}: no budget in {budget_file}")
        elif code > budget:
            failed.append(f"{name}: {code} lines of code, budget {budget}")
        failed += too_long(root, files + apps, allowed)
    # A test case is a list of facts: it may be long, its file may not.
    failed += [p for p in too_long(root, sources(root, ("tests",)), allowed) if "function" not in p]
    for problem in failed:
        print("FAILED", problem)
    return 1 if failed else 0


def too_long(root, files, allowed):
    for path in files:
        name = os.path.relpath(path, root)
        with open(path, encoding="utf-8") as file:
            lines = sum(1 for _ in file)
        limit = allowed.get(name, (FILE_LIMIT, ""))[0]
        if lines > limit:
            yield f"{name}: {lines} lines, at most {limit}"
        for first, length in long_functions(path):
            yield f"{name}:{first}: a function of {length} lines, at most {FUNCTION_LIMIT}"


def self_test():
    body = "    x += 1;\n"
    cases = [  # name, text, budget, fails
        ("ok.cpp", "int f() {\n" + body * 58 + "}\n", 100, 0),
        ("long_function.cpp", "namespace n {\nint f() {\n" + body * 59 + "}\n}\n", 100, 1),
        ("long_method.hpp", "struct S {\n    int f(int a,\n          int b) {\n" + body * 58 + "    }\n};\n", 100, 1),
        ("late_line.cpp", "// why\n" * 70 + "S f(int a = int{1}) { return {a}; }\n", 100, 0),
        ("two.cpp", "namespace n {\nvoid f() {\n" + body * 40 + "}\nvoid g() {\n" + body * 40 + "}\n}\n", 100, 0),
        ("table.hpp", "int t[] = {\n" + "    1,\n" * 90 + "};\n", 100, 0),
        ("budget.cpp", "int a;\n" * 101, 100, 1),
        ("comments.cpp", "// why\n\n" * 100 + "int a;\n", 100, 0),
        ("file.cpp", "// why\n" * 301, 100, 1),
        ("nobudget.cpp", "int a;\n", None, 1),
    ]
    for name, text, budget, expected in cases:
        with tempfile.TemporaryDirectory() as root:
            os.makedirs(os.path.join(root, "step01_x", "src"))
            with open(os.path.join(root, "step01_x", "src", name), "w") as file:
                file.write(text)
            with open(os.path.join(root, "sizes.txt"), "w") as file:
                file.write("# comment\n" + (f"step01_x | {budget} | reason\n" if budget else ""))
            if check(root, os.path.join(root, "sizes.txt")) != expected:
                print(f"SELF-TEST FAILED: {name}")
                return 1
    print(f"self-test passed: {len(cases)} cases")
    return 0


if __name__ == "__main__":
    here = os.path.dirname(os.path.abspath(__file__))
    if sys.argv[1:] == ["--self-test"]:
        sys.exit(self_test())
    sys.exit(check(os.path.join(here, "..", ".."), os.path.join(here, "sizes.txt")))
