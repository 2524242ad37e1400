"""Chapter 6: products of bytes: how far they move the next-token distribution, by SmoothQuant's alpha."""
from __future__ import annotations

from . import style

NEEDS = ("step06_quant smooth",)
SHOWS = ["a channel x20: plain", "as it is: floats from 6", "alpha"]
COLORS = (style.BLUE, style.VERMILION)


def by_channel(report: dict) -> dict[float, list[dict]]:
    found: dict[float, list[dict]] = {}
    for row in report["rows"]:
        if row["products"] != "float":
            found.setdefault(row["channel"], []).append(row)
    if not found or any(sum(row["alpha"] is not None for row in rows) < 2 for rows in found.values()):
        raise style.Unfit("needs two alphas: smooth --alpha")
    return found


def draw_channel(axes, factor: float, rows: list[dict], color: str) -> list[tuple[float, str, str]]:
    """The line by alpha and what stands beside it; returns what to name at the right end."""
    what = "as it is" if factor == 1 else f"a channel x{factor:g}"
    smoothed = sorted((row for row in rows if row["alpha"] is not None), key=lambda row: row["alpha"])
    axes.plot([row["alpha"] for row in smoothed], [row["mean_kl"] for row in smoothed], "-o", color=color)
    ends = [(smoothed[-1]["mean_kl"], f"{what}: smoothed", color)]
    for row in rows:
        if row["alpha"] is None:
            plain = row["threshold"] is None
            axes.axhline(row["mean_kl"], color=color, linestyle="--" if plain else ":", linewidth=1.2)
            ends.append((row["mean_kl"], f"{what}: plain" if plain else f"{what}: floats from {row['threshold']:g}", color))
    return ends


def draw(reports: dict[str, list[dict]], figure) -> None:
    found = reports[NEEDS[0]]
    panels = style.stacked(figure, len(found), 380)
    style.machine(figure, reports, "floats from: inputs at least so large stay floats")
    for axes, report in zip(panels, found):
        ends = []
        for (factor, rows), color in zip(by_channel(report).items(), COLORS):
            ends += draw_channel(axes, factor, rows, color)
        values = [row["mean_kl"] for row in report["rows"] if row["products"] != "float"]
        axes.set_yscale("log")
        axes.set_ylim(style.above_zero(values) * 0.7, max(values) * 1.5)
        axes.set_xlim(0, 1)
        style.end_labels(axes, [(max(y, style.above_zero(values)), text, color) for y, text, color in ends], gap=0.055)
        axes.set_title(style.text_note(report) + (", also inside of a layer" if report["inner"] else ""))
        axes.set_ylabel("mean KL, bits a token")
    panels[-1].set_xlabel("alpha: how much of the channels' size moves into the weights")
