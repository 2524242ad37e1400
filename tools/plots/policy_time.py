"""Chapter 5: the time of a token by the tokens seen, of the methods that differ most in it."""
from __future__ import annotations

from . import style

NEEDS = ("step05_policies clock",)
SHOWS = ["time of a token, ms", "chapter 3's cache", "keyformer"]
# Those that the chapter's table has; the others lie beside them.
DRAWN = ("cache", "window", "h2o", "scissorhands", "keyformer", "quest-every-layer", "indexer", "minicache")
# By the first word of what the report calls them.
LOOKS = {"cache": style.INK, "full": style.GREY, "window": style.BLUE, "sinks": style.SKY, "sinks-relative": style.PURPLE, "h2o": style.VERMILION,
         "pyramid": style.GREEN, "minicache": style.ORANGE, "scissorhands": style.GREEN, "keyformer": style.SKY, "quest-every-layer": style.PURPLE,
         "indexer": style.GREY}
DASHES = ("-", "--", ":")


def lines(reports: dict[str, list[dict]], drawn: tuple = ()) -> dict[str, tuple[str, str, list[dict]]]:
    """Of each configuration its colour, its line and its rows by length. 'full' is the cache again, on the other store."""
    found: dict[str, list[dict]] = {}
    for row in style.one(reports, NEEDS[0])["rows"]:
        if row["policy"] != "full" and (not drawn or row["policy"] in drawn):
            found.setdefault(row["policy"], []).append(row)
    if any(len(rows) < 2 for rows in found.values()):
        raise style.Unfit("needs two lengths: clock --lengths")
    used: dict[str, int] = {}
    looks = {}
    for policy, rows in found.items():
        family = policy.split()[0]
        looks[policy] = (LOOKS.get(family, style.GREY), DASHES[used.get(family, 0) % 3], rows)
        used[family] = used.get(family, 0) + 1
    return looks


def draw_lines(figure, reports: dict[str, list[dict]], value, what: str, drawn: tuple = ()) -> None:
    report = style.one(reports, NEEDS[0])
    style.height(figure, 480)
    style.machine(figure, reports, f"{report['model']}, {report['engine']}")
    axes, ends = figure.subplots(), []
    for policy, (color, dash, rows) in lines(reports, drawn).items():
        axes.plot([row["length"] for row in rows], [value(row) for row in rows], dash, marker="o", markersize=3.5, color=color)
        ends.append((value(rows[-1]), "chapter 3's cache" if policy == "cache" else policy, color))
    lengths = sorted({row["length"] for row in report["rows"]})
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    style.at_ticks(axes.xaxis, lengths)
    style.plain_ticks(axes.yaxis)
    if drawn:
        style.at_ticks(axes.yaxis, [0.01, 0.02, 0.05, 0.1, 0.2, 0.4])
    axes.set_xlim(lengths[0] * 0.95, lengths[-1])
    axes.set_xlabel("tokens seen")
    axes.set_ylabel(what)
    style.end_labels(axes, ends, gap=0.05)


def draw(reports: dict[str, list[dict]], figure) -> None:
    draw_lines(figure, reports, lambda row: 1e3 * row["seconds"]["median"], "time of a token, ms", DRAWN)
