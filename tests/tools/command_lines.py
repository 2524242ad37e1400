#!/usr/bin/env python3
"""Every program as a user meets it: with --help, without arguments, with right ones.

    python3 tests/tools/command_lines.py BIN_FOLDER [PROGRAM ...]

Without a PROGRAM: all of them.

What programs refuse, and in which words: refusals_test.py; at the borders of their options: options_test.py.
"""
from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

BIN = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else Path("build/release/bin")
ROOT = Path(__file__).resolve().parents[2]

# program, arguments, what its output must hold
CASES = [
    ("step01_tensor", ["--help"], "Usage"),
    ("step01_tensor", ["contract"], "RESULT ok=yes"),
    ("kvlab_weights", ["--help"], "Usage"),
    ("kvlab_weights", ["show", "tiny"], "RESULT tensors="),
    ("step02_attention", ["--help"], "Usage"),
    ("step02_attention", [], "RESULT tokens="),
    ("step02_attention", ["-n", "2", "--threads", "2", "-t", "0.7", "--top-k", "5", "-s", "9"], "RESULT"),
    ("step03_kvcache", ["--help"], "verify"),
    ("step03_kvcache", ["count", "--prompt", "7", "-n", "5"], "RESULT equal=yes"),
    ("step03_kvcache", ["memory", "-m", "tiny", "-n", "1,61"], "RESULT exact=yes rows=64 bytes=32768"),
    ("step03_kvcache", ["memory", "-m", "tiny", "-n", "60", "--cache", "f16"], "bytes=16128"),
    ("step03_kvcache", ["memory", "-m", "tiny", "-n", "60", "--cache", "int8"], "bytes=10080"),
    ("step03_kvcache", ["quality", "-m", "tiny", "--window", "32", "--tokens", "64"], "RESULT models=1 f32_equals_uncached=yes"),
    ("step03_kvcache", ["verify", "-m", "tiny", "-n", "6"], "0 of 26240 floats differ"),
    ("step03_kvcache", ["verify", "-m", "tiny", "-p", "a", "-p", "bcd", "-n", "2", "-t", "1"], "identical=yes"),
    ("step03_kvcache", ["generate", "-m", "tiny", "-n", "9"], "RESULT tokens=9"),
    ("step03_kvcache", ["generate", "-m", "tiny", "-n", "9", "--compare"], "bit-identical: yes"),
    ("step03_kvcache", ["generate", "-m", "tiny", "-n", "3", "--batch", "3", "-t", "1"], "first of 3 sequences"),
    ("step03_kvcache", ["speed", "--help"], "--all-logits"),
    ("step03_kvcache", ["speed", "--prefill", "5", "--tokens", "3", "--batch", "2", "--context", "9", "--rounds", "2", "--seconds", "0"], "decode_tokens_per_second="),
    ("step04_cuda", ["--help"], "Usage"),
    ("step04_cuda", ["bench", "--list", "--device", "executor"], "rung attention split: "),
    ("step04_cuda", ["bench", "--small", "--device", "executor", "--only", "tokens", "-m", "tiny", "--synthetic", "llama2-7b-layer"], "same_bits=yes"),
    # Without arguments it counts every kernel, which takes its time: chapter 4's text is checked against that.
    ("step05_policies", ["--help"], "compare"),
    ("step05_policies", ["compare", "--policy", "full,window", "--tokens", "64", "--window", "64", "--prompt", "32", "--budget", "16", "--recall", "1"],
     "RESULT policies=2 positions=32 full_is_full=yes"),
    ("step05_policies", ["compare", "--set", "minicache", "--tokens", "64", "--window", "64", "--prompt", "32", "--recall", "0"], "RESULT policies=10 positions=32"),
    ("step05_policies", ["compare", "--set", "pyramid", "--tokens", "64", "--window", "64", "--prompt", "32", "--recall", "0"], "RESULT policies=8 positions=32"),
    ("step05_policies", ["clock", "--lengths", "40,64", "--tokens", "2", "--rounds", "1", "--warm-up", "0", "--budget", "20"], "RESULT rows=54"),
    ("step05_policies", ["clock", "--set", "catalogue", "--lengths", "40", "--tokens", "1", "--rounds", "1", "--warm-up", "0"], "RESULT rows=14"),
    ("step05_policies", ["quality", "--tokens", "64", "--window", "64", "--prompt", "32", "--parts", "2,8", "--seeds", "2"], "full_is_full=yes"),
    ("step05_policies", ["memory", "--lengths", "40,90", "--prompt-tokens", "30", "--budget", "20"], "equal=yes"),
    ("step05_policies", ["memory", "--set", "catalogue", "--lengths", "100,300"], "RESULT rows=26 equal=yes"),
    ("step05_policies", ["memory", "--set", "minicache", "-m", "deep", "--lengths", "70", "--merge-from", "1"], "equal=yes"),
    ("step05_policies", ["memory", "--policy", "key-norm,quest", "--whole-layers", "1", "--page", "32", "--budget", "16"], "equal=yes"),
    ("step05_policies", ["needle", "--policy", "full,snapkv", "--recall", "1"], "RESULT policies=2"),
    ("step05_policies", ["stream", "--tokens", "600", "--budget", "40"], "memory_constant=yes"),
    ("step05_policies", ["generate", "-n", "9"], "RESULT tokens=9"),
    ("step05_policies", ["generate", "--policy", "kvzip", "-n", "3"], "passes, 1.00 times the prompt"),
    ("step05_policies", ["generate", "--policy", "sinks-relative", "-n", "700", "--budget", "32"], "RESULT tokens=700 kept=32"),
    ("step05_policies", ["generate", "--policy", "sinks", "-n", "700", "--budget", "32"], "context full"),
    ("step06_quant", ["kv", "--tokens", "64", "--window", "64", "--recall", "0", "--codes", "q4_0,kivi2,lloyd3", "--residual", "32"], "RESULT rows=10 refused=0 f32_is_plain=yes"),
    ("step06_quant", ["kv", "-m", "tiny", "--tokens", "64", "--window", "64", "--recall", "0", "--codes", "q8_0,int8,kivi4", "--of", "both,keys"],
     "RESULT rows=4 refused=3 f32_is_plain=yes"),
    ("step06_quant", ["kv", "-m", "tiny", "--tokens", "64", "--window", "64", "--recall", "0", "--codes", "q8_0", "--of", "both"], "q8_0: a head_dim of 16 is no multiple of 32"),
    ("step06_quant", ["kv", "--tokens", "64", "--window", "64", "--recall", "0", "--codes", "q4_0", "--of", "both", "--rotate", "--inject", "--sinks", "4"], "RESULT rows=2"),
    ("step06_quant", ["kv", "--tokens", "64", "--window", "64", "--recall", "0", "--codes", "q4_0", "--of", "keys", "--pre-rope"], "f32_is_plain=yes"),
    ("step06_quant", ["kv-clock", "-m", "tiny", "--codes", "f32,f16,int8", "--lengths", "40,64", "--tokens", "2", "--rounds", "1"], "RESULT rows=6"),
    ("step06_quant", ["kv-speed", "-m", "tiny", "--code", "f16", "--context", "9", "--tokens", "3", "--rounds", "2", "--seconds", "0"], "RESULT tokens_per_second="),
    ("step06_quant", ["smooth", "--tokens", "64", "--calibration", "64", "--window", "64", "--recall", "1", "--alpha", "0.5,1", "--threshold", "6"], "RESULT rows=10"),
    ("step06_quant", ["smooth", "--tokens", "64", "--calibration", "64", "--window", "64", "--recall", "0", "--alpha", "0.5", "--threshold", "6", "--inner", "--powers-of-two", "--head"], "RESULT rows=8"),
    ("step06_quant", ["smooth", "--clock", "-m", "tiny", "--prompt", "20", "--steps", "2", "--rounds", "1"], "RESULT prefill_times_f32="),
    ("step06_quant", ["lowrank", "--tokens", "64", "--calibration", "64", "--window", "64", "--recall", "0", "--share", "1,0.5"], "RESULT rows=9"),
    ("step06_quant", ["--help"], "weights"),
    ("step06_quant", ["--tokens", "64", "--window", "64", "--recall", "0", "--law", "40"], "RESULT rows=20 refused=0 laws=yes"),
    ("step06_quant", ["-m", "tiny", "--tokens", "64", "--window", "64", "--recall", "0", "--law", "20"], "refused: both: q4_0: a head_dim of 16 is no multiple of 32"),
    ("step06_quant", ["-m", "tiny", "--tokens", "64", "--window", "64", "--recall", "0", "--law", "20"], "RESULT rows=15 refused=5 laws=yes"),
    ("step06_quant", ["bytes", "--lengths", "31,128,129,1024"], "RESULT rows=80 refused=0 equal=yes"),
    ("step06_quant", ["bytes", "--lengths", "1024", "--codes", "kivi2"], "499712     499712    yes"),
    ("step06_quant", ["bytes", "-m", "tiny", "--lengths", "33"], "RESULT rows=15 refused=5 equal=yes"),
    ("step06_quant", ["histogram", "--tokens", "64"], "RESULT rows=8"),
    ("step06_quant", ["histogram", "--tokens", "64", "--layer", "7", "--head", "1", "--bits", "2"], "in groups of 32, 2 bits"),
    ("step06_quant", ["kv", "--tokens", "64", "--window", "64", "--recall", "0", "--codes", "turbo3", "--of", "keys", "--seed", "4", "--score-from", "9"], "of the positions from 9 on alone"),
    ("step06_quant", ["kv", "--tokens", "64", "--window", "64", "--recall", "0", "--codes", "turbo4,f16", "--of", "keys", "--pre-rope"], "RESULT rows=2 refused=1"),
    ("step06_quant", ["weights", "--formats", "f32,q4_0,nf4,rtn4-g32", "--tokens", "64", "--calibration", "64", "--window", "64", "--recall", "1",
                      "--steps", "4", "--rounds", "1"], "RESULT rows=4"),
    ("step06_quant", ["weights", "--formats", "gptq3-g32,awq3-g32,awq3-g32-noclip", "--tokens", "64", "--calibration", "64", "--window", "64", "--recall", "0"], "RESULT rows=3"),
    ("step06_quant", ["weights", "--formats", "q4_0", "--factor", "20", "--tokens", "64", "--calibration", "64", "--window", "64", "--recall", "0"], "RESULT rows=1"),
    ("step07_serving", [], "860160 floats of logits, 0 differ"),
    ("step07_serving", ["--help"], "serve OpenAI's API"),
    ("step07_serving", ["compare", "-n", "6", "--running", "3", "--budget", "40", "--pages", "12", "--drafter", "model"], "0 differ"),
    ("step07_serving", ["compare", "--trace", str(ROOT / "step07_serving" / "traces" / "unequal.jsonl"), "--running", "16"], "RESULT requests=16"),
    ("step07_serving", ["verify", "-n", "200", "--seed", "3"], "holds=yes"),
    ("step07_serving", ["replay", "--requests", "12", "--way", "chunked", "--budget", "64"], "RESULT"),
    ("step07_serving", ["trace", "--requests", "5", "--context", "64"], "RESULT"),
    ("step07_serving", ["waste", "--requests", "20", "--context", "256", "--pages", "64"], "RESULT"),
    ("step07_serving", ["hits", "--requests", "100", "--pages", "50,500"], "indexes_alike=yes"),
    ("step07_serving", ["simulate", "--requests", "50", "--loads", "0.5,2"], "predicted=yes loads=2"),
    ("step07_serving", ["simulate", "--requests", "20", "--gpus", "2", "--cache-bytes", "2", "--loads", "1"], "predicted, not measured"),
    ("step07_serving", ["acceptance", "--count", "1", "--prompt", "32", "-n", "16", "--lengths", "1,4"], "equal=yes"),
    ("step07_serving", ["calibrate", "--repeats", "1", "--most-tokens", "256"], "RESULT"),
    ("step07_serving", ["serve-speed", "-m", "tiny", "--clients", "2", "--requests", "4", "--rounds", "1", "--seconds", "0"], "RESULT tokens_per_second="),
    ("step07_serving", ["by-hand"], "copied 1"),
    # Without arguments it judges every model, which takes its time.
    ("step08_architectures", ["--help"], "every mixer"),
    ("step08_architectures", ["compare", "--quick", "--mixer", "gqa,mla,local,delta,mamba"], "RESULT models=5 floats=513280 differ=0 laws=yes"),
    ("step08_architectures", ["compare", "--quick", "--mixer", "rwkv", "--recall", "0", "--law", "2"], "RESULT models=1"),
    ("step08_architectures", ["verify", "--mixer", "lsh,indexed,linear,s4d,rwkv", "--length", "70"], "laws=yes"),
    ("step08_architectures", ["verify", "--mixer", "delta", "--length", "4"], "laws=yes"),
    ("step08_architectures", ["bytes", "--lengths", "1"], "RESULT models=21 as_trained=yes"),
    ("step08_architectures", ["clock", "--lengths", "40", "--tokens", "1", "--rounds", "1", "--prefills", "1"], "RESULT rows=21 form=yes"),
    ("step08_architectures", ["generate", "-n", "9"], "RESULT tokens=9"),
    ("step08_architectures", ["generate", "--mixer", "rwkv", "-n", "520", "--context", "600"], "RESULT tokens=520"),
    ("step08_architectures", ["generate", "--mixer", "local", "-n", "600"], "context full"),
    ("step08_architectures", ["mqar", "--quick", "--cells", "64/4,128/8"], "cases="),
    ("step08_architectures", ["by-hand"], "and on with the same tokens: the same bits"),
    ("step07_parallel", [], "same bits as one process (but for totals): yes"),  # without mpirun it is the only rank
    ("step07_parallel", ["--help"], "rank 0 reads prompts and sends their pages"),
    ("step07_parallel", ["-n", "4", "--way", "chain", "--rounds", "2", "--cache", "int8"], "RESULT"),
    ("step07_parallel", ["handover", "-n", "3", "-p", "In", "-p", "And"], "RESULT"),
]


