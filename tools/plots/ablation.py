"""A: one flag switches the cache off: time and memory by batch."""
from __future__ import annotations

from . import style

NEEDS = ("step03_kvcache ablate",)
SHOWS = ["time, s (logarithmic)", "peak memory, MB", "960"]


def lines(axes, rows: list[dict], value) -> None:
    """A line each with the cache and without; the number at each point."""
    batches = sorted({row["batch"] for row in rows})
    for cached, color, text in ((True, style.WITH, "with the cache"), (False, style.WITHOUT, "without")):
        own = sorted((row for row in rows if row["cached"] == cached), key=lambda row: row["batch"])
        places = [batches.index(row["batch"]) for row in own]
        axes.plot(places, [value(row) for row in own], "o-", color=color)
        for place, row in zip(places, own):
            style.label(axes, place, value(row), style.number(value(row)), color, dx=-5, dy=9)
        middle = len(own) // 2
        style.label(axes, places[middle], value(own[middle]), text, color, dx=6, dy=-9, fontweight="bold")
    axes.set_xticks(range(len(batches)), [f"{batch}" for batch in batches])
    axes.set_xlim(-0.45, len(batches) - 0.7)
    axes.set_xlabel("sequences at once")


def draw(reports: dict[str, list[dict]], figure) -> None:
    report = style.one(reports, NEEDS[0])
    rows = report["rows"]
    if not {True, False} <= {row["cached"] for row in rows}:
        raise style.Unfit("needs rows with the cache and without")
    style.machine(figure, reports, ", ".join(str(report[key]) for key in ("model", "engine") if key in report))
    time, memory = figure.subplots(1, 2)

    def seconds(row: dict) -> float:
        return row["seconds"]["median"] if isinstance(row["seconds"], dict) else row["seconds"]

    time.set_yscale("log")
    lines(time, rows, seconds)
    lines(memory, rows, lambda row: row["peak_bytes"] / style.MB)
    style.plain_ticks(time.yaxis)
    time.set_ylim(min(map(seconds, rows)) / 2, max(map(seconds, rows)) * 2)
    memory.margins(y=0.14)
    memory.set_ylim(0)
    time.set_ylabel("time, s (logarithmic)")
    memory.set_ylabel("peak memory, MB")
