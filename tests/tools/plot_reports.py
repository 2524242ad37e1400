"""Small made-up reports of the experiments, as plot_test.py draws them."""
from __future__ import annotations

import copy

import plot_mixers
from fake_schedule import fake_schedule

HEAD = {"schema": 1, "compiler": "GNU 12.2.0", "processor": "A made-up processor at 1.00 GHz", "seed": 42}
LABELS = ["embedding", *(f"{layer} {op}" for layer in (0, 1) for op in ("attention_norm", "query", "key", "value", "attention", "ffn_add")),
          "final_norm", "logits"]


def quartiles(median: float) -> dict:
    return {"smallest": 0.9 * median, "low": 0.95 * median, "median": median, "high": 1.1 * median, "largest": 1.3 * median, "samples": 5}


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


def ladders() -> dict:
    def ladder(operation: str, least: int, rungs: dict[str, int]) -> dict:
        return {"operation": operation, "size": "x [1, 576]", "least_sectors": least, "checksum": "0",
                "rungs": [{"name": name, "idea": "an idea", "sectors": sectors} for name, sectors in rungs.items()]}
    return {"ladders": {"linear": ladder("product of 64 rows", 9728, {"naive": 2433536, "registers": 11264}),
                        "argmax": ladder("argmax", 512, {"naive": 8191, "tree": 512})}}


def estimate(device: str = "not measured yet") -> dict:
    """With a device: beside times that nobody measured, one for each of its ladders' first rungs."""
    def rung(name: str, dram: float, sectors: float, shared: float, fma: float, latency: float, limit: str) -> dict:
        return {"rung": name, "dram": dram, "sectors": sectors, "shared": shared, "fma": fma, "latency": latency, "rounds": 9.0, "gaps": 0.9, "limit": limit,
                "microseconds": max(dram, sectors, shared, fma, latency) + 0.9, "busy": 48.0, "occupancy": -1.0}
    rungs = [rung("naive", 4.5, 191.8, 0.0, 11.6, 3.0, "sectors"), rung("shared", 4.5, 1.9, 49.2, 11.6, 3.0, "shared"),
             rung("registers", 4.5, 2.0, 21.2, 26.1, 3.0, "fma"), rung("waiting", 4.5, 2.0, 0.2, 1.1, 33.0, "latency"),
             rung("ideal", 4.6, 2.0, 0.001, 1.1, 0.5, "DRAM")]
    return {"measured_on": device, "ladders": {
        key: {"operation": operation, "size": "x [64, 576]", "copies": copies, "measured_microseconds": {} if device == "not measured yet" else {"naive": 777.0},
              "estimates": {"A100": copy.deepcopy(rungs), "H100": copy.deepcopy(rungs[1:])}}
        for key, operation, copies in (("linear", "product of 64 rows", 48), ("decode", "attention", 1))}}


def policy_quality(model: str, layers: int) -> dict:
    def row(policy: str, budget: int, kl: float) -> dict:
        return {"policy": policy, "budget": budget, "bits_per_byte": 2 + kl, "mean_kl": kl, "mean_kl_deviation": (0.4 if budget > 64 else 2) * kl}
    kls = {"full": 0.0, "window": 0.3, "h2o": 0.05, "snapkv": 0.02, "random": 3.0}
    budgets = [{"part": part, "budget": 512 // part, "equal_tokens": [row(policy, 512 // part, 0.0 if (policy, part) == ("snapkv", 2) else kl * part / 16)
                                                                      for policy, kl in kls.items()]} for part in (2, 4, 8, 16)]
    return {"model": model, "window": 512, "prompt": 256, "windows": 3, "sink_mass": [0.6 * layer / layers for layer in range(layers)],
            "even_share": 0.0027, "full_bits_per_byte": 2.0, "budgets": budgets}


def needle() -> dict:
    distances = ("16", "64", "480")
    return {"model": "kvlab-tiny", "budget": 64, "cases": 30, "policies": [
        {"policy": policy, "outside": dict(zip(distances, shares)), "inside": dict(zip(distances, shares[::-1])), "asked_two": asked, "first": 0.37, "second": 0.21}
        for policy, shares, asked in (("full", (1.0, 1.0, 0.95), 30), ("window", (1.0, 0.05, 0.0), 30), ("oracle", (1.0, 1.0, 1.0), 0))]}


