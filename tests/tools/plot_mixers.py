"""Of chapter 8's plots: small made-up reports, and whether every mark stands where its report says; for plot_test.py."""
from __future__ import annotations

import math

DISTANCES = ("16", "96", "480")
# Name, layers, bytes after 512 tokens, bits per byte, recall by distance, ms of a token. Others are not there.
MODELS = [("mha", ["mha"] * 2, 524288, 2.162, (1.0, 1.0, 0.97), 0.035), ("gqa", ["gqa"] * 2, 262144, 2.179, (1.0, 0.99, 0.95), 0.017), ("mqa", ["mqa"] * 2, 131072, 2.282, (0.3, 0.25, 0.3), 0.015),
          ("local", ["local"] * 2, 32768, 2.178, (0.95, 0.03, 0.0), 0.016), ("indexed", ["indexed"] * 2, 294912, 2.714, (0.94, 0.7, 0.57), 0.08), ("delta", ["delta"] * 2, 12800, 2.084, (0.47, 0.44, 0.43), 0.015),
          ("mamba", ["mamba"] * 2, 19456, 2.047, (0.3, 0.28, 0.3), 0.02), ("jamba", ["mamba", "mamba", "gqa", "mamba"], 160256, 2.05, (0.99, 0.98, 0.97), 0.03)]


def compare() -> dict:
    return {"engine": "cpu avx512, 1 thread", "threads": 1, "windows": 16, "recall_cases": 33, "models": [
        {"model": name, "mixers": mixers, "bytes_512": held, "bits_per_byte": bits, "recall": dict(zip(DISTANCES, shares)), "recall_mean": sum(shares) / 3,
         "ms_per_token": ms, "laws": {"floats": 1000, "differ": 0, "bytes_measured": 51200, "bytes_by_form": 51200}} for name, mixers, held, bits, shares, ms in MODELS]}


def held() -> dict:
    """Of `bytes`."""
    models = {"mha": (2, 256), "gqa": (2, 128), "strided": (2, 128), "mla": (2, 64), "gqa4": (4, 256), "cla": (4, 128)}
    constant = {"mamba": (2, 4864), "rwkv": (2, 512), "samba": (4, 13056)}
    lengths = [64, 512, 8192]
    rows = [{"model": name, "mixers": [name] * layers, "bytes": [4 * each * n for n in lengths]} for name, (layers, each) in models.items()]
    rows += [{"model": name, "mixers": [name] * layers, "bytes": [4 * floats] * 3} for name, (layers, floats) in constant.items()]
    return {"lengths": lengths, "models": rows, "full_size": [{"kv_heads": kv, "bytes": kv << 27, "gib": kv / 8} for kv in (32, 8, 1)]}


def timed() -> dict:
    def row(model: str, length: int, ms: float) -> dict:
        return {"model": model, "length": length, "seconds": {"smallest": ms * 9e-4, "low": ms * 9.5e-4, "median": ms * 1e-3, "high": ms * 1.1e-3, "largest": ms * 1.3e-3, "samples": 5},
                "time_of_gqa": 1.0, "bytes_held": 1000, "prefill_tokens_per_second": 1e5 / ms}
    slopes = {"gqa": 1.0, "mha": 1.9, "mla": 3.0, "local": 0.0, "lsh": 20.0, "mamba": 0.0, "rwkv": 0.0, "jamba": 0.5}
    return {"engine": "cpu avx512, 1 thread", "threads": 1, "rows": [row(model, length, 0.01 + slope * length * 2e-5) for length in (64, 512, 8192) for model, slope in slopes.items()]}


def mqar() -> dict:
    def model(name: str, width: int, state: int, per_token: int, shares: dict[int, tuple]) -> dict:
        rows = [{"length": length, "pairs": pairs, "trained": length < 512, "accuracy": share, "state_bytes": state + per_token * length}
                for pairs, of in shares.items() for length, share in zip((256, 512, 1024), of)]
        return {"model": name, "family": name.split("_")[0], "d": width, "rows": [*rows, {"length": 64, "pairs": 4, "trained": True, "accuracy": 1.0, "state_bytes": state + per_token * 64}]}
    return {"missing": ["jamba"], "models": [model("gqa", 64, 0, 512, {16: (1.0, 0.99, 0.6), 64: (0.99, 0.9, 0.5)}), model("delta", 64, 12800, 0, {16: (0.9, 0.8, 0.7), 64: (0.5, 0.4, 0.3)}),
                                             model("delta_d32", 32, 3200, 0, {16: (0.6, 0.5, 0.4), 64: (0.2, 0.15, 0.1)})]}


