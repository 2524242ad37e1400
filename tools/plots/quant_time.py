"""Chapter 6: the time of a token behind a long text, by the format of the cache."""
from __future__ import annotations

from . import style

NEEDS = ("step06_quant kv-clock",)
SHOWS = ["behind 4096 tokens, wall time", "19.5 ms, 0.65x; 55.8 MB", "quartiles of the rounds"]


def by_length(report: dict) -> dict[int, list[dict]]:
    found: dict[int, list[dict]] = {}
    for row in report["rows"]:
        found.setdefault(row["length"], []).append(row)
    if not found or any(len(rows) < 2 for rows in found.values()):
        raise style.Unfit("needs two formats: kv-clock --codes")
    return found


def draw_panel(axes, length: int, rows: list[dict], note: str) -> None:
    for place, row in enumerate(reversed(rows)):
        time = row["seconds"]
        axes.barh(place, 1e3 * time["median"], color=style.CODES[row["cache"]][0], height=0.7,
                  xerr=[[1e3 * (time["median"] - time["low"])], [1e3 * (time["high"] - time["median"])]], error_kw={"ecolor": style.INK, "elinewidth": 1})
        style.label(axes, 1e3 * time["high"], place, f"{1e3 * time['median']:.3g} ms, {row['to_first']:.2f}x; {row['bytes_read'] / style.MB:.3g} MB", fontsize=8)
    axes.set_yticks(range(len(rows)), [row["cache"] for row in reversed(rows)])
    axes.set_xlim(0, 2e3 * max(row["seconds"]["high"] for row in rows))
    axes.set_title(f"behind {length} tokens{note}")


def draw(reports: dict[str, list[dict]], figure) -> None:
    found = reports[NEEDS[0]]
    groups = [(report, length, rows) for report in found for length, rows in by_length(report).items()]
    notes = [f", {report['time']} time" + (", rotated" if report["rotate"] else "") for report, _, _ in groups]
    note = style.machine_note(reports, f"{style.short_name(found[0]['model'])}, {found[0]['engine']}")
    panels, key = style.panels(figure, [len(rows) for _, _, rows in groups], note)
    for axes, (_, length, rows), note in zip(panels, groups, notes):
        draw_panel(axes, length, rows, note)
        axes.set_xlabel("time of a token, ms")
    key.text(0, 0.9, "line: quartiles of the rounds\nx: to the first, in the same rounds\nMB: keys and values read (2^20 bytes)", va="top", fontsize=9)
