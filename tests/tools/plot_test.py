#!/usr/bin/env python3
"""tools/plot.py: every picture from a small made-up report, and every refusal.

    python3 tests/tools/plot_test.py [--keep FOLDER]    # keeps the pictures, as SVG and PNG, to look at

Exit code 77 (skipped) where matplotlib is missing; wrong usage is checked all the same.
"""
from __future__ import annotations

import contextlib
import copy
import importlib
import io
import json
import math
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PLOT = ROOT / "tools" / "plot.py"
sys.path.insert(0, str(ROOT / "tools"))
sys.dont_write_bytecode = True

import plot  # noqa: E402

HEAD = {"schema": 1, "compiler": "GNU 12.2.0", "processor": "A made-up processor at 1.00 GHz", "seed": 42}
LABELS = ["embedding", *(f"{layer} {op}" for layer in (0, 1) for op in ("attention_norm", "query", "key", "value", "attention", "ffn_add")),
          "final_norm", "logits"]


def quartiles(median: float) -> dict:
    return {"best": 0.9 * median, "low": 0.95 * median, "median": median, "high": 1.1 * median, "samples": 5}


def verify() -> dict:
    return {"models": [{"model": "kvlab-tiny", "max_abs_by_step": [0.0] * 24}, {"model": "kvlab-deep", "max_abs_by_step": [0.0] * 24}]}


def diverge() -> dict:
    def run(switch: str, scale: float, fork: int | None) -> dict:
        ulp = [[0 if label < 3 or step == 0 else int(scale * (label + 1) * (step + 1)) for label in range(len(LABELS))] for step in range(12)]
        first = {"step": 1, "layer": 0, "op": "key", "position": 5, "head": 1, "index": 3, "a": 0.5, "b": 0.25, "ulp": 9} if scale else None
        return {"a": "f32", "b": "f32", "switch": switch, "steps": 12, "floats": 123456, "differ": 2345 if scale else 0, "first": first,
                "labels": LABELS, "max_ulp": ulp, "max_abs_logits": [scale * 1e-6 * step for step in range(12)], "fork_step": fork}
    return {"model": "kvlab-tiny", "runs": [run("order", 1, None), run("cache in int8", 3000, 7), run("none", 0, None)]}


def count(steps: int) -> dict:
    def tokens(prompt: int, n: int, cached: bool) -> int:
        return prompt + n - 1 if cached else (2 * prompt + n - 1) * n // 2
    rows = [{"last_token_fed": False, "without": 10483712, "with": 4607, "ratio": 10483712 / 4607}]
    both = {name: {"counted": {"FLOPs": 1000 * tokens(8, steps, cached)}, "predicted": {"FLOPs": 1000 * tokens(8, steps, cached)}}
            for name, cached in (("cached", True), ("uncached", False))}
    return {"model": "kvlab-tiny", "prompt": 8, "steps": steps, "tokens_processed": rows, "at_7b": {"prompt": 512, "steps": 4096},
            "projection_flops_per_token": [{"kv_heads": 32, "flops": 4294967296}], **both}


def memory(cache: str, row: int) -> dict:
    contexts = [(4096, 1), (32768, 1), (131072, 1), (4096, 8), (4096, 16), (4096, 32), (8192, 32)]
    return {"model": "kvlab-tiny", "cache": cache, "prompt": 4, "lengths": [{"rows": rows, "logical": row * rows} for rows in (35, 67, 131, 259)],
            "memory_at_7b": [{"context": context, "batch": batch, "mha_bytes": 524288 * context * batch, "gqa_bytes": 131072 * context * batch,
                              "mqa_bytes": 16384 * context * batch, "weight_bytes": 14 * 10**9} for context, batch in contexts],
            "crossover": [{"heads": "MHA", "context": 26703}, {"heads": "GQA", "context": 106812}, {"heads": "MQA", "context": 854493}]}


