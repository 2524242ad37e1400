#!/usr/bin/env python3
"""The reports of `regimes` and `ablate` on the tiny model: counts by hand, figures that must follow from each other.

    python3 tests/tools/regimes_and_ablation.py BIN_FOLDER

Nothing here depends on how fast the machine is.
"""
from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path

PROGRAM = Path(sys.argv[1]).resolve() / "step03_kvcache"
ROOT = Path(__file__).resolve().parents[2]
FLOAT_MODEL = ROOT / "weights/downloads/SmolLM2-135M-Instruct-F32.gguf"

# The tiny model's shape, and its work by the chapter's formulas, written out once more.
L, C, HQ, HKV, D, F, V = 2, 64, 4, 2, 16, 172, 256
WEIGHT_FLOPS = 2 * ((HQ + 2 * HKV) * D * C + C * HQ * D + 3 * F * C)  # of one token and layer
# Outputs lie in panels of 64: 2 F = 344 of them take the room of 384.
WEIGHT_BYTES = 4 * (L * ((HQ + 2 * HKV) * D * C + C * HQ * D + 384 * C + C * F) + V * C)
SLOT_BYTES = L * 2 * HKV * D * 4
# Written: two norms, q k v, attention, its way out and sum, hidden, its way out and sum; embedding; head.
ACTIVATION_BYTES = 4 * (L * (6 * C + (HQ + 2 * HKV) * D + HQ * D + F) + C + C + V)


def flops(past: int, tokens: int) -> int:
    pairs = past * tokens + tokens * (tokens + 1) // 2
    return L * (WEIGHT_FLOPS * tokens + 4 * HQ * D * pairs) + 2 * V * C


def decode_bytes(past: int, batch: int) -> int:
    return WEIGHT_BYTES + batch * own_bytes(past)


def own_bytes(past: int) -> int:
    return SLOT_BYTES * (past + 2) + 2 * ACTIVATION_BYTES  # past + 1 slots read, one written


def turn(past: int, ridge: float) -> int | None:
    """The smallest batch whose intensity reaches the ridge, by trying; None if the limit of many does not."""
    if flops(past, 1) / own_bytes(past) <= ridge:
        return None
    batch = 1
    while batch * flops(past, 1) < ridge * decode_bytes(past, batch):
        batch += 1
    return batch


def run(arguments: list[str], code: int = 0) -> tuple[dict, str, str]:
    """Runs a subcommand on tiny with --json; returns the report and both outputs."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "out.json"
        done = subprocess.run([PROGRAM, *arguments, "-m", "tiny", "--json", path], capture_output=True, timeout=300)
        out, err = done.stdout.decode(), done.stderr.decode()
        assert done.returncode == code, f"{arguments}: exit {done.returncode}, expected {code}:\n{out}{err}"
        assert [p.name for p in Path(folder).iterdir()] == ["out.json"], f"{arguments}: other files are left"
        return json.loads(path.read_text()), out, err


def close(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=1e-9)


def check_regimes() -> None:
    assert flops(5, 1) == 217_088 and decode_bytes(5, 1) == 467_136  # with pencil and paper
    # The portable kernels have a low ridge, so that some batch reaches it at a short context and none at a long one.
    report, out, _ = run(["regimes", "--simd", "portable", "--prefill", "3,70", "--batch", "8,3", "--context", "5", "--contexts", "0,5,400",
                          "--rounds", "2", "--warm-up", "0", "--seconds", "0"])
    assert "predicted = counted: yes" in out and "RESULT equal=yes" in out, out
    peak, bandwidth, ridge = report["peak_gflops"], report["bandwidth_gb_s"], report["ridge"]
    assert peak > 0 and bandwidth > 0 and close(ridge, peak / bandwidth)
    prefill = [p for p in report["points"] if p["phase"] == "prefill"]
    decode = [p for p in report["points"] if p["phase"] == "decode"]
    assert [p["tokens"] for p in prefill] == [3, 70] and all(p["batch"] == 1 and p["context"] == 0 for p in prefill)
    # In order, whatever the order of the flag; batch 1 is always there.
    assert [p["batch"] for p in decode] == [1, 3, 8] and all(p["tokens"] == 1 and p["context"] == 5 for p in decode)
    for p in prefill:
        assert p["flops"] == flops(0, p["tokens"]), p
    for p in decode:
        assert p["flops"] == p["batch"] * flops(5, 1), p
        assert p["bytes"] == decode_bytes(5, p["batch"]), p
    for points in (prefill, decode):
        assert all(a["intensity"] < b["intensity"] for a, b in zip(points, points[1:])), "intensity must grow"
        for p in points:
            seconds = p["seconds"]["median"]
            assert p["seconds"]["samples"] == 2 and seconds > 0
            assert close(p["intensity"], p["flops"] / p["bytes"])
            assert close(p["gflops"], p["flops"] * 1e-9 / seconds)
            assert close(p["share_of_roof"], p["gflops"] / min(peak, p["intensity"] * bandwidth))
            assert p["verdict"] == ("memory" if p["intensity"] < ridge else "compute")
    rates = [p["batch"] / p["seconds"]["median"] for p in decode]
    assert report["turns_at"]["predicted"] == turn(5, ridge), report["turns_at"]
    assert report["turns_at"]["measured"] == math.ceil(max(rates) / rates[0]), report["turns_at"]
    assert [c["context"] for c in report["contexts"]] == [0, 5, 400]
    for c in report["contexts"]:
        assert close(c["limit"], bandwidth * 1e9 / decode_bytes(c["context"], 1)), c
        assert c["turns_at"] == turn(c["context"], ridge), c
        assert c["tokens_per_second"] > 0
    assert close(report["contexts"][1]["tokens_per_second"], rates[0])  # one point, measured once


def check_regimes_defaults() -> None:
    """Of the default lengths, those that the model cannot hold are left out, and that is said."""
    report, out, _ = run(["regimes", "--prefill", "4", "--batch", "1", "--rounds", "1", "--warm-up", "0", "--seconds", "0"])
    assert [c["context"] for c in report["contexts"]] == [0, 128], report["contexts"]
    assert all(f"--contexts {length} left out" in out for length in (512, 1024, 2048)), out


def generated(prompt: str, steps: int, *flags: str) -> str:
    """The text of `generate`, which makes its prompt in another way."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "out.json"
        subprocess.run([PROGRAM, "generate", "-m", "tiny", "--ignore-end", "-p", prompt, "-n", str(steps), *flags, "--json", path],
                       check=True, stdout=subprocess.DEVNULL, timeout=120)
        return bytes(json.loads(path.read_text())["cached"]["tokens"][0]).decode("utf-8", "replace")


