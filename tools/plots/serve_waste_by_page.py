"""Chapter 7: slots that are held for nothing, by the size of a page; and with a whole context held for each text."""
from __future__ import annotations

from . import style

NEEDS = ("step07_serving waste",)
SHOWS = ["held for nothing, %", "pages of 16", "a whole context"]
COLORS = (style.SKY, style.BLUE, style.PURPLE, style.GREEN, style.ORANGE)


def draw(reports: dict[str, list[dict]], figure) -> None:
    report = style.one(reports, NEEDS[0])
    lines, context = report["lines"], report["context"]
    traces, sizes = list(dict.fromkeys(line["trace"] for line in lines)), sorted({line["page_slots"] for line in lines})
    if len(lines) != len(traces) * len(sizes) or len(sizes) > len(COLORS):
        raise style.Unfit(f"needs each trace with the same sizes of pages, at most {len(COLORS)}")
    style.height(figure, 360)
    style.machine(figure, reports, f"lengths scaled to a context of {context}, memory for {report['slots'] // context} of them; counted, not timed")
    axes, tall = figure.subplots(), 0.8 / len(sizes)
    for i, size in enumerate(sizes):
        wasted = [next(100 * line["wasted"] for line in lines if (line["trace"], line["page_slots"]) == (trace, size)) for trace in traces]
        places = [j + (i - (len(sizes) - 1) / 2) * tall for j in range(len(traces))]
        color = style.VERMILION if size == context else COLORS[i]
        axes.barh(places, wasted, tall * 0.9, color=color, label="a whole context" if size == context else f"pages of {size}")
        for place, value in zip(places, wasted):
            style.label(axes, value, place, style.number(value), fontsize=8, dx=4)
    axes.set_yticks(range(len(traces)), traces)
    axes.set_ylim(len(traces) - 0.5, -0.5)
    axes.set_xlim(0, 115 * max(line["wasted"] for line in lines))
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("held for nothing, %")
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=len(sizes), fontsize=8, frameon=False)
