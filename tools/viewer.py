#!/usr/bin/env python3
"""Shows a recorded run with and without the KV cache, side by side, as one HTML file that needs nothing else.

    step03_kvcache generate -m tiny -n 32 --compare --trace run.jsonl
    python3 tools/viewer.py run.jsonl -o run.html

Every checksum of the trace is computed again from its bits. Every row that the uncached run computed is compared
with what the cached run computed for the same operator, layer and position.

Exit codes: 0 page written, 1 page written but floats differ, 2 wrong usage or not a trace.
"""
from __future__ import annotations

import argparse
import base64
import sys
from array import array
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "viewer"))  # the folder cannot be a package: it has this file's name

from page import OneLineParser, build, write  # noqa: E402
from trace_file import SHOWN, WORK, Malformed, Run, Trace, read  # noqa: E402

SCRIPTS = ("common.js", "stepper.js", "trace.js", "triangle.js", "inspector.js", "viewer.js")


def differing(a: bytes, b: bytes) -> list[int]:
    """The places of the floats that have different bits."""
    return [] if a == b else [i // 4 for i in range(0, len(a), 4) if a[i:i + 4] != b[i:i + 4]]


def compare(uncached: Run, cached: Run, steps: int) -> list[dict]:
    """For each step: floats compared and differing up to its end, and the first difference of all."""
    floats, differ, first, result = 0, 0, None, []
    for step in range(steps):
        for op, layer, positions in uncached.lines[step]:
            for position in positions:
                place = (op, layer, position)
                row, other = uncached.row(place, step), cached.row(place, step)
                if other is None:
                    raise Malformed(f"step {step}: run '{uncached.name}' computed '{op}' of layer {layer}, position "
                                    f"{position}; run '{cached.name}' never did")
                places = differing(row, other)
                if places and first is None:
                    first = {"step": step, "op": op, "layer": layer, "position": position, "index": places[0]}
                floats += len(row) // 4
                differ += len(places)
        result.append({"floats": floats, "differ": differ, "first": first})
    return result


def packed_rows(run: Run, op: str, layer: int, steps: int) -> dict:
    """All rows of one operator and layer: where they belong, and their bits as little-endian base64."""
    at, words = [], array("I")
    for (name, place, position), versions in run.rows.items():
        if (name, place) == (op, layer):
            for step, row in versions:
                if step < steps:
                    at.append([step, position])
                    words.frombytes(row)
    words.byteswap()  # the trace is big-endian
    return {"at": at, "bits": base64.b64encode(words.tobytes()).decode()}


def packed_run(run: Run, layers: int, steps: int) -> dict:
    """What the page shows of one run. `rows` of a step are the positions that went through the projections in it."""
    ends = []
    for end, lines in zip(run.steps[:steps], run.lines):
        rows = sorted({p for op, layer, positions in lines if (op, layer) == ("query", 0) for p in positions})
        ends.append({"rows": rows, "work": {name: end["work"][name] for name in WORK},
                     **{name: end[name] for name in ("token", "piece", "logits_sum", "cache_bytes")}})
    return {"name": run.name, "cache": run.cache, "steps": ends,
            "rows": {op: [packed_rows(run, op, layer, steps) for layer in range(layers)] for op in SHOWN}}


def page_data(trace: Trace) -> dict:
    runs = [run for run in trace.runs.values() if run.steps]
    uncached = next((run for run in runs if run.cache == "none"), None)
    cached = next((run for run in runs if run.cache != "none"), None)
    steps = min(len(run.steps) for run in runs)
    layers = trace.header["config"]["layers"]
    return {**{name: trace.header[name] for name in ("model", "engine", "config", "prompt_pieces")}, "steps": steps,
            "uncached": uncached and packed_run(uncached, layers, steps),
            "cached": cached and packed_run(cached, layers, steps),
            "compared": compare(uncached, cached, steps) if uncached and cached else None}


def notes(trace: Trace, data: dict) -> list[str]:
    """What a reader of the page should know about the trace."""
    lengths = {run.name: len(run.steps) for run in trace.runs.values() if run.steps}
    if data["compared"] is None:
        return [f"this trace holds the run '{next(iter(lengths))}' alone: there is nothing to compare"]
    if len(set(lengths.values())) > 1:
        return [f"the runs have {' and '.join(map(str, lengths.values()))} steps: the first {data['steps']} are shown"]
    return []


def main() -> int:
    parser = OneLineParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trace", type=Path, help="JSON lines, from step03_kvcache generate --trace")
    parser.add_argument("-o", "--out", type=Path, required=True, help="the HTML file to write")
    args = parser.parse_args()
    if args.out.resolve() == args.trace.resolve():
        parser.error("the page would overwrite the trace")
    try:
        trace = read(args.trace)
        data = page_data(trace)
        html = build("template.html", ("viewer.css",), SCRIPTS, data)
    except Malformed as problem:
        parser.error(f"{args.trace}: {problem}")
    except OSError as problem:
        parser.error(f"cannot read {problem.filename}: {problem.strerror}")
    write(parser, args.out, html)
    for note in notes(trace, data):
        print(f"viewer: {note}")
    end = data["compared"][-1] if data["compared"] else {"floats": 0, "differ": 0}
    print(f"RESULT steps={data['steps']} floats={end['floats']} differ={end['differ']}")
    return 1 if end["differ"] else 0


if __name__ == "__main__":
    sys.exit(main())
