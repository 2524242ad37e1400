#!/usr/bin/env python3
"""Runs the experiments of tools/experiments.toml and draws their pictures: what tools/experiments.sh does when all is built.

    python3 tools/experiments.py [--quick] [--publish] [--list] [--again] [--only NAME] [--out FOLDER] [--programs FOLDER]
    python3 tools/experiments.py --targets        the programs of the table

Standard library only (Python 3.11 for TOML); pictures are drawn by $KVLAB_PYTHON, or python3, if that has matplotlib.
Exit code 0: every experiment ran and holds. 1: not. 2: wrong usage.
"""
from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import book
import plot

try:
    import tomllib
except ModuleNotFoundError:
    sys.exit("experiments.py: needs Python 3.11, which reads TOML")

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "tools" / "experiments.toml"
SMOLLM2_F32 = ROOT / "weights/downloads/SmolLM2-135M-Instruct-F32.gguf"
KEYS = {"full", "quick", "both", "pictures", "quick_pictures", "script", "needs"}


@dataclass(frozen=True)
class Experiment:
    name: str
    program: str
    arguments: list[str]
    pictures: dict[str, bool]  # by name; whether the picture needs this experiment
    script: str = ""  # of this project, in place of the chapter's program
    needs: str = ""  # a pattern of files, one of which has to be there

    @property
    def shown(self) -> str:
        """The command as a reader types it."""
        return shlex.join([*(["python3", self.script] if self.script else [self.program]), *self.arguments])

    @property
    def report(self) -> str:
        """What the program's report calls it."""
        if self.script:
            return Path(self.script).stem
        subcommand = self.arguments[:1]
        return " ".join([self.program, *subcommand]) if subcommand and not subcommand[0].startswith("-") else self.program


def read_table() -> dict:
    with TABLE.open("rb") as file:
        return tomllib.load(file)


def programs() -> list[str]:
    return [program for program in read_table() if program != "words"]


def experiments(quick: bool) -> list[Experiment]:
    """The rows that there are with --quick, or without. ValueError for one that is wrong."""
    table = read_table()
    words = table.pop("words")
    found: dict[str, Experiment] = {}
    for program, rows in table.items():
        for name, row in rows.items():
            if name in found or not set(row) <= KEYS or not set(row) & {"full", "quick", "both"}:
                raise ValueError(f"{TABLE.name}: {name}: a name twice, an unknown key, or nothing to run")
            command = row.get("both", row.get("quick" if quick else "full"))
            if command is None:
                continue
            pictures = row.get("quick_pictures", row.get("pictures", [])) if quick else row.get("pictures", [])
            found[name] = Experiment(name, program, shlex.split(command.format(**words)), {p.rstrip("?"): not p.endswith("?") for p in pictures},
                                     row.get("script", ""), row.get("needs", ""))
    return list(found.values())


def reports_of_pictures(rows: list[Experiment]) -> dict[str, dict[str, bool]]:
    """{picture: {experiment: whether it is needed}}, in the order of the table."""
    found: dict[str, dict[str, bool]] = {}
    for row in rows:
        for picture, needed in row.pictures.items():
            found.setdefault(picture, {})[row.name] = needed
    return found


def schemes() -> list[str]:
    """The pictures that are drawn from no report."""
    return [name for name in plot.PICTURES if not importlib.import_module(f"plots.{name}").NEEDS]


def last_line(path: Path) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return lines[-1] if lines else ""


