#!/usr/bin/env python3
"""tools/compare_peers.py where no peer is installed: it starts, it measures ours, and it claims nothing.

    python3 tests/tools/compare_peers_check.py BIN_FOLDER

The race itself is checked with a peer that is a script: alternation, ratios, a peer that dies, a line that is missing.
"""
from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT / "tools" / "compare_peers.py"
sys.path.insert(0, str(ROOT / "tools"))
sys.dont_write_bytecode = True

from peers import report as reports, sides  # noqa: E402
from peers.install import Peer  # noqa: E402
from peers.race import add_shares, run_race, same_tokens, spread  # noqa: E402
from peers.rows import Row  # noqa: E402

# A peer that is always at 100 tokens/s, or dies in its second round.
FAKE = """
import json, sys
task = json.loads(sys.stdin.readline())
print(json.dumps({"ready": True, "about": {"kv": task["kv"], "cache": task["cache"]}}), flush=True)
for number, _ in enumerate(sys.stdin):
    if DIES and number == 1:
        sys.exit("no such instruction")
    print(json.dumps({"tokens_per_second": 100.0, "chosen": [1]}), flush=True)
"""
SETTINGS = {"seconds": 0.0, "warm_up": 1, "rounds": 3, "kv": "f16"}


def run(*arguments: str) -> tuple[int, str]:
    done = subprocess.run([sys.executable, "-B", TOOL, *arguments], capture_output=True, text=True, timeout=250)
    return done.returncode, done.stdout + done.stderr


def check_command_line(wrong: list[str]) -> None:
    for arguments, code, text in [(["--help"], 0, "alternation"), (["--list", "--rows", "batch"], 0, "batch 16"),
                                  (["--list", "--rows", "kv", "--threads", "2"], 0, "smollm2 q4_1 decode 32 at 4096 cache q4_0, 2 threads"), (["--list", "--rows", "serve", "--formats", "f16"], 0, "smollm2 f16 serve 32 requests of 16 clients, 1 threads"), (["--rows", "none"], 2, "none"),
                                  (["--threads", "0"], 2, "threads"), (["--rounds", "0"], 2, "rounds"), (["--frobnicate"], 2, "frobnicate"),
                                  (["--bin", "/nowhere"], 1, "/nowhere")]:
        found, output = run(*arguments)
        if found != code or text not in output:
            wrong.append(f"compare_peers {arguments}: expected exit {code} and '{text}', found {found}: {output[-300:]}")


def check_missing(bins: str, folder: Path, wrong: list[str]) -> None:
    """All of it, with no peer there."""
    report_file = folder / "out.json"
    code, output = run("--quick", "--rows", "tiny", "--threads", "1", "--no-install", "--venv", str(folder / "nothing"), "--bin", bins,
                       "--json", str(report_file))
    if code != 0 or "MISSING" not in output or "RESULT raced=0 missing=4" not in output:
        wrong.append(f"without peers: exit {code}: {output[-600:]}")
        return
    report = json.loads(report_file.read_text())
    if not report["complete"] or len(report["results"]) != 4:
        wrong.append("without peers: the report is not complete")
    if any("ratio" in r or "missing" not in r or not r["ours"]["median"] > 0 for r in report["results"]):
        wrong.append("without peers: a row claims a ratio, or lacks our figure")
    if "missing" not in report_file.with_suffix(".md").read_text():
        wrong.append("without peers: the page does not say so")


def check_races(bins: str, folder: Path, wrong: list[str]) -> None:
    row = Row("tiny", "tiny", "f32", 1, "decode", 16)
    program, model = Path(bins) / "step03_kvcache", str(ROOT / "weights" / "tiny.gguf")
    for dies in (False, True):
        worker = folder / "fake.py"
        worker.write_text(FAKE.replace("DIES", str(dies)))
        sides.WORKERS["fake"] = str(worker)
        result = run_race(program, row, model, Peer("fake", Path(sys.executable)), SETTINGS)
        cells = reports.cells(result)
        if dies and (cells[4] != "failed" or "ratio" in result or "no such instruction" not in result["failed"]):
            wrong.append(f"a peer that dies: {result}")
        if not dies and (len(result["theirs"]["rounds"]) != 3 or not abs(result["ratio"] - result["ours"]["median"] / 100) < 1e-9):
            wrong.append(f"a peer that runs: {result}")
        if not dies and result["theirs"]["about"] != {"kv": "f16", "cache": ""}:
            wrong.append(f"a peer is told of another cache: {result['theirs']}")
    result = run_race(program, row, "/nowhere.gguf", Peer("fake", Path(sys.executable)), SETTINGS)
    if "/nowhere.gguf" not in result.get("error", "") or reports.cells(result)[2] != "FAILED":
        wrong.append(f"a file that is not there: {result}")


