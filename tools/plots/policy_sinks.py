"""Chapter 5: the share of attention on the first token, by layer: whether a model has a sink at all."""
from __future__ import annotations

from . import style

NEEDS = ("step05_policies quality",)
SHOWS = ["attention on the first token", "most: 0.58", "line: an even share, 0.0027"]


def draw(reports: dict[str, list[dict]], figure) -> None:
    found = reports[NEEDS[0]]
    style.height(figure, 300)
    style.machine(figure, reports, "mean over heads and over the second half of a window of text")
    every = figure.subplots(1, len(found), sharey=True, squeeze=False, gridspec_kw={"width_ratios": [4 + len(report["sink_mass"]) for report in found]})[0]
    most = max(max(report["sink_mass"]) for report in found)
    for axes, report in zip(every, found):
        mass = report["sink_mass"]
        axes.bar(range(len(mass)), mass, color=style.BLUE, width=0.7)
        axes.axhline(report["even_share"], color=style.VERMILION, linewidth=1.2)
        axes.set_xticks([layer for layer in range(len(mass)) if len(mass) < 9 or layer % 5 == 0])
        axes.set_xlim(-0.7, len(mass) - 0.3)
        axes.set_ylim(0, max(1.15 * most, 0.05))
        axes.set_title(f"{style.short_name(report['model'])}\nmost: {style.number(max(mass))}")
        axes.set_xlabel("layer")
        axes.grid(axis="x", visible=False)
    every[0].set_ylabel("attention on the first token")
    style.label(every[-1], -0.7, every[-1].get_ylim()[1] * 0.95, f"line: an even share, {found[-1]['even_share']:.4f}", style.VERMILION, dx=4)
