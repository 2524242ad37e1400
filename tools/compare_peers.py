#!/usr/bin/env python3
"""Races this project's engine against llama.cpp and PyTorch, on the same files, texts and numbers of threads.

    python3 tools/compare_peers.py                     # everything: an hour or two on two cores
    python3 tools/compare_peers.py --quick             # does everything run? figures mean nothing
    python3 tools/compare_peers.py --rows decode --formats f32,q8_0 --threads 1 --rounds 7
    python3 tools/compare_peers.py --rows kv           # caches in F16, Q8_0 and Q4_0 on both sides
    python3 tools/compare_peers.py --rows serve        # many requests at once: batches that change at every step
    python3 tools/plot.py peers                        # the picture of the last report

Both sides run in alternation, round by round, after a warm-up; the table shows medians, quartiles and the ratio of
the medians. Peers are installed into a virtual environment (default: build/peers-venv), built as tools/peers/install.py
says; one that cannot be installed is "missing" in the table, and nothing is claimed about it. Needs a release build
(cmake --preset release && cmake --build --preset release), a network for the first run, and nothing besides Python 3.11
to start. Exit codes: 0 measured, 1 something of ours failed, 2 wrong usage.
"""
from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import os
import sys
import tempfile
from pathlib import Path

from peers import machine
from peers.install import find_peers
from peers.models import ROOT, NoModel, model_file
from peers.race import add_shares, best_of, measure_roofline, run_race
from peers.report import cells, markdown_table, text_table
from peers.rows import FORMATS, GROUPS, rows

SCHEMA = 1


def listed(allowed: tuple[str, ...] | None):
    """A parser for "a,b,c"."""

    def parse(text: str) -> list[str]:
        items = [item.strip() for item in text.split(",") if item.strip()]
        wrong = [item for item in items if allowed and item not in allowed]
        if not items or wrong:
            raise argparse.ArgumentTypeError(f"expected some of {','.join(allowed or ())}, found '{text}'")
        return list(dict.fromkeys(items))

    return parse


def thread_counts(text: str) -> list[int]:
    try:
        counts = [int(item) for item in text.split(",")]
    except ValueError:
        counts = [0]
    if any(count < 1 or count > 256 for count in counts):
        raise argparse.ArgumentTypeError(f"expected numbers from 1 to 256, found '{text}'")
    return list(dict.fromkeys(counts))


def positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a number from 1, found '{text}'")
    return int(text)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--rows", type=listed(GROUPS), default=list(GROUPS), metavar="A,B", help=f"groups of rows: {','.join(GROUPS)} (default: all)")
    add("--formats", type=listed(FORMATS), default=list(FORMATS), metavar="A,B", help=f"of SmolLM2: {','.join(FORMATS)} (default: all)")
    add("--threads", type=thread_counts, default=[1, 2], metavar="N,M", help="default: 1,2")
    add("--peers", type=listed(("llama.cpp", "PyTorch", "transformers")), default=None, metavar="A,B", help="only these peers")
    add("--rounds", type=positive, help="default: 5; with --quick 2")
    add("--warm-up", type=positive, default=1, help="rounds before them (default: 1)")
    add("--seconds", type=float, help="that a round lasts at least (default: 0.3; with --quick 0.02)")
    add("--quick", action="store_true", help="few tokens and rounds, to see that all works")
    add("--kv", choices=("f16", "f32"), default="f16", help="llama.cpp's cache (default: f16, its own default)")
    add("--bin", type=Path, default=ROOT / "build/release/bin", help="this project's programs (default: build/release/bin)")
    add("--venv", type=Path, default=ROOT / "build/peers-venv", help="the peers' virtual environment, made if it is not there")
    add("--llama-venv", type=Path, help="another one for llama.cpp")
    add("--torch-venv", type=Path, help="another one for PyTorch")
    add("--no-install", action="store_true", help="use what is there; peers that are not are missing")
    add("--json", type=Path, default=ROOT / "build/peers.json", help="the report (default: build/peers.json)")
    add("--markdown", type=Path, help="the table for a page (default: beside the report, .md)")
    add("--list", action="store_true", help="show the rows and stop")
    args = parser.parse_args(arguments)
    args.rounds = args.rounds or (2 if args.quick else 5)
    args.seconds = args.seconds if args.seconds is not None else (0.02 if args.quick else 0.3)
    return args


