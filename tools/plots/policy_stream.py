"""Chapter 5: bits per byte along a text that is longer than a model's context, or than what is kept of it."""
from __future__ import annotations

from . import style

NEEDS = ("step05_policies stream",)
SHOWS = ["absolute positions end", "sinks, relative", "h2o, absolute", "of 256 tokens each"]
LOOKS = {"sinks": style.SKY, "window": style.BLUE, "h2o": style.VERMILION}


def draw(reports: dict[str, list[dict]], figure) -> None:
    found = reports[NEEDS[0]]
    style.machine(figure, reports, "solid: relative positions; dashed: absolute ones")
    for axes, report in zip(style.stacked(figure, len(found), 260), found):
        ends = []
        for row in report["policies"]:
            kind, scheme = row["policy"].split(", ")
            stretches = row["stretches"]
            axes.plot([one["end"] for one in stretches], [one["bits_per_byte"] for one in stretches], "-" if scheme == "relative" else "--",
                      color=LOOKS[kind], linewidth=1.8 if scheme == "relative" else 1.3, alpha=0.9)
            if scheme == "relative" or report["context"] > stretches[-1]["end"]:
                ends.append((stretches[-1]["bits_per_byte"], row["policy"], LOOKS[kind]))
        last = max(one["end"] for row in report["policies"] for one in row["stretches"])
        marks = [(report["budget"], "the budget")] + ([(report["context"], "the context: absolute positions end")] if report["context"] < last else [])
        axes.set_xlim(0, last)
        for at, text in marks:
            axes.axvline(at, color=style.GREY, linewidth=1, linestyle=":")
            axes.text(at, 1.0, " " + text, transform=axes.get_xaxis_transform(), fontsize=8, color=style.GREY, va="top")
        axes.set_title(style.short_name(report["model"]))
        axes.set_ylabel(f"bits per byte,\nof {report['every']} tokens each")
        axes.set_xlabel("tokens of the text")
        style.end_labels(axes, ends, gap=0.1)