def stream(model: str, context: int) -> dict:
    def row(policy: str, tokens: int) -> dict:
        return {"policy": policy, "stretches": [{"end": end, "bits_per_byte": 2 + 0.1 * (end % 512) / 256 + 0.01 * len(policy), "bytes_held": 1000} for end in range(256, tokens + 1, 256)]}
    return {"model": model, "context": context, "budget": 128, "every": 256, "policies": [
        row(f"{kind}, {scheme}", 2048 if scheme == "relative" else min(2048, context)) for scheme in ("relative", "absolute") for kind in ("sinks", "window", "h2o")]}


def policy_clock() -> dict:
    return {"model": "tiny-shape, random weights", "engine": "cpu avx512, 1 thread", "rows": [
        {"policy": policy, "length": length, "seconds": quartiles(1e-5 * (1 + slope * length)), "bytes_held": 512 * (length if slope else 128)}
        for policy, slope in (("cache", 0.01), ("full", 0.01), ("window 128", 0.0), ("window 256", 0.0), ("h2o 32+128", 0.001), ("window", 0.0), ("keyformer", 0.02), ("indexer", 0.03)) for length in (256, 1024, 4096)]}


def minicaches(model: str) -> dict:
    settings = [(0, 5), (0.25, 5), (0.6, 5), (1, 5), (0.6, 0), (0.6, 100)]
    return {"model": model, "full_bits_per_byte": 2.0, "full_bytes": 1000, "policies": [
        {"policy": f"t {t:g}, {share:g} %", "bits_per_byte": 5 - 0.03 * share, "bytes_held": 500 + 5 * share} for t, share in settings]}


def of_text(model: str, source: str = "F32", **more) -> dict:
    return {"model": model, "source_type": source, "window": 512, "windows": 8, "plain_bits_per_byte": 2.0, **more}


def quant_kv(model: str, source: str, rotate: bool, inject: bool) -> dict:
    kls = {"f32": (32, 0.0), "f16": (16, 1e-7), "q8_0": (8.5, 4e-5), "q4_0": (4.5, 0.01), "kivi2": (4.6, 0.004)}
    rows = [{"format": name, "of": "-" if name == "f32" else of, "bits": bits if of == "both" else (32 + bits) / 2, "bytes": int(1e4 * bits),
             "mean_kl": kl * share * (9 if inject and not rotate else 1)}
            for name, (bits, kl) in kls.items() for of, share in (("both", 1.0), ("keys", 0.7), ("values", 0.3)) if name != "f32" or of == "both"]
    return of_text(model, source, rotate=rotate, inject=inject, before_rope=False, sinks=0, rows=rows)


def quant_histogram() -> dict:
    return {"model": "kvlab-deep", "layer": 1, "head": 0, "tokens": 512, "bits": 4, "rows": [
        {"inject": inject, "rotated": rotated, "group": group, "range": 2.5, "spread": 0.5, "codes_used": 7.2 if inject else 12.9, "error": 0.08,
         "error_quiet": 0.523 if inject else 0.079, "groups": 512, "counts": [10 + (i * 7) % 13 for i in range(60)]}
        for inject in (False, True) for rotated in (False, True) for group in ("token", "channel")]}


def quant_bytes() -> dict:
    def row(name: str, bits: float, length: int) -> dict:
        return {"format": name, "length": length, "bytes_held": int(128 * bits * length), "closed_form": int(128 * bits * length),
                "bytes_taken": int(128 * bits * (length + 63 & ~63)), "bits": bits}
    return {"model": "kvlab-deep", "residual": 128,
            "rows": [row(name, bits, length) for name, bits in (("f32", 32.0), ("f16", 16.0), ("q4_0", 4.5)) for length in (32, 64, 128, 1024)]}


