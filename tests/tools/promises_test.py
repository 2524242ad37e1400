#!/usr/bin/env python3
"""What CONTRIBUTING.md promises: one more policy is one file, one more format two, a kernel two, a subcommand one, an experiment two.

    python3 tests/tools/promises_test.py [--folder FOLDER]    # build/promises
    python3 tests/tools/promises_test.py --self-test          # counts of files alone, builds nothing

Adds one of each, tests/promises/, to a copy of the tree, counts the files that it touches, builds the copy once, and runs what was
added: it is named by --help, works, and the tests that loop over all of its kind have tried it. No list or test is edited for it.
What programs predict by hand for the book's own figures (tests/tools/reports/), the recorded options and the chapters' tables are not
asked. Nothing that is there may hide what is not: each check is then made of names that nobody added, and of a policy and a
subcommand in a place where the build does not look, and must be red.

Standard library only. The last line is "N passed, N failed". Exit code 0: nothing failed. 1: not. 2: usage.
"""
import argparse
import concurrent.futures
import json
import math
import os
import re
import sys
import tempfile
import time
from pathlib import Path

from mutant_file import ROOT, Failure
from mutant_tree import end_all
from promise_tree import Addition, PromiseTree, read_tree

# Where things stand in the tree.
POLICIES = "step05_policies/src/policies"
FORMATS, FORMAT_LIST = "step06_quant/include/kvlab/quant/coded_formats.hpp", "step06_quant/src/cache/coded_formats.cpp"
KERNELS, LADDERS = "step04_cuda/src/kernels", "step04_cuda/src/ladders.cpp"
SUBCOMMANDS = "step06_quant/app"
EXPERIMENTS, PICTURES = "tools/experiments.toml", "tools/plots"
TARGETS = ("step04_tests", "step04_cuda", "step05_tests", "step05_policies", "step06_tests", "step06_quant")


def expect(what, found, expected):
    if found != expected:
        raise Failure(f"{what}: expected {expected!r}, found {found!r}"[:300])


def check_policy(tree, policy="strided", option="stride"):
    """Named by --help with its option, which changes what is kept; the laws hold."""
    text = tree.said("step05_policies", "compare", "--help")
    expect(f"{policy}: {option} in --help", f"--{option} " in text and f"{policy}: " in text, True)
    kl = []
    for value in (1, 8):
        report, _ = tree.report("step05_policies", "compare", "-m", "tiny", "--policy", policy, f"--{option}", value, "--budget", 16,
                                "--window", 96, "--prompt", 48, "--tokens", 192, "--recall", 0)
        row = json.loads(report)["policies"][0]
        expect("policy and kept tokens", (row["policy"], row["kept_at_end"]), (policy, 16))
        kl.append(row["mean_kl"])
    expect(f"--{option} changes what is said next", kl[0] != kl[1] and min(kl) > 0, True)
    report, _ = tree.report("step05_policies", "quality", "-m", "tiny", "--policy", policy, "--tokens", 128, "--window", 128, "--prompt", 64,
                            "--parts", "2,8", "--seeds", 1)
    tree.draw("policy_kl", report, policy)
    tree.tests("step05_tests", "--test-case=laws: two texts*", tried=[policy])


def check_format(tree, name="even4", bits=4):
    """Its bits, scale counted, and bytes; it keeps the laws of all formats, under every policy."""
    report, text = tree.report("step06_quant", "bytes", "--codes", name, "--lengths", "64,256")
    rows = [row for row in json.loads(report)["rows"] if row["format"] == name]
    width = int(re.search(r"KV heads of (\d+) numbers", text)[1])
    expect(f"{name}: bits of a number and its share of a row's float", [row["bits"] for row in rows], [bits + 32 / width] * 2)
    expect(f"{name}: bytes held, by form", [row["bytes_held"] == row["closed_form"] for row in rows], [True, True])
    report, _ = tree.report("step06_quant", "kv", "-m", "tiny", "--codes", name, "--of", "both", "--window", 64, "--tokens", 128, "--recall", 0)
    row = json.loads(report)["rows"][-1]
    expect(f"{name}: what is kept so", (row["format"], row["of"]), (name, "both"))
    tree.draw("quant_error", report, name)
    expect(f"{name}: it is no float in disguise", row["mean_kl"] > 0, True)
    tree.tests("step06_tests", "--test-case=codes: rows of zeros*", tried=[name])


