"""Chapter 5: MiniCache by the share of tokens that are not merged, and by the direction that a merged pair keeps."""
from __future__ import annotations

import re

from . import style

NEEDS = ("step05_policies compare",)
SHOWS = ["bytes held, % of the full", "points: 0, 5, 100 % of the tokens retained, t = 0.6", "minus the full cache", "tiny", "deep"]
SHARE, DIRECTION = 5.0, 0.6  # the paper's


def settings(report: dict) -> list[tuple[float, float, dict]]:
    """(t, tokens retained in %, row) of each row of the set."""
    rows = []
    for row in report["policies"]:
        found = re.fullmatch(r"t ([\d.]+), ([\d.]+) %", row["policy"])
        if found:
            rows.append((float(found[1]), float(found[2]), row))
    if not rows:
        raise style.Unfit("no row of MiniCache's set: compare --set minicache")
    return rows


def draw(reports: dict[str, list[dict]], figure) -> None:
    found = reports[NEEDS[0]]
    style.height(figure, 330)
    style.machine(figure, reports)
    by_bytes, by_direction = figure.subplots(1, 2, sharey=True)
    ends = []
    for report, color in zip(found, style.CYCLE):
        rows, full = settings(report), report["full_bits_per_byte"]
        line = sorted((row for row in rows if row[0] == DIRECTION), key=lambda row: row[1])
        by_bytes.plot([100 * row["bytes_held"] / report["full_bytes"] for _, _, row in line], [row["bits_per_byte"] - full for _, _, row in line],
                      "o-", color=color)
        line = sorted((row for row in rows if row[1] == SHARE), key=lambda row: row[0])
        more = [row["bits_per_byte"] - full for _, _, row in line]
        by_direction.plot([t for t, _, _ in line], more, "o-", color=color)
        ends.append((more[-1], style.short_name(report["model"]), color))
    retained = ", ".join(f"{share:g}" for share in sorted({share for t, share, _ in settings(found[0]) if t == DIRECTION}))
    by_bytes.axvline(100, color=style.GREY, linewidth=1, linestyle=":")
    by_bytes.set_xlabel(f"bytes held, % of the full cache's;\npoints: {retained} % of the tokens retained, t = {DIRECTION}")
    by_bytes.set_ylabel("bits per byte, minus the full cache's")
    by_direction.set_xlabel(f"t: the lower layer's direction 0, the upper's 1;\n{SHARE:g} % retained")
    by_direction.set_ylim(bottom=0)
    style.end_labels(by_direction, ends)
