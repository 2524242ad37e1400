#!/usr/bin/env python3
"""Grades the tests: each mutant of tests/mutants is one way to get a KV cache, or a kernel that
works on it, wrong, and a named test case must catch it.

Copied trees, each built once, take the mutants side by side. First every named case must be green on
the right program (so that red means something); then, for each mutant: apply, rebuild what changed, run its case alone, which
must FAIL, and revert. The weaker checks of tests/mutants/oracles.cpp run too, and must see exactly
what the mutant's file says they see. With --verify, `step03_kvcache verify` is built as well: it
must exit 0 on the right program and 1 on every mutant that says `Verify: notices`.

A mutant of step04_cuda alone is one of a kernel. Those checks run on the CPU and would not see it.
Instead tests/mutants/kernel_oracles.cpp launches the kernels raw in the order of their threads, raw in
another order, and checked: what the first two see, and what the executor reports in the third.

A mutant of step05_policies alone is one of a policy that forgets. A policy has no plain text to be equal
to; what is asked is whether the greedy text that it writes (tests/mutants/policy_oracles.cpp) changes at all.

A mutant of step06_quant and weights alone is one of a number format. Nothing weaker than its test case is asked:
a wrong format writes a text, too. Nor of a mutant of step07_serving, which is one of a schedule, of one of
step08_architectures, which is one of another memory, nor of a mutant whose file says `Kind: report`: what is measured, printed,
written to a file or refused.

What a mutant's file looks like: mutant_file.py.

Standard library only. Exit code 0: every mutant is caught. 1: not. 2: usage.
"""
import argparse
import concurrent.futures
import difflib
import os
import pathlib
import queue
import signal
import sys
import time

from mutant_file import FOLDER, KINDS, LAUNCHES, ORACLES, ROOT, WEIGHT_FIELDS, WEIGHTS, JUDGES, Failure, Mutant
from mutant_tree import Tree, end_all


def clean_checks(tree, mutants, jobs):
    """Everything is green on the right program."""
    cases = {(m.program, m.case): m for m in mutants}
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        for (program, case), green in zip(cases, pool.map(tree.green, cases.values())):
            if not green:
                raise Failure(f'{program} "{case}" fails on the right program')
    noticed = []
    if JUDGES["cache"] in tree.oracles:
        noticed += [f"{kind} {check}" for kind, checks in tree.weaker_checks().items()
                    for check, result in checks.items() if result not in ("misses", "0")]
    if JUDGES["kernel"] in tree.oracles:
        noticed += [f"{way} launches" for way in LAUNCHES.values() if tree.launched(way)[0] != "misses"]
    if noticed:
        raise Failure(f"weaker checks see a bug in the right program: {', '.join(noticed)}")
    if tree.verify and tree.run_verify() != "misses":
        raise Failure("step03_kvcache verify fails on the right program")


def judge(tree, mutant, options):
    """Why the mutant counts as failed; an empty list if it is caught as its file says."""
    wrong = []
    tree.write(mutant.apply(tree.read))
    tree.make(tree.targets() if options.suite else tree.targets_for(mutant))
    if tree.green(mutant):
        wrong.append(f'NOT caught by "{mutant.case}"')
    if options.suite:
        wrong += [f"red: {case}" for case in tree.red_cases()]
    compare = {"cache": compare_weaker_checks, "kernel": compare_launches, "policy": compare_texts}
    return wrong + (compare[mutant.kind](tree, mutant, options) if mutant.oracles else [])


def compare_texts(tree, mutant, options):
    """Whether a policy's text changes, against its file."""
    found = "misses" if tree.policy_text(mutant.policy) == tree.right_texts[mutant.policy] else "notices"
    wrong = []
    if options.measure:
        mutant.write_field("Text", found)
    elif found != mutant.text:
        wrong.append(f"the text {found} it, its file says {mutant.text}")
    mutant.text = found
    return wrong


def compare_launches(tree, mutant, options):
    """What raw and checked launches see of a kernel, against its file."""
    wrong = []
    for field, found in tree.launches().items():
        if options.measure:
            mutant.write_field(field, found)
        elif found != mutant.launches[field]:
            wrong.append(f"{field}: '{found}', its file says '{mutant.launches[field]}'")
        mutant.launches[field] = found
    return wrong


def compare_weaker_checks(tree, mutant, options):
    """What they see of a wrong cache, against its file."""
    wrong = []
    weaker = tree.weaker_checks()
    if options.measure:
        for kind, checks in weaker.items():
            mutant.write_field(WEIGHT_FIELDS[kind], " ".join(f"{k}={v}" for k, v in checks.items()))
    else:
        wrong += [f"{kind} {check}: {checks.get(check)}, its file says {mutant.weaker[kind].get(check)}"
                  for kind, checks in weaker.items() for check in {**checks, **mutant.weaker[kind]}
                  if checks.get(check) != mutant.weaker[kind].get(check)]
    mutant.weaker = weaker
    if tree.verify:
        seen = tree.run_verify()
        if options.measure:
            mutant.write_field("Verify", seen)
        elif seen != mutant.verify:
            wrong.append(f"verify {seen} it, its file says {mutant.verify}")
        mutant.verify = seen
        found = tree.first_difference()
        if options.measure:
            mutant.write_field("Tracer", found)
        elif found != mutant.tracer:
            wrong.append(f"the tracer says '{found}', its file '{mutant.tracer}'")
        mutant.tracer = found
    return wrong