class Runner:
    def __init__(self, options: argparse.Namespace):
        self.out, self.bin, self.again = options.out, options.programs, options.again
        self.python = os.environ.get("KVLAB_PYTHON") or "python3"
        self.passed = self.failed = self.left_out = 0

    def leave_out(self, what: str) -> None:
        print(f"left out: {what}", flush=True)
        self.left_out += 1

    def fail(self, what: str) -> None:
        print(f"FAILED: {what}", flush=True)
        self.failed += 1

    def run(self, row: Experiment) -> None:
        """With its text and its JSON."""
        if "_smollm2" in row.name and not SMOLLM2_F32.exists():
            return self.leave_out(f"{row.name} (no SmolLM2: see weights/README.md)")
        if row.needs and not any(ROOT.glob(row.needs)):
            return self.leave_out(f"{row.name} (no {row.needs})")
        if not row.script and not (self.bin / row.program).exists():  # a build with KVLAB_LAST_STEP may end before this chapter
            return self.leave_out(f"{row.name} (no {row.program} in {self.bin})")
        report, printed, errors, made = (self.out / f"{row.name}.{ending}" for ending in ("json", "out", "err", "made"))
        making = self.making(row)
        program = [sys.executable, ROOT / row.script] if row.script else [self.bin / row.program]
        if not self.again and not row.script and report.exists() and made.exists() and made.read_text(encoding="utf-8") == making:
            print(f"there already: {row.name}", flush=True)
            self.passed += 1
            return None
        print(f"running: {row.name}", flush=True)
        begin = time.monotonic()
        made.unlink(missing_ok=True)
        with printed.open("wb") as out, errors.open("wb") as err:
            code = subprocess.run([*program, *row.arguments, "--json", report], stdout=out, stderr=err, env={**os.environ, "NO_COLOR": "1"}).returncode
        if code != 0:
            return self.fail(f"{row.name} (exit code {code}): {last_line(errors)}")
        # What the chapter shows: the command, what it printed, and where.
        machine = json.loads(report.read_text(encoding="utf-8"))
        text = f"$ {row.shown}\n{printed.read_text(encoding='utf-8', errors='surrogateescape')}"
        if "processor" in machine:  # a script that collects what others have measured has none
            text += f"({machine['processor']}, {machine['compiler']})\n"
        (self.out / f"{row.name}.txt").write_text(text, encoding="utf-8", errors="surrogateescape")
        printed.unlink()
        made.write_text(making, encoding="utf-8")
        self.passed += 1
        print(f"    {int(time.monotonic() - begin)} s", flush=True)

    def making(self, row: Experiment) -> str:
        """What a report depends on: its command, and the program that ran it. What is there of both need not be run again."""
        of = ROOT / row.script if row.script else self.bin / row.program
        return f"{shlex.join(row.arguments)}\n{hashlib.sha256(of.read_bytes()).hexdigest()}\n"

    def draw(self, picture: str, reports: dict[str, bool]) -> None:
        """From the JSON of these, if they are there. Without any: a scheme."""
        files = [self.out / f"{name}.json" for name, needed in reports.items() if needed or (self.out / f"{name}.json").exists()]
        if not all(file.exists() for file in files):
            return None
        if files and subprocess.run([self.python, "-c", "import matplotlib"], stderr=subprocess.DEVNULL).returncode != 0:
            return self.leave_out(f"picture {picture} (no matplotlib: apt-get install python3-matplotlib)")
        log = self.out / f"{picture}.plot.log"
        with log.open("wb") as file:
            command = [self.python, ROOT / "tools" / "plot.py", picture, *(["--json", *files] if files else []), "-o", self.out / f"{picture}.svg"]
            code = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT).returncode
        if code == 3:
            return self.leave_out(f"picture {picture} ({last_line(log).removeprefix(f'plot: {picture}: ')})")
        if code != 0:
            return self.fail(f"picture {picture}: {last_line(log)}")
        self.passed += 1

    def show_viewer(self) -> None:
        """A recorded run as a page."""
        print("running: viewer", flush=True)
        trace = self.out / "run.jsonl"
        with (self.out / "viewer.log").open("wb") as log:
            recorded = subprocess.run([self.bin / "step03_kvcache", "generate", "-m", "tiny", "-p", "In the beginning", "-n", "24", "--compare", "--trace", trace], stdout=log)
        if recorded.returncode != 0 or subprocess.run([sys.executable, ROOT / "tools/viewer.py", trace, "-o", self.out / "run.html"]).returncode != 0:
            return self.fail("viewer")
        self.passed += 1


