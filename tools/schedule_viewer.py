#!/usr/bin/env python3
"""Shows what a scheduler did, who ran and who held which page, as one HTML file that needs nothing else.

    step07_serving record --out schedule.json
    python3 tools/schedule_viewer.py schedule.json -o schedule.html

Exit codes: 0 page written, 2 wrong usage or not a schedule.
"""
from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "viewer"))  # no package: another file has the folder's name

from lines import Malformed  # noqa: E402
from page import OneLineParser, build, write  # noqa: E402
from schedule_file import Schedule, read  # noqa: E402

SCRIPTS = ("common.js", "stepper.js", "cells.js", "schedule_charts.js", "schedule.js")
STYLES = ("viewer.css", "schedule.css")
REQUEST = ("arrival_step", "prompt_tokens", "max_tokens", "scope", "outcome", "cached", "written")
STEP = ("seconds", "parts", "events", "tables", "indexed", "copied")


def page_data(schedule: Schedule) -> dict:
    report = schedule.report
    return {"model": report["model"], "engine": str(report.get("engine", "")), "page_slots": report["page_slots"], "pages": report["pages"],
            "requests": [{name: request[name] for name in REQUEST} for request in schedule.requests],
            "steps": [{**{name: step[name] for name in STEP}, "states": states} for step, states in zip(report["steps"], schedule.states)]}


def main() -> int:
    parser = OneLineParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("schedule", type=Path, help="JSON, from step07_serving record")
    parser.add_argument("-o", "--out", type=Path, required=True, help="the HTML file to write")
    args = parser.parse_args()
    if args.out.resolve() == args.schedule.resolve():
        parser.error("the page would overwrite the schedule")
    try:
        schedule = read(args.schedule)
    except Malformed as problem:
        parser.error(f"{args.schedule}: {problem}")
    except OSError as problem:
        parser.error(f"cannot read {problem.filename}: {problem.strerror}")
    write(parser, args.out, build("schedule.html", STYLES, SCRIPTS, page_data(schedule)))
    kinds = [event["kind"] for step in schedule.report["steps"] for event in step["events"]]
    print(f"RESULT requests={len(schedule.requests)} steps={len(schedule.states)} pages={schedule.report['pages']} "
          f"preempted={kinds.count('preempted') + kinds.count('swapped')} cancelled={kinds.count('cancelled')}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
