"""R2: throughput, latency and memory by the number of sequences at once."""
from __future__ import annotations

from . import style

NEEDS = ("step03_kvcache clock",)
SHOWS = ["tokens/s, all sequences", "no cache: 4.00x"]


def stacked(axes, lines: list[tuple[str, str]]) -> None:
    """Coloured lines of text in the upper left corner, which rising curves leave free."""
    for i, (text, color) in enumerate(lines):
        axes.text(0.04, 0.97 - 0.07 * i, text, color=color, transform=axes.transAxes, va="top", fontsize=9)


def draw_throughput(axes, rows: list[dict], color: str) -> tuple[float, float]:
    """Medians with the quartiles of the rounds; returns the throughput of the largest batch, and how many times the smallest's that is."""
    batches = [row["batch"] for row in rows]
    tokens = [row["batch"] * row["steps"] for row in rows]
    speeds = [count / row["seconds"]["median"] for count, row in zip(tokens, rows)]
    low = [max(0.0, speed - count / row["seconds"]["high"]) for speed, count, row in zip(speeds, tokens, rows)]
    high = [max(0.0, count / row["seconds"]["low"] - speed) for speed, count, row in zip(speeds, tokens, rows)]
    axes.errorbar(batches, speeds, yerr=[low, high], fmt="o-", color=color, capsize=3)
    return speeds[-1], speeds[-1] / speeds[0]


def draw(reports: dict[str, list[dict]], figure) -> None:
    report = style.one(reports, NEEDS[0])
    steps = max(row["steps"] for row in report["rows"])
    lines = {cache: sorted((row for row in report["rows"] if row["steps"] == steps and row["cache"] == cache), key=lambda row: row["batch"])
             for cache in style.FORMATS}
    batches = sorted({row["batch"] for rows in lines.values() for row in rows})
    if len(batches) < 2:
        raise style.Unfit("needs more than one batch; clock --batch takes a list")
    style.height(figure, 360)
    style.machine(figure, reports, f"{report['model']}, {report['engine']}, prompt of {report['prompt']}, {steps} tokens each")
    speed, latency, memory = figure.subplots(1, 3)
    names, shares = [], [(f"tokens/s per MB at {batches[-1]}:", style.INK)]
    for cache, rows in ((cache, rows) for cache, rows in lines.items() if rows):
        color = style.FORMATS[cache]
        own = [row["batch"] for row in rows]
        fastest, gain = draw_throughput(speed, rows, color)
        names.append((f"{style.FORMAT_LABELS[cache]}: {gain:.2f}x", color))
        latency.plot(own, [row["step_seconds_p50"] * 1e3 for row in rows], "o-", color=color)
        latency.plot(own, [row["step_seconds_p95"] * 1e3 for row in rows], "o--", color=color, markerfacecolor="white", linewidth=1.2)
        memory.plot(own, [row["peak_bytes"] / style.MB for row in rows], "o-", color=color)
        peak = rows[-1]["peak_bytes"] / style.MB
        shares.append((style.number(fastest / peak), color))
    stacked(speed, names)
    stacked(memory, shares)
    for axes, text in ((speed, "tokens/s, all sequences"), (latency, "step, ms: P50, P95 (dashed)"), (memory, "peak without the weights, MB")):
        axes.set_title(text, fontsize=9)
        axes.set_xlabel("sequences at once")
        axes.set_xscale("log", base=2)
        style.at_ticks(axes.xaxis, batches)
        axes.margins(0.12, 0.22)
        axes.set_ylim(0)
