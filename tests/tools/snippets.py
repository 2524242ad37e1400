#!/usr/bin/env python3
"""Keeps the chapters true: quoted code is the code, quoted output is the output.

In every text of the book (tools/book.py):

    <!-- snippet: src/numerics.cpp#softmax -->      the next fenced block is what stands between
    ```cpp                                           "// ANCHOR: softmax" and "// ANCHOR_END: softmax"
    ...                                              in that file (relative to the chapter's folder)
    ```
    <!-- sketch -->                                  the next ```cpp block is not taken from a source
    <!-- output: step01_tensor contract -->          the next block is what that program prints
                                                     (exact output only; a line "not on this processor"
                                                     stands for any line that begins alike; what follows
                                                     "GPU: " depends on the machine and is not compared)
    <!-- measured: wall_clock -->                    the next block is the file results/wall_clock.txt of the
                                                     chapter's folder: tools/experiments.sh --publish wrote it
    ![...](pictures/x.svg)                           that picture is there
    <!-- table: tests/tools/museum.py sums -->       what follows, up to the end marker, is what that
    | ...                                            Python program prints (relative to the root)
    <!-- end of table -->

    snippets.py --check [--bin DIR]   fails on any difference and on any ```cpp block without a marker;
                                      outputs are checked if --bin names the folder of the executables
    snippets.py --write [--bin DIR]   repairs the blocks
    snippets.py --self-test
Options: --root DIR (default: the project's root).
"""
import argparse
import os
import re
import subprocess
import sys
import tempfile

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tools"))

import book  # noqa: E402

MARKER = re.compile(r"^<!-- (snippet|output|measured): (.+?) -->\s*$|^<!-- (sketch) -->\s*$")
TABLE = re.compile(r"^<!-- table: (\S+\.py(?: \S+)*) -->\s*$")
TABLE_END = "<!-- end of table -->"
ELSEWHERE = "not on this processor"


class Broken(Exception):
    pass


def snippet(folder, reference):
    """The lines between the anchors, without other anchors, moved to the left margin."""
    if "#" not in reference:
        raise Broken(f"snippet '{reference}': expected file#anchor")
    name, anchor = reference.split("#", 1)
    path = os.path.join(folder, name)
    if not os.path.isfile(path):
        raise Broken(f"snippet '{reference}': no file {path}")
    with open(path, encoding="utf-8") as file:
        lines = file.read().split("\n")
    begin = [i for i, line in enumerate(lines) if re.fullmatch(rf"\s*(//|#) ANCHOR: {re.escape(anchor)}", line)]
    end = [i for i, line in enumerate(lines) if re.fullmatch(rf"\s*(//|#) ANCHOR_END: {re.escape(anchor)}", line)]
    if len(begin) != 1 or len(end) != 1 or end[0] < begin[0]:
        raise Broken(f"snippet '{reference}': expected ANCHOR and ANCHOR_END once each, in this order, in {path}")
    body = [line for line in lines[begin[0] + 1:end[0]] if not re.match(r"\s*(//|#) (ANCHOR(_END)?:|SOLUTION-(BEGIN|END)) ", line)]
    while body and not body[0].strip():
        body.pop(0)
    while body and not body[-1].strip():
        body.pop()
    margin = min((len(line) - len(line.lstrip()) for line in body if line.strip()), default=0)
    return [line[margin:] for line in body]


def output(root, binaries, command):
    """What the command prints; None if it belongs to a step that is not built (KVLAB_LAST_STEP)."""
    words = command.split()
    program = os.path.join(binaries, words[0])
    if not os.path.isfile(program) and os.path.isdir(os.path.join(root, words[0])):
        print(f"not checked, that step is not built: {command}")
        return None
    if not os.path.isfile(program):
        raise Broken(f"output '{command}': no executable {program}")
    run = subprocess.run([program] + words[1:], capture_output=True, text=True, env={**os.environ, "NO_COLOR": "1"})
    if run.returncode != 0:
        raise Broken(f"output '{command}': exit code {run.returncode}: {run.stderr.strip()}")
    return run.stdout.rstrip("\n").split("\n")


def measured(folder, name):
    """What an experiment printed when it was last published."""
    path = os.path.join(folder, "results", name + ".txt")
    if not os.path.isfile(path):
        raise Broken(f"measured '{name}': no file {path}")
    with open(path, encoding="utf-8") as file:
        return file.read().rstrip("\n").split("\n")


