"""Chapter 8: right answers by the distance of what is asked for, a row for each model."""
from __future__ import annotations

from . import style
from .mix_recall import with_recall
from .mix_time import absent

NEEDS = ("step08_architectures compare",)
SHOWS = ["distance, tokens; right answers in %", "local", "480", "97", "not there: "]


def draw(reports: dict[str, list[dict]], figure) -> None:
    report = style.one(reports, NEEDS[0])
    models = with_recall(report)
    distances = sorted(models[0]["recall"], key=int)
    if any(sorted(model["recall"], key=int) != distances for model in models):
        raise style.Unfit("needs the same distances for all models")
    style.height(figure, 90 + 22 * len(models))
    style.machine(figure, reports, absent([model["model"] for model in report["models"]]) + f"{report['recall_cases']} questions")
    axes = figure.subplots()
    table = [[model["recall"][distance] for distance in distances] for model in models]
    axes.imshow(table, cmap="Blues", vmin=0, vmax=1.15, aspect="auto")
    for y, line in enumerate(table):
        for x, share in enumerate(line):
            axes.text(x, y, f"{100 * share:.0f}", ha="center", va="center", fontsize=8, color="white" if share > 0.6 else style.INK)
    axes.grid(visible=False)
    axes.tick_params(length=0)
    axes.set_xticks(range(len(distances)), distances)
    axes.set_yticks(range(len(models)), [model["model"] for model in models])
    axes.set_xlabel("distance, tokens; right answers in %")