def quant_clock(threads: int) -> dict:
    return {"model": "SmolLM2 135M 8k", "engine": f"cpu avx512, {threads} threads", "time": "wall", "rotate": False, "rows": [
        {"cache": cache, "length": length, "seconds": quartiles(0.03 * share), "to_first": share, "bytes_read": int(9e7 * share)}
        for length in (2048, 4096) for cache, share in (("f32", 1.0), ("f16", 0.8), ("q4_0", 0.65))]}


def quant_weights(model: str, source: str, factor: float) -> dict:
    rows = {"f32": (32.0, 0.0), "q8_0": (8.5, 4e-4), "q4_0": (4.5, 0.05), "nf4-twice": (4.1, 0.04), "rtn4-g32": (5.0, 0.04), "gptq4-g32": (5.0, 0.02),
            "awq4-g32": (5.0, 0.03), "rtn4-g64": (4.5, 0.06), "gptq4-g32-head": (4.8, 0.03), "rtn4-g32-head": (4.8, 0.05), "nf4-head": (4.4, 0.05)}
    return of_text(model, source, factor=factor, rows=[
        {"format": name, "of": "layers" if name in ("rtn4-g32", "gptq4-g32", "awq4-g32", "rtn4-g64", "nf4-twice") else "all", "bits": bits, "mean_kl": kl * factor}
        for name, (bits, kl) in rows.items()])


def quant_smooth() -> dict:
    def rows(channel: float, plain: float) -> list[dict]:
        kinds = [("float", None, None, 0.0), ("w8a8", None, None, plain), ("w8a8", None, 6.0, plain / 2), ("w8a8", 0.5, None, plain / 3), ("w8a8", 0.0, None, plain * 1.1)]
        return [{"channel": channel, "products": products, "alpha": alpha, "threshold": threshold, "mean_kl": kl} for products, alpha, threshold, kl in kinds]
    return of_text("kvlab-deep", inner=False, rows=rows(1.0, 7e-4) + rows(20.0, 4e-3))


def quant_lowrank() -> dict:
    def row(basis: str, keys: str, values: str, latents: str, kl: float) -> dict:
        return {"basis": basis, "keys": keys, "values": values, "latents": latents, "bytes": 100, "mean_kl": kl}
    errors = {f"{basis}_error": [1 - rank / 8 * scale for rank in range(9)] for basis, scale in (("plain", 0.9), ("whitened", 1.0))}
    rows = [row("plain", "8", "8", "f32", 7e-13), row("whitened", "8", "8", "int8", 3e-4), row("plain", "4", "4", "f32", 0.06), row("whitened", "4", "4", "f32", 0.02),
            row("whitened", "4", "4", "int8", 0.021), row("whitened", "2-6", "2-6", "f32", 0.05), row("whitened", "4", "8", "f32", 0.001)]
    return of_text("kvlab-deep", size=8, curves=[{"layer": layer, "side": side, **errors} for layer in (0, 1) for side in ("keys", "values")], rows=rows)


def peers() -> dict:
    def race(row: str, peer: str, threads: int, ratio: float) -> dict:
        return {"row": row, "peer": peer, "threads": threads, "ratio": ratio, "ratio_low": 0.9 * ratio, "ratio_high": 1.1 * ratio}
    return {"machine": {"processor": "A made-up processor", "cores": 2, "cores_taken_by_others": 0.5}, "date": "2000-01-01T00:00:00",
            "kvlab": {"commit": "0123456"}, "peers": {"llama.cpp": {"version": "1"}, "transformers": {"missing": "no network"}},
            "results": [race("decode Q4_1", "llama.cpp", 1, 2.36), race("prefill", "PyTorch", 1, 0.82), race("tiny", "PyTorch", 2, 65.0),
                        {"row": "batch", "peer": "llama.cpp", "threads": 1, "missing": "it died"}]}


def acceptance(model: str, layers: int, temperature: float) -> dict:
    rows = [{"drafter": name, "length": length, "rate": rate / length**0.5, "tokens_per_step": 1 + rate * length**0.5, "drafted": 100, "accepted": 50,
             "steps": 40, "written": 60, "equal": True}
            for name, rate in (("look-up", 0.4), (f"first 1 of {layers} layers", 0.3), (f"first 2 of {layers} layers", 0.5), ("the same in q4_0", 0.9)) for length in range(1, 9)]
    return {"model": model, "engine": "cpu avx512, 1 thread", "text": "heldout.txt", "prompts": 8, "prompt": 128, "steps": 96, "temperature": temperature,
            "rows": rows, "equal": True}


