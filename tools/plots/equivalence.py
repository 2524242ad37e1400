"""D1: the largest |cached - uncached| of a logit in each step, beside runs whose sums were re-ordered on purpose."""
from __future__ import annotations

from math import floor, log10

from . import style

NEEDS = ("step03_kvcache verify", "step03_kvcache diverge")
SHOWS = ["exactly 0 in every step", "sums in another order", "largest |difference| of a logit"]


def draw(reports: dict[str, list[dict]], figure) -> None:
    verified = [model for report in reports[NEEDS[0]] for model in report["models"]]
    drifting = [(report["model"], run) for report in reports[NEEDS[1]] for run in report["runs"] if max(run["max_abs_logits"], default=0) > 0]
    # The sum in another order is the experiment; the other switches are drawn by drift.
    drifting = [(model, run) for model, run in drifting if run["switch"] == "order"] or drifting
    if not verified or not drifting:
        raise style.Unfit("needs a verified model and a run of diverge whose logits differ")
    smallest = min(value for _, run in drifting for value in run["max_abs_logits"] if value > 0)
    largest = max(max(run["max_abs_logits"]) for _, run in drifting)
    threshold = 10.0 ** floor(log10(smallest))
    style.machine(figure, reports)
    axes = figure.subplots()
    # Above the threshold logarithmic, below it a linear band that ends in the true zero.
    axes.set_yscale("symlog", linthresh=threshold, linscale=0.6)
    ends = []
    for color, (model, run) in zip(style.CYCLE[1:] * len(drifting), drifting):
        values = run["max_abs_logits"]
        axes.plot(range(1, len(values) + 1), values, color=color, marker=".", markersize=4, linewidth=1.2)
        ends.append((values[-1], f"cached - uncached,\n{style.SWITCHES.get(run['switch'], run['switch'])}\n({model.removeprefix('kvlab-')})", color))
    for model, size in zip(verified, range(9, 0, -2)):  # one inside of the other, so that each can be seen
        values = model["max_abs_by_step"]
        axes.plot(range(1, len(values) + 1), values, color=style.WITH, marker="o", markersize=max(size, 3), markerfacecolor="none", linewidth=1.2)
    worst = max(max(model["max_abs_by_step"]) for model in verified)
    names = ", ".join(model["model"].removeprefix("kvlab-") for model in verified)
    ends.append((worst, f"cached - uncached:\n{'exactly 0 in every step' if worst == 0 else f'up to {worst:.3g}'}\n({names})", style.WITH))
    axes.axhspan(-threshold / 2, threshold, color="#f1f5f9", zorder=0)
    axes.set_ylim(-threshold / 2, largest * 4)
    ticks = [threshold * 10.0**i for i in range(int(log10(largest * 4 / threshold)) + 1)]
    axes.set_yticks([0.0, *ticks], ["0", *(f"1e{round(log10(tick))}" for tick in ticks)])
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_xlabel("step (token generated)")
    axes.set_ylabel("largest |difference| of a logit")
    style.end_labels(axes, ends, gap=0.16)
