"""Chapter 8: what can be recalled, by the bytes that a text of 512 tokens leaves behind: a mark for each model, in its family's colour."""
from __future__ import annotations

from . import style
from .mix_time import absent

NEEDS = ("step08_architectures compare",)
SHOWS = ["bytes after 512 tokens", "right answers, %", "gqa", "mamba", "hybrids", "not there: "]
MARKS = {"heads": "o", "latent": "D", "across layers": "s", "patterns": "^", "chosen tokens": "v", "linear": "P", "states": "X", "hybrids": "*"}


def judged(report: dict) -> list[dict]:
    """The models of a comparison, all of whose laws hold."""
    for model in report["models"]:
        if model["laws"]["differ"] or model["laws"]["bytes_measured"] != model["laws"]["bytes_by_form"]:
            raise style.Unfit(f"{model['model']}: a law does not hold, so its figures are not worth a picture")
    return report["models"]


def with_recall(report: dict) -> list[dict]:
    models = [model for model in judged(report) if model.get("recall")]
    if len(models) < 2:
        raise style.Unfit("needs two models that were asked: compare --recall")
    return models


def place_labels(figure, axes, points: list[tuple[float, float, str]]) -> None:
    """Names beside their marks, moved up or down where they would lie on another name."""
    figure.draw_without_rendering()
    taken: list[tuple[float, float, float, float]] = []
    for x, y, name in sorted(points, key=lambda point: (point[1], point[0])):
        left, middle = axes.transData.transform((x, y))
        for step in range(40):
            shift = 13 * ((step + 1) // 2) * (1 if step % 2 else -1)
            box = (left + 7, middle + shift - 6, left + 9 + 6.2 * len(name), middle + shift + 6)
            if all(box[2] < other[0] or other[2] < box[0] or box[3] < other[1] or other[3] < box[1] for other in taken):
                break
        taken.append(box)
        line = {"arrowprops": {"arrowstyle": "-", "color": style.GREY, "linewidth": 0.6}} if abs(shift) > 13 else {}
        style.label(axes, x, y, name, dx=8, dy=shift * 72 / figure.dpi, fontsize=8.5, **line)


def draw(reports: dict[str, list[dict]], figure) -> None:
    report = style.one(reports, NEEDS[0])
    models = with_recall(report)
    style.height(figure, 460)
    style.machine(figure, reports, absent([model["model"] for model in report["models"]]) + f"{report['recall_cases']} questions")
    axes = figure.subplots()
    families: dict[str, None] = {}
    for model in models:
        family = style.MIXERS.get(model["model"])
        color = style.family_color(model["model"])
        axes.plot([model["bytes_512"]], [100 * model["recall_mean"]], MARKS[family], color=color, markersize=11 if family == "hybrids" else 8,
                  label=None if family in families else family)
        families[family] = None
    axes.set_xscale("log")
    axes.set_ylim(-3, 104)
    axes.set_xlim(0.7 * min(model["bytes_512"] for model in models), 2.2 * max(model["bytes_512"] for model in models))
    axes.set_xlabel("bytes after 512 tokens")
    axes.set_ylabel("right answers, %, the mean over the distances")
    axes.legend(loc="upper left", fontsize=8, frameon=False, ncols=2)
    place_labels(figure, axes, [(model["bytes_512"], 100 * model["recall_mean"], model["model"]) for model in models])