def run(program: str, arguments: list[str]) -> tuple[int, str]:
    done = subprocess.run([BIN / program, *arguments], stdin=subprocess.DEVNULL, capture_output=True, timeout=600)
    return done.returncode, (done.stdout + done.stderr).decode("utf-8", "replace")


def check_reports() -> list[str]:
    """--json writes one complete file: schema, machine, what the table says."""
    wrong = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "out.json"
        run("step03_kvcache", ["verify", "-m", "tiny", "-n", "3", "--json", str(path)])
        report = json.loads(path.read_text())
        for key in ("schema", "compiler", "flags", "processor", "seed", "identical", "models"):
            if key not in report:
                wrong.append(f"verify --json: no key {key}")
        if report.get("identical") is not True or report["models"][0]["steps"]["differ"] != 0:
            wrong.append("verify --json: does not say that the runs are identical")
        if [p.name for p in Path(folder).iterdir()] != ["out.json"]:
            wrong.append("verify --json: left other files behind")
    return wrong


def check_quality() -> list[str]:
    """quality --json: the fields that tools/plot.py draws; a float cache that is exact, narrow ones that are not."""
    wrong, reports = [], []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "out.json"
        for piece in ("1", "64"):
            run("step03_kvcache", ["quality", "-m", "tiny,deep", "--window", "40", "--tokens", "80", "--piece", piece, "--json", str(path)])
            reports.append(json.loads(path.read_text()))
    for model in reports[0]["models"]:
        f32, f16, int8 = model["caches"]
        if (model["tokens"], model["bytes"], model["window"]) != (80, 80, 40):
            wrong.append(f"quality --json: expected 80 tokens and bytes in windows of 40, found {model}")
        if (f32["agreement"], f32["mean_kl"], f32["max_kl"], f32["max_abs_logit"], f32["logits_differ"]) != (1, 0, 0, 0, 0):
            wrong.append(f"quality --json: the float cache differs: {f32}")
        if f32["bits_per_byte"] != model["uncached_bits_per_byte"] or min(f16["mean_kl"], int8["mean_kl"]) <= 0:
            wrong.append(f"quality --json: bits per byte or divergences do not fit: {model}")
        if f16["bytes_per_token"] * 2 != f32["bytes_per_token"] or not 0.25 < int8["share_of_f32"] < 0.5:
            wrong.append(f"quality --json: the bytes do not fit: {model}")
    for report in reports:
        for model in report["models"]:
            del model["piece"]
    if reports[0] != reports[1] or len(reports[0]["models"]) != 2:
        wrong.append("quality: pieces of 1 and of 64 give different reports")
    return wrong


