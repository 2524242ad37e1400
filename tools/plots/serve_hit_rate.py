"""Chapter 7: blocks of prompts that an index finds, by the size of its pool, beside one that never forgets."""
from __future__ import annotations

from . import style

NEEDS = ("step07_serving hits",)
SHOWS = ["blocks that the pool holds", "blocks found, %", "never forgets", "as published"]


def draw_trace(axes, trace: dict) -> None:
    sizes = sorted(trace["sizes"], key=lambda size: size["pages"])
    if len(sizes) < 2:
        raise style.Unfit(f"{trace['trace']}: needs two sizes; hits --pages takes a list")
    x = [size["pages"] for size in sizes]
    axes.plot(x, [100 * size["lru"] for size in sizes], "o", color=style.ORANGE, markersize=9, markerfacecolor="none", label="plain LRU")
    axes.plot(x, [100 * size["chain"] for size in sizes], "-o", color=style.BLUE, label="chain of hashes")
    axes.plot(x, [100 * size["radix"] for size in sizes], "x", color=style.VERMILION, label="radix tree")
    for share, words, dash, dy in ((trace["endless"], "an index that never forgets", "--", 7), (trace["published_endless"], "as published", ":", -8)):
        if not share:  # nobody published it
            continue
        axes.axhline(100 * share, color=style.GREY, linestyle=dash, linewidth=1)
        style.label(axes, x[0], 100 * share, f"{words}: {100 * share:.1f} %", style.GREY, dx=2, dy=dy, fontsize=8)
    axes.set_xscale("log")
    axes.set_ylim(0, 115 * max(trace["endless"], trace["published_endless"]))
    style.plain_ticks(axes.xaxis)
    axes.set_xlabel("blocks that the pool holds")
    axes.set_ylabel("blocks found, %")
    axes.set_title(f"{trace['trace']}: {trace['requests']} requests, {trace['blocks']} blocks", fontsize=9)


def draw(reports: dict[str, list[dict]], figure) -> None:
    report = style.one(reports, NEEDS[0])
    if not report["traces"]:
        raise style.Unfit("no trace in which prompts begin alike")
    style.height(figure, 360)
    style.machine(figure, reports, f"blocks of {report['block']} tokens; counted, not timed")
    every = figure.subplots(1, len(report["traces"]), squeeze=False)[0]
    for axes, trace in zip(every, report["traces"]):
        draw_trace(axes, trace)
    every[0].legend(loc="lower right", fontsize=8, frameon=False)
