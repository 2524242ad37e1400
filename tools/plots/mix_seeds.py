"""Chapter 8: recall and bits per byte of models that were trained from several seeds: a mark for each seed, a line from the least to the most."""
from __future__ import annotations

from . import style

NEEDS = ("seeds",)
SHOWS = ["right answers, %", "bits per byte", "gqa, 3 seeds", "delta, 2 seeds"]
SAME_EVERYWHERE = True


def draw(reports: dict[str, list[dict]], figure) -> None:
    models = [model for model in style.one(reports, NEEDS[0])["models"] if len(model["seeds"]) > 1]
    if not models:
        raise style.NotYet("no model with two seeds is there")
    style.height(figure, 110 + 34 * len(models))
    style.corner(figure, "as PyTorch scores them (weights/evaluate.py)")
    every = figure.subplots(1, 2, sharey=True)
    for axes, title, value in ((every[0], "right answers, %", lambda seed: 100 * seed["recall_mean"]), (every[1], "bits per byte", lambda seed: seed["bits_per_byte"])):
        for place, model in enumerate(models):
            values, color = [value(seed) for seed in model["seeds"]], style.family_color(model["model"])
            axes.plot([min(values), max(values)], [place, place], color=color, linewidth=1.2)
            axes.plot(values, [place] * len(values), "o", color=color, markersize=7, markerfacecolor="none", markeredgewidth=1.6)
        axes.set_xlabel(title)
        axes.margins(x=0.08)
    every[0].set_xlim(0, 102)
    every[0].set_yticks(range(len(models)), [f"{model['model']}, {len(model['seeds'])} seeds" for model in models])
    every[0].set_ylim(len(models) - 0.5, -0.5)