def check_speed() -> list[str]:
    """speed --json -: a report on standard output and nothing else there; its tokens are the same at every batch."""
    wrong, chosen = [], []
    for batch in ("1", "3"):
        done = subprocess.run([BIN / "step03_kvcache", "speed", "--prefill", "9", "--all-logits", "--tokens", "12", "--context", "7",
                               "--batch", batch, "--rounds", "3", "--seconds", "0", "--json", "-"], capture_output=True, timeout=600)
        report = json.loads(done.stdout)
        for key in ("schema", "processor", "engine", "load_seconds", "first_token_seconds", "weight_bytes", "file_bytes_per_token",
                    "peak_memory_bytes", "prefill", "decode"):
            if key not in report:
                wrong.append(f"speed --json: no key {key}")
        decode = report["decode"]
        if len(decode["rounds"]) != 3 or decode["tokens_per_pass"] != 12 * int(batch) or not decode["tokens_per_second"]["median"] > 0:
            wrong.append(f"speed --json: the figures of decode do not fit: {decode}")
        if b"RESULT prefill_tokens_per_second=" not in done.stderr:
            wrong.append("speed --json -: no RESULT on standard error")
        chosen.append(decode["chosen"])
    if chosen[0] != chosen[1] or len(chosen[0]) != 12:
        wrong.append(f"speed: the first sequence chose {chosen[0]} alone, {chosen[1]} in a batch")
    # In turns with another program: READY, and a ROUND for each line; the end of input ends it early.
    done = subprocess.run([BIN / "step03_kvcache", "speed", "--prefill", "3", "--tokens", "0", "--wait", "--seconds", "0"],
                          input=b"\n\n", capture_output=True, timeout=600)
    if done.returncode != 0 or (done.stdout.count(b"READY\n"), done.stdout.count(b"ROUND\n")) != (1, 2):
        wrong.append(f"speed --wait: expected READY and two ROUND, found {done.stdout!r}")
    return wrong


