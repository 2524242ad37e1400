"""Chapter 6: what each format loses of normal numbers, by its bits."""
from __future__ import annotations

from . import style

NEEDS = ("step06_quant normal",)
SHOWS = ["share lost, %", "bits of a number"]
SAME_EVERYWHERE = True


def draw(reports: dict[str, list[dict]], figure) -> None:
    report = style.one(reports, NEEDS[0])
    rows = [row for row in report["rows"] if row["lost"] > 0]
    axes = figure.subplots()
    for row in rows:
        color, _ = style.CODES[row["format"]]
        axes.plot([row["bits"]], [100 * row["lost"]], "o", color=color)
        style.label(axes, row["bits"], 100 * row["lost"], row["format"], color, dx=6, fontsize=8)
    style.above_zero([row["lost"] for row in rows])
    axes.set_yscale("log")
    axes.set_xlabel("bits of a number")
    axes.set_ylabel("share lost, %")
    style.corner(figure, f"rows of {report['width']} numbers; the same on every machine")
