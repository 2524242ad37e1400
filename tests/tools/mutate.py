#!/usr/bin/env python3
"""Single mistakes made by rule (mutation_rules.py): which of them do the tests notice?

    mutate.py --sample 200 --seed 1     so many, half of them in programs; goes on where an interrupted run stopped
    mutate.py --sample 20 --files 'step03_kvcache/src/*.cpp'
    mutate.py --again                   those of the record that survived, after the tests were mended
    mutate.py --check 6                 so many of the record that were caught: they still are
    mutate.py --write                   the record of the runs so far: tests/mutants/generated.txt
    mutate.py --self-test

A mistake is written into a copy of the tree, what changed is compiled, and the tests that own the file are run, until one
is red: of a library its own step's test programs, then the checks of its program's figures, then the later steps' test
programs; of a program those checks, its options, what it refuses and its command lines. A mistake that does not compile says nothing and is replaced by another. One that leaves every object
file as it was, and one that tests/mutants/equivalent.txt names with a reason, is equivalent. Prints what survives.

Standard library only. The last line is "N passed, N failed". Exit code 0: nothing survived. 1: something. 2: usage.
"""
import argparse
import concurrent.futures
import fnmatch
import hashlib
import os
import pathlib
import queue
import random
import re
import signal
import sys
import time

from mutant_file import FOLDER, ROOT, Failure
from mutant_tree import TARGETS, Tree, end_all, run
from mutation_rules import mutations, self_test

SAME_CODE = "the same object code"
RECORD, EQUIVALENT = FOLDER / "generated.txt", FOLDER / "equivalent.txt"
OWNERS = {  # folder: its test programs, its program (target, file)
    "step01_tensor": (["step01_tests"], "step01_tensor"),
    "weights": (["weights_tests"], "kvlab_weights"),
    "step02_attention": (["step02_tests"], "step02_attention"),
    "step03_kvcache": (["step03_tests", "allocation_tests"], "step03_kvcache"),
    "step04_cuda": (["step04_tests"], "step04_cuda"),
    "step05_policies": (["step05_tests"], "step05_policies"),
    "step06_quant": (["step06_tests"], "step06_quant"),
    "step07_serving": (["step07_tests"], "step07_serving"),
    "step08_architectures": (["step08_tests", "step08_allocation_tests"], "step08_architectures"),
}
GREEN = (0, 77)  # 77: a case was skipped, for want of a GPU
SECONDS = 240  # of one test program; whoever needs longer hangs


def candidates(patterns):
    """All mutations of the files, by folder and by whether they lie in a program."""
    files = sorted(p.relative_to(ROOT).as_posix() for folder in OWNERS for p in (ROOT / folder).rglob("*.cpp")
                   if {"src", "app"} & set(p.relative_to(ROOT / folder).parts))
    chosen = [f for f in files if any(fnmatch.fnmatch(f, pattern) for pattern in patterns)]
    return [m for file in chosen for m in mutations(file, (ROOT / file).read_text())]


def in_order(found, seed):
    """A random order in which programs and libraries take turns, and in each the rules and the files."""
    rng = random.Random(seed)
    groups = {}
    for m in found:
        groups.setdefault("/app/" in m.file, {}).setdefault((m.rule, m.file), []).append(m)
    queues = []
    for _, by_kind in sorted(groups.items()):
        kinds = sorted(by_kind)
        rng.shuffle(kinds)
        kinds.sort(key=lambda kind: rng.random() + 0.3 * (kind[0] in ("number", "swapped arguments")))
        queues.append([rng.choice(by_kind[kind]) for kind in kinds])
    while any(queues):
        for waiting in queues:
            if waiting:
                yield waiting.pop(0)


