#!/usr/bin/env python3
"""tools/experiments.toml and what runs it: its rows, its pictures, what is printed, and that one more of each is two files.

    python3 tests/tools/experiments_test.py [BIN_FOLDER]

With a folder of programs: each takes the arguments of its rows. Standard library only. Exit code 0: as expected. 1: not.
"""
from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
sys.dont_write_bytecode = True

import experiments  # noqa: E402
import plot  # noqa: E402

UNKNOWN = "--no-such-option"
# A program that writes a report, or fails, by its subcommand.
FAKE = """#!/bin/sh
case $1 in fails) echo nothing >&2; echo "it cannot" >&2; exit 3 ;; esac
echo "a table"
for path; do :; done
echo '{"experiment": "step07_serving '"$1"'", "processor": "a processor", "compiler": "a compiler", "model": "m", "heights": [1, 2]}' >"$path"
"""
ROWS = """
collected = { both = "--deep", script = "tools/collects.py", needs = "build-of-nobody/*.json" }
collected_here = { both = "--deep", script = "tools/collects.py", needs = "tools/*.py", pictures = ["collected"] }
added = { full = "adds {small}", quick = "adds -n 1", pictures = ["added", "bare"] }
failing = { both = "fails" }
"""
# A script of the project in place of a program: it says how it was called, and has no machine.
COLLECTS = """import sys
print("collected", *sys.argv[1:-2])
open(sys.argv[-1], "w").write('{"experiment": "collects", "heights": [1, 2]}')
"""
# As small as a picture can be.
PICTURE = '''"""Added: bars."""
NEEDS = ("step07_serving adds",)
SHOWS = ["heights"]


def draw(reports, figure):
    axes = figure.subplots()
    axes.bar([0, 1], reports[NEEDS[0]][0]["heights"])
    axes.set_title("heights")
'''
SCHEME = '''"""A scheme: from nothing."""
from . import scheme

NEEDS = ()


def draw_page():
    return scheme.Scheme(40, "nothing")
'''
wrong: list[str] = []


def expect(what: str, found, expected) -> None:
    if found != expected:
        wrong.append(f"{what}: expected {expected!r}, found {found!r}")


def check_table() -> None:
    """Each picture is drawn from the reports that it needs, with --quick and without, and each row can be run."""
    drawn = {name: importlib.import_module(f"plots.{name}") for name in plot.PICTURES}
    for quick in (False, True):
        rows = experiments.experiments(quick)
        reports = {row.name: row.report for row in rows}
        pictures = experiments.reports_of_pictures(rows)
        # What has a place for its report of its own is drawn by whoever writes that.
        expect(f"pictures, quick {quick}", sorted(pictures), sorted(name for name, picture in drawn.items() if picture.NEEDS and not hasattr(picture, "DEFAULT")))
        for name, of in pictures.items():
            expect(f"reports of {name}, quick {quick}", {reports[one] for one in of}, set(drawn[name].NEEDS))
            expect(f"{name}: needs a row, quick {quick}", any(of.values()), True)
        expect("arguments without names of words", [row.name for row in rows if any("{" in a for a in row.arguments)], [])
    expect("schemes", experiments.schemes(), sorted(name for name, picture in drawn.items() if not picture.NEEDS))
    expect("chapters", [program for program in experiments.programs() if not (ROOT / program / "app").is_dir()], [])


