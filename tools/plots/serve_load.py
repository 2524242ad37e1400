"""Chapter 7: what is served, and how late, by how many requests come in a second: predicted for a machine that is not here."""
from __future__ import annotations

from . import style

NEEDS = ("step07_serving simulate",)
SHOWS = ["requests that come in a second", "in time, requests/s", "tokens/s", "first token, s", "P99", "all in time"]


def name_of(report: dict, found: list[dict]) -> str:
    """What tells this report from the others."""
    differ = [key for key in ("machine", "trace", "model") if len({each[key] for each in found}) > 1] or ["trace"]
    return ", ".join(report[key] for key in differ)


def draw(reports: dict[str, list[dict]], figure) -> None:
    found = reports[NEEDS[0]]
    if any(len(report["loads"]) < 2 for report in found):
        raise style.Unfit("needs two loads; simulate --loads takes a list")
    style.height(figure, 360)
    first = found[0]
    style.machine(figure, reports, f"PREDICTED, not measured: {first['model']} on {first['machine']}, {first['loads'][0]['requests']} requests")
    good, tokens, late = figure.subplots(1, 3)
    most = max(load["load"] for report in found for load in report["loads"])
    good.plot([0, most], [0, most], ":", color=style.GREY, linewidth=1)
    style.label(good, most * 0.5, most * 0.5, "all in time", style.GREY, dx=-6, dy=4, fontsize=8)
    for color, report in zip(style.CYCLE, found):
        loads = sorted(report["loads"], key=lambda load: load["load"])
        x = [load["load"] for load in loads]
        good.plot(x, [load["goodput"] for load in loads], "o-", color=color, label=name_of(report, found))
        tokens.plot(x, [load["tokens_per_second"] for load in loads], "o-", color=color)
        for name, dash, face in (("p50", "-", color), ("p99", "--", "white")):
            late.plot(x, [load["first_token"][name] for load in loads], dash, marker="o", color=color, markerfacecolor=face)
    late.set_yscale("log")
    style.plain_ticks(late.yaxis)
    for axes, text in ((good, "in time, requests/s"), (tokens, "tokens/s"), (late, "first token, s: P50, P99 (dashed)")):
        axes.set_title(text, fontsize=9)
        axes.set_xlim(0)
    for axes in (good, tokens):
        axes.set_ylim(0)
    tokens.set_xlabel("requests that come in a second")
    if len(found) > 1:
        good.legend(fontsize=8, frameon=False)