class Judge:
    """A built tree that takes one mistake after the other."""

    def __init__(self, folder, portable):
        self.tree = Tree(folder, [], False, portable)
        self.environment = {**os.environ, **({"KVLAB_LEVELS": "portable"} if portable else {})}
        self.tree.reporters = [program for _, program in OWNERS.values()]
        self.tree.programs = [test for tests, _ in OWNERS.values() for test in tests]

    def prepare(self):
        self.tree.copy()
        self.tree.configure()
        self.tree.make([*self.tree.targets(), "chat_model"])
        self.tree.keep_the_right_reporters()

    def tests(self, folder, part):
        """[(name, command)] of what owns the sources of a folder's `part` (src or app), the cheapest first."""
        tests, program = OWNERS[folder]
        python, tools = sys.executable, self.tree.source / "tests" / "tools"
        programs = [(name, [python, tools / f"{name}.py", self.tree.mixed_bin, program, *more]) for name, *more in
                    (("options_test",), ("refusals_test",), ("report_test", "--first"), ("command_lines",))]
        units = [(test, [self.tree.build / "bin" / test, "--abort-after=1", "--no-colors"]) for test in tests]
        return programs if part == "app" else [*units, programs[2]]

    def test(self, folder, part, by):
        """The one test of these that is called so: its name, and behind a blank the check of its that is meant."""
        name, _, check = by.partition(" ")
        if name.endswith("_tests"):
            return [(by, [self.tree.build / "bin" / name, "--abort-after=1", "--no-colors"])]
        return [(by, [*dict(self.tests(folder, part))[name], *(["--check", check] if check else [])])]

    def judge(self, mutation, by=""):
        """(outcome, by what): caught, survived, same object code, does not compile. by: this test alone is asked."""
        folder, part = mutation.file.split("/")[:2]
        tests, program = OWNERS[folder]
        text = Tree.read(mutation.file)
        right = {path: hashlib.sha256(path.read_bytes()).digest() for path in self.tree.build.glob(f"{folder}/**/*.o")}
        try:
            self.tree.write({mutation.file: mutation.apply(text)})
            targets = [TARGETS.get(program, program), *([by] if by.endswith("_tests") else tests if part != "app" else [])]
            if run(["ninja", "-C", self.tree.build, *targets], self.tree.log)[0] != 0:
                return "does not compile", ""
            if all(hashlib.sha256(path.read_bytes()).digest() == digest for path, digest in right.items()):
                return "equivalent", SAME_CODE
            self.tree.point(program, self.tree.build / "bin")
            for name, command in self.test(folder, part, by) if by else self.tests(folder, part):
                code, out = run(command, self.tree.log, SECONDS, env=self.environment)
                if code not in GREEN:
                    check = re.search(r"^FAILED: (\w+): ", out, re.M) if name == "report_test" else None
                    return "caught", (f"{name} {check[1]}" if check else name) if code is not None else f"{name}, which hangs"
            return ("survived", "") if part == "app" or by else self.judge_by_later_steps(folder)
        finally:
            self.tree.point(program, self.tree.right_bin)
            self.tree.write({mutation.file: text})


    def judge_by_later_steps(self, folder):
        """As judge(), by the test programs of the steps that use this one."""
        later = [test for tests, _ in list(OWNERS.values())[list(OWNERS).index(folder) + 1:] for test in tests]
        if run(["ninja", "-C", self.tree.build, *later], self.tree.log)[0] != 0:
            return "does not compile", ""
        for test in later:
            code, _ = run([self.tree.build / "bin" / test, "--abort-after=1", "--no-colors"], self.tree.log, SECONDS, env=self.environment)
            if code not in GREEN:
                return "caught", test if code is not None else f"{test}, which hangs"
        return "survived", ""


def check_the_right_program(judges, wanted):
    """Every test is green on the right program: red means something. wanted: (folder, part, test or "" for all)"""
    waiting = queue.SimpleQueue()
    # What a library's and a program's tests have in common need not run twice.
    for folder, by, part in {(folder, name, part) for folder, part, by in sorted(wanted)
                             for name in ([by] if by else [n for n, _ in judges[0].tests(folder, part)])
                             if by or (part, name) != ("app", "report_test") or (folder, "src", "") not in wanted}:
        waiting.put((folder, part, by))

    def check(judge):
        while True:
            try:
                folder, part, by = waiting.get_nowait()
            except queue.Empty:
                return
            [(_, command)] = judge.test(folder, part, by)
            code, out = run(command, judge.tree.log, 4 * SECONDS, env=judge.environment)
            if code not in GREEN:
                raise Failure(f"{by} of {folder} fails on the right program: {' '.join(out.split())[-300:]}")

    with concurrent.futures.ThreadPoolExecutor(len(judges)) as pool:
        list(pool.map(check, judges))


