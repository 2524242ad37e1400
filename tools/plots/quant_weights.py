"""Chapter 6: how far quantised weights move the next-token distribution, by bits of a weight."""
from __future__ import annotations

import re

from . import style

NEEDS = ("step06_quant weights",)
SHOWS = ["bits of a weight", "one channel of each norm x20", "4-g64", "nf4-twice", "GPTQ"]
# What rounds to a grid, with and without calibration; all else is a type with codes of its own. Filled markers are
# the methods as published, which leave the head; hollow ones have it rounded, too, as types do.
METHODS = {"rtn": (style.GREY, "s", "round to nearest"), "gptq": (style.VERMILION, "o", "GPTQ"), "awq": (style.BLUE, "^", "AWQ")}
WIDE = 13  # bits: from here on a format is named in the corner
# Where a type's name stands beside its point: points to the right and up; more to the left than to the right.
PLACES = {"nf4-twice": (-6, 6), "q4_0": (-6, -8), "nf4": (8, 15), "q4_1": (6, -7), "int8-row": (-6, 0)}


def method_of(name: str) -> tuple[str, str]:
    """gptq4-g32 and gptq4-g32-head: gptq and 4-g32; a type has no method."""
    match = re.fullmatch(r"(rtn|gptq|awq)([0-9]-g[0-9]+)(?:-head)?", name)
    return (match[1], match[2]) if match else ("", name)


def draw_panel(axes, report: dict) -> None:
    # What differs from the model by rounding of floats alone has left its matrices in F32.
    rows = [row for row in report["rows"] if row["mean_kl"] > 1e-10 and row["bits"] < WIDE]
    wide = [row for row in report["rows"] if row["mean_kl"] > 1e-10 and WIDE <= row["bits"] < 32]
    points: dict[str, list[dict]] = {}
    for row in rows:
        points.setdefault(method_of(row["format"])[0], []).append(row)
    for method, (color, marker, _) in METHODS.items():
        for of, fill in (("layers", color), ("all", "none")):
            line = sorted((row for row in points.get(method, []) if row["of"] == of), key=lambda row: row["bits"])
            axes.plot([row["bits"] for row in line], [row["mean_kl"] for row in line], marker + ":", color=color, markerfacecolor=fill,
                      markersize=5, linewidth=1)
            if method != "rtn":
                continue
            for place, row in enumerate(line):
                style.label(axes, row["bits"], row["mean_kl"], method_of(row["format"])[1], style.GREY, dx=0, dy=8 + 10 * (place % 2), fontsize=8, ha="center")
    for row in points.get("", []):
        axes.plot([row["bits"]], [row["mean_kl"]], "D", color=style.GREEN, markerfacecolor=style.GREEN if row["of"] == "layers" else "none", markersize=5)
        dx, dy = PLACES.get(row["format"], (6, 0))
        style.label(axes, row["bits"], row["mean_kl"], row["format"], style.GREEN, dx=dx, dy=dy, fontsize=8)
    if wide:
        note = ", ".join(f"{row['format']} {row['mean_kl']:.1e}" for row in wide)
        axes.annotate(note, (0.99, 0.02), xycoords="axes fraction", ha="right", va="bottom", fontsize=8, color=style.GREEN)
    axes.set_yscale("log")
    axes.set_ylim(style.above_zero([row["mean_kl"] for row in rows]) * 0.2, max(row["mean_kl"] for row in rows) * 9)
    axes.set_xscale("log", base=2)
    axes.set_xlim(3.8, WIDE * 1.05 if max(row["bits"] for row in rows) > 9 else 9.5)
    style.at_ticks(axes.xaxis, (4, 4.5, 5, 6, 8, 12) if max(row["bits"] for row in rows) > 9 else (4, 4.5, 5, 6, 8))
    more = f", one channel of each norm x{report['factor']:g}" if report["factor"] != 1 else ""
    axes.set_title(style.text_note(report) + more)
    axes.set_ylabel("mean KL, bits a token")


def draw(reports: dict[str, list[dict]], figure) -> None:
    panels = style.stacked(figure, len(reports[NEEDS[0]]), 320)
    style.machine(figure, reports, "4-g32: 4 bits, a scale and a least number for 32 weights")
    for axes, report in zip(panels, reports[NEEDS[0]]):
        draw_panel(axes, report)
    panels[-1].set_xlabel("bits of a weight, scales and what stays F32 counted")
    for color, marker, name in METHODS.values():
        panels[0].plot([], [], marker + ":", color=color, label=name)
    panels[0].plot([], [], "D", color=style.GREEN, label="types, NF4")
    panels[0].plot([], [], "o", color=style.GREY, markerfacecolor="none", label="hollow: the head, too")
    panels[0].legend(loc="upper right", fontsize=8, frameon=False)
