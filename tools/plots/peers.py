"""This engine beside llama.cpp and PyTorch: how many times as fast, one bar a race."""
from __future__ import annotations

from . import style

NEEDS = ("compare_peers",)
DEFAULT = "build/peers.json"
SHOWS = ["against llama.cpp", "2.36", "THE MACHINE WAS BUSY", "missing, not raced: transformers"]
PEERS = {"llama.cpp": style.ORANGE, "PyTorch": style.PURPLE, "transformers": style.SKY}


def caption(report: dict) -> str:
    machine = report["machine"]
    text = f"{machine['processor']}, {machine['cores']} cores, {report['date'][:10]}, commit {report['kvlab']['commit']}"
    if (machine.get("cores_taken_by_others") or 0) > 0.1:
        text += "; THE MACHINE WAS BUSY"
    missing = [name for name, peer in report["peers"].items() if "missing" in peer]
    return text + (f"; missing, not raced: {', '.join(missing)}" if missing else "")


def draw_races(axes, rows: list[dict]) -> None:
    """A bar from 1 to the ratio of the medians, with the quartiles of the rounds; the best known row on top."""
    rows = rows[::-1]
    ratios = [row["ratio"] for row in rows]
    # The median of the rounds' ratios need not be the ratio of the medians: a whisker never points inwards.
    low = [max(0.0, row["ratio"] - row["ratio_low"]) for row in rows]
    high = [max(0.0, row["ratio_high"] - row["ratio"]) for row in rows]
    places = range(len(rows))
    axes.barh(places, [ratio - 1 for ratio in ratios], left=1, color=[PEERS[row["peer"]] for row in rows], height=0.7)
    axes.errorbar(ratios, places, xerr=[low, high], fmt="none", ecolor=style.INK, elinewidth=1)
    for place, ratio, more in zip(places, ratios, high, strict=True):
        style.label(axes, max(ratio + more, 1), place, style.number(ratio), fontsize=8, dx=4)
    axes.set_yticks(places, [row["row"] for row in rows], fontsize=8)
    axes.set_xscale("log")
    axes.margins(x=0.12, y=0.02)
    axes.axvline(1, color=style.INK, linewidth=1)
    axes.grid(axis="y", visible=False)


def draw(reports: dict[str, list[dict]], figure) -> None:
    report = style.one(reports, "compare_peers")
    raced = [row for row in report["results"] if "ratio" in row]
    if not raced:
        raise style.Unfit("this report holds no race against a peer")
    counts = sorted({row["threads"] for row in raced})
    by_threads = [[row for row in raced if row["threads"] == threads] for threads in counts]
    style.height(figure, 110 + sum(60 + 20 * len(rows) for rows in by_threads))
    style.corner(figure, caption(report))
    every = figure.subplots(len(counts), 1, squeeze=False, sharex=True, gridspec_kw={"height_ratios": [len(rows) for rows in by_threads]})
    for axes, threads, rows in zip(every[:, 0], counts, by_threads, strict=True):
        draw_races(axes, rows)
        axes.set_title(f"{threads} thread{'s' if threads > 1 else ''}")
    low, high = every[-1, 0].get_xlim()
    style.at_ticks(every[-1, 0].xaxis, [ratio for ratio in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500) if low <= ratio <= high])
    every[-1, 0].set_xlabel("tokens/s of kvlab over the peer's (1: equal)")
    for i, name in enumerate(name for name in PEERS if any(row["peer"] == name for row in raced)):
        every[0, 0].annotate(f"against {name}", (1, 1), xycoords="axes fraction", xytext=(-130 * i, 10), textcoords="offset points",
                             ha="right", color=PEERS[name], fontweight="bold", fontsize=9)
