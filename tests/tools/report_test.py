#!/usr/bin/env python3
"""Every figure that a program prints or writes to JSON, recomputed from something else.

    python3 tests/tools/report_test.py BIN_FOLDER [PROGRAM ...]
        runs the checks of tests/tools/reports of these programs, or of all that are built
    ... --only TEXT     those whose command line holds TEXT
    ... --check NAME    those of the check with this name; there has to be one
    ... --write         also writes the tables of fields (reports/fields/PROGRAM.txt) anew
    ... --self-test     the checks see what is wrong

A figure without a check fails, and so does a subcommand with --json that no check runs, and a field of the
sources that no run of the checks has shown. The tables say of every field what it is compared with, and which
check does it. Standard library only. Exit code 0: all hold. 1: not. 2: usage.
"""
from __future__ import annotations

import argparse
import importlib
import json
import re
import subprocess
import sys
from pathlib import Path

from programs import PROGRAMS, REPORTERS
from reports.checked import CASES, ROUTES, Missing, Run, Wrong, leaves

ROOT = Path(__file__).resolve().parents[2]
FIELDS = Path(__file__).resolve().parent / "reports" / "fields"


def load():
    for path in sorted((Path(__file__).resolve().parent / "reports").glob("*.py")):
        if path.stem not in ("__init__", "checked"):
            importlib.import_module(f"reports.{path.stem}")


def run_case(folder, program, arguments, function, options):
    """(fields with their routes, keys seen) of one run; Wrong if something does not hold."""
    if options["needs"] and not (ROOT / "weights" / "downloads" / options["needs"]).exists():
        raise Missing(f"{options['needs']} is not here")
    run = Run(folder, program, arguments, json_flag=options["report"] and takes_json(folder, program, arguments), **options)
    function(run)
    run.finish()
    keys = {part for path in run.values for part in re.findall(r'"((?:[^"\\]|\\.)*)"|(\w+)', re.sub(r"\[\d+\]", "", path))}
    shown = {a or b for a, b in keys}
    for name, content in run.files.items():  # JSON lines that the program wrote beside its report
        if name.endswith(".jsonl") and name not in options["files"]:
            for line in content.decode().splitlines():
                shown |= {part for path, _ in leaves(json.loads(line)) for part in re.findall(r"\w+", path)}
    # A list of named things may look like an object in the sources: what is a value counts as well.
    return run.owners, shown | {v for v in run.values.values() if isinstance(v, str)}


def help_of(folder, *command):
    return subprocess.run([Path(folder) / command[0], *command[1:], "--help"], capture_output=True, text=True).stdout


def subcommands(folder, program):
    """[] for the program itself, and its subcommands' names."""
    text = help_of(folder, program)
    part = re.split(r"\nSubcommands:\n", text, flags=re.IGNORECASE)
    return ["", *re.findall(r"^  (\S+) ", part[1], re.M)] if len(part) > 1 else [""]


_flags = {}


def words_of(arguments):
    return arguments.split() if isinstance(arguments, str) else list(arguments)


def takes_json(folder, program, arguments):
    words = words_of(arguments)
    names = subcommands(folder, program) if program not in _flags else _flags[program][0]
    if program not in _flags:
        _flags[program] = (names, {n: "--json" in help_of(folder, program, *([n] if n else [])) for n in names})
    name = next((w for w in words if w in names), "")
    return _flags[program][1][name] or _flags[program][1][""]


def unseen_subcommands(folder, program):
    names = subcommands(folder, program)
    asked = {next((w for w in words_of(a) if w in names), "") for p, a, _, _ in CASES if p == program}
    with_json = {n for n in names if "--json" in help_of(folder, program, *([n] if n else []))}
    return sorted(n for n in with_json - asked if n)


