"""D4: the time of each token with the cache and without, and the speed-up by length."""
from __future__ import annotations

from statistics import median

from . import style

NEEDS = ("step03_kvcache clock",)
SHOWS = ["time of this token, ms", "without", "3.54x"]


def pairs(rows: list[dict]) -> list[tuple[dict, dict]]:
    """(with the float cache, without) of the smallest batch, by length."""
    batch = min(row["batch"] for row in rows)
    found = {(row["cache"], row["steps"]): row for row in rows if row["batch"] == batch}
    both = [(found["f32", steps], found["none", steps]) for _, steps in sorted(found) if ("f32", steps) in found and ("none", steps) in found]
    return sorted({pair[0]["steps"]: pair for pair in both}.values(), key=lambda pair: pair[0]["steps"])


def running_median(values: list[float], width: int = 9) -> list[float]:
    """Of each step and its neighbours: what stays when other programs interrupt single steps."""
    return [median(values[max(0, i - width // 2):i + width // 2 + 1]) for i in range(len(values))]


def draw_steps(axes, measured: tuple[dict, dict]) -> None:
    """Every step as a dot, and the running median as a line."""
    ends = []
    for row, color, text in zip(measured, (style.WITH, style.WITHOUT), ("with the\ncache", "without")):
        # The first step is the prompt's, in both.
        times = [seconds * 1e3 for seconds in row["median_step_seconds"]][1:]
        if not times:
            raise style.Unfit("needs more than one step")
        smooth, steps = running_median(times), range(2, len(times) + 2)
        axes.plot(steps, times, ".", color=color, alpha=0.35, markersize=3)
        axes.plot(steps, smooth, color=color)
        ends.append((smooth[-1], text, color))
    axes.set_ylim(0)
    axes.set_xlim(0, measured[0]["steps"])
    axes.set_xlabel("token generated (line: median of 9)")
    axes.set_ylabel("time of this token, ms")
    style.end_labels(axes, ends, gap=0.11)


def draw(reports: dict[str, list[dict]], figure) -> None:
    report = style.one(reports, NEEDS[0])
    measured = pairs(report["rows"])
    if not measured:
        raise style.Unfit("needs rows of both the f32 cache and none; clock without --no-uncached writes them")
    style.machine(figure, reports, f"{report['model']}, {report['engine']}, prompt of {report['prompt']}, batch {measured[0][0]['batch']}")
    left, right = figure.subplots(1, 2, gridspec_kw={"width_ratios": [1.25, 1]})
    draw_steps(left, measured[-1])
    lengths = [cached["steps"] for cached, _ in measured]
    gains = [uncached["seconds"]["median"] / cached["seconds"]["median"] for cached, uncached in measured]
    right.plot(lengths, gains, "o-", color=style.INK)
    for length, gain in zip(lengths, gains):
        style.label(right, length, gain, f"{style.number(gain)}x", dx=-6, dy=8)
    right.axhline(1, color=style.GREY, linewidth=1)
    right.set_xscale("log", base=2)
    style.at_ticks(right.xaxis, lengths)
    right.set_xlim(lengths[0] / 1.6, lengths[-1] * 1.25)
    right.set_ylim(0, max(gains) * 1.15)
    right.set_xlabel("tokens generated")
    right.set_ylabel("times as fast with the cache")
