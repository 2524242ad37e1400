#!/usr/bin/env python3
"""Chapter 5's program: its sets are what their flags say, and published tables are what it prints.

    policy_programs.py BIN_FOLDER

Standard library only. Tables with times, and those that take minutes, are not made again. Exit code 0: all hold.
"""
import json
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = pathlib.Path(sys.argv[1]).resolve() / "step05_policies"
# Seconds each.
PUBLISHED = ["compare", "policy_stream", "policy_memory", "policy_set_memory", "policy_minicache", "policy_pyramid"]
SHORT = ["--tokens", "96", "--window", "96", "--prompt", "64", "--recall", "1"]


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
        command = lines[0].split()
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


def check_minicaches() -> None:
    made = rows("compare", "--set", "minicache", *SHORT)
    for label, options in {"t 0, 5 %": ["--direction", "0"], "t 1, 5 %": ["--direction", "1"], "t 0.6, 0 %": ["--retained", "0"],
                           "t 0.6, 20 %": ["--retained", "0.2"]}.items():
        alone = rows("compare", "--policy", "minicache", *options, *SHORT)["minicache"]
        assert figures(alone) == figures(made[label]), f"{label}: {made[label]}, alone {alone}"
    assert made["t 0.6, 100 %"]["max_kl"] == 0, "with every token retained it is the full cache"
    assert made["t 0.6, 0 %"]["bytes_held"] < made["t 0.6, 5 %"]["bytes_held"] < made["t 0.6, 50 %"]["bytes_held"]
    # Beyond the last layer there is no pair to merge.
    whole = rows("compare", "--policy", "minicache", "--merge-from", "2", "-m", "tiny", *SHORT)["minicache"]
    assert whole["max_kl"] == 0, whole


def check_pyramids() -> None:
    """Of two layers: (1, .5), (.25, 1) and .6875 of the prompt in each, and what comes behind it."""
    made = rows("compare", "--set", "pyramid", *SHORT)
    kept = {label: row["kept_behind_prompt"] for label, row in made.items()}
    assert kept["1,1,.5,.25"] == (64 + 32) / 2 and kept["inverted"] == (16 + 64) / 2, kept
    assert kept["uniform .6875"] == kept["schedule of .6875"] == 44 and kept["uniform 32"] == 32, kept
    assert made["schedule 32"]["mean_kl"] != made["uniform 32"]["mean_kl"]


def check_other_flags() -> None:
    """Options of the library that no set changes do something, and what they should."""
    plain = rows("compare", "--policy", "quest,key-norm", "--budget", "16", *SHORT)
    whole = rows("compare", "--policy", "quest,key-norm", "--budget", "16", "--whole-layers", "2", "-m", "tiny", *SHORT)
    assert plain["quest"]["max_kl"] > 0 and whole["quest"]["max_kl"] == 0, whole["quest"]
    assert plain["key-norm"]["kept_at_end"] == 16 and whole["key-norm"]["kept_at_end"] == 96 and whole["key-norm"]["max_kl"] == 0
    pages = rows("compare", "--policy", "quest", "--page", "8", "--budget", "16", *SHORT)["quest"]
    assert pages["bytes_held"] > plain["quest"]["bytes_held"], "smaller pages, more bounds"


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