def check_arguments(programs: Path) -> None:
    """Nothing is computed: an option that does not exist stands behind them, and is all that is complained about."""
    rows = {(row.program, *row.arguments) for quick in (False, True) for row in experiments.experiments(quick) if not row.script}
    for program, *arguments in sorted(rows):
        if not (programs / program).exists():
            continue
        done = subprocess.run([programs / program, *arguments, UNKNOWN], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
        if done.returncode != 2 or f"not expected: {UNKNOWN}" not in done.stderr.splitlines()[0]:
            wrong.append(f"{program} {' '.join(arguments)}: {done.stderr.strip()[:200]}")


def run(tools: Path, *arguments: str) -> tuple[int, list[str]]:
    done = subprocess.run([sys.executable, "-B", tools / "experiments.py", *arguments], capture_output=True, text=True, timeout=300,
                          env={**os.environ, "KVLAB_PYTHON": sys.executable})
    # Times are the machine's.
    lines = [line for line in (done.stdout + done.stderr).splitlines() if not (line.startswith("    ") and line.endswith(" s"))]
    return done.returncode, lines


def check_one_more(folder: Path) -> None:
    """A row and a file in a copy of tools/, with a program that only seems to compute."""
    tools, programs, out = folder / "tools", folder / "bin", folder / "out"
    shutil.copytree(ROOT / "tools", tools, ignore=shutil.ignore_patterns("__pycache__"))
    for part in ROOT.iterdir():  # a scheme may read the code or the mutants that it shows
        if part.name not in ("tools", "build") and not (folder / part.name).exists():
            (folder / part.name).symlink_to(part)
    table, section = tools / "experiments.toml", "[step07_serving]\n"
    table.write_text(table.read_text().replace(section, section + ROWS))
    (tools / "collects.py").write_text(COLLECTS)
    for name, text in (("added", PICTURE), ("bare", PICTURE.replace("Added", "Bare")), ("collected", PICTURE.replace("step07_serving adds", "collects")), ("added_scheme", SCHEME)):
        (tools / "plots" / f"{name}.py").write_text(text)
    programs.mkdir()
    (programs / "step07_serving").write_text(FAKE)
    (programs / "step07_serving").chmod(0o755)
    places = ["--out", str(out), "--programs", str(programs)]
    expect("list", run(tools, "--list", "--only", "added"), (0, ["added: step07_serving adds --tokens 128 --window 128 --recall 0"]))
    expect("quick list", run(tools, "--list", "--quick", "--only", "added"), (0, ["added: step07_serving adds -n 1"]))
    expect("nothing is written by --list", out.exists(), False)
    code, lines = run(tools, *places, "--only", "added")
    left = [f"left out: picture {name} (no matplotlib: apt-get install python3-matplotlib)" for name in ("added", "bare")]
    if importlib.util.find_spec("matplotlib"):
        left = []
        expect("pictures", sorted(path.name for path in out.glob("*.svg")), ["added.svg", "added_scheme.svg", "bare.svg"])
    expect("one more", (code, lines), (0, ["running: added", *left, f"in {out}", f"{4 - len(left)} passed, 0 failed, {len(left)} left out"]))
    expect("its text", (out / "added.txt").read_text(), "$ step07_serving adds --tokens 128 --window 128 --recall 0\na table\n(a processor, a compiler)\n")
    expect("its report", json.loads((out / "added.json").read_text())["heights"], [1, 2])
    expect("a scheme", (out / "added_scheme.svg").read_text().startswith("<svg"), True)
    check_going_on(tools, places, out, programs)
    check_script(tools, places, out)
    (out / "added.json").unlink()
    expect("one that fails", run(tools, *places, "--only", "failing"),
           (1, ["running: failing", "FAILED: failing (exit code 3): it cannot", f"in {out}", "0 passed, 1 failed, 0 left out"]))
    expect("a program that is not there", run(tools, *places, "--only", "report_r1"),
           (0, [f"left out: report_r1 (no step03_kvcache in {programs})", f"in {out}", "0 passed, 0 failed, 1 left out"]))
    (tools / "plots" / "added.py").write_text(PICTURE.replace("    axes = figure", "    from . import style\n    raise style.NotYet('not measured')\n    axes = figure"))
    if not left:
        expect("a picture of what is not there yet", run(tools, *places, "--only", "added"),
               (0, ["running: added", "left out: picture added (not measured)", f"in {out}", "3 passed, 0 failed, 1 left out"]))
    (tools / "plots" / "added.py").write_text(PICTURE.replace("figure.subplots()", "None"))
    if not left:
        code, lines = run(tools, *places, "--only", "added")
        expect("a picture that fails", (code, [line.partition(":")[0] for line in lines], lines[-1]),
               (1, ["there already", "FAILED", f"in {out}", "3 passed, 1 failed, 0 left out"], "3 passed, 1 failed, 0 left out"))


def check_going_on(tools: Path, places: list[str], out: Path, programs: Path) -> None:
    """What is there of the same command and program stays; all else is run again."""
    def first_line(*arguments):
        return run(tools, *places, "--only", "added", *arguments)[1][0]
    (out / "added.txt").write_text("as it was")
    expect("it goes on", (first_line(), (out / "added.txt").read_text()), ("there already: added", "as it was"))
    expect("--again", (first_line("--again"), (out / "added.txt").read_text()[:1]), ("running: added", "$"))
    expect("another command", first_line("--quick"), "running: added")
    expect("the first one again", first_line(), "running: added")
    (programs / "step07_serving").write_text(FAKE.replace("a table", "another table"))
    expect("another program", first_line(), "running: added")
    expect("the same once more", first_line(), "there already: added")
    (out / "added.json").unlink()
    expect("a report that was lost", first_line(), "running: added")
    (programs / "step07_serving").write_text(FAKE.replace("in fails)", "in adds)"))
    expect("one that fails now", first_line(), "running: added")
    (programs / "step07_serving").write_text(FAKE)
    expect("leaves nothing that seems made", first_line(), "running: added")


def check_script(tools: Path, places: list[str], out: Path) -> None:
    """A row that runs a script, each time anew, and one whose files are not there."""
    lines = run(tools, *places, "--only", "collected")[1]
    expect("a row that needs files", lines[:2], ["left out: collected (no build-of-nobody/*.json)", "running: collected_here"])
    expect("what a script prints", (out / "collected_here.txt").read_text(), "$ python3 tools/collects.py --deep\ncollected --deep\n")
    expect("a script runs each time", run(tools, *places, "--only", "collected_here")[1][0], "running: collected_here")
    expect("listed", run(tools, "--list", "--only", "collected_here"), (0, ["collected_here: python3 tools/collects.py --deep"]))
    if importlib.util.find_spec("matplotlib"):
        expect("its picture", (out / "collected.svg").exists(), True)
    (out / "collected_here.json").unlink()


def check_samples() -> None:
    """What is published of a report for the chapters' claims."""
    report = {"windows": 2, "rows": [{"policy": "ä", "window_kl": [0.123456789, 2.0]}, {"policy": "b", "window_kl": [1e-9, 3]}]}
    text = experiments.samples_of(report)
    expect("a line for each row", text, '{\n"windows": 2,\n"rows": [\n{"policy":"ä","window_kl":[0.123457,2.0]},\n{"policy":"b","window_kl":[1e-09,3]}\n]\n}\n')
    expect("the same figures", json.loads(text)["rows"][0], {"policy": "ä", "window_kl": [0.123457, 2.0]})
    expect("a report without windows", experiments.samples_of({"rows": [{"mean_kl": 1}]}), "")


def check_shell() -> None:
    """What readers type: tools/experiments.sh."""
    def shell(*arguments):
        done = subprocess.run(["bash", ROOT / "tools/experiments.sh", *arguments], capture_output=True, text=True, timeout=300)
        return done.returncode, done.stdout + done.stderr
    for quick in ([], ["--quick"]):
        listed = "".join(f"{row.name}: {row.shown}\n" for row in experiments.experiments(bool(quick)))
        expect("experiments.sh --list", shell("--list", *quick), (0, listed))
    expect("experiments.sh --frobnicate", shell("--frobnicate"), (2, "experiments.sh: unknown option --frobnicate\n"))
    code, text = shell("--help")
    expect("experiments.sh --help", (code, "tools/experiments.sh --list" in text), (0, True))


def main() -> int:
    check_table()
    check_shell()
    check_samples()
    if sys.argv[1:]:
        check_arguments(Path(sys.argv[1]).resolve())
    with tempfile.TemporaryDirectory() as folder:
        check_one_more(Path(folder))
    print("\n".join(wrong) if wrong else f"{len(experiments.experiments(False))} experiments, and {len(experiments.experiments(True))} quick ones, are as they should be")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