def check_policies() -> list[str]:
    """compare --json: a row for each policy; full is exact; memory by closed form; a window's tokens and bytes."""
    wrong = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "out.json"
        run("step05_policies", ["compare", "--tokens", "64", "--window", "64", "--prompt", "32", "--budget", "20", "--recall", "1", "--json", str(path)])
        report = json.loads(path.read_text())
    rows = {row["policy"]: row for row in report["policies"]}
    full, window, h2o = rows["full"], rows["window"], rows["h2o"]
    if (full["mean_kl"], full["max_kl"], full["agreement"], full["bits_per_byte"]) != (0, 0, 1, report["full_bits_per_byte"]):
        wrong.append(f"compare --json: full differs from everything kept: {full}")
    # Tiny: 2 layers, 2 KV heads of 16: 128 bytes of keys and values in a slot, 4 of its position, 4 of a score.
    if (full["bytes_held"], window["bytes_held"], h2o["bytes_held"]) != (64 * 4 * 132, 20 * 4 * 132, 20 * 4 * 136):
        wrong.append(f"compare --json: bytes do not fit: {full['bytes_held']}, {window['bytes_held']}, {h2o['bytes_held']}")
    if (window["kept_behind_prompt"], rows["snapkv"]["kept_at_end"]) != (20, 52) or window["mean_kl"] <= 0 or len(rows) < 18:
        wrong.append(f"compare --json: the tokens kept do not fit: {window}")
    if len(full["recall"]) != 11 or set(full["recall"].values()) - {0, 1}:
        wrong.append(f"compare --json: recall of one case per distance: {full['recall']}")
    return wrong


