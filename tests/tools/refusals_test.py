#!/usr/bin/env python3
"""What every program refuses: the exit code, the exact words, and no file left behind.

    python3 tests/tools/refusals_test.py BIN_FOLDER [PROGRAM ...] [--write]

tests/tools/refusals.txt holds a command line, and below it what the program says: 1 and a line for data that it cannot
work with, 2 and a line for wrong usage. (What options take at the borders of their ranges: options_test.py.) Each runs
in a folder with the files of make_files(), among them models that cannot do everything and traces and texts that are
too short; afterwards the folder is as it was. --write: what the programs say is right, keep it.

Standard library only. Exit code 0: as expected. 1: not. 2: usage.
"""
from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from programs import PROGRAMS, asked
from reports import small_model

ROOT = Path(__file__).resolve().parents[2]
TABLE = Path(__file__).with_name("refusals.txt")
HINT = "Run with --help for more information."


def run(program, arguments, **options):
    return subprocess.run([BIN / program, *arguments], capture_output=True, timeout=600, **options)


def must(program, *arguments):
    done = run(program, arguments, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise SystemExit(f"{program} {' '.join(map(str, arguments))}: exit code {done.returncode}: {done.stderr.decode()}")


def make_files(folder):
    (folder / "small.gguf").write_bytes(small_model.file())  # tokens of several bytes, a context of 120
    (folder / "empty.txt").write_text("")
    (folder / "short.txt").write_text("In the beginning God created the heaven and the earth.\n")
    case = {"kind": "recall", "distance": 16, "text": "ab=c;ab?c", "answer": [8]}
    (folder / "cases.jsonl").write_text(json.dumps(case) + "\n")
    (folder / "strange.jsonl").write_text(json.dumps({**case, "text": "nothing is asked", "answer": [3]}) + "\n")
    (folder / "half.gguf").write_bytes((ROOT / "weights" / "tiny.gguf").read_bytes()[:200000])
    must("kvlab_weights", "convert", "tiny", folder / "q8.gguf", "--type", "q8_0")
    if (BIN / "step03_kvcache").exists():
        for model in ("tiny", "deep"):
            must("step03_kvcache", "generate", "-m", model, "-p", "In", "-n", "2", "--trace", folder / f"{model}.trace")
        lines = (folder / "tiny.trace").read_text().splitlines()
        (folder / "cut.trace").write_text("\n".join(lines[:-1]) + "\n")


def state(folder):
    return {path.relative_to(folder).as_posix(): (path.stat().st_size, path.stat().st_mtime_ns) for path in folder.rglob("*")}


def read_table():
    """{command line: what it says}"""
    cases, command = {}, None
    for line in TABLE.read_text().splitlines():
        if line.startswith("    "):
            cases[command] = line.strip()
        elif line and not line.startswith("#"):
            command = line
            if command.split()[0] not in PROGRAMS:
                raise SystemExit(f"{TABLE.name}: no command line: {line}")
            cases[command] = ""
    return cases


def write_table(found):
    """The same command lines in the same order, with what was found of some of them."""
    out, known = [], read_table() | found
    for line in TABLE.read_text().splitlines():
        if line.startswith("    "):
            continue
        out.append(line)
        if line in known:
            out.append("    " + known[line])
    TABLE.write_text("\n".join(out) + "\n")


def said_by(command, folder):
    """What the program says, as a line of the table; another text if it does not fail as it should."""
    program, *arguments = shlex.split(command.replace("ROOT/", f"{ROOT}/"))
    options = {"stdin": subprocess.DEVNULL}
    if arguments[-2:-1] == ["<"]:
        options["stdin"] = os.open(folder / arguments[-1], os.O_RDONLY)
        arguments = arguments[:-2]
    before = state(folder)
    done = run(program, arguments, cwd=folder, env={**os.environ, "TMPDIR": str(folder)}, **options)
    if options["stdin"] != subprocess.DEVNULL:
        os.close(options["stdin"])
    text = re.sub(r"/\S*/share/kvlab", "SHARE", re.sub(r"/\S*/weights(?=[/,])", "ROOT/weights", done.stderr.decode()))
    lines = text.splitlines()
    if state(folder) != before:
        return f"it changes files: {sorted(set(state(folder).items()) ^ set(before.items()))}"
    if done.returncode == 2 and len(lines) == 2 and lines[1] == HINT:
        return f"2 {lines[0]}"
    if done.returncode == 1 and len(lines) == 1 and text.startswith(f"{program}: "):
        return f"1 {lines[0].removeprefix(program + ': ')}"
    return f"exit code {done.returncode} and {len(lines)} lines: {text[-300:]}"


def main():
    global BIN
    BIN, programs, write = asked(__doc__)
    cases = {command: text for command, text in read_table().items() if command.split()[0] in programs}
    with tempfile.TemporaryDirectory() as name:
        make_files(Path(name))
        found = {command: said_by(command, Path(name)) for command in cases}
    if write:
        write_table(found)
        return 0
    wrong = [f"{command}\n  expected: {cases[command]}\n  found:    {said}" for command, said in found.items() if said != cases[command]]
    print("\n".join(wrong) if wrong else f"{len(cases)} command lines are refused as they should be")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