def clock() -> dict:
    rows = []
    for cache, slope in (("f32", 0.0), ("none", 0.04)):
        for steps in (32, 64, 128):
            for batch in (1, 2, 4) if steps == 128 else (1,):
                times = [1e-3 * (1 + slope * step) for step in range(steps)]
                rows.append({"cache": cache, "batch": batch, "steps": steps, "seconds": quartiles(sum(times)), "median_step_seconds": times,
                             "step_seconds_p50": times[steps // 2], "step_seconds_p95": times[-1] * 1.2, "peak_bytes": 4e6 * batch, "cache_bytes": 1000})
    return {"model": "kvlab-tiny", "engine": "cpu avx512, 1 thread", "prompt": 4, "rows": rows}


def quality() -> dict:
    def entry(cache: str, size: int, kl: float) -> dict:
        return {"cache": cache, "bits_per_byte": 2.16 + kl, "agreement": 1 - 10 * kl, "mean_kl": kl, "max_kl": 300 * kl, "max_abs_logit": kl, "bytes_per_token": size}
    caches = [entry("f32", 512, 0.0), entry("f16", 256, 1e-7), entry("int8", 160, 3e-4)]
    return {"models": [{"model": "kvlab-tiny", "bytes": 8192, "tokens": 8192, "window": 512, "caches": caches},
                       {"model": "kvlab-deep", "bytes": 8192, "tokens": 8192, "window": 512, "caches": caches}], "f32_equals_uncached": True}


def regimes() -> dict:
    def point(phase: str, tokens: int, batch: int, context: int, intensity: float, gflops: float) -> dict:
        return {"phase": phase, "tokens": tokens, "batch": batch, "context": context, "flops": 1, "bytes": 1, "seconds": quartiles(1.0),
                "intensity": intensity, "gflops": gflops, "share_of_roof": 0.8, "verdict": "memory"}
    return {"model": "SmolLM2", "engine": "cpu avx512, 1 thread", "peak_gflops": 120.0, "bandwidth_gb_s": 12.0, "ridge": 10.0,
            "points": [point("prefill", tokens, 1, 0, tokens * 0.45, min(95.0, tokens * 5.0)) for tokens in (8, 32, 128, 512)]
            + [point("decode", 1, batch, 128, batch * 0.49, min(80.0, batch * 5.2)) for batch in (1, 2, 4, 8, 16, 32)],
            "turns_at": {"predicted": 21, "measured": 16},
            "contexts": [{"context": context, "tokens_per_second": 20 / (1 + context / 3000), "limit": 22 / (1 + context / 3000)} for context in (0, 128, 512, 1024, 2048)]}


def ablate() -> dict:
    return {"model": "SmolLM2", "rows": [{"batch": batch, "cached": cached, "seconds": batch * (3.0 if cached else 60.0), "tokens_per_second": 10.0,
                                          "peak_bytes": batch * (20 if cached else 60) << 20} for batch in (1, 8, 16) for cached in (True, False)]}


def peers() -> dict:
    def race(row: str, peer: str, threads: int, ratio: float) -> dict:
        return {"row": row, "peer": peer, "threads": threads, "ratio": ratio, "ratio_low": 0.9 * ratio, "ratio_high": 1.1 * ratio}
    return {"machine": {"processor": "A made-up processor", "cores": 2, "cores_taken_by_others": 0.5}, "date": "2000-01-01T00:00:00",
            "kvlab": {"commit": "0123456"}, "peers": {"llama.cpp": {"version": "1"}, "transformers": {"missing": "no network"}},
            "results": [race("decode Q4_1", "llama.cpp", 1, 2.36), race("prefill", "PyTorch", 1, 0.82), race("tiny", "PyTorch", 2, 65.0),
                        {"row": "batch", "peer": "llama.cpp", "threads": 1, "missing": "it died"}]}


REPORTS = {
    "compare_peers": [peers()], "step03_kvcache verify": [verify()], "step03_kvcache diverge": [diverge()],
    "step03_kvcache count": [count(n) for n in (10, 100, 1000)], "step03_kvcache clock": [clock()], "step03_kvcache quality": [quality()],
    "step03_kvcache memory": [memory("f32", 36864), memory("f16", 18432), memory("int8", 9792)],
    "step03_kvcache regimes": [regimes()], "step03_kvcache ablate": [ablate()]}
for experiment, reports in REPORTS.items():
    for report in reports:
        report.update(HEAD, experiment=experiment)

# What a reader must find written in each picture.
TEXTS = {
    "equivalence": ["exactly 0 in every step", "sums in another order", "largest |difference| of a logit"],
    "flops": ["2275.6", "with the", "tokens generated"], "memory_breakdown": ["weights", "78.04 GB, of which cache 64", "memory, GB"],
    "crossover": ["26 703", "GQA: 8", "cache / weights"], "wall_clock": ["time of this token, ms", "without", "3.54x"],
    "cache_memory": ["int8: 9 792 bytes a token", "= 0.0176 MB, r = 1.0000", "cache, MB (2^20 bytes)"],
    "batch": ["tokens/s, all sequences", "no cache: 4.00x"], "quality": ["tiny, int8", "bytes a token,", "the f32 cache changes no bit"],
    "regimes": ["peak 120 GFLOP/s", "ridge 10 FLOP/byte", "12 GB/s"], "contexts": ["tokens in the cache", "91 %"],
    "ulp_heat": ["largest distance, ulp", "1 key", "first", "2 345 floats differ"],
    "drift": ["cache in int8", "the contract kept: 0", "X: here the second run would choose another token"],
    "ablation": ["time, s (logarithmic)", "peak memory, MB", "960"], "peers": ["against llama.cpp", "2.36", "THE MACHINE WAS BUSY", "missing, not raced: transformers"]}


def write(folder: Path, name: str, reports: dict[str, list[dict]]) -> list[str]:
    """The files of what a picture needs, out of `reports`."""
    files = []
    for need in importlib.import_module(f"plots.{name}").NEEDS:
        for report in reports[need]:
            files.append(str(folder / f"{name}{len(files)}.json"))
            Path(files[-1]).write_text(json.dumps(report))
    return files


def run(*arguments: str) -> tuple[int, str]:
    done = subprocess.run([sys.executable, "-B", PLOT, *arguments], capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout + done.stderr


def draw_here(*arguments: str) -> tuple[int, str]:
    """As run(), without starting matplotlib again."""
    sys.argv = ["plot.py", *arguments]
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        return plot.main(), output.getvalue()


def check_refusals(folder: Path, wrong: list[str]) -> None:
    """Each is one line that names what is wrong, exit code 2, and no picture."""
    good = json.dumps(REPORTS["step03_kvcache clock"][0])
    files = {"clock": good, "cut": good[:-9], "list": "[1]", "nameless": "{}", "verify": json.dumps(REPORTS["step03_kvcache verify"][0])}
    paths = {name: folder / f"{name}.json" for name in files}
    for name, text in files.items():
        paths[name].write_text(text)
    out = folder / "refused.svg"
    cases = [([name, "--json", str(paths["verify"])], "report of 'step03_kvcache verify'; " + name) for name in plot.PICTURES if name != "equivalence"]
    cases += [(["equivalence", "--json", str(paths["clock"])], "'step03_kvcache clock'; equivalence is drawn from 'step03_kvcache verify' and 'step03_kvcache diverge'"),
              (["equivalence", "--json", str(paths["verify"])], "needs a report of 'step03_kvcache diverge' too"),
              (["batch", "--json", str(paths["cut"])], "cut.json"), (["batch", "--json", str(paths["list"])], "no report of an experiment"),
              (["batch", "--json", str(paths["nameless"])], "no report of an experiment"), (["batch", "--json", str(folder / "none.json")], "none.json"),
              (["batch"], "which report?"), (["frobnicate"], "frobnicate"), ([], "which picture?"), (["style"], "style")]
    for arguments, text in cases:
        code, output = run(*arguments, "-o", str(out))
        if code != 2 or text not in output or "Traceback" in output:
            wrong.append(f"plot {arguments}: expected exit 2 and '{text}', found {code}: {output[-300:]}")
    code, output = run("batch", "--json", str(paths["clock"]), "-o", str(folder / "x.gif"))
    if code != 2 or ".svg or .png" not in output:
        wrong.append(f"a picture as GIF: exit {code}: {output[-300:]}")
    if out.exists():
        wrong.append("a refused picture was written")
    code, output = run("--list")
    if code != 0 or not all(name in output for name in plot.PICTURES):
        wrong.append(f"--list: exit {code}: {output[-300:]}")


def check_pictures(folder: Path, wrong: list[str]) -> None:
    if set(TEXTS) != set(plot.PICTURES):
        wrong.append(f"pictures without a test: {set(plot.PICTURES) ^ set(TEXTS)}")
    for name, texts in TEXTS.items():
        files = write(folder, name, REPORTS)
        svg = folder / f"{name}.svg"
        for out in (svg, folder / f"{name}.png"):
            if draw_here(name, "--json", *files, "-o", str(out))[0] != 0:
                wrong.append(f"{name}: not drawn as {out.suffix}")
        root = ElementTree.parse(svg).getroot()
        if root.tag != "{http://www.w3.org/2000/svg}svg" or root.get("width") != "600pt":
            wrong.append(f"{name}: expected an SVG 600pt (800 pixels) wide, found {root.tag} {root.get('width')}")
        found = [" ".join("".join(node.itertext()).split()) for node in root.iter("{http://www.w3.org/2000/svg}text")]
        # Older versions of matplotlib write a label of two lines as two texts.
        missing = [text for text in texts if not any(text in line for line in found)]
        if missing:
            wrong.append(f"{name}: no {missing} among its texts: {found}")
        if name != "memory_breakdown" and name != "crossover" and not any("made-up processor" in line for line in found):
            wrong.append(f"{name}: does not name the machine")
        if not (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG"):
            wrong.append(f"{name}: no PNG")
        first = svg.read_bytes()
        draw_here(name, "--json", *files, "-o", str(svg))
        if svg.read_bytes() != first:
            wrong.append(f"{name}: the same report gives another file")


def check_nothing_cut(wrong: list[str]) -> None:
    from plots import style
    for name in plot.PICTURES:
        picture = importlib.import_module(f"plots.{name}")
        figure = style.new_figure()
        picture.draw({need: copy.deepcopy(REPORTS[need]) for need in picture.NEEDS}, figure)
        figure.draw_without_rendering()
        box, page = figure.get_tightbbox(), figure.bbox_inches
        if min(box.x0, box.y0) < -0.03 or box.x1 > page.x1 + 0.03 or box.y1 > page.y1 + 0.03:
            wrong.append(f"{name}: something lies outside of the picture: {box} of {page}")


def check_truth(folder: Path, wrong: list[str]) -> None:
    """A picture must not say of bad data what it says of good."""
    from plots import cache_memory, equivalence, style, ulp_heat

    def texts_of(draw, reports) -> str:
        figure = style.new_figure()
        draw(reports, figure)
        return "\n".join(text.get_text() for axes in figure.axes for text in axes.texts) + "\n".join(text.get_text() for text in figure.texts)

    bad = copy.deepcopy({need: REPORTS[need] for need in equivalence.NEEDS})
    bad["step03_kvcache verify"][0]["models"][1]["max_abs_by_step"][3] = 1e-6
    text = texts_of(equivalence.draw, bad)
    if "exactly 0" in text or "up to 1e-06" not in text:
        wrong.append(f"equivalence: a run that differs is called equal: {text}")
    figure = style.new_figure()
    ulp_heat.draw({"step03_kvcache diverge": REPORTS["step03_kvcache diverge"]}, figure)
    cells = REPORTS["step03_kvcache diverge"][0]["runs"][0]["max_ulp"]
    shown = figure.axes[0].images[0].get_array()
    for step, row in enumerate(cells):
        for label, ulp in enumerate(row):
            if bool(shown.mask[label, step]) != (ulp == 0) or (ulp and shown[label, step] != ulp):
                wrong.append(f"ulp_heat: step {step}, operator {label}: {ulp} is drawn as {shown[label, step]}")
    slope, start, r = cache_memory.fit([1, 2, 3, 4], [3, 5, 7, 9])
    if not (math.isclose(slope, 2) and math.isclose(start, 1) and math.isclose(r, 1)):
        wrong.append(f"fit: a straight line gives {slope} {start} {r}")
    if not cache_memory.fit([1, 2, 3, 4], [3, 5, 7, 20])[2] < 0.95:
        wrong.append("fit: a bent line has r = 1")
    # Each unfit report is refused, in words.
    for name, change, message in [
            ("flops", lambda report: report["tokens_processed"][0].update(without=10487808), "closed form"),
            ("wall_clock", lambda report: report.update(rows=[row for row in report["rows"] if row["cache"] == "f32"]), "--no-uncached"),
            ("batch", lambda report: report.pop("rows"), "no 'rows'"), ("cache_memory", lambda report: report.update(model="another"), "one model"),
            ("quality", lambda report: report.update(models=[]), "no cache but f32"), ("ablation", lambda report: report["rows"].clear(), "with the cache and without")]:
        reports = copy.deepcopy(REPORTS)
        change(reports[importlib.import_module(f"plots.{name}").NEEDS[0]][0])
        code, output = draw_here(name, "--json", *write(folder, name, reports), "-o", str(folder / "unfit.svg"))
        if code != 2 or message not in output or (folder / "unfit.svg").exists():
            wrong.append(f"{name} of an unfit report: expected exit 2 and '{message}', found {code}: {output[-300:]}")


def main() -> int:
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as temporary:
        check_refusals(Path(temporary), wrong)
        try:
            import matplotlib  # noqa: F401
        except ImportError:
            print("\n".join(wrong) if wrong else "skipped: matplotlib is missing; refusals are right")
            return 1 if wrong else 77
        folder = Path(sys.argv[2]) if sys.argv[1:2] == ["--keep"] else Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        check_pictures(folder, wrong)
        check_nothing_cut(wrong)
        check_truth(Path(temporary), wrong)
    print("\n".join(wrong) if wrong else f"{len(TEXTS)} pictures are drawn, and wrong reports refused")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
