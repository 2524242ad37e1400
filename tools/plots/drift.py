"""How far the logits of two runs drift apart, step by step, and where their texts would part."""
from __future__ import annotations

from math import floor, log10

from . import style

NEEDS = ("step03_kvcache diverge",)
SHOWS = ["cache in int8", "the contract kept: 0", "X: here the second run would choose another token"]


def draw(reports: dict[str, list[dict]], figure) -> None:
    report = style.one(reports, NEEDS[0])
    runs = report["runs"]
    positive = [value for run in runs for value in run["max_abs_logits"] if value > 0]
    if not positive:
        raise style.Unfit("no logit differs in any run")
    threshold = 10.0 ** floor(log10(min(positive)))
    style.height(figure, 440)
    style.machine(figure, reports, report["model"])
    axes = figure.subplots()
    axes.set_yscale("symlog", linthresh=threshold, linscale=0.5)
    ends, forks = [], False
    for color, run in zip(style.CYCLE * len(runs), runs):
        values = run["max_abs_logits"]
        axes.plot(range(1, len(values) + 1), values, color=color, linewidth=1.4)
        fork = run["fork_step"]
        if fork is not None:
            forks = True
            axes.plot(fork + 1, values[fork], "X", color=color, markersize=10, markeredgecolor="white")
        ends.append((values[-1], style.SWITCHES.get(run["switch"], run["switch"]) + ("" if max(values) > 0 else ": 0"), color))
    axes.set_ylim(-threshold / 3, max(positive) * 3)
    ticks = [threshold * 10.0**i for i in range(int(log10(max(positive) * 3 / threshold)) + 1)]
    axes.set_yticks([0.0, *ticks], ["0", *(f"1e{round(log10(tick))}" for tick in ticks)])
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_xlabel("step (token generated)" + (";  X: here the second run would choose another token" if forks else ""))
    axes.set_ylabel("largest |difference| of a logit")
    style.end_labels(axes, ends)