def check_rung(tree, rung="pairs"):
    """The bits of the plain loop in all modes, and of a model's text; a row of the ladder."""
    tree.tests("step04_tests", "--test-case=linear: a bias*", tried=[rung])
    out = tree.said("step04_cuda", "generate", "-m", "tiny", "--linear", rung, "--compare", "--device", "executor", "-n", 1)
    expect("generate --compare", "identical=yes" in out, True)
    ladders = json.loads(tree.report("step04_cuda", "ladders")[0])["ladders"]
    for ladder, saved in (("linear_1", 1), ("linear_64", 2)):  # one row has no second one to share a weight with
        moved = {one["name"]: one["sectors"] for one in ladders[ladder]["rungs"]}
        expect(f"{ladder}: sectors of coalesced over those of {rung}", round(moved["coalesced"] / moved[rung]), saved)
    expect(f"{rung} is estimated", f"\n  {rung} " in tree.said("step04_cuda", "estimate"), True)


def check_subcommand(tree, name="normal", formats=("lloyd4", "even4", "lloyd3")):
    """In --help at its place; it runs, and finds the formats in the order of what theory says they lose."""
    expect(f"{name} in --help", f"\n  {name} " in tree.said("step06_quant", "--help"), True)
    rows = json.loads(tree.report("step06_quant", name, "--rows", 500, "--width", 256)[0])["rows"]
    lost = [row["lost"] for one in formats for row in rows if row["format"] == one]
    expect("shares lost, rising", (len(lost), lost), (len(formats), sorted(lost)))
    # Max 1960, table 2: the mean squared error of 16 even levels is 0.01154 of a normal number's. A row's own size, in place of the law's,
    # leaves fewer numbers beyond the last level.
    expect("what 16 even levels lose, to a twentieth", math.isclose(lost[1], math.sqrt(0.01154), rel_tol=0.05), True)


def check_experiment(tree, name="quant_normal", command="step06_quant normal"):
    """Listed, run, and its picture drawn where there is matplotlib."""
    expect("--list", tree.script("tools/experiments.sh", "--list", "--only", name), (0, [f"{name}: {command}"]))
    out = tree.build / "experiments"
    code, lines = tree.script("tools/experiments.sh", "--quick", "--only", name, "--programs", tree.bin, "--out", out)
    left = [line for line in lines if line.startswith("left out: picture") and "no matplotlib" in line]
    expect("it runs", (code, lines[-1]), (0, f"{2 - len(left)} passed, 0 failed, {len(left)} left out"))
    expect("its table", (out / f"{name}.txt").read_text().splitlines()[0].startswith(f"$ {command}"), True)
    if left:
        print(left[0])
    else:
        expect("its picture", "even4" in (out / f"{name}.svg").read_text(), True)


ADDITIONS = [
    Addition("a policy with an option of its own", 1, {f"{POLICIES}/strided.cpp": "policy.cpp"}, check_policy),
    Addition("a format of a cache's rows", 2, {FORMATS: "format_row.edit", FORMAT_LIST: "format_list.edit"}, check_format),
    Addition("a kernel of a ladder", 2, {f"{KERNELS}/linear_9_pairs.cu": "rung.cu", LADDERS: "rung.edit"}, check_rung),
    Addition("a subcommand", 1, {f"{SUBCOMMANDS}/normal.cpp": "subcommand.cpp"}, check_subcommand),
    Addition("an experiment with its picture", 2, {EXPERIMENTS: "experiment.edit", f"{PICTURES}/quant_normal.py": "picture.py"}, check_experiment),
]


# Whole test programs, as no test may have to be told of an addition; the longest first. In the middle one the new policy meets the
# new format.
WHOLE = [(("step05_tests",), ()), (("step06_tests", "--test-case-exclude=pairs*"), ()),
         (("step06_tests", "--test-case=pairs*"), ("strided", "even4")), (("step04_tests",), ())]

# Additions where the build does not look, with the names that they would have: {file: (example, (word, instead) ...)}.
MISPLACED = {"step05_policies/misplaced.cpp": ("policy.cpp", ("strided", "misplaced"), ("stride", "place")),
             "step06_quant/misplaced.cpp": ("subcommand.cpp", ("normal", "misplaced"))}
# Checks that must be red: of what stands there, and of names that nobody has.
ABSENT = [
    ("a policy in another folder", lambda tree: check_policy(tree, "misplaced", "place")),
    ("a subcommand in another folder", lambda tree: check_subcommand(tree, "misplaced")),
    ("a policy that is not there", lambda tree: check_policy(tree, "absent")),
    ("an option that is not there", lambda tree: check_policy(tree, option="absent")),
    ("an option that changes nothing", lambda tree: check_policy(tree, option="beta")),
    ("a policy that no law has tried", lambda tree: tree.tests("step05_tests", "--test-case=laws: two texts*", tried=["absent"])),
    ("a case that is not there", lambda tree: tree.tests("step05_tests", "--test-case=absent*")),
    ("a format that is not there", lambda tree: check_format(tree, "absent")),
    ("a format of other bits", lambda tree: check_format(tree, "lloyd3")),
    ("a kernel that is not there", lambda tree: check_rung(tree, "absent")),
    ("a subcommand that is not there", lambda tree: check_subcommand(tree, "absent")),
    ("an experiment that is not there", lambda tree: check_experiment(tree, "absent")),
]


