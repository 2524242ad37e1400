"""L5, R5: what an F16 or INT8 cache changes in the next-token distribution, against its bytes."""
from __future__ import annotations

from . import style

NEEDS = ("step03_kvcache quality",)
SHOWS = ["tiny, int8", "bytes a token,", "the f32 cache changes no bit"]


def draw(reports: dict[str, list[dict]], figure) -> None:
    models = [model for report in reports[NEEDS[0]] for model in report["models"]]
    rows = [(model, cache) for model in models for cache in model["caches"] if cache["cache"] != "f32"][::-1]
    if not rows:
        raise style.Unfit("no cache but f32 in the report")
    exact = all(report["f32_equals_uncached"] for report in reports[NEEDS[0]])
    style.height(figure, 130 + 38 * len(rows))
    style.machine(figure, reports, "the f32 cache changes no bit" if exact else "THE F32 CACHE DIFFERS FROM THE RUN WITHOUT ONE")
    share, kl, other, bits = figure.subplots(1, 4, sharey=True, gridspec_kw={"width_ratios": [1, 1.5, 1, 1]})
    for place, (model, cache) in enumerate(rows):
        color = style.FORMATS[cache["cache"]]
        f32 = next(entry for entry in model["caches"] if entry["cache"] == "f32")
        part = 100 * cache["bytes_per_token"] / f32["bytes_per_token"]
        share.barh(place, part, color=color, height=0.6)
        style.label(share, part, place, f"{part:.1f}", dx=3)
        kl.plot([cache["mean_kl"], cache["max_kl"]], [place, place], color=color, linewidth=1.2)
        kl.plot(cache["mean_kl"], place, "o", color=color, markersize=7)
        kl.plot(cache["max_kl"], place, "|", color=color, markersize=11, markeredgewidth=2)
        changed = 100 * (1 - cache["agreement"])
        other.barh(place, changed, color=color, height=0.6)
        style.label(other, changed, place, f"{changed:.2g}", dx=3)
        more = cache["bits_per_byte"] - f32["bits_per_byte"]
        bits.plot(more, place, "o", color=color, markersize=7)
        style.label(bits, more, place, f"{more:+.1e}", dy=11, dx=0, ha="center", fontsize=8, bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5})
    style.label(kl, rows[-1][1]["mean_kl"], len(rows) - 1, "mean", dx=0, dy=10, ha="center")
    style.label(kl, rows[-1][1]["max_kl"], len(rows) - 1, "max", dx=0, dy=10, ha="center")
    share.set_yticks(range(len(rows)), [f"{model['model'].removeprefix('kvlab-')}, {cache['cache']}" for model, cache in rows])
    share.set_ylim(-0.6, len(rows) - 0.3)
    kl.set_xscale("log")
    bits.axvline(0, color=style.INK, linewidth=1)
    bits.margins(x=0.35)
    bits.set_xticks([0], ["0"])
    share.set_xlim(0, 75)
    other.set_xlim(0, 1.35 * max(max(100 * (1 - cache["agreement"]) for _, cache in rows), 0.01))
    for axes, text in ((share, "bytes a token,\n% of f32"), (kl, "KL from the f32 run,\nbits a token"),
                       (other, "other most likely\ntoken, % of positions"), (bits, "bits per byte,\nminus f32's")):
        axes.set_xlabel(text)
        axes.grid(axis="y", visible=False)
