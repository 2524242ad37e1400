"""How long each kernel of chapter 4 takes at best on an A100: four limits by counts. An estimate, nothing measured."""
from __future__ import annotations

from . import style

NEEDS = ("step04_cuda estimate",)
SHOWS = ["ESTIMATE from counts, not measured", "192: sectors, 48 SM", "49.2: shared, 48 SM", "4.6: DRAM", "x [64, 576], 48 times"]
SAME_EVERYWHERE = True
GPU = "A100"
# key in the report -> (what it is, colour, marker: readable without colours, too)
LIMITS = {"dram": ("DRAM: every byte once", style.INK, "D"), "sectors": ("sectors asked for", style.VERMILION, "o"),
          "shared": ("shared memory", style.GREEN, "s"), "fma": ("fma", style.BLUE, "^")}
LEAST = 0.008  # microseconds, the left end; a limit below it is not drawn


def draw_ladder(axes, ladder: dict) -> None:
    """A row for each rung: a marker for each limit, a bar up to the largest, which is the time."""
    if GPU not in ladder["estimates"]:
        raise style.Unfit(f"{ladder['operation']}: no estimate for an {GPU}")
    rungs = ladder["estimates"][GPU][::-1]
    for place, rung in enumerate(rungs):
        largest = max(LIMITS, key=lambda limit: rung[limit])
        axes.barh(place, rung[largest] - LEAST, left=LEAST, color=style.FAINT, height=0.6)
        for limit in sorted(LIMITS, key=lambda limit: rung[limit]):  # the largest lies on top
            if rung[limit] >= LEAST:
                _, color, marker = LIMITS[limit]
                axes.plot(rung[limit], place, marker, color=color, markersize=7 if limit == largest else 4, markerfacecolor=color if limit == largest else "white")
        style.label(axes, rung[largest], place, f"{style.number(rung[largest])}: {limit_name(largest)}, {rung['busy']:.0f} SM", LIMITS[largest][1], fontsize=8, dx=7)
    times = "" if ladder["copies"] == 1 else f", {ladder['copies']} times"
    axes.set_title(f"{ladder['operation']}\n{ladder['size']}{times}", fontsize=8)
    axes.set_yticks(range(len(rungs)), [rung["rung"] for rung in rungs], fontsize=8)


def limit_name(limit: str) -> str:
    return "DRAM" if limit == "dram" else limit


def draw(reports: dict[str, list[dict]], figure) -> None:
    ladders = list(style.one(reports, NEEDS[0])["ladders"].values())
    if not ladders:
        raise style.Unfit("this report holds no ladder")
    for ladder in ladders:
        for rung in ladder["estimates"].get(GPU, []):
            if rung["limit"] != limit_name(max(LIMITS, key=lambda limit: rung[limit])):
                raise style.Unfit(f"{ladder['operation']}, {rung['rung']}: the report calls '{rung['limit']}' the limit, which is not its largest")
    every, key = style.panels(figure, [len(ladder["estimates"].get(GPU, [])) for ladder in ladders], "by counts of the SIMT executor and the maker's data sheet; caches, latencies and launches left out")
    figure.suptitle(f"ESTIMATE from counts, not measured: the least time on an {GPU}, in microseconds", fontsize=10, fontweight="bold", x=0.01, ha="left")
    for axes, ladder in zip(every, ladders):
        draw_ladder(axes, ladder)
    longest = max(rung["microseconds"] for ladder in ladders for rung in ladder["estimates"][GPU])
    for axes in every:
        axes.set_xscale("log")
        axes.set_xlim(LEAST, longest * 250)  # room for the labels
        style.at_ticks(axes.xaxis, [place for place in (0.01, 0.1, 1, 10, 100, 1000) if place <= longest * 2])
    for axes in every[-2:]:
        axes.set_xlabel("microseconds", fontsize=8)
    draw_key(key)


def draw_key(axes) -> None:
    """What the markers mean, once for all."""
    axes.set_axis_off()
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    for i, (text, color, marker) in enumerate(LIMITS.values()):
        axes.plot(0.05, 0.95 - 0.16 * i, marker, color=color, markersize=6)
        style.label(axes, 0.05, 0.95 - 0.16 * i, text, color, dx=9)
    axes.text(0.03, 0.02, "The largest, filled, is the time: the grey bar.\nSM: multiprocessors that have work.", fontsize=8, va="bottom")