def missing_pictures(path, lines):
    """Pictures of this project that a page shows and that are not there."""
    problems = []
    for number, line in enumerate(lines, 1):
        for target in re.findall(r"!\[[^\]]*\]\(([^)#?]+)", line):
            if "://" not in target and not os.path.isfile(os.path.join(os.path.dirname(path), target)):
                problems.append(f"{path}:{number}: no picture {target}")
    return problems


def table(root, command):
    """What a Python program of this project prints."""
    words = command.split()
    program = os.path.join(root, words[0])
    if not os.path.isfile(program):
        raise Broken(f"table '{command}': no file {program}")
    run = subprocess.run([sys.executable, program] + words[1:], capture_output=True, text=True, cwd=root)
    if run.returncode != 0:
        raise Broken(f"table '{command}': exit code {run.returncode}: {run.stderr.strip()}")
    return run.stdout.rstrip("\n").split("\n")


def masked(line):
    """The line with its times and rates taken out, and with what the machine's GPU says."""
    line = re.sub(r"^GPU: .+", "GPU: #", line)
    return re.sub(r"\d+(\.\d+)?(e[+-]\d+)?( ?(ms|us|ns|s|GFLOP/s|GB/s|tokens/s)\b)", r"#\3", line)


def same(found, expected):
    if len(found) != len(expected):
        return False
    for a, b in zip(found, expected):
        elsewhere = [line for line in (a, b) if line.endswith(ELSEWHERE)]
        if elsewhere:
            head = elsewhere[0][:-len(ELSEWHERE)].rstrip()
            if not (a.startswith(head) and b.startswith(head)):
                return False
        elif masked(a).rstrip() != masked(b).rstrip():
            return False
    return True


def process(path, root, binaries, write):
    """Checks one chapter, returns its problems; repairs it if `write`."""
    folder, problems, result = str(book.folder_of(path)), [], []
    with open(path, encoding="utf-8") as file:
        lines = file.read().split("\n")
    marker, marker_line, i = None, 0, 0
    while i < len(lines):
        match = MARKER.match(lines[i])
        if match:
            if marker:
                problems.append(f"{path}:{marker_line}: marker without a fenced block")
            marker, marker_line = (match[1] or match[3], match[2]), i + 1
        elif TABLE.match(lines[i]):
            if marker:
                problems.append(f"{path}:{marker_line}: marker without a fenced block")
                marker = None
            problem, body, end = judge_table(root, lines, i, write)
            if problem:
                problems.append(f"{path}:{i + 1}: {problem}")
            result += [lines[i], *body]
            i = end
            continue
        elif re.match(r"<!-- *(snippet|output|measured|sketch|table|end of table)", lines[i].lstrip()):
            problems.append(f"{path}:{i + 1}: malformed marker: {lines[i].strip()}")
        result.append(lines[i])
        fence = re.match(r"^(```+)(\w*)\s*$", lines[i])
        i += 1
        if not fence:
            if marker and lines[i - 1].strip() and not match:
                problems.append(f"{path}:{marker_line}: text between marker and fenced block")
                marker = None
            continue
        end = next((j for j in range(i, len(lines)) if lines[j].startswith(fence[1])), None)
        if end is None:
            problems.append(f"{path}:{i}: fenced block without an end")
            break
        body = lines[i:end]
        problem, body = judge(folder, root, binaries, fence[2], marker, body, write)
        if problem:
            problems.append(f"{path}:{i}: {problem}")
        result += body + [lines[end]]
        marker, i = None, end + 1
    if marker:
        problems.append(f"{path}:{marker_line}: marker without a fenced block")
    if write and result != lines and not problems:
        with open(path, "w", encoding="utf-8") as file:
            file.write("\n".join(result))
        print(f"wrote {path}")
    return problems + missing_pictures(path, lines)


def judge_table(root, lines, at, write):
    """(problem or None, the table with its end marker as it should be, index of the line behind) of lines[at]"""
    command = TABLE.match(lines[at])[1]
    end = next((i for i in range(at + 1, len(lines)) if lines[i].rstrip() == TABLE_END or TABLE.match(lines[i])), None)
    if end is None or lines[end].rstrip() != TABLE_END:
        return f"table '{command}': no '{TABLE_END}' behind it", [], at + 1
    body = lines[at + 1:end]
    try:
        expected = table(root, command)
    except Broken as error:
        return str(error), lines[at + 1:end + 1], end + 1
    if body != expected and not write:
        return difference("table", command, body, expected), lines[at + 1:end + 1], end + 1
    return None, [*expected, lines[end]], end + 1


def difference(kind, what, body, expected):
    place = next((j for j, (a, b) in enumerate(zip(body, expected)) if a != b), min(len(body), len(expected)))
    a = body[place] if place < len(body) else "(end of block)"
    b = expected[place] if place < len(expected) else "(end)"
    return f"{kind} '{what}' differs in line {place + 1}:\n    chapter: {a}\n    now:     {b}"