def samples_of(report: dict) -> str:
    """A report whose rows have a figure for each window, as a line for each row: what the chapters' claims are checked by
    (tests/tools/claims.py). "" for another one. Six digits are more than any claim needs."""
    text = json.dumps(report, ensure_ascii=False)
    if '"window_kl"' not in text and '"outside"' not in text:
        return ""

    def short(value):
        if isinstance(value, float):
            return float(f"{value:.6g}")
        if isinstance(value, list):
            return [short(one) for one in value]
        return {key: short(one) for key, one in value.items()} if isinstance(value, dict) else value
    parts = (f"{json.dumps(key)}: {lines_of(value)}" for key, value in short(report).items())
    return "{\n" + ",\n".join(parts) + "\n}\n"


def lines_of(value) -> str:
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return "[\n" + ",\n".join(json.dumps(one, ensure_ascii=False, separators=(",", ":")) for one in value) + "\n]"
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def publish(out: Path) -> None:
    """Into each chapter what it shows, or has shown before, and the figures of single windows; then its text follows."""
    for chapter in (ROOT / program for program in programs()):
        text = "\n".join(path.read_text(encoding="utf-8") for path in book.texts_of(chapter))
        for folder, ending, shown in (("results", ".txt", r"^<!-- measured: (.*) -->$"), ("pictures", ".svg", r"^!\[.*\((?:\.\./)?pictures/(.*)\.svg\)$")):
            (chapter / folder).mkdir(exist_ok=True)
            for name in {*re.findall(shown, text, re.M), *(path.stem for path in (chapter / folder).glob(f"*{ending}"))}:
                if (out / f"{name}{ending}").exists():
                    shutil.copy(out / f"{name}{ending}", chapter / folder)
        for name in (row.name for row in experiments(False) if row.program == chapter.name):
            samples = samples_of(json.loads((out / f"{name}.json").read_text(encoding="utf-8"))) if (out / f"{name}.json").exists() else ""
            if samples:
                (chapter / "results" / f"{name}.json").write_text(samples, encoding="utf-8")
    subprocess.run([sys.executable, ROOT / "tests/tools/snippets.py", "--write"], check=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small ones on the tiny model")
    parser.add_argument("--publish", action="store_true", help="afterwards: results and pictures into their chapters")
    parser.add_argument("--list", action="store_true", help="what would be run")
    parser.add_argument("--targets", action="store_true", help="the programs that run them")
    parser.add_argument("--again", action="store_true", help="also what is there already, of the same command and program")
    parser.add_argument("--only", default="", metavar="NAME", help="those whose name contains NAME")
    parser.add_argument("--out", type=Path, default=ROOT / "build/experiments")
    parser.add_argument("--programs", type=Path, default=ROOT / "build/release/bin")
    options = parser.parse_args()
    if options.targets:
        print("\n".join(programs()))
        return 0
    every = experiments(options.quick)
    wanted = [row for row in every if options.only in row.name]
    if options.list:
        for row in wanted:
            print(f"{row.name}: {row.shown}")
        return 0
    options.out.mkdir(parents=True, exist_ok=True)
    runner = Runner(options)
    for row in wanted:
        runner.run(row)
    for picture, reports in reports_of_pictures(every).items():
        runner.draw(picture, reports)
    for picture in schemes():
        if options.only in picture:
            runner.draw(picture, {})
    if options.only in "viewer":
        runner.show_viewer()
    if options.publish:
        publish(options.out)
    print(f"in {options.out}\n{runner.passed} passed, {runner.failed} failed, {runner.left_out} left out")
    return 1 if runner.failed else 0


if __name__ == "__main__":
    sys.exit(main())