def keys_of_sources(program):
    """What the sources of a program use as a key of a JSON object."""
    keys = set()
    for path in sorted((ROOT / PROGRAMS[program] / "app").rglob("*.[ch]pp")):
        text = path.read_text()
        if "cli::worked_examples(" in text or not re.search(r"json|report", text, re.I):
            continue  # a list of names, such as those of worked examples, is no report
        keys |= set(re.findall(r'(?:report|json|part|row|line|one|entry|\])\w*\["((?:[^"\\]|\\.)+)"\]', text, re.I))
        # A pair in braces; with another string behind it, it is a list of texts.
        keys |= set(re.findall(r'\{\s*"((?:[^"\\]|\\.)+)",\s+(?!")', text))
    return keys


def table(program, rows):
    """The text of a table of fields: {(subcommand, field): {(route, check)}}."""
    lines = [f"# Every field of the reports of {program}: what it is compared with, and the check in tests/tools/reports"]
    for (command, field), owners in sorted(rows.items()):
        routes = ", ".join(sorted({ROUTES[r] for r, _ in owners}))
        checks = ", ".join(sorted({c for _, c in owners}))
        lines.append(f"{command} | {field} | {routes} | {checks}")
    return "\n".join(lines) + "\n"


def check_program(folder, program, only, name_of_check, write, first=False):
    """(passed, failed) of one program."""
    passed = failed = 0
    rows, seen, skipped = {}, set(), False

    def wrong(where, what):
        nonlocal failed
        failed += 1
        # Arguments may hold bytes that are no text.
        print(f"FAILED: {where}: {what}".encode(errors="backslashreplace").decode())

    for name, arguments, function, options in CASES:
        if first and failed:
            break
        if name != program or only not in " ".join([name, *words_of(arguments)]) or name_of_check not in ("", function.__name__):
            continue
        try:
            result = run_case(folder, name, arguments, function, options)
        except (Wrong, KeyError, IndexError, TypeError, ValueError, ZeroDivisionError, subprocess.TimeoutExpired) as why:
            wrong(f"{function.__name__}: {' '.join([name, *words_of(arguments)])}", f"{type(why).__name__ + ': ' if not isinstance(why, Wrong) else ''}{why}")
            continue
        except Missing as why:
            skipped = True
            print(f"skipped: {name} {arguments}: {why}")
            continue
        passed += 1
        owners, keys = result
        seen |= keys
        command = " ".join([name, *[w for w in words_of(arguments)[:1] if w in subcommands(folder, name)]])
        check = f"{function.__module__.removeprefix('reports.')}.{function.__name__}"
        for field, routes in owners.items():
            rows.setdefault((command, field), set()).update((route, check) for route in routes)
    if only or name_of_check or skipped or failed:
        return passed, failed
    for name in unseen_subcommands(folder, program):
        wrong(program, f"no check runs its subcommand {name}")
    missing = keys_of_sources(program) - seen
    if missing:
        wrong(program, f"no run of the checks shows these fields of its sources: {', '.join(sorted(missing))}")
    path, text = FIELDS / f"{program}.txt", table(program, rows)
    if write:
        FIELDS.mkdir(exist_ok=True)
        path.write_text(text)
    elif not path.exists() or path.read_text() != text:
        wrong(program, f"{path.relative_to(ROOT)} is not what the checks do: run report_test.py --write and look at the changes")
    return passed, failed


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", default="build/release/bin")
    parser.add_argument("programs", nargs="*")
    parser.add_argument("--only", default="", metavar="TEXT")
    parser.add_argument("--check", default="", metavar="NAME")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--first", action="store_true", help="end at the first check that fails")
    parser.add_argument("--self-test", action="store_true")
    options = parser.parse_args()
    if options.self_test:
        from reports import self_test
        return self_test.main()
    load()
    programs = options.programs or [p for p in REPORTERS if (Path(options.folder) / p).exists()]
    unknown = [p for p in programs if p not in PROGRAMS]
    if unknown:
        parser.error(f"no such program: {', '.join(unknown)}")
    if options.check and not any(p in programs and f.__name__ == options.check for p, _, f, _ in CASES):
        parser.error(f"no check is called {options.check}")
    sums = [check_program(options.folder, program, options.only, options.check, options.write, options.first) for program in programs]
    passed, failed = sum(p for p, _ in sums), sum(f for _, f in sums)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
