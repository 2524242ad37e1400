#!/usr/bin/env python3
"""Chapter 5's program: its sets are what their flags say, and published tables are what it prints.

    policy_programs.py BIN_FOLDER

Standard library only. What other sets and flags do is recomputed by reports/step05*.py; here the texts are longer. Tables
with times, and those that take minutes, are not made again. Exit code 0: all hold.
"""
import json
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = pathlib.Path(sys.argv[1]).resolve() / "step05_policies"
# Seconds each.
PUBLISHED = ["compare", "policy_stream", "policy_memory", "policy_set_memory", "policy_minicache", "policy_pyramid"]


def run(*arguments: str) -> str:
    done = subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, f"{arguments}: exit code {done.returncode}: {done.stderr.strip()}"
    return done.stdout


def rows(command: str, *arguments: str) -> dict:
    """The report's rows by what the table calls them."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "report.json"
        run(command, *arguments, "--json", str(path))
        report = json.loads(path.read_text())
    return {row["policy"]: row for row in report["rows" if command == "memory" else "policies"]}


def figures(row: dict) -> dict:
    return {key: value for key, value in row.items() if key != "policy"}


def machine_masked(text: str) -> list[str]:
    return re.sub(r"cpu \w+, \d+ threads?", "cpu #", text).splitlines()


def check_published() -> None:
    """The first line is the command, the last one the machine."""
    for name in PUBLISHED:
        lines = (ROOT / f"step05_policies/results/{name}.txt").read_text().splitlines()
        command = shlex.split(lines[0])
        assert command[:2] == ["$", "step05_policies"], lines[0]
        now = machine_masked(run(*command[2:]))
        assert now == machine_masked("\n".join(lines[1:-1])), (
            f"results/{name}.txt is not what is printed now: tools/experiments.sh --only {name} --publish\n" + "\n".join(now))


def check_catalogue() -> None:
    """Every row is the policy with the options that its name says."""
    flags = {"full": ["full"], "window 128": ["window", "--budget", "128"], "window 160": ["window", "--budget", "160"],
             "window 256": ["window", "--budget", "256"], "sinks 4+128": ["sinks", "--budget", "132"],
             "sinks 4+252": ["sinks", "--budget", "256"], "sinks-relative 4+128": ["sinks-relative", "--budget", "132"],
             "sinks-relative 4+252": ["sinks-relative", "--budget", "256"], "h2o 32+128": ["h2o", "--budget", "160", "--recent", "128"],
             "h2o 224+32": ["h2o", "--budget", "256", "--recent", "32"], "pyramid 1,1,.5,.25": ["pyramidkv-ratios", "--ratios", "1,1,.5,.25"],
             "pyramid schedule 128": ["pyramidkv", "--budget", "128"], "minicache t .6, 5 %": ["minicache"]}
    # Long enough that something goes in each.
    text = ["--tokens", "512", "--prompt", "300", "--recall", "0"]
    made = rows("compare", "--set", "catalogue", *text)
    assert list(made) == list(flags), list(made)
    for label, (policy, *options) in flags.items():
        alone = rows("compare", "--policy", policy, *options, *text)[policy]
        assert figures(alone) == figures(made[label]), f"{label}: {made[label]}, alone {alone}"
    assert len({json.dumps(figures(row)) for row in made.values()}) == len(made), "two rows are the same"
    held = {row["policy"]: row["kept_at_end"] for row in made.values()}
    assert held["window 160"] == held["h2o 32+128"] == 160 and held["sinks 4+128"] == 132, held


if __name__ == "__main__":
    failed = 0
    for name, check in list(globals().items()):
        if name.startswith("check_"):
            try:
                check()
            except AssertionError as error:
                failed += 1
                print(f"FAILED {name}: {error}")
    sys.exit(1 if failed else 0)