def seeds() -> dict:
    def model(name: str, *scores: tuple[float, float]) -> dict:
        return {"model": name, "seeds": [{"seed": i + 1, "recall_mean": recall, "bits_per_byte": bits, "recall": {"16": recall}} for i, (recall, bits) in enumerate(scores)]}
    return {"models": [model("delta", (0.44, 2.084), (0.3, 2.09)), model("gqa", (0.98, 2.179), (0.97, 2.181), (0.31, 2.22)), model("rwkv", (0.26, 2.075))]}


REPORTS = {"step08_architectures compare": [compare()], "step08_architectures bytes": [held()], "step08_architectures clock": [timed()], "step08_architectures mqar": [mqar()], "seeds": [seeds()]}
# Unfit reports: picture, what is done to its report, what is said.
# Those of NOT_YET are right, and have not what is drawn.
UNFIT = [("mix_recall", lambda report: report["models"][0]["laws"].update(differ=1), "mha: a law does not hold"),
         ("mix_quality", lambda report: report["models"][1]["laws"].update(bytes_measured=7), "gqa: a law does not hold"),
         ("mix_recall", lambda report: [model.pop("recall") for model in report["models"][1:]], "compare --recall"),
         ("mix_recall", lambda report: report["models"][0].update(model="frob"), "frob: a model of no family"),
         ("mix_distance", lambda report: report["models"][0]["recall"].pop("480"), "the same distances"),
         ("mix_bytes", lambda report: report["full_size"][1].update(bytes=7), "8 KV heads: 7 bytes, by the closed form 1073741824"),
         ("mix_bytes", lambda report: report.update(lengths=[64]), "two lengths"),
         ("mix_time", lambda report: report.update(rows=[row for row in report["rows"] if row["model"] != "gqa"]), "needs gqa in the same run"),
         ("mix_time", lambda report: report.update(rows=[row for row in report["rows"] if row["length"] == 64]), "two lengths"),
         ("mix_prefill", lambda report: report["rows"].pop(), "jamba was not timed at every length"),
         ("mix_mqar", lambda report: [model.update(rows=model["rows"][-1:]) for model in report["models"]], "in two lengths")]
NOT_YET = [("mix_heads_trained", lambda report: report.update(models=report["models"][2:]), "two of mha, gqa, mqa, mla"),
           ("mix_mqar", lambda report: report.update(models=[]), "no model of this task"),
           ("mix_prefill", lambda report: [row.pop("prefill_tokens_per_second") for row in report["rows"]], "no times of prompts"),
           ("mix_seeds", lambda report: report.update(models=report["models"][2:]), "no model with two seeds")]


def drawn(picture) -> list:
    from plots import style
    figure = style.new_figure()
    picture.draw({picture.NEEDS[0]: REPORTS[picture.NEEDS[0]]}, figure)
    return figure.axes


def close(found: list, expected: list) -> bool:
    return len(found) == len(expected) and all(len(one) == len(other) and all(math.isclose(a, b, rel_tol=1e-9) for a, b in zip(one, other)) for one, other in zip(found, expected))


def points(axes) -> list[tuple]:
    """Of every line, in order: (x, y) of its marks, one after the other."""
    return [tuple(float(number) for point in zip(line.get_xdata(), line.get_ydata()) for number in point) for line in axes.lines]


