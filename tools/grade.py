#!/usr/bin/env python3
"""Grades submissions for a chapter of the course.

    grade.py SUBMISSION... --step N    a folder or a zip each: a starter that was worked on, or the tasks' files alone
    grade.py --prepare --step N        makes and builds the tree that submissions are graded in (the first grading does it, too)
    grade.py stats DIR                 pass rates over a folder of results (--json)

The submission is compiled and run confined, knows no expected value, and what it prints decides nothing. Exit code 0: it was
graded, whatever the score; 1: it could not be, and there is no score; 2: the command is wrong.
"""
import argparse
import os
import pathlib
import signal
import sys

if sys.version_info < (3, 11):
    sys.exit("grade: Python 3.11 or later is needed, this is " + ".".join(map(str, sys.version_info[:3])))
ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "tests" / "tools"), str(ROOT / "tests" / "course")]
sys.dont_write_bytecode = True  # another user's grader may not be able to

import json  # noqa: E402

from course import building, extra, grading, report, statistics, submission  # noqa: E402
from course.selection import tracked  # noqa: E402
from course.formats import FORMATS  # noqa: E402
from course.loading import cases_of  # noqa: E402
from course.markers import MarkerError  # noqa: E402
from course.tasks import STEPS, Failure, tasks_of  # noqa: E402
from mutant_file import Failure as MistakeFailure  # noqa: E402

PRESETS = ("student", "release")


def parsed(arguments):
    parser = argparse.ArgumentParser(prog="grade.py", description="grades submissions for a chapter of the course")
    parser.add_argument("submissions", metavar="SUBMISSION", nargs="*", type=pathlib.Path,
                        help="a folder or a zip: a starter that was worked on, or the tasks' files alone")
    parser.add_argument("--step", type=int, choices=STEPS, metavar="N", required=True, help=f"the chapter, 1 to {max(STEPS)}")
    parser.add_argument("--seed", type=int, default=grading.DEFAULT_SEED, help="of the questions' numbers (%(default)s); a starter's examples have another")
    parser.add_argument("--extra", metavar="DIR", type=pathlib.Path, help="hidden questions: stepNN.txt in it has rows 'CASE | PARAMETERS'")
    parser.add_argument("--format", choices=FORMATS, help="writes the result for a platform, with -o")
    parser.add_argument("-o", "--out", metavar="FILE", type=pathlib.Path, help="where to, - for standard output; with several submissions a folder")
    parser.add_argument("--json", metavar="FILE", type=pathlib.Path, help="writes all that is known, for stats; with several submissions a folder")
    parser.add_argument("--output", action="store_true", help="shows the last lines that a program printed, too")
    parser.add_argument("--preset", choices=PRESETS, default="student", help="the build: with sanitizers (student), or fast (release)")
    parser.add_argument("--work", metavar="DIR", type=pathlib.Path, default=building.default_work(), help="where trees are kept (%(default)s)")
    parser.add_argument("--prepare", action="store_true", help="makes and builds the tree, and grades nothing")
    parser.add_argument("--trust", action="store_true", help="grades without confining anything, where that is impossible; the report says so")
    parser.add_argument("--quiet", action="store_true", help="no text on standard output")
    args = parser.parse_args(arguments)
    if bool(args.submissions) == args.prepare:
        parser.error("expected at least one SUBMISSION, or --prepare")
    if bool(args.format) != bool(args.out):
        parser.error("--format and -o belong together")
    if str(args.out) == "-":
        if len(args.submissions) > 1:
            parser.error("-o - takes one submission")
        args.quiet = True
    names = [path.resolve().name for path in args.submissions]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice and (args.out or args.json):
        parser.error(f"two submissions are called '{twice[0]}', so their results would overwrite one another")
    return args


def hash_of_the_tests(extra_lines):
    """Of the judges, the cases, the grader and the hidden lines: whatever can change a score."""
    paths = [path for path in tracked() if path.parts[:2] in (("tools", "course"), ("tests", "course")) and path.suffix != ".md" and
             path.parts[2] not in ("platforms", "grader")]
    paths += [pathlib.Path("tools/grade.py"), pathlib.Path("tests/tools/contract_by_the_book.py")]
    return building.hash_of(set(paths), json.dumps(extra_lines, sort_keys=True))


def grade(args):
    tasks = tasks_of(args.step)
    if not tasks:
        raise Failure(f"chapter {args.step} has no tasks")
    cases = cases_of(args.step)
    hidden = extra.lines_of(args.extra, args.step, cases) if args.extra else {}
    course = grading.Course(args.step, tasks, cases, hidden, args.seed)
    tree = building.Tree(args.step, args.preset, args.work, args.trust)
    read = [submission.read(path, tree.files) for path in args.submissions]
    tests, complete = hash_of_the_tests(hidden), True
    with tree.held(lambda text: print(f"grade: {text}", file=sys.stderr, flush=True)):
        grading.checked(tree, course)
        if args.prepare:
            print(f"the tree for chapter {args.step} is ready: {tree.folder} ({tree.running})")
        for one in read:
            try:
                verdicts, notes, seconds = grading.graded(tree, course, one)
            except Failure as failure:
                verdicts, notes, seconds = grading.not_run(course, str(failure)), [], 0.0
            confined = str(tree.running) if args.trust else f"confined by {tree.running}"
            result = report.result_of(course, one.name, verdicts, notes, tests, tree.compiler(), confined, seconds)
            complete = complete and result["score"] is not None
            written(args, one, result)
    return 0 if complete else 1


def written(args, one, result):
    if not args.quiet:
        print(report.text_of(result, args.output), flush=True)
    if args.json:
        save(named(args, args.json, f"{one.name}.json"), json.dumps(result, indent=1) + "\n")
    if not args.format or result["score"] is None:  # a platform must not take a grader's failure for a score
        return
    text = FORMATS[args.format](result)
    if str(args.out) == "-":
        print(text, end="")
    else:
        save(named(args, args.out, f"{one.name}.{'xml' if args.format == 'junit' else 'json'}"), text)


def named(args, path, name):
    return path / name if len(args.submissions) > 1 or path.is_dir() else path


def save(path, text):
    """Whole or not at all."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f".{path.name}.{os.getpid()}")
        unfinished.write_text(text)
        unfinished.replace(path)
    except OSError as error:
        raise Failure(f"{path}: cannot be written: {error.strerror}") from None


def stats(arguments):
    parser = argparse.ArgumentParser(prog="grade.py stats", description="pass rates over a folder of results (grade.py --json)")
    parser.add_argument("folder", metavar="DIR", type=pathlib.Path)
    print(statistics.text_of(*statistics.results_in(parser.parse_args(arguments).folder)), end="")
    return 0


def main():
    # What is confined ends with the grader, however that ends, but for SIGKILL; then the next grader ends it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        if sys.argv[1:2] == ["stats"]:
            return stats(sys.argv[2:])
        return grade(parsed(sys.argv[1:]))
    except (Failure, MarkerError, MistakeFailure) as failure:
        print(f"grade: {failure}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"grade: {error.filename or ''}: {error.strerror}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
