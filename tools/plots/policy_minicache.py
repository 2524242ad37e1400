"""Chapter 5: MiniCache by the share of tokens that are not merged, and by the direction that a merged pair keeps."""
from __future__ import annotations

import re

from . import style

NEEDS = ("step05_policies compare",)


def draw(reports: dict[str, list[dict]], figure) -> None:
    report = style.one(reports, NEEDS[0])
    rows = []
    for row in report["policies"]:
        setting = re.fullmatch(r"t ([\d.]+), ([\d.]+) %", row["policy"])
        if setting:
            rows.append((float(setting[1]), float(setting[2]), row))
    if not rows:
        raise style.Unfit("no row of MiniCache's set: compare --set minicache")
    style.height(figure, 300)
    style.machine(figure, reports, f"{style.short_name(report['model'])}; everything kept: {report['full_bits_per_byte']:.4f} bits per byte")
    by_share, by_direction = figure.subplots(1, 2, sharey=True)
    for axes, at, fixed, what in ((by_share, 1, 0.6, "tokens retained, %, at t = 0.6"), (by_direction, 0, 5.0, "t: lower layer's direction 0, upper's 1; 5 % retained")):
        line = sorted((row for row in rows if row[1 - at] == fixed), key=lambda row: row[at])
        axes.plot([row[at] for row in line], [row[2]["bits_per_byte"] for row in line], "o-", color=style.ORANGE)
        for row in line:
            share = f"{100 * row[2]['bytes_held'] / report['full_bytes']:.0f} %"
            if axes is by_share:
                style.label(axes, row[at], row[2]["bits_per_byte"], share, style.ORANGE, dx=0, dy=10, ha="center", fontsize=8)
        axes.axhline(report["full_bits_per_byte"], color=style.INK, linewidth=1.2, linestyle=":")
        axes.set_xlabel(what)
        axes.margins(y=0.15)
    by_share.set_ylabel("bits per byte")
    by_share.set_title("beside a point: bytes held of the full cache's", fontsize=9)
    by_direction.set_title("dotted: everything kept", fontsize=9)
