"""How long each kernel of chapter 4 takes on a GPU: five limits by counts, and what was measured beside them, if anything was."""
from __future__ import annotations

from . import style

NEEDS = ("step04_cuda estimate",)
SHOWS = ["ESTIMATE from counts, not measured yet", "193: sectors, 48 SM", "50.1: shared, 48 SM", "5.5: DRAM", "x [64, 576], 48 times"]
SAME_EVERYWHERE = True
GPUS = ("H100", "RTX5090", "A100")  # of the estimates; the last one if nothing was measured
UNMEASURED = "not measured yet"
# key in the report -> (what it is, colour, marker: readable without colours, too)
LIMITS = {"dram": ("DRAM: every byte once", style.INK, "D"), "sectors": ("sectors asked for", style.VERMILION, "o"),
          "shared": ("shared memory", style.GREEN, "s"), "fma": ("fma", style.BLUE, "^"),
          "latency": ("latency of loads in rounds", style.PURPLE, "v")}
MEASURED = ("measured", style.INK, "*")
LEAST = 0.008  # microseconds, the left end; a limit below it is not drawn


def gpu_of(report: dict) -> str:
    """The one that was measured, if its estimate is there; else the A100."""
    name = report["measured_on"].replace(" ", "")
    return next((gpu for gpu in GPUS if gpu in name), GPUS[-1])


def draw_ladder(axes, ladder: dict, gpu: str) -> None:
    """A row for each rung: a marker for each limit, and a bar up to the time: the largest limit and the gaps between launches."""
    if gpu not in ladder["estimates"]:
        raise style.Unfit(f"{ladder['operation']}: no estimate for an {gpu}")
    rungs = ladder["estimates"][gpu][::-1]
    for place, rung in enumerate(rungs):
        largest = max(LIMITS, key=lambda limit: rung[limit])
        axes.barh(place, rung["microseconds"] - LEAST, left=LEAST, color=style.FAINT, height=0.6)
        for limit in sorted(LIMITS, key=lambda limit: rung[limit]):  # the largest lies on top
            if rung[limit] >= LEAST:
                _, color, marker = LIMITS[limit]
                axes.plot(rung[limit], place, marker, color=color, markersize=7 if limit == largest else 4, markerfacecolor=color if limit == largest else "white")
        time, taken = rung["microseconds"], ladder["measured_microseconds"].get(rung["rung"])
        text = f"{style.number(time)}: {limit_name(largest)}, {rung['busy']:.0f} SM"
        if taken is not None:
            axes.plot(taken, place, MEASURED[2], color=MEASURED[1], markersize=9)
            text += f"; measured {style.number(taken)}"
        style.label(axes, max(time, taken or 0), place, text, LIMITS[largest][1], fontsize=8, dx=7)
    times = "" if ladder["copies"] == 1 else f", {ladder['copies']} times"
    axes.set_title(f"{ladder['operation']}\n{ladder['size']}{times}", fontsize=8)
    axes.set_yticks(range(len(rungs)), [rung["rung"] for rung in rungs], fontsize=8)


def limit_name(limit: str) -> str:
    return "DRAM" if limit == "dram" else limit


def draw(reports: dict[str, list[dict]], figure) -> None:
    report = style.one(reports, NEEDS[0])
    ladders, gpu, device = list(report["ladders"].values()), gpu_of(report), report["measured_on"]
    if not ladders:
        raise style.Unfit("this report holds no ladder")
    if (device == UNMEASURED) == any(ladder["measured_microseconds"] for ladder in ladders):
        raise style.Unfit(f"this report says '{device}', which is not what its ladders hold")
    for ladder in ladders:
        for rung in ladder["estimates"].get(gpu, []):
            if rung["limit"] != limit_name(max(LIMITS, key=lambda limit: rung[limit])):
                raise style.Unfit(f"{ladder['operation']}, {rung['rung']}: the report calls '{rung['limit']}' the limit, which is not its largest")
    every, key = style.panels(figure, [len(ladder["estimates"].get(gpu, [])) for ladder in ladders], "by counts of the SIMT executor, nvcc's code and the maker's data sheet", key=7)
    beside = UNMEASURED if device == UNMEASURED else f"and measured on {device}"
    figure.suptitle(f"ESTIMATE from counts, {beside}: the time on an {gpu}, in microseconds", fontsize=10, fontweight="bold", x=0.01, ha="left")
    for axes, ladder in zip(every, ladders):
        draw_ladder(axes, ladder, gpu)
    longest = max(max([rung["microseconds"] for rung in ladder["estimates"][gpu]] + list(ladder["measured_microseconds"].values())) for ladder in ladders)
    for axes in every:
        axes.set_xscale("log")
        axes.set_xlim(LEAST, longest * 250)  # room for the labels
        style.at_ticks(axes.xaxis, [place for place in (0.01, 0.1, 1, 10, 100, 1000) if place <= longest * 2])
    for axes in every[-2:]:
        axes.set_xlabel("microseconds", fontsize=8)
    draw_key(key, [*LIMITS.values(), *([] if device == UNMEASURED else [MEASURED])])


def draw_key(axes, marks: list[tuple[str, str, str]]) -> None:
    """What the markers mean, once for all."""
    axes.set_axis_off()
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    for i, (text, color, marker) in enumerate(marks):
        axes.plot(0.05, 0.95 - 0.12 * i, marker, color=color, markersize=6)
        style.label(axes, 0.05, 0.95 - 0.12 * i, text, color, dx=9)
    axes.text(0.03, 0.0, "The largest, filled, and the launches' gaps are the\ntime: the grey bar. SM: multiprocessors with work.", fontsize=8, va="bottom")