def hits() -> dict:
    def trace(name: str, endless: float) -> dict:
        sizes = [{"pages": pages, "chain": share * endless, "radix": share * endless, "lru": share * endless, "evicted": 9} for pages, share in ((1000, 0.1), (10000, 0.6), (30000, 0.9))]
        return {"trace": name, "requests": 12031, "blocks": 288000, "different": 182000, "endless": endless, "published_endless": endless * 0.95, "sizes": sizes}
    return {"block": 512, "traces": [trace("mooncake-conversation", 0.366), trace("mooncake-synthetic", 0.64)]}


def waste() -> dict:
    return {"context": 8192, "slots": 131072, "lines": [
        {"trace": trace, "page_slots": slots, "held": 1000.0, "needed": 1000 - 10 * wasted, "wasted": wasted / 100, "texts": 60.0, "steps": 900, "preempted": 0}
        for trace in ("azure-code", "mooncake-synthetic") for slots, wasted in ((16, 0.8), (64, 3.1), (256, 11.0), (8192, 71.5))]}


def simulated(trace: str) -> dict:
    loads = [{"load": load, "requests": 10000, "tokens_per_second": 211 * min(load, 1.2), "goodput": load if load < 1 else 1 / load, "in_time": 9000,
              "first_token": {"p50": 0.2 * load, "p95": 0.6 * load, "p99": load**4}, "per_token": {"p50": 0.03, "p95": 0.05, "p99": 0.06}, "mean_batch": 40.0, "preempted": 0}
             for load in (0.25, 0.5, 1.0, 2.0)]
    return {"predicted": True, "machine": "H100", "model": "70B", "trace": trace, "loads": loads}


REPORTS = {
    "compare_peers": [peers()], "step03_kvcache verify": [verify()], "step03_kvcache diverge": [diverge()],
    "step03_kvcache count": [count(n) for n in (10, 100, 1000)], "step03_kvcache clock": [clock()], "step03_kvcache quality": [quality()],
    "step03_kvcache memory": [memory("f32", 36864), memory("f16", 18432), memory("int8", 9792)],
    "step03_kvcache regimes": [regimes()], "step03_kvcache ablate": [ablate()],
    "step05_policies quality": [policy_quality("kvlab-tiny", 2), policy_quality("SmolLM2 135M 8k", 30)], "step05_policies needle": [needle()],
    "step05_policies stream": [stream("kvlab-tiny", 512), stream("SmolLM2 135M 8k", 8192)], "step05_policies clock": [policy_clock()],
    "step05_policies compare": [minicaches("kvlab-tiny"), minicaches("kvlab-deep")], "step04_cuda ladders": [ladders()],
    "step06_quant kv": [quant_kv("kvlab-deep", "F32", rotate, inject) for inject in (False, True) for rotate in (False, True)] + [quant_kv("SmolLM2 135M 8k", "Q4_1", False, False)],
    "step06_quant histogram": [quant_histogram()], "step06_quant bytes": [quant_bytes()], "step06_quant kv-clock": [quant_clock(1), quant_clock(2)],
    "step06_quant weights": [quant_weights("kvlab-tiny", "F32", 1.0), quant_weights("kvlab-deep", "F32", 20.0)], "step06_quant smooth": [quant_smooth()],
    "step06_quant lowrank": [quant_lowrank()], "step04_cuda estimate": [estimate()],
    "step07_serving record": [fake_schedule(more_steps=12)], "step07_serving hits": [hits()], "step07_serving waste": [waste()],
    "step07_serving acceptance": [acceptance("kvlab-tiny", 2, 0.0), acceptance("SmolLM2 135M 8k", 30, 0.8)],
    "step07_serving simulate": [simulated("azure-code"), simulated("azure-conversation")], **plot_mixers.REPORTS}
for experiment, reports in REPORTS.items():
    for report in reports:
        report.update(HEAD, experiment=experiment)
