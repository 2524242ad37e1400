#!/usr/bin/env python3
"""The course, for those who maintain it. Students get tools/starter.py's trees, instructors tools/grade.py.

    course.py table STEP               the chapter's tasks as a table (chapters quote it)
    course.py check STEP PROGRAM       asks a program of tasks and judges its answers; --seed N for other numbers
    course.py prove [STEP ...]         builds starters and wrong solutions: tasks are open, and mistakes cost their points and are
                                       named; --record writes anew what they answer, for the grader's hints
    course.py book [STEP ...]          the chapters' own tests in the starters: what fails waits for an open task
"""
import argparse
import pathlib
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "tests" / "tools"), str(ROOT / "tests" / "course")]

from course import book_tests  # noqa: E402
from course.asking import PASSED, judged, listed, questions_of  # noqa: E402
from course.loading import cases_of  # noqa: E402
from course.tasks import STEPS, Failure, tasks_of  # noqa: E402
from course.markers import MarkerError  # noqa: E402
from course.proof import Proof  # noqa: E402
from prose_text import slug  # noqa: E402


def section(task):
    """A link, from the chapter, to what the task needs."""
    page = pathlib.PurePosixPath(task.text).relative_to(STEPS[int(task.id[0])])
    return f"[{task.needs}]({page if page.name != 'README.md' else ''}#{slug(task.needs)})"


def table(args):
    print("| task | where | idea | lines | minutes | points | needs |")
    print("|---|---|---|---|---|---|---|")
    for task in tasks_of(args.step).values():
        files = ", ".join(f"`{pathlib.PurePosixPath(*pathlib.PurePosixPath(file).parts[1:])}`" for file in task.files)
        print(f"| **{task.id}** {task.title} | {files} | {task.idea} | {task.lines} | {task.minutes} | {task.points} | {section(task)} |")
    return 0


def check(args):
    """Every case of the judge is one of the program and the other way round; every answer is right."""
    cases, names, wrong = cases_of(args.step), listed(args.program), 0
    for name in sorted(set(cases) ^ set(names)):
        print(f"FAILED: {name}: {'the program' if name in cases else 'the judge'} has no such case")
        wrong += 1
    for task in tasks_of(args.step):
        if not any(case.task == task for case in cases.values()):
            print(f"FAILED: task {task} has no case")
            wrong += 1
    for name, case in cases.items():
        verdict = judged([args.program], name, questions_of(case, args.seed))
        print(f"{verdict.outcome:16} {name}" + (f" [{verdict.line}]: {verdict.message}" if verdict.outcome != PASSED else ""))
        wrong += verdict.outcome != PASSED
    print(f"{len(cases)} cases, {wrong} problems")
    return 1 if wrong or not cases else 0


def prove(args):
    return of_all(args, lambda step, work: Proof(step, work, args.task, args.record, args.every).run(said))


def book(args):
    return of_all(args, lambda step, work: book_tests.run(step, work, said))


def said(line):
    print(line, flush=True)


def of_all(args, proof):
    """Something for the chapters that were named, or for all."""
    passed = failed = 0
    with tempfile.TemporaryDirectory(prefix="kvlab-course-") as own:
        for step in args.step or STEPS:
            good, bad = proof(step, args.work or own)
            passed, failed = passed + good, failed + bad
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


def main():
    parser = argparse.ArgumentParser(description="the course, for those who maintain it")
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("table")
    one.set_defaults(run=table)
    one.add_argument("step", type=int)
    one = commands.add_parser("check")
    one.set_defaults(run=check)
    one.add_argument("step", type=int)
    one.add_argument("program")
    one.add_argument("--seed", type=int, default=1)
    one = commands.add_parser("prove")
    one.set_defaults(run=prove)
    one.add_argument("step", type=int, nargs="*")
    one.add_argument("--task", action="append", default=[], help="this task alone; may be repeated")
    one.add_argument("--record", action="store_true", help="writes the mistakes' answers, by which the grader knows them, anew")
    one.add_argument("--every", type=int, default=1, metavar="N", help="every N-th wrong solution alone")
    one.add_argument("--work", help="a folder for the starters, which are built there (default: one that is removed)")
    one = commands.add_parser("book")
    one.set_defaults(run=book)
    one.add_argument("step", type=int, nargs="*")
    one.add_argument("--work", help="the same")
    args = parser.parse_args()
    if getattr(args, "every", 1) < 1 or getattr(args, "record", False) and args.every > 1:
        parser.error("--every: at least 1, and 1 with --record")
    try:
        return args.run(args)
    except (Failure, MarkerError) as failure:
        print(f"course: {failure}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
