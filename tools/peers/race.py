"""One row against one peer, and the machine's bandwidth: what is measured, and what is made of it."""
from __future__ import annotations

import json
import statistics
import subprocess
import tempfile
from pathlib import Path

from .install import Peer
from .rows import Row
from .sides import Ours, SideFailed, Theirs, take_turns


def spread(values: list[float]) -> dict:
    """Median and quartiles, interpolated as step01's quartiles() does."""
    if len(values) == 1:
        return {"median": values[0], "low": values[0], "high": values[0], "rounds": values}
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return {"median": median, "low": low, "high": high, "rounds": values}


def same_tokens(a: list[int], b: list[int]) -> str:
    """How far two greedy texts agree: both sides did the same work if they do (until a tie falls otherwise)."""
    length = min(len(a), len(b))
    agree = next((i for i in range(length) if a[i] != b[i]), length)
    return f"{agree} of {length}"


def run_race(program: Path, row: Row, path: str, peer: Peer, settings: dict) -> dict:
    """The result of a row, with an "error" of ours, or with a peer that is "missing" or "failed"."""
    result = {"group": row.group, "row": row.name, "model": row.model, "format": row.format, "threads": row.threads,
              "kind": row.kind, "tokens": row.tokens, "context": row.context, "batch": row.batch,
              "all_logits": row.all_logits, "cache": row.cache, "peer": peer.name}
    task = {**row.task(path, settings["seconds"], settings["warm_up"]), "kv": row.cache or settings["kv"]}
    theirs, ours = None, None
    if peer.python is None:
        result["missing"] = peer.why
    try:
        ours = Ours(program, task, settings["rounds"])
        try:
            theirs = Theirs(peer.name, peer.python, task) if peer.python else None
            take_turns(ours, theirs, settings["rounds"])
        except SideFailed as failure:
            if str(failure).startswith("kvlab"):
                raise
            result["failed"] = str(failure)
        measured = ours.finish()
    except SideFailed as failure:
        if ours is not None:
            ours.abandon()
        return {**result, "error": str(failure)}
    result["ours"] = {**spread(measured["rounds"]), "about": measured["about"]} if measured["rounds"] else None
    if theirs is None or "failed" in result:
        return result
    other = theirs.finish()
    result["theirs"] = {**spread(other["rounds"]), "about": other["about"]}
    result["ratio"] = result["ours"]["median"] / result["theirs"]["median"]
    pairs = spread([a / b for a, b in zip(measured["rounds"], other["rounds"], strict=True)])
    result["ratio_low"], result["ratio_high"] = pairs["low"], pairs["high"]
    result["same_tokens"] = same_tokens(measured["chosen"], other["chosen"])
    return result


def measure_roofline(program: Path, threads: list[int]) -> dict[int, dict[str, float]]:
    """GB/s read from memory and GFLOP/s, by number of threads, as chapter 1 measures them."""
    limits: dict[int, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for count in sorted({t for t in threads if t > 1} or {1}):
            path = Path(folder) / f"{count}.json"
            subprocess.run([program, "roofline", "--threads", str(count), "--json", path], check=True, stdout=subprocess.DEVNULL)
            part = json.loads(path.read_text())["roofline"]
            memory = part["read_gb_per_s"]["DRAM"]["gb_per_s"]
            peak = list(part["peak_gflops"].values())[-1]
            for index, number in enumerate(part["threads"]):
                limits[number] = {"gb_per_s": memory[index], "gflops": peak[index]}
    return limits


def best_of(before: dict[int, dict], after: dict[int, dict]) -> dict[int, dict[str, float]]:
    """A limit is the most that was seen: other load can only lower it."""
    return {t: {key: max(before[t][key], after[t][key]) for key in before[t]} for t in before}


def add_shares(result: dict, limits: dict[int, dict[str, float]]) -> None:
    """Decoding one sequence reads every weight once a token: how much of the memory's speed is that? The bytes are the
    file's for both sides (what an engine makes of them is its own affair); `..._with_cache` adds the keys and values
    that a token sees on average, as this engine holds them."""
    limit = limits.get(result["threads"], {}).get("gb_per_s")
    if not limit or result["kind"] != "decode" or result["batch"] != 1 or result["model"] == "tiny" or result.get("cache") or not result.get("ours"):
        return
    about = result["ours"]["about"]
    cells = result["context"] + result["tokens"]
    cache = about["cache_bytes"] * (result["context"] + result["tokens"] / 2) / cells
    for side in ("ours", "theirs"):
        if result.get(side):
            rate = result[side]["median"] / 1e9 / limit
            result[side]["dram_share"] = rate * about["file_bytes_per_token"]
    rate = result["ours"]["median"] / 1e9 / limit
    result["ours"]["dram_share_held"] = rate * about["bytes_per_token"]
    result["ours"]["dram_share_with_cache"] = rate * (about["bytes_per_token"] + cache)