def check_ablate() -> None:
    report, out, err = run(["ablate", "--quick"])
    rows, texts = report["rows"], report["texts"]
    assert "RESULT rows=4 identical=yes" in out and report["identical"] is True, out
    assert out.count("text the same: yes") == 8 and "resident" in err, out
    assert [(r["batch"], r["cached"]) for r in rows] == [(1, True), (1, False), (4, True), (4, False)]
    for cached, uncached in zip(rows[::2], rows[1::2]):
        assert cached["checksum"] == uncached["checksum"]
        assert cached["cache_bytes"] == cached["batch"] * (24 + 6 - 1) * SLOT_BYTES  # the last token is never fed
        assert uncached["cache_bytes"] == 0
        assert cached["peak_bytes"] > cached["cache_bytes"] and uncached["peak_bytes"] > 0
    assert rows[0]["checksum"] != rows[2]["checksum"]
    for r in rows:
        assert close(r["tokens_per_second"], r["batch"] * 6 / r["seconds"]["median"])
    assert [t["sampling"] for t in texts] == ["greedy"] * 4 + ["sampled"] * 4
    assert [t["prompt"] for t in texts[:4]] == ["sentence", "explanation", "e-mail", "word list"]
    assert [t["prompt"] for t in texts[4:]] == [t["prompt"] for t in texts[:4]]
    assert all(t["same"] is True for t in texts)

    # Another seed: other sampled texts, the same greedy ones.
    other = run(["ablate", "--quick", "-s", "7", "--cache", "on"])[0]
    assert [t["text"] for t in other["texts"][:4]] == [t["text"] for t in texts[:4]]
    assert [t["text"] for t in other["texts"][4:]] != [t["text"] for t in texts[4:]]


def check_ablate_cache_flag() -> None:
    """One side alone: its rows, nothing compared; the two sides' checksums agree across the runs."""
    both = [run(["ablate", "--quick", "--batch", "2", "--cache", cache]) for cache in ("on", "off")]
    for (report, out, _), cached in zip(both, (True, False)):
        assert [r["cached"] for r in report["rows"]] == [cached] and report["identical"] is None
        assert "RESULT rows=1 identical=not_compared" in out and all(t["same"] is None for t in report["texts"])
        # Every prompt is shown, though the timed batch holds two.
        assert len(report["texts"]) == 8
    assert both[0][0]["rows"][0]["checksum"] == both[1][0]["rows"][0]["checksum"]
    assert [t["text"] for t in both[0][0]["texts"]] == [t["text"] for t in both[1][0]["texts"]]


def check_ablate_prompts() -> None:
    """A prompt that needs no padding is the prompt; a shorter input is its end; a longer one begins elsewhere."""
    ends = ["The old bridge was closed last winter, and since then", "explain it to a child.\nAnswer:", "\n\nDear neighbour,\n",
            "bread - pain\nwater -"]
    report = run(["ablate", "--quick", "--cache", "on", "--input", str(len(ends[0]) + BOS), "-n", "12"])[0]
    assert report["texts"][0]["text"] == generated(ends[0], 12), report["texts"][0]
    report = run(["ablate", "--quick", "--cache", "on", "--input", str(15 + BOS), "-n", "12"])[0]
    # Sequence i: prompt i, seed 42 + i, whoever its neighbours are.
    for i, (end, greedy, sampled) in enumerate(zip(ends, report["texts"][:4], report["texts"][4:], strict=True)):
        assert greedy["text"] == generated(end[-15:], 12), greedy
        assert sampled["text"] == generated(end[-15:], 12, "-t", "0.8", "--top-p", "0.95", "-s", str(42 + i)), sampled
    assert run(["ablate", "--quick", "--batch", "1", "--input", "1", "-n", "1"])[0]["identical"] is True
    # Longer than the passage is not possible with this model's context; 500 tokens are fed, no more and no fewer.
    padded = run(["ablate", "--quick", "--batch", "1", "--cache", "on", "--input", "500", "-n", "2"])[0]
    assert padded["rows"][0]["cache_bytes"] == 501 * SLOT_BYTES


def check_missing_model() -> None:
    """Without the file: one line that says how to make it."""
    if FLOAT_MODEL.exists():
        return
    for command in ("regimes", "ablate"):
        done = subprocess.run([PROGRAM, command], capture_output=True, timeout=60)
        message = done.stderr.decode()
        assert done.returncode == 1 and message.count("\n") == 1, message
        assert "get_smollm2.py" in message and "--type f32" in message, message


BOS = 1  # tiny's texts begin with one

if __name__ == "__main__":
    checks = [check for name, check in list(globals().items()) if name.startswith("check_")]
    for check in checks:
        check()
    print(f"{len(checks)} checks of regimes and ablate hold")
