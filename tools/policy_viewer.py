#!/usr/bin/env python3
"""Shows what each policy keeps of one text, step by step, as one HTML file that needs nothing else.

    step05_policies record --out run.jsonl
    python3 tools/policy_viewer.py run.jsonl -o run.html

Exit codes: 0 page written, 2 wrong usage or not a recording.
"""
from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "viewer"))  # no package: another file has the folder's name

from lines import Malformed  # noqa: E402
from page import OneLineParser, build, write  # noqa: E402
from policy_file import Recording, read  # noqa: E402

SCRIPTS = ("common.js", "stepper.js", "recorded.js", "cells.js", "grid.js", "policies.js")
STYLES = ("viewer.css", "policies.css")
SHOWN = ("likeliest", "right", "bits", "bytes", "changes")


def page_data(recording: Recording) -> dict:
    header = recording.header
    return {**{name: header[name] for name in ("model", "engine", "config", "pieces", "whole", "recall", "budget", "ratio", "classes")},
            "policies": [{**{name: policy.header[name] for name in ("name", "idea", "paper")},
                          "steps": [{name: step[name] for name in SHOWN} for step in policy.steps]}
                         for policy in recording.policies.values()]}


def main() -> int:
    parser = OneLineParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recording", type=Path, help="JSON lines, from step05_policies record")
    parser.add_argument("-o", "--out", type=Path, required=True, help="the HTML file to write")
    args = parser.parse_args()
    if args.out.resolve() == args.recording.resolve():
        parser.error("the page would overwrite the recording")
    try:
        recording = read(args.recording)
    except Malformed as problem:
        parser.error(f"{args.recording}: {problem}")
    except OSError as problem:
        parser.error(f"cannot read {problem.filename}: {problem.strerror}")
    write(parser, args.out, build("policies.html", STYLES, SCRIPTS, page_data(recording)))
    answered = sum(policy.steps[-1]["right"] for policy in recording.policies.values())
    print(f"RESULT policies={len(recording.policies)} steps={recording.steps()} answered={answered}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
