"""Decoding by context length, below the limit that reading weights and cache sets."""
from __future__ import annotations

from . import style

NEEDS = ("step03_kvcache regimes",)
SHOWS = ["tokens in the cache", "91 %"]


def draw(reports: dict[str, list[dict]], figure) -> None:
    report = style.one(reports, NEEDS[0])
    rows = sorted(report["contexts"], key=lambda row: row["context"])
    if len(rows) < 2:
        raise style.Unfit("needs at least two contexts")
    style.machine(figure, reports, f"{report['model']}, {report['engine']}, batch 1")
    axes = figure.subplots()
    contexts = [row["context"] for row in rows]
    limits = [row["limit"] for row in rows]
    speeds = [row["tokens_per_second"] for row in rows]
    axes.plot(contexts, limits, color=style.INK, linewidth=1.4)
    axes.fill_between(contexts, speeds, limits, color=style.FAINT, alpha=0.5, linewidth=0)
    axes.plot(contexts, speeds, "o-", color=style.BLUE)
    for context, speed, limit in zip(contexts, speeds, limits):
        style.label(axes, context, speed, f"{100 * speed / limit:.0f} %", style.BLUE, dx=0, dy=-13, ha="center")
    axes.set_xlim(min(contexts) - 0.04 * max(contexts), max(contexts) * 1.02)
    axes.set_ylim(0, max(limits + speeds) * 1.12)
    axes.set_xticks(contexts if len(contexts) < 7 else contexts[::2])
    axes.set_xlabel("tokens in the cache")
    axes.set_ylabel("tokens/s, one sequence")
    style.end_labels(axes, [(limits[-1], f"limit: {report['bandwidth_gb_s']:.1f} GB/s over\nthe bytes of a token", style.INK),
                            (speeds[-1], "measured\n(% of the limit)", style.BLUE)], gap=0.14)
