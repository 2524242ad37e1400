"""Chapter 6: the keys that share a scale: where they lie between the least and the largest of their group, and the levels under them."""
from __future__ import annotations

from . import style

NEEDS = ("step06_quant histogram",)
SHOWS = ["two channels x20, rotated: 32 tokens of a channel", "7.2 of 16 codes used", "of quiet channels 52.3 %", "deep, layer 1"]
GROUPS = {"token": "32 channels of a token", "channel": "32 tokens of a channel"}


def panel_rows(report: dict) -> list[tuple[str, dict[str, dict]]]:
    """A line of panels for each kind of keys: its name, its rows by group."""
    lines: dict[str, dict[str, dict]] = {}
    for row in report["rows"]:
        name = ("two channels x20" if row["inject"] else "as the model makes them") + (", rotated" if row["rotated"] else "")
        lines.setdefault(name, {})[row["group"]] = row
    if not lines or any(set(line) != set(GROUPS) for line in lines.values()):
        raise style.Unfit("needs rows by token and by channel")
    return list(lines.items())


def draw_panel(axes, row: dict, levels: int) -> None:
    bins, total = len(row["counts"]), sum(row["counts"])
    axes.bar([(i + 0.5) / bins for i in range(bins)], [100 * count / total for count in row["counts"]], width=1 / bins,
             color=style.BLUE if row["group"] == "token" else style.VERMILION)
    # The levels of the format, below the axis of counts.
    axes.plot([level / (levels - 1) for level in range(levels)], [0] * levels, "|", color=style.INK, markersize=9, clip_on=False, zorder=4)
    axes.text(0.97, 0.97, f"{row['codes_used']:.1f} of {levels} codes used\nerror {100 * row['error']:.1f} %, of quiet channels {100 * row['error_quiet']:.1f} %",
              transform=axes.transAxes, ha="right", va="top", fontsize=8)
    axes.set_ylim(0, 165 * max(row["counts"]) / total)
    axes.set_xlim(-0.02, 1.02)
    axes.set_xticks([0, 1], ["least", "largest"])
    axes.grid(axis="x", visible=False)


def draw(reports: dict[str, list[dict]], figure) -> None:
    report = style.one(reports, NEEDS[0])
    lines, levels = panel_rows(report), 1 << report["bits"]
    style.height(figure, 60 + 165 * len(lines))
    style.machine(figure, reports, f"{style.short_name(report['model'])}, layer {report['layer']}, KV head {report['head']}, {report['tokens']} tokens; "
                                   f"ticks: the levels of {report['bits']} bits with a least number")
    every = figure.subplots(len(lines), 2, squeeze=False)
    for axes_of_line, (name, rows) in zip(every, lines):
        for axes, (group, words) in zip(axes_of_line, GROUPS.items()):
            draw_panel(axes, rows[group], levels)
            axes.set_title(f"{name}: {words}", fontsize=9)
        axes_of_line[0].set_ylabel("numbers, %")
    for axes in every[-1]:
        axes.set_xlabel("place between its group's least and largest")