def read_table(path):
    """{identity: (outcome, by what)} of a record; lines of other text are left out."""
    rows = {}
    for line in path.read_text().splitlines() if path.exists() else []:
        if "\t" in line:
            outcome, by, identity = line.split("\t", 2)
            rows[identity] = (outcome, by)
    return rows


def show(mutation, outcome, by, seconds):
    print(f"{outcome:<17}{by:<24}{seconds:5.1f} s  {mutation.file}:{mutation.line}  {mutation.identity.split(' | ')[1]}", flush=True)
    if outcome == "survived":
        line = Tree.read(mutation.file).splitlines()[mutation.line - 1].strip()
        print(f"    {line}\n    {' '.join(Tree.read(mutation.file)[mutation.begin:mutation.end].split())} -> {mutation.new or 'nothing'}")


def write_record(rows):
    """The committed record: sums, then a line for every mistake that compiles."""
    told = {i: row for i, row in rows.items() if row[0] != "does not compile"}
    sums = {}
    for identity, (outcome, _) in told.items():
        part = "programs" if "/app/" in identity else "libraries"
        for group in (part, identity.split(" | ")[1], "all"):
            sums.setdefault(group, {}).setdefault(outcome, 0)
            sums[group][outcome] += 1
    outcomes = ["caught", "mended", "equivalent", "survived"]
    lines = ["Single mistakes made by rule (tests/tools/mutate.py) and what noticed them. 'mended': it survived first, and a test",
             "was written that catches it. Behind each its file, the rule, the line, what became of it.", "",
             f"{'':<20}" + "".join(f"{o:>12}" for o in outcomes) + f"{'caught, of what is not equivalent':>36}"]
    for group, found in sorted(sums.items(), key=lambda item: (item[0] not in ("programs", "libraries"), item[0] == "all", item[0])):
        caught, survived = found.get("caught", 0) + found.get("mended", 0), found.get("survived", 0)
        share = f"{100 * caught / (caught + survived):.1f} %" if caught + survived else "-"
        lines.append(f"{group:<20}" + "".join(f"{found.get(o, 0):>12}" for o in outcomes) + f"{share:>36}")
    lines += ["", *(f"{outcome}\t{by}\t{identity}" for identity, (outcome, by) in sorted(told.items()))]
    RECORD.write_text("\n".join(lines) + "\n")


