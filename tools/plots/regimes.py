"""D5, R4: prefill and decode on this machine's measured roofline."""
from __future__ import annotations

from . import style

NEEDS = ("step03_kvcache regimes",)
SHOWS = ["peak 120 GFLOP/s", "ridge 10 FLOP/byte", "12 GB/s"]
PHASES = {"prefill": style.VERMILION, "decode": style.BLUE}


def name_of(point: dict, contexts: set[int]) -> str:
    """What tells this point from the others of its phase."""
    if point["phase"] == "prefill":
        return f"{point['tokens']}"
    return f"{point['batch']}" + (f" at {point['context']}" if len(contexts) > 1 else "")


def draw(reports: dict[str, list[dict]], figure) -> None:
    report = style.one(reports, NEEDS[0])
    points, peak, bandwidth, ridge = report["points"], report["peak_gflops"], report["bandwidth_gb_s"], report["ridge"]
    style.height(figure, 460)
    style.machine(figure, reports, f"{report['model']}, {report['engine']}")
    contexts = {point["context"] for point in points if point["phase"] == "decode"}
    axes = figure.subplots()
    low = min([point["intensity"] for point in points] + [ridge]) / 3
    high = max([point["intensity"] for point in points] + [ridge]) * 3
    axes.plot([low, ridge, high], [bandwidth * low, peak, peak], color=style.INK, linewidth=1.6)
    axes.plot([ridge, ridge], [bandwidth * low, peak], color=style.GREY, linewidth=1, linestyle=":")
    for phase, color in PHASES.items():
        own = sorted((point for point in points if point["phase"] == phase), key=lambda point: point["intensity"])
        axes.plot([point["intensity"] for point in own], [point["gflops"] for point in own], "o", color=color, markersize=6)
        for point in own:  # below: away from the roof; on the side where the other phase's are not
            style.label(axes, point["intensity"], point["gflops"], name_of(point, contexts), color, dx=-4 if phase == "prefill" else 4, dy=-8, fontsize=8)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(low, high)
    axes.set_ylim(min(bandwidth * low, *(point["gflops"] for point in points)) / 2, peak * 2)
    style.label(axes, high, peak, f"peak {style.number(peak)} GFLOP/s", dx=-4, dy=8)
    slope = (low * ridge)**0.5
    style.label(axes, slope, bandwidth * slope, f"{style.number(bandwidth)} GB/s", dx=-6, dy=8)
    style.label(axes, ridge, axes.get_ylim()[0], f"ridge {style.number(ridge)} FLOP/byte", style.GREY, dx=5, dy=10)
    white = {"facecolor": "white", "edgecolor": "none", "pad": 1}
    axes.text(0.99, 0.30, "prefill, by tokens of the prompt", color=PHASES["prefill"], transform=axes.transAxes, ha="right", fontsize=9, bbox=white)
    turns = report.get("turns_at") or {}
    words = [f"{turns[key]:g} {key}" for key in ("predicted", "measured") if turns.get(key)]
    axes.text(0.99, 0.23, "decode, by sequences at once" + (f", after {contexts.pop()} tokens" if len(contexts) == 1 else "") + (f"\nbound by arithmetic from batch {', '.join(words)}" if words else ""),
              color=PHASES["decode"], transform=axes.transAxes, ha="right", va="top" if words else "baseline", fontsize=9, bbox=white)
    style.plain_ticks(axes.xaxis)
    style.plain_ticks(axes.yaxis)
    axes.set_xlabel("arithmetic intensity, FLOP/byte (counted)")
    axes.set_ylabel("GFLOP/s (measured)")
