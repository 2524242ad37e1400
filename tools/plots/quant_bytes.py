"""Chapter 6: what a cache of each format holds, and the memory taken for it, by length."""
from __future__ import annotations

from . import style

NEEDS = ("step06_quant bytes",)
SHOWS = ["bits held of a number", "KB (2^10 bytes)", "q4_0", "dotted: memory taken"]
SAME_EVERYWHERE = True
SHOWN = ("f32", "f16", "int8", "q8_0", "q4_0", "lloyd2", "kivi4", "kivi2")


def by_format(report: dict) -> dict[str, list[dict]]:
    found: dict[str, list[dict]] = {}
    for row in report["rows"]:
        if row["closed_form"] != row["bytes_held"]:
            raise style.Unfit(f"{row['format']} holds {row['bytes_held']} bytes, by its form {row['closed_form']}")
        if row["format"] in SHOWN:
            found.setdefault(row["format"], []).append(row)
    if not found or any(len(rows) < 2 for rows in found.values()):
        raise style.Unfit("needs two lengths: bytes --lengths")
    return found


def draw(reports: dict[str, list[dict]], figure) -> None:
    report = style.one(reports, NEEDS[0])
    formats = by_format(report)
    style.height(figure, 460)
    style.corner(figure, f"{style.short_name(report['model'])}; the same on every machine; KIVI keeps {report['residual']} tokens in f16; "
                         "solid: bytes held, dotted: memory taken")
    left, right = figure.subplots(1, 2)
    for name, rows in formats.items():
        color, dash = style.CODES[name]
        lengths = [row["length"] for row in rows]
        left.plot(lengths, [row["bytes_held"] / 1024 for row in rows], dash, color=color)
        left.plot(lengths, [row["bytes_taken"] / 1024 for row in rows], ":", color=color, linewidth=1)
        right.plot(lengths, [row["bits"] for row in rows], dash, color=color, marker="o", markersize=3)
    ticks = sorted({row["length"] for rows in formats.values() for row in rows})
    kept = [ticks[0]]
    for tick in ticks[1:]:
        if tick >= 1.9 * kept[-1]:
            kept.append(tick)
    for axes in (left, right):
        axes.set_xscale("log", base=2)
        axes.set_yscale("log", base=2)
        style.at_ticks(axes.xaxis, kept)
        axes.tick_params(axis="x", labelsize=8)
        axes.set_xlim(ticks[0], ticks[-1])
        axes.set_xlabel("tokens")
    left.set_ylabel("keys and values, KB (2^10 bytes)")
    style.plain_ticks(left.yaxis)
    style.at_ticks(right.yaxis, (2.5, 3, 4, 5, 6, 8, 10, 16, 32))
    right.set_ylabel("bits held of a number")
    for axes, key in ((left, lambda row: row["bytes_held"] / 1024), (right, lambda row: row["bits"])):
        style.end_labels(axes, [(key(rows[-1]), name, style.CODES[name][0]) for name, rows in formats.items()], gap=0.05)