def judge(folder, root, binaries, language, marker, body, write):
    """(problem or None, the block's lines as they should be)"""
    if marker is None:
        if language in ("cpp", "c++", "cc", "cuda", "cu"):
            return "C++ block without a snippet, output or sketch marker", body
        return None, body
    kind, what = marker
    try:
        if kind == "sketch" or (kind == "output" and not binaries):
            return None, body
        if kind == "output":
            expected = output(root, binaries, what)
        else:
            expected = snippet(folder, what) if kind == "snippet" else measured(folder, what)
    except Broken as error:
        return str(error), body
    if expected is None or body == expected or (kind == "output" and same(body, expected)):
        return None, body
    if write:
        return None, expected
    return difference(kind, what, body, expected), body


def run(root, binaries, write):
    chapters = book.texts(root)
    problems = [p for path in map(str, chapters) for p in process(path, root, binaries, write)]
    for problem in problems:
        print("FAILED", problem)
    print(f"{len(chapters)} texts, {len(problems)} problems")
    return 1 if problems else 0


SOURCE = """int a;
// ANCHOR: one
int f() {
    return 1;
}

// ANCHOR_END: one
// ANCHOR: twice
// ANCHOR_END: twice
// ANCHOR: twice
// ANCHOR_END: twice
"""
SAY = """import sys
print("| a |")
print("|---|")
print("|", sys.argv[1], "|")
sys.exit(sys.argv[1] == "bad")
"""
GOOD_TABLE = "<!-- table: say.py b -->\n| a |\n|---|\n| b |\n<!-- end of table -->\n"
GOOD_BLOCK = "```cpp\nint f() {\n    return 1;\n}\n```\n"


