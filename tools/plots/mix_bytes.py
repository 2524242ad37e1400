"""Chapter 8: bytes that a text leaves behind, by its length, of all models; and of 32, 8 and 1 KV heads at full size."""
from __future__ import annotations

from . import style

NEEDS = ("step08_architectures bytes",)
SHOWS = ["bytes held", "tokens of the text", "gqa, strided", "4.000 GB", "0.125 GB", "two layers", "four layers"]
SAME_EVERYWHERE = True
FULL = {32: "MHA", 8: "GQA", 1: "MQA"}


def closed_form(kv_heads: int) -> int:
    """Keys and values of 32 layers, heads of 128 numbers of 16 bits, 8192 tokens."""
    return 2 * 32 * kv_heads * 128 * 2 * 8192


def same_lines(models: list[dict]) -> dict[tuple, list[str]]:
    """The names of the models that hold the same bytes at every length."""
    found: dict[tuple, list[str]] = {}
    for model in models:
        found.setdefault(tuple(model["bytes"]), []).append(model["model"])
    return found


def draw_lines(axes, lengths: list[int], models: list[dict], title: str) -> None:
    ends = []
    for heights, names in same_lines(models).items():
        color = style.family_color(names[0])
        axes.plot(lengths, heights, "-o", markersize=3, color=color)
        ends.append((heights[-1], ", ".join(names), color))
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    style.at_ticks(axes.xaxis, lengths)
    axes.set_xlim(lengths[0] * 0.9, lengths[-1])
    axes.set_title(title)
    axes.set_xlabel("tokens of the text")
    style.end_labels(axes, ends, gap=0.05)


def draw(reports: dict[str, list[dict]], figure) -> None:
    report = style.one(reports, NEEDS[0])
    lengths, models = report["lengths"], report["models"]
    if len(lengths) < 2:
        raise style.Unfit("needs two lengths: bytes --lengths")
    for full in report["full_size"]:
        if full["bytes"] != closed_form(full["kv_heads"]):
            raise style.Unfit(f"{full['kv_heads']} KV heads: {full['bytes']} bytes, by the closed form {closed_form(full['kv_heads'])}")
    style.height(figure, 640)
    style.corner(figure, "closed forms, which the models' memories hold byte for byte")
    above, below = figure.subfigures(2, 1, height_ratios=[5, 1])
    lines = above.subplots(1, 2, sharey=True)
    for axes, layers, title in zip(lines, (2, 4), ("two layers", "four layers")):
        draw_lines(axes, lengths, [model for model in models if len(model["mixers"]) == layers], title)
    lines[0].set_ylabel("bytes held")
    bars = below.subplots()
    names = [f"{FULL[full['kv_heads']]}, {full['kv_heads']} KV heads" for full in report["full_size"]]
    values = [full["gib"] for full in report["full_size"]]
    bars.barh(names, values, color=style.BLUE)
    for i, value in enumerate(values):
        style.label(bars, value, i, f"{value:.3f} GB")
    bars.invert_yaxis()
    bars.grid(axis="y", visible=False)
    bars.set_xlim(0, 1.15 * max(values))
    bars.set_title("at full size: 32 layers, 8192 tokens, 16 bits")