ALONE = ("format", "schedule", "memory", "report")  # kinds that nothing weaker than the named test is asked about
SEES = {"notices": "sees", "misses": "-"}
COLUMNS = [(kind, oracle) for kind in WEIGHTS for oracle in ORACLES]


def print_head(kind, verify):
    if kind in ALONE:
        print("who sees it: the named case")
        print(f"{'mutant':<32}{'caught':<8}seconds")
        return
    if kind == "policy":
        print("who sees it: the named case; then the text of tests/mutants/policy_oracles.cpp")
        print(f"{'mutant':<32}{'caught':<8}{'text':<7}{'of':<16}seconds")
        return
    if kind == "kernel":
        print("who sees it: the named case; then launches of tests/mutants/kernel_oracles.cpp")
        print(f"{'mutant':<32}{'caught':<8}{'raw':<7}{'shuffled':<10}{'report':<28}seconds")
        return
    print("who sees it: the named case; then the weaker checks of tests/mutants/oracles.cpp")
    print(f"{'':<40}" + "".join(f"{'-- ' + field.lower() + ' --':<{7 * len(ORACLES)}}"
                                 for field in WEIGHT_FIELDS.values()))
    print(f"{'mutant':<32}{'caught':<8}" + "".join(f"{oracle:<7}" for _, oracle in COLUMNS) +
          ("verify  " if verify else "") + "seconds")


def seen(mutant, verify):
    """Its columns behind 'caught'."""
    if mutant.kind in ALONE:
        return ""
    if mutant.kind == "policy":
        return f"{SEES.get(mutant.text, '?'):<7}{mutant.policy:<16}"
    if mutant.kind == "kernel":
        raw, shuffled = (SEES.get(mutant.launches[field], "?") for field in ("Raw", "Shuffled"))
        return f"{raw:<7}{shuffled:<10}{(mutant.launches['Report'] or '?').split(' | ')[0]:<28}"
    return "".join(f"{SEES.get(mutant.weaker[kind].get(oracle), '?'):<7}" for kind, oracle in COLUMNS) + (
        f"{SEES.get(mutant.verify, '?'):<8}" if verify else "")


def print_sums(mutants, verify):
    of = f"{'missed, of ' + str(len(mutants)):<40}"
    if mutants and mutants[0].kind in ALONE:
        return
    if mutants and mutants[0].kind == "policy":
        print(f"{of}{sum(m.text == 'misses' for m in mutants)}")
    elif mutants and mutants[0].kind == "kernel":
        raw, shuffled = (sum(m.launches[field] == "misses" for m in mutants) for field in ("Raw", "Shuffled"))
        print(f"{of}{raw:<7}{shuffled:<10}{sum(m.launches['Report'] == 'none' for m in mutants)}")
    elif mutants:
        missed = [sum(m.weaker[kind].get(oracle) == "misses" for m in mutants) for kind, oracle in COLUMNS]
        print(of + "".join(f"{n:<7}" for n in missed) +
              (str(sum(m.verify == "misses" for m in mutants)) if verify else ""))


def grade(trees, mutant, options):
    """(the mutant is caught as its file says, its line of the table and what is wrong), by a tree that is free."""
    tree = trees.get()
    start = time.monotonic()
    try:
        wrong = judge(tree, mutant, options)
    except Failure as failure:
        wrong = [str(failure)]
    finally:
        tree.write({file: tree.read(file) for file, _, _ in mutant.edits})
        trees.put(tree)
    caught = not any(not reason.startswith("red: ") for reason in wrong)
    line = f"{mutant.name:<32}{'yes' if caught else 'NO':<8}{seen(mutant, options.verify)}{time.monotonic() - start:.1f}"
    return caught, "\n".join([line, *(f"    {reason}" for reason in wrong)])


def plant(options, mutants):
    """A queue of trees of the right program, built, with every named case green."""
    trees = [Tree(options.build / str(number), mutants, options.verify) for number in range(options.jobs)]
    for tree in trees:  # the first compiles with all processors; with ccache the others find what it made
        tree.copy()
        tree.configure()
        tree.make(tree.targets())
        tree.keep_the_right_reporters()
    clean_checks(trees[0], mutants, options.jobs)
    free = queue.SimpleQueue()
    for tree in trees:
        tree.keep_the_right_program(mutants)
        free.put(tree)
    return free