def check_marks(wrong: list[str]) -> None:
    """One mark for each model: of recall by bytes, of bits per byte."""
    from matplotlib.colors import to_hex
    from plots import mix_distance, mix_heads_trained, mix_quality, mix_recall, style
    axes = drawn(mix_recall)[0]
    if not close(points(axes), [(held, 100 * sum(shares) / 3) for _, _, held, _, shares, _ in MODELS]):
        wrong.append(f"mix_recall: marks {points(axes)}")
    if len(set(style.FAMILIES.values())) != len(style.FAMILIES):
        wrong.append("families of chapter 8: two have one colour")
    colors = [to_hex(line.get_color()) for line in axes.lines]
    if colors != [style.FAMILIES[style.MIXERS[name]] for name, *_ in MODELS]:
        wrong.append(f"mix_recall: colours {colors}")
    if sorted(text.get_text() for text in axes.texts) != sorted(name for name, *_ in MODELS):
        wrong.append(f"mix_recall: names {[text.get_text() for text in axes.texts]}")
    for text in axes.texts:  # a name belongs to its own mark
        held, share = next((held, 100 * sum(shares) / 3) for name, _, held, _, shares, _ in MODELS if name == text.get_text())
        if not close([text.xy], [(held, share)]):
            wrong.append(f"mix_recall: '{text.get_text()}' stands at {text.xy}")
    if not close(points(drawn(mix_quality)[0]), [(bits, place) for place, (_, _, _, bits, _, _) in enumerate(MODELS)]):
        wrong.append("mix_quality: marks lie elsewhere")
    cells = [text.get_text() for text in drawn(mix_distance)[0].texts]
    if cells != [f"{100 * share:.0f}" for *_, shares, _ in MODELS for share in shares]:
        wrong.append(f"mix_distance: cells {cells}")
    bars = [tuple(float(bar.get_width()) for bar in axes.patches) for axes in drawn(mix_heads_trained)]
    heads = MODELS[:3]
    expected = [tuple(m[2] for m in heads), tuple(m[5] for m in heads), tuple(m[3] for m in heads), tuple(100 * sum(m[4]) / 3 for m in heads)]
    if not close(bars, expected):
        wrong.append(f"mix_heads_trained: bars {bars}")


def check_lines(wrong: list[str]) -> None:
    """Lines over lengths go through the reports' figures, and each panel has full attention beside its own."""
    from plots import mix_bytes, mix_mqar, mix_prefill, mix_seeds, mix_time
    rows = REPORTS["step08_architectures clock"][0]["rows"]
    panels = [("gqa", "mha", "mla"), ("gqa", "local", "lsh"), ("gqa", "mamba", "rwkv", "jamba")]
    for picture, value in ((mix_time, lambda row: 1e3 * row["seconds"]["median"]), (mix_prefill, lambda row: row["prefill_tokens_per_second"])):
        for axes, names in zip(drawn(picture), panels, strict=True):
            expected = [tuple(n for row in rows if row["model"] == name for n in (row["length"], value(row))) for name in names]
            if not close(points(axes), expected):
                wrong.append(f"{picture.__name__}: {names} are drawn as {points(axes)}")
    report = REPORTS["step08_architectures bytes"][0]
    for axes, layers in zip(drawn(mix_bytes), (2, 4)):
        different = list(dict.fromkeys(tuple(model["bytes"]) for model in report["models"] if len(model["mixers"]) == layers))
        if not close(points(axes), [tuple(n for point in zip(report["lengths"], of) for n in point) for of in different]):
            wrong.append(f"mix_bytes: {layers} layers are drawn as {points(axes)}")
    bars = [bar.get_width() for bar in drawn(mix_bytes)[2].patches]
    if bars != [4, 1, 0.125]:
        wrong.append(f"mix_bytes: bars {bars}")
    report = REPORTS["step08_architectures mqar"][0]
    for axes, pairs in zip(drawn(mix_mqar), (16, 64), strict=True):
        expected = [tuple(n for row in model["rows"] if row["pairs"] == pairs for n in (row["state_bytes"], 100 * row["accuracy"])) for model in report["models"]]
        if not close(points(axes), expected):
            wrong.append(f"mix_mqar: {pairs} pairs are drawn as {points(axes)}")
    recall, bits = (points(axes) for axes in drawn(mix_seeds))
    if not close(recall, [(30, 0, 44, 0), (44, 0, 30, 0), (31, 1, 98, 1), (98, 1, 97, 1, 31, 1)]) or not close(bits[2:], [(2.179, 1, 2.22, 1), (2.179, 1, 2.181, 1, 2.22, 1)]):
        wrong.append(f"mix_seeds: {recall}, {bits}")


def check(wrong: list[str]) -> None:
    check_marks(wrong)
    check_lines(wrong)