def check_convert() -> list[str]:
    """A file converted onto itself is the file converted elsewhere; one that is cut short is refused and stays as it is."""
    wrong = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        whole = (ROOT / "weights" / "tiny.gguf").read_bytes()
        same, other, short = folder / "same.gguf", folder / "other.gguf", folder / "short.gguf"
        same.write_bytes(whole)
        short.write_bytes(whole[: len(whole) // 2])
        for source, target, kind in (("tiny", other, "q4_0"), (same, same, "q4_0"), (same, same, "f32"), (other, other, "f32")):
            code, output = run("step06_quant", ["convert", str(source), str(target), "--type", kind])
            if code != 0 or "RESULT converted=" not in output:
                wrong.append(f"convert {source} {target}: exit {code}: {output[-300:]}")
        if same.read_bytes() != other.read_bytes():
            wrong.append("convert: a file converted onto itself differs from one converted elsewhere")
        code, output = run("step06_quant", ["convert", str(short), str(short)])
        if code != 1 or output.count("\n") != 1 or short.read_bytes() != whole[: len(whole) // 2]:
            wrong.append(f"convert: half a file onto itself: exit {code}: {output[-300:]}")
        left = sorted(path.name for path in folder.iterdir())
        if left != ["other.gguf", "same.gguf", "short.gguf"]:
            wrong.append(f"convert: left behind: {left}")
    return wrong


CHECKS = {
    "step03_kvcache": (check_reports, check_quality, check_speed),
    "step05_policies": (check_policies,),
    "step06_quant": (check_convert,),
}


def check_case(case: tuple[str, list[str], str]) -> list[str]:
    program, arguments, text = case
    code, output = run(program, arguments)
    if code == 0 and text in output:
        return []
    return [f"{program} {' '.join(arguments)[:60]}: expected '{text}', found exit code {code}:\n{output[-500:]}"]


def main() -> int:
    known = list(dict.fromkeys(case[0] for case in CASES))
    programs = sys.argv[2:] or known
    if set(programs) - set(known):
        print(f"nothing is known of {', '.join(set(programs) - set(known))}", file=sys.stderr)
        return 2
    cases = [case for case in CASES if case[0] in programs]
    wrong = [line for case in cases for line in check_case(case)]
    wrong += [line for program in programs for check in CHECKS.get(program, ()) for line in check()]
    print("\n".join(wrong) if wrong else f"{len(cases)} command lines behave")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