def is_meant(only, name):
    """Whether --only names this mutant: 15 is 15_float_in_f16 and not 115 or 150."""
    return name.startswith(f"{only}_") if only.isdigit() else only in name


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", metavar="NAME", action="append", help="mutants whose name contains it, or the one that has this number")
    parser.add_argument("--list", action="store_true", help="names and bugs, nothing is run")
    parser.add_argument("--diff", action="store_true", help="print the mutants as diffs, nothing is run")
    parser.add_argument("--measure", action="store_true", help="write what the weaker checks see into the files")
    parser.add_argument("--suite", action="store_true", help="run all cases of the programs, list those that fail")
    parser.add_argument("--named-alone", action="store_true", help="ask the tests that the files name, and no weaker check")
    parser.add_argument("--figures", type=int, default=1, metavar="N",
                        help="of the mutants that a check of figures has to catch every N-th, since these take longest; 0: none, so with the others")
    parser.add_argument("--caches", type=int, default=1, metavar="N", help="of the mutants of chapters 1 to 3, which chapter 3 shows, every N-th")
    parser.add_argument("--kernels", type=int, default=1, metavar="N",
                        help="of the mutants of chapter 4's kernels and executor every N-th")
    parser.add_argument("--policies", type=int, default=1, metavar="N", help="of the mutants of chapter 5 every N-th")
    parser.add_argument("--formats", type=int, default=1, metavar="N", help="of the mutants of chapter 6 every N-th")
    parser.add_argument("--schedules", type=int, default=1, metavar="N", help="of the mutants of chapter 7 every N-th")
    parser.add_argument("--memories", type=int, default=1, metavar="N", help="of the mutants of chapter 8 every N-th")
    parser.add_argument("--verify", action="store_true", help="run `step03_kvcache verify` and `diverge` as well")
    parser.add_argument("-j", "--jobs", type=int, default=os.cpu_count() or 1, help="so many at a time")
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build" / "mutants", help="folder to work in")
    options = parser.parse_args()
    if options.named_alone and (options.verify or options.measure):
        parser.error("--named-alone leaves out what --verify and --measure ask")
    try:
        mutants = [Mutant(path) for path in sorted(FOLDER.glob("*.mutant"))]
    except Failure as failure:
        sys.exit(f"mutants: {failure}")
    of_chapters = {("step01_tensor/", "step02_attention/", "step03_kvcache/"): options.caches,
                   "step04_cuda/": options.kernels, "step05_policies/": options.policies, "step06_quant/": options.formats,
                   "step07_serving/": options.schedules, "step08_architectures/": options.memories}
    if min(options.figures, *of_chapters.values()) < 0:
        parser.error("--figures, --caches, --kernels, --policies, --formats, --schedules and --memories: at least 0")

    def all_but_every(every, of):
        return [m for i, m in enumerate(of) if every == 0 or i % every]

    for_later = all_but_every(options.figures, [m for m in mutants if m.by_report])
    for folders, every in of_chapters.items():
        of_chapter = [m for m in mutants if m.edits[0][0].startswith(folders) and not m.by_report]
        for_later += all_but_every(every, of_chapter)
    mutants = [m for m in mutants if m not in for_later]
    if options.only:
        mutants = [m for m in mutants if any(is_meant(only, m.name) for only in options.only)]
    if options.named_alone:
        for m in mutants:
            m.ask_nobody_else()
    if not mutants:
        print("mutants: none of that name", file=sys.stderr)
        return 2
    if options.jobs < 1:
        parser.error("--jobs: at least 1")
    options.jobs = min(options.jobs, len(mutants))  # no tree without work
    if options.list:
        for m in mutants:
            print(f"{m.name}: {m.fields['Bug']}\n    caught by {m.program} \"{m.case}\"")
        return 0

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that no compiler is left behind
    if options.diff:
        for m in mutants:
            for file, text in m.apply(Tree.read).items():
                sys.stdout.writelines(difflib.unified_diff(
                    Tree.read(file).splitlines(True), text.splitlines(True), f"a/{file}", f"b/{file}"))
        return 0
    start = time.monotonic()
    try:
        for m in for_later:
            m.apply(Tree.read)  # what is not tried today still applies
        trees = plant(options, mutants)
    except Failure as failure:
        print(f"mutants: {failure}\n0 passed, {len(mutants)} failed")
        return 1
    cases = len({m.case for m in mutants})
    print(f"the right program: built, {cases} named cases green ({time.monotonic() - start:.0f} s)")
    failed = 0
    groups = [[m for m in mutants if m.kind == kind] for kind in KINDS]
    pool = concurrent.futures.ThreadPoolExecutor(options.jobs)
    lines = pool.map(lambda m: grade(trees, m, options), [m for group in groups for m in group])
    try:
        for kind, group in zip(KINDS, groups):
            if group:
                print_head(kind, options.verify)
            for _ in group:
                caught, line = next(lines)
                print(line, flush=True)
                failed += not caught
            print_sums(group, options.verify)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    print(f"{len(mutants) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    finally:  # interrupted, too
        end_all()
