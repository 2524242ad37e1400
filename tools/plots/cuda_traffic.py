"""The sectors that each kernel of chapter 4 moves, against those that every byte once would take."""
from __future__ import annotations

from . import style

NEEDS = ("step04_cuda ladders",)
SHOWS = ["2 433 536: 250x", "512: 1.00x", "product of 64 rows: 9 728 sectors", "the same on every machine"]
SAME_EVERYWHERE = True
LEFT = 0.6  # where the bars begin: the line at 1 is what has to move


def spaced(number: int) -> str:
    return f"{number:,}".replace(",", " ")


def draw_ladder(axes, ladder: dict) -> None:
    """A bar for each rung: grey up to the line, coloured behind it."""
    rungs, least = ladder["rungs"][::-1], ladder["least_sectors"]
    if least <= 0:
        raise style.Unfit(f"{ladder['operation']}: no sectors to compare with")
    places = range(len(rungs))
    ratios = [rung["sectors"] / least for rung in rungs]
    axes.barh(places, [1 - LEFT] * len(rungs), left=LEFT, color=style.GREY, height=0.6)
    axes.barh(places, [max(ratio - 1, 0) for ratio in ratios], left=1, color=style.VERMILION, height=0.6)
    for place, ratio, rung in zip(places, ratios, rungs):
        times = f"{ratio:.2f}" if ratio < 10 else f"{ratio:.0f}"
        style.label(axes, max(ratio, 1), place, f"{spaced(rung['sectors'])}: {times}x", fontsize=8, dx=4)
    axes.axvline(1, color=style.INK, linewidth=1)
    axes.set_yticks(places, [rung["name"] for rung in rungs], fontsize=8)
    axes.set_title(f"{ladder['operation']}: {spaced(least)} sectors\n{ladder['size']}", fontsize=8)


def draw(reports: dict[str, list[dict]], figure) -> None:
    ladders = list(style.one(reports, NEEDS[0])["ladders"].values())
    if not ladders:
        raise style.Unfit("this report holds no ladder")
    every, key = style.panels(figure, [len(ladder["rungs"]) for ladder in ladders], "counted under the SIMT executor, exactly: the same on every machine")
    for axes, ladder in zip(every, ladders):
        draw_ladder(axes, ladder)
    for i, (text, color) in enumerate([("grey: every byte once", style.GREY), ("orange: what moves beyond that", style.VERMILION)]):
        key.text(0.03, 0.75 - 0.25 * i, text, color=color, fontweight="bold", fontsize=9)
    most = max(rung["sectors"] / ladder["least_sectors"] for ladder in ladders for rung in ladder["rungs"])
    for axes in every:
        axes.set_xscale("log")
        axes.set_xlim(LEFT, max(most, 10) * 12)  # room for the labels
        style.at_ticks(axes.xaxis, [place for place in (1, 10, 100, 1000) if place <= most * 2])
    for axes in every[-2:]:
        axes.set_xlabel("sectors / those of every byte once", fontsize=8)