def write(path: Path, text: str) -> None:
    """Complete or not at all; in a folder of its own first, where nobody else can have put a link."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".part-") as scratch:
        temporary = Path(scratch, path.name)
        temporary.write_text(text)
        temporary.replace(path)


def new_report(args: argparse.Namespace, peers: dict) -> dict:
    return {
        "schema": SCHEMA, "experiment": "compare_peers", "complete": False,
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "machine": machine.describe(), "kvlab": {"commit": machine.commit(ROOT)},
        "settings": {"rounds": args.rounds, "warm_up": args.warm_up, "seconds": args.seconds, "quick": args.quick, "kv": args.kv},
        "peers": {name: peer.about if peer.python else {"missing": peer.why} for name, peer in peers.items()},
        "roofline": {}, "results": []}


def run_all(args: argparse.Namespace, report: dict, peers: dict, wanted: list, save) -> None:
    """Every row against each of its peers; the report is saved after each, so that an interruption loses one race."""
    count = sum(len(row.peers) for row in wanted)
    for row in wanted:
        for name in row.peers:
            try:
                path = model_file(row, args.bin, ROOT / "build" / "peers", peers)
            except NoModel as reason:
                result = {"group": row.group, "row": row.name, "model": row.model, "format": row.format, "threads": row.threads,
                          "peer": name, "error": f"no model: {reason}"}
            else:
                result = run_race(args.bin / row.program, row, path, peers[name], report["settings"])
            report["results"].append(result)
            about = (result.get("ours") or {}).get("about", {})
            report["kvlab"] |= {key: about[key] for key in ("compiler", "flags") if key in about}
            if "engine" in about:  # "cpu avx512, 2 threads": the threads are in the table
                report["kvlab"]["engine"] = about["engine"].split(",")[0]
            save()
            line = cells(result)
            print(f"[{len(report['results'])}/{count}] {line[0]}, threads {line[1]}: {line[2]}; {line[3]} {line[4]}; ratio {line[5]}", flush=True)


def main() -> int:
    args = parse()
    wanted = rows(args.rows, args.formats, args.threads, args.quick)
    if args.list:
        print("\n".join(f"{row.name}, {row.threads} threads, against {', '.join(row.peers)}" for row in wanted))
        return 0
    for program in dict.fromkeys(["step01_tensor", "kvlab_weights", *(row.program for row in wanted)]):
        if not (args.bin / program).exists():
            print(f"compare_peers: {args.bin / program} is not there; build it first, or say --bin", file=sys.stderr)
            return 1
    print("peers")
    # Resolved without following links: a virtual environment is known by its path.
    peers = find_peers(Path(os.path.abspath(args.llama_venv or args.venv)), Path(os.path.abspath(args.torch_venv or args.venv)),
                       not args.no_install, ROOT / "build" / "logs")
    if args.peers:
        peers = {name: peer for name, peer in peers.items() if name in args.peers}
    wanted = [dataclasses.replace(row, peers=tuple(p for p in row.peers if p in peers)) for row in wanted]
    report = new_report(args, peers)
    markdown = args.markdown or args.json.with_suffix(".md")
    others = machine.OtherLoad()
    before = measure_roofline(args.bin / "step01_tensor", args.threads)

    def save() -> None:
        write(args.json, json.dumps(report, indent=1) + "\n")

    run_all(args, report, peers, wanted, save)
    after = measure_roofline(args.bin / "step01_tensor", args.threads)
    report["roofline"] = {"before": before, "after": after, "used": best_of(before, after)}
    report["machine"]["cores_taken_by_others"] = others.cores()
    for result in report["results"]:
        add_shares(result, report["roofline"]["used"])
    report["complete"] = True
    save()
    write(markdown, markdown_table(report))
    print("\n" + text_table(report))
    raced = sum("ratio" in r for r in report["results"])
    failed = sum("error" in r for r in report["results"])
    print(f"RESULT raced={raced} missing={sum('missing' in r for r in report['results'])} "
          f"peer_failed={sum('failed' in r for r in report['results'])} failed={failed} json={args.json}")
    return 1 if failed or not report["results"] else 0


if __name__ == "__main__":
    sys.exit(main())