def work(judges, todo, wanted, found, progress, tests):
    """Judges mutations until `wanted` of them compiled; {identity: (outcome, by)} is filled and written as it grows.
    tests: {identity: the test that alone is asked}"""
    free = queue.SimpleQueue()
    for judge in judges:
        free.put(judge)
    reasons = read_table(EQUIVALENT)

    def one(mutation):
        judge, start = free.get(), time.monotonic()
        try:
            outcome, by = judge.judge(mutation, tests.get(mutation.identity, ""))
        finally:
            free.put(judge)
        if outcome == "survived" and mutation.identity in reasons:
            outcome, by = "equivalent", reasons[mutation.identity][1]
        return mutation, outcome, by, time.monotonic() - start

    def counts(outcome, by):
        """Not what does not compile; nor, of those that a record says were caught, what this build leaves out: code of
        a SIMD level, where the portable kernels alone are built."""
        return outcome != "does not compile" and not (tests and by == SAME_CODE)

    counted = sum(counts(*found[m.identity]) for m in todo[:wanted] if m.identity in found)
    waiting = iter([m for m in todo if m.identity not in found])
    with concurrent.futures.ThreadPoolExecutor(len(judges)) as pool:
        running = set()
        while True:
            while len(running) < len(judges) and counted + len(running) < wanted:
                mutation = next(waiting, None)
                if mutation is None:
                    break
                running.add(pool.submit(one, mutation))
            if not running:
                return
            done, running = concurrent.futures.wait(running, return_when=concurrent.futures.FIRST_COMPLETED)
            for future in done:
                mutation, outcome, by, seconds = future.result()
                counted += counts(outcome, by)
                found[mutation.identity] = (outcome, by)
                show(mutation, outcome, by, seconds)
                with open(progress, "a") as file:
                    file.write(f"{outcome}\t{by}\t{mutation.identity}\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sample", type=int, default=0, metavar="N")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--files", action="append", metavar="PATTERN", help="paths from the root; default: all sources of steps and weights")
    parser.add_argument("--rule", action="append", help="these rules alone")
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--check", type=int, default=0, metavar="N")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--self-test", action="store_true")
    parser.add_argument("-j", "--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build" / "mutants", help="folder to work in; that of mutants.py")
    options = parser.parse_args()
    if options.self_test:
        wrong = self_test()
        print("\n".join(wrong) or "self-test passed")
        return 1 if wrong else 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    progress = options.build / "generated.progress"
    record, found = read_table(RECORD), read_table(progress)
    if options.write:
        again = {i: ("mended", by) if o == "caught" and record.get(i, ("",))[0] in ("survived", "mended") else (o, by)
                 for i, (o, by) in found.items()}
        reasons = read_table(EQUIVALENT)
        write_record({i: ("equivalent", reasons[i][1]) if row[0] == "survived" and i in reasons else row
                      for i, row in {**record, **again}.items()})
        return 0
    every = [m for m in candidates(options.files or ["*"]) if not options.rule or m.rule in options.rule]
    if options.sample:
        todo, wanted = list(in_order(every, options.seed)), options.sample
    else:
        kinds = ("survived",) if options.again else ("caught", "mended")
        # One that hangs costs its time again.
        if options.check:  # ... and of these kernels only the portable ones are built
            every = [m for m in every if ".simd." not in m.file]
        todo = [m for m in every if record.get(m.identity, ("",))[0] in kinds and "hangs" not in record[m.identity][1]]
        found = {}
        if options.check:
            random.Random(options.seed).shuffle(todo)
            if len(todo) < options.check:
                print(f"mutate: of the record only {len(todo)} that were caught still apply\n0 passed, 1 failed")
                return 1
        wanted = options.check or len(todo)
    if not todo or wanted < 1:
        parser.error("nothing to do")
    options.build.mkdir(parents=True, exist_ok=True)
    # The few that are tried again share the trees of mutants.py and meet the test that caught them. For a sample all
    # levels are built: with the portable kernels alone the checks of figures take many times as long.
    tests = {m.identity: record[m.identity][1] for m in todo} if options.check else {}
    name = "{}" if options.check else "sample-{}"
    judges = [Judge(options.build / name.format(number), bool(options.check)) for number in range(min(options.jobs, wanted))]
    try:
        for judge in judges:
            judge.prepare()
        check_the_right_program(judges, {(*m.file.split("/")[:2], tests.get(m.identity, "")) for m in todo[:wanted]})
    except Failure as failure:
        print(f"mutate: {failure}\n0 passed, 1 failed")
        return 1
    before = set(found)
    work(judges, todo, wanted, found, progress, tests)
    mine = [found[i][0] for i in ({m.identity for m in todo} & set(found) if options.sample else set(found) - before)]
    # What is tried again has to be caught, and nothing else will do; what this build leaves out was replaced.
    left_out = sum(found[i][1] == SAME_CODE for i in set(found) - before)
    survived = len(mine) - mine.count("caught") - left_out if options.check else mine.count("survived")
    print(f"{mine.count('equivalent')} equivalent, {mine.count('does not compile')} did not compile")
    print(f"{mine.count('caught')} passed, {survived} failed")
    return 1 if survived else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    finally:
        end_all()