def self_test():
    cases = [  # text of the chapter, problems expected
        ("<!-- snippet: a.cpp#one -->\n" + GOOD_BLOCK, 0),
        ("<!-- snippet: a.cpp#one -->\n\n" + GOOD_BLOCK, 0),
        ("<!-- snippet: a.cpp#one -->\n" + GOOD_BLOCK.replace("1", "2"), 1),
        ("<!-- snippet: a.cpp#one -->\n" + GOOD_BLOCK.replace("}\n", ""), 1),
        ("<!-- snippet: a.cpp#none -->\n" + GOOD_BLOCK, 1),
        ("<!-- snippet: b.cpp#one -->\n" + GOOD_BLOCK, 1),
        ("<!-- snippet: a.cpp#twice -->\n" + GOOD_BLOCK, 1),
        ("<!-- snippet: a.cpp -->\n" + GOOD_BLOCK, 1),
        ("<!-- snipet: a.cpp#one -->\n" + GOOD_BLOCK, 1),
        ("<!--snippet: a.cpp#one-->\n" + GOOD_BLOCK, 2),
        ("<!-- snippet: a.cpp#one -->\ntext\n" + GOOD_BLOCK, 2),
        ("<!-- snippet: a.cpp#one -->\n", 1),
        (GOOD_BLOCK, 1),
        ("<!-- sketch -->\n" + GOOD_BLOCK, 0),
        ("```\nplain\n```\n", 0),
        ("```cpp\nint f() {\n", 1),
        ("<!-- output: say -->\n```\nhello 2 ms\nlevel: not on this processor\n```\n", 0),
        ("<!-- output: say -->\n```\nhello 3 ms\nlevel: abc\n```\n", 0),
        ("<!-- output: say -->\n```\nhullo 3 ms\nlevel: abc\n```\n", 1),
        ("<!-- output: say -->\n```\nhello 3 ms\n```\n", 1),
        ("<!-- output: gpu -->\n```\nGPU: not run (no driver)\n2\n```\n", 0),
        ("<!-- output: gpu -->\n```\nGPU: a name\n3\n```\n", 1),
        ("<!-- output: gpu -->\n```\n2\n```\n", 1),
        ("<!-- output: gpu -->\n```\nNo GPU: here\n2\n```\n", 1),
        ("<!-- output: none -->\n```\nhello\n```\n", 1),
        ("<!-- output: step02_y all -->\n```\nhello\n```\n", 0),
        ("<!-- output: fail -->\n```\nhello\n```\n", 1),
        ("<!-- measured: fast -->\n```\n12 ms\n```\n", 0),
        ("<!-- measured: fast -->\n```\n11 ms\n```\n", 1),
        ("<!-- measured: slow -->\n```\n12 ms\n```\n", 1),
        ("![it](results/fast.txt)\n", 0),
        ("text ![it](pictures/none.svg)\n", 1),
        ("![it](https://example.org/x.svg)\n", 0),
        (GOOD_TABLE, 0),
        (GOOD_TABLE + "text\n" + GOOD_TABLE, 0),
        (GOOD_TABLE.replace("| b", "| c"), 1),                # a row that is no longer true
        (GOOD_TABLE.replace("| b |\n", ""), 1),               # a row that is gone
        (GOOD_TABLE.replace("| b |\n", "| b |\n| b |\n"), 1),  # a row too many
        (GOOD_TABLE.replace("say.py b", "say.py c"), 1),
        (GOOD_TABLE.replace("say.py b", "say.py bad"), 1),
        (GOOD_TABLE.replace("say.py b", "none.py b"), 1),
        (GOOD_TABLE.replace("say.py", "say.sh"), 2),          # no marker of a table, so its end is none either
        (GOOD_TABLE.replace("<!-- end of table -->", ""), 1),
        (GOOD_TABLE.replace("<!-- end of table -->\n", GOOD_TABLE), 1),
        ("<!-- end of table -->\n", 1),
        ("<!-- snippet: a.cpp#one -->\n" + GOOD_TABLE, 1),
    ]
    with tempfile.TemporaryDirectory() as root:
        step = os.path.join(root, "step01_x")
        os.mkdir(step)
        os.mkdir(os.path.join(root, "step02_y"))  # a step that is not built
        for name, text in (("a.cpp", SOURCE), ("say", "#!/bin/sh\necho hello 5 ms\necho level: abc\n"),
                           ("gpu", "#!/bin/sh\necho GPU: another name: the same\necho 2\n"),
                           ("fail", "#!/bin/sh\nexit 3\n")):
            with open(os.path.join(step, name), "w") as file:
                file.write(text)
            os.chmod(os.path.join(step, name), 0o755)
        os.mkdir(os.path.join(step, "results"))
        with open(os.path.join(step, "results", "fast.txt"), "w") as file:
            file.write("12 ms\n")
        with open(os.path.join(root, "say.py"), "w") as file:
            file.write(SAY)
        chapter = os.path.join(step, "README.md")
        for number, (text, expected) in enumerate(cases):
            with open(chapter, "w") as file:
                file.write(text)
            problems = process(chapter, root, step, write=False)
            if len(problems) != expected:
                print(f"SELF-TEST FAILED: case {number}: expected {expected} problems, found {problems}\n{text}")
                return 1
        with open(chapter, "w") as file:
            file.write("before\n<!-- snippet: a.cpp#one -->\n```cpp\nold\n```\nafter\n"
                       "<!-- table: say.py b -->\nold\n<!-- end of table -->\nend\n")
        process(chapter, root, step, write=True)
        with open(chapter) as file:
            if file.read() != "before\n<!-- snippet: a.cpp#one -->\n" + GOOD_BLOCK + "after\n" + GOOD_TABLE + "end\n":
                print("SELF-TEST FAILED: --write")
                return 1
        if run(root, step, False) != 0 or run(os.path.join(root, "none"), None, False) != 0:
            print("SELF-TEST FAILED: run")
            return 1
        with open(os.path.join(root, "README.md"), "w") as file:  # the page at the root is a chapter as well
            file.write(GOOD_TABLE.replace("| b", "| c"))
        if run(root, step, False) != 1:
            print("SELF-TEST FAILED: the root's page")
            return 1
        os.remove(os.path.join(root, "README.md"))
        os.mkdir(os.path.join(step, book.PAGES))
        for text, expected in (("1", 0), ("2", 1)):  # a page's sources are its chapter's, and its pictures' places its own
            with open(os.path.join(step, book.PAGES, "more.md"), "w") as file:
                file.write("![it](../results/fast.txt)\n\n<!-- snippet: a.cpp#one -->\n" + GOOD_BLOCK.replace("1", text))
            if run(root, step, False) != expected:
                print("SELF-TEST FAILED: a chapter's page")
                return 1
    print(f"self-test passed: {len(cases)} cases")
    return 0


def main():
    parser = argparse.ArgumentParser(description="check the code and the output that chapters quote")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--self-test", action="store_true")
    parser.add_argument("--bin", help="folder of the executables")
    parser.add_argument("--root", default=os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
    options = parser.parse_args()
    if options.self_test:
        return self_test()
    if options.check == options.write:
        parser.error("one of --check, --write, --self-test")
    return run(options.root, options.bin, options.write)


if __name__ == "__main__":
    sys.exit(main())
