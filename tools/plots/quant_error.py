"""Chapter 6: how far a quantised cache moves the next-token distribution, by the bits that it stores of a number."""
from __future__ import annotations

from . import style

NEEDS = ("step06_quant kv",)
SHOWS = ["bits stored of a number", "deep, two channels x20, rotated", "kivi2", "values alone", "SmolLM2-135M: 8 x 512 tokens, relative to its Q4_1 values"]
# "both" is what one would use; each side alone says which one needs the bits.
MARKERS = {"both": ("o", 7), "keys": ("^", 4.5), "values": ("v", 4.5)}
# Beside their points, moved where formats of as many bits lie close: to the left, or up and down in points.
LEFT = ("q4_0", "q8_0")
MOVED = {"q4_1": -5, "lloyd4": 5, "int8": 4, "q8_0": -4, "kivi2": -5}


def own_bits(row: dict) -> float:
    """Of a number of the side that is rounded; the other one stays f32."""
    return row["bits"] if row["of"] == "both" else 2 * row["bits"] - 32


def title(report: dict) -> str:
    more = [text for key, text in (("inject", "two channels x20"), ("rotate", "rotated"), ("before_rope", "keys before RoPE")) if report[key]]
    if report["sinks"] > 0:
        more.append(f"{report['sinks']} sinks in f32")
    return style.short_name(report["model"]) + (", " + ", ".join(more) if more else "")


def draw_panel(axes, report: dict) -> list[float]:
    rows = [row for row in report["rows"] if row["format"] != "f32" and row["mean_kl"] > 0]
    for row in rows:
        color = style.CODES[row["format"]][0]
        marker, size = MARKERS[row["of"]]
        axes.plot([own_bits(row)], [row["mean_kl"]], marker, color=color, markersize=size, alpha=1 if row["of"] == "both" else 0.55, zorder=3)
        if row["of"] == "both":
            style.label(axes, own_bits(row), row["mean_kl"], row["format"], color,
                        dx=-6 if row["format"] in LEFT else 6, dy=MOVED.get(row["format"], 0), fontsize=8)
    style.above_zero([row["mean_kl"] for row in rows])
    axes.set_title(title(report))
    return [row["mean_kl"] for row in rows]


def draw(reports: dict[str, list[dict]], figure) -> None:
    found = reports[NEEDS[0]]
    lines = (len(found) + 1) // 2
    style.height(figure, 70 + 300 * lines)
    texts = dict.fromkeys(style.text_note(report) for report in found)
    style.machine(figure, reports, "; ".join(texts))
    every = list(figure.subplots(lines, 2, squeeze=False, sharex=True, sharey=True).flat)
    values = [value for axes, report in zip(every, found) for value in draw_panel(axes, report)]
    least = style.above_zero(values)
    for spare in every[len(found):]:
        spare.set_axis_off()
    for axes in every[:len(found)]:
        axes.set_xscale("log", base=2)
        axes.set_xlim(2.3, 24)
        style.at_ticks(axes.xaxis, (2.5, 4, 5, 6, 8, 16))
        axes.set_yscale("log")
        axes.set_ylim(least * 0.5, max(values) * 2)
        axes.tick_params(labelbottom=True)
    for axes, report in zip(every, found):
        for row in report["rows"]:
            if row["of"] == "both" and row["format"] != "f32":
                style.deviation(axes, own_bits(row), row, style.CODES[row["format"]][0])
    for line in range(lines):
        every[2 * line].set_ylabel("mean KL, bits a token")
    for axes in every[max(0, len(found) - 2):len(found)]:
        axes.set_xlabel("bits stored of a number")
    for text, marker in (("keys and values", "o"), ("keys alone", "^"), ("values alone", "v")):
        every[0].plot([], [], marker, color=style.INK, label=text, markersize=5)
    every[0].legend(loc="lower left", fontsize=8, frameon=False)