class Judge:
    """Counts, and prints a line for each."""

    def __init__(self):
        self.passed = self.failed = 0

    def holds(self, what, check, *arguments, must_fail=False):
        begin, why = time.monotonic(), None
        try:
            result = check(*arguments)
        except (Failure, LookupError, OSError, ValueError) as failure:  # a report without what it should have, too
            result, why = None, str(failure) if isinstance(failure, Failure) else repr(failure)
        green = (why is None) != must_fail
        self.passed, self.failed = self.passed + green, self.failed + (not green)
        reason = f": {why}" if why and not green else ": this must not hold, and does" if not green else f": {why}" if why else ""
        print(f"{'ok' if green else 'FAILED'}: {what}{reason} [{time.monotonic() - begin:.1f} s]", flush=True)
        return result


def self_test(judge):
    """Additions that break the promise, on a tree of three files."""
    tree = {"list.cpp": "int one, two;\nint two_more;\n", "a.hpp": "struct  A {};\n", "there.cpp": ""}
    edit = "Why.\n<<<<\n{}\n====\nint one, two, three;\n>>>>\n"
    with tempfile.TemporaryDirectory() as folder:
        for name, text in (("new.cpp", "int three;\n"), ("list.edit", edit.format("int one,\n   two;")), ("twice.edit", edit.format("int")),
                           ("gone.edit", edit.format("int zero;")), ("empty.edit", "Why.\n")):
            Path(folder, name).write_text(text)

        def added(most, files):
            return Addition("a thing", most, files, None).apply(tree.get, Path(folder))

        both = {"new.cpp": "new.cpp", "list.cpp": "list.edit"}
        found = judge.holds("two files where two are promised", added, 2, both)
        judge.holds("what they are then", expect, "texts", found, {"new.cpp": "int three;\n", "list.cpp": "int one, two, three;\nint two_more;\n"})
        for what, most, files in (("one file more than promised", 1, both), ("a new file that is there already", 1, {"there.cpp": "new.cpp"}),
                                  ("an edit of text that occurs twice", 1, {"list.cpp": "twice.edit"}), ("an edit of text that is gone", 1, {"list.cpp": "gone.edit"}),
                                  ("an edit of a file that is gone", 1, {"b.hpp": "list.edit"}), ("an edit without a block", 1, {"list.cpp": "empty.edit"})):
            judge.holds(what, added, most, files, must_fail=True)


def add_all(judge):
    """{file: text} of all additions together, each on what those before it left."""
    texts = {}
    for addition in ADDITIONS:
        touched = judge.holds(f"{addition.what} touches at most {addition.most}", addition.apply, lambda file: texts.get(file, read_tree(file)))
        texts.update(touched or {})
    return texts


def misplaced():
    texts = {}
    for file, (example, *words) in MISPLACED.items():
        text = (ROOT / "tests" / "promises" / example).read_text()
        for word, instead in words:
            text = text.replace(word, instead)
        texts[file] = text
    return texts


def build_and_run(judge, folder):
    tree = PromiseTree(folder)
    tree.copy_with({**add_all(judge), **misplaced()})

    def make():
        tree.configure()
        tree.make(TARGETS)

    judge.holds("the copy builds", make)
    if judge.failed:
        return
    for addition in ADDITIONS:
        judge.holds(f"{addition.what} is there and works", addition.check, tree)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        runs = [(command, pool.submit(tree.tests, *command, tried=names)) for command, names in WHOLE]
        for command, run in runs:
            judge.holds(f"{' '.join(command)} needs no change", run.result)
    for what, check in ABSENT:
        judge.holds(f"noticed: {what}", check, tree, must_fail=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "promises", help="of the copy and its build")
    parser.add_argument("--self-test", action="store_true")
    options = parser.parse_args()
    judge = Judge()
    try:
        self_test(judge)
        add_all(judge) if options.self_test else build_and_run(judge, options.folder.resolve())
    finally:
        end_all()
    print(f"{judge.passed} passed, {judge.failed} failed")
    return 1 if judge.failed else 0


if __name__ == "__main__":
    os.environ.setdefault("CMAKE_GENERATOR", "Ninja")
    sys.exit(main())
