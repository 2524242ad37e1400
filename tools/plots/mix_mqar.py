"""Chapter 8: pairs recalled (MQAR) by the bytes of the state: a line for each model over the lengths of its text, a panel for each number of pairs."""
from __future__ import annotations

from . import style

NEEDS = ("step08_architectures mqar",)
SHOWS = ["bytes of the state", "right answers, %", "16 pairs", "64 pairs", "delta", "256", "not there: jamba"]


def panels_of(report: dict) -> dict[int, list[int]]:
    """Of each number of pairs the lengths in which it was asked: several, so that there is a line."""
    lengths: dict[int, set] = {}
    for model in report["models"]:
        for row in model["rows"]:
            lengths.setdefault(row["pairs"], set()).add(row["length"])
    found = {pairs: sorted(of) for pairs, of in sorted(lengths.items()) if len(of) > 1}
    if not found:
        raise style.Unfit("no number of pairs in two lengths: mqar --cells")
    return found


def name_of(model: dict, report: dict) -> str:
    """With its width where a family has several."""
    several = sum(other["family"] == model["family"] for other in report["models"]) > 1
    return f"{model['family']}, d {model['d']}" if several else model["family"]


def draw_panel(axes, report: dict, pairs: int, lengths: list[int]) -> None:
    drawn: dict[str, int] = {}
    for model in report["models"]:
        rows = sorted((row for row in model["rows"] if row["pairs"] == pairs), key=lambda row: row["length"])
        color = style.family_color(model["family"])
        x, y = [row["state_bytes"] for row in rows], [100 * row["accuracy"] for row in rows]
        drawn[model["family"]] = drawn.get(model["family"], 0) + 1  # one line style for each width of a family
        axes.plot(x, y, ("-", "--", ":", "-.")[(drawn[model["family"]] - 1) % 4], marker="o", color=color, markersize=4, label=name_of(model, report))
        for row, at_x, at_y in zip(rows, x, y):
            style.label(axes, at_x, at_y, str(row["length"]), style.GREY, dx=5, dy=-6, fontsize=7)
    axes.set_xscale("log")
    axes.set_ylim(-4, 106)
    axes.set_title(f"{pairs} pairs, texts of {', '.join(map(str, lengths))} tokens", fontsize=9)
    axes.set_xlabel("bytes of the state")


def draw(reports: dict[str, list[dict]], figure) -> None:
    report = style.one(reports, NEEDS[0])
    if not report["models"]:
        raise style.NotYet("no model of this task is there")
    panels = panels_of(report)
    style.height(figure, 380)
    missing = report.get("missing", [])
    style.machine(figure, reports, f"not there: {', '.join(missing)}" if missing else "")
    every = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, (pairs, lengths) in zip(every, panels.items()):
        draw_panel(axes, report, pairs, lengths)
    every[0].set_ylabel("right answers, %")
    every[0].legend(fontsize=8, frameon=False, loc="lower right")