def our_tokens(bins: str, row: Row) -> list[int]:
    side = sides.Ours(Path(bins) / row.program, row.task(str(ROOT / "weights" / "deep.gguf"), 0.0, 1), 1)
    side.round()
    return side.finish()["chosen"]


def check_caches(bins: str, folder: Path, wrong: list[str]) -> None:
    """Both sides are told of the row's cache, and ours keeps that many bytes."""
    worker = folder / "fake.py"
    worker.write_text(FAKE.replace("DIES", "False"))
    sides.WORKERS["fake"] = str(worker)
    held = {}
    for cache in ("f16", "q8_0", "q4_0"):
        row = Row("kv", "tiny", "f32", 1, "decode", 8, 32, cache=cache)
        result = run_race(Path(bins) / row.program, row, str(ROOT / "weights" / "deep.gguf"), Peer("fake", Path(sys.executable)), SETTINGS)
        if "ratio" not in result or result["theirs"]["about"] != {"kv": cache, "cache": cache} or cache not in reports.cells(result)[0]:
            wrong.append(f"a cache of {cache}: {result}")
            return
        held[cache] = result["ours"]["about"]["cache_bytes"]
        add_shares(result, {1: {"gb_per_s": 10.0, "gflops": 1.0}})
        if "dram_share" in result["ours"]:
            wrong.append("add_shares: a share of rows whose cache is not f32")
    plain, coded = (our_tokens(bins, Row("kv", "tiny", "f32", 1, "decode", 24, 32, cache=cache)) for cache in ("", "f32"))
    if len(plain) != 24 or plain != coded:
        wrong.append(f"kv-speed with a cache of f32 does not write what speed writes: {coded}, {plain}")
    if not held["f16"] > held["q8_0"] > held["q4_0"]:
        wrong.append(f"bytes of caches: {held}")


def check_serving(bins: str, folder: Path, wrong: list[str]) -> None:
    """The scheduler's row: the same requests on both sides, and a table that says what they are."""
    from peers.worker import LONGEST_REQUEST, raced_request
    lengths = [raced_request(i) for i in range(1000)]
    if max(map(sum, lengths)) > LONGEST_REQUEST or min(map(min, lengths)) < 1:
        wrong.append("raced_request: lengths out of their range")
    worker = folder / "fake.py"
    worker.write_text(FAKE.replace("DIES", "False"))
    sides.WORKERS["fake"] = str(worker)
    rows = [Row("serve", "tiny", "f32", 1, "serve", 6, batch=clients) for clients in (1, 3)]
    for row in rows:
        program, model = Path(bins) / row.program, str(ROOT / "weights" / "tiny.gguf")
        result = run_race(program, row, model, Peer("fake", Path(sys.executable)), SETTINGS)
        if "ratio" not in result or f"6 requests of {row.batch} client" not in reports.cells(result)[0]:
            wrong.append(f"serve: {result}")
            return
        side = sides.Ours(program, row.task(model, 0.0, 1), 1)
        side.round()
        chosen = side.finish()["chosen"]
        if len(chosen) != min(32, raced_request(0)[1]):
            wrong.append(f"serve: the first request writes {len(chosen)} tokens, not {raced_request(0)[1]}")


def check_figures(wrong: list[str]) -> None:
    if spread([1.0, 2.0, 4.0, 8.0]) != {"median": 3.0, "low": 1.75, "high": 5.0, "rounds": [1.0, 2.0, 4.0, 8.0]}:
        wrong.append("spread: other quartiles than step01's")
    if same_tokens([1, 2, 3], [1, 2, 4, 5]) != "2 of 3":
        wrong.append("same_tokens")
    result = {"model": "smollm2", "kind": "decode", "batch": 1, "threads": 2, "context": 0, "tokens": 10, "theirs": {"median": 25.0},
              "ours": {"median": 50.0, "about": {"file_bytes_per_token": 10**8, "bytes_per_token": 2 * 10**8, "cache_bytes": 0}}}
    add_shares(result, {2: {"gb_per_s": 10.0, "gflops": 1.0}})
    if abs(result["ours"]["dram_share"] - 0.5) > 1e-9 or abs(result["theirs"]["dram_share"] - 0.25) > 1e-9:
        wrong.append(f"add_shares: {result}")


def main() -> int:
    wrong: list[str] = []
    check_command_line(wrong)
    check_figures(wrong)
    with tempfile.TemporaryDirectory() as folder:
        check_races(sys.argv[1], Path(folder), wrong)
        if (Path(sys.argv[1]) / "step06_quant").exists():  # not where a prefix of the book is built
            check_caches(sys.argv[1], Path(folder), wrong)
        if (Path(sys.argv[1]) / "step07_serving").exists():
            check_serving(sys.argv[1], Path(folder), wrong)
        check_missing(sys.argv[1], Path(folder), wrong)
    print("\n".join(wrong) if wrong else "compare_peers behaves, with peers and without")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
