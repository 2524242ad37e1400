"""Chapter 5: how far the next-token distribution moves from the full cache's, by budget, one line per policy."""
from __future__ import annotations

from . import style

NEEDS = ("step05_policies quality",)
SHOWS = ["mean KL, bits a token", "exactly 0 at the largest budget: snapkv", "h2o", "tiny: 3 x 512"]
# What reads everything, or is the full cache itself, has no place on a budget's axis.
LEFT_OUT = ("full", "h2o-mean", "h2o-forgetting", "sinks-relative", "pyramidkv-ratios", "keyformer",
            "random-fixed", "expected-attention-uniform", "quest-every-layer", "quest-by-bound", "key-norm-every-layer")
# Nor have these, of which the chapter's text says nothing there: all of them are one picture too many.
ON_THE_PAGE = ("tova", "pyramidkv", "scissorhands", "expected-attention", "adakv-snapkv", "duo", "key-norm", "minicache", "oracle")


def lines(report: dict, beside: tuple = ()) -> dict[str, list[tuple[int, dict]]]:
    """Of each policy to draw, its rows at equal tokens by budget."""
    found: dict[str, list[tuple[int, dict]]] = {}
    for block in report["budgets"]:
        for row in block["equal_tokens"]:
            if row["policy"] not in (*LEFT_OUT, *beside):
                found.setdefault(row["policy"], []).append((block["budget"], row))
    if not found or len(report["budgets"]) < 2:
        raise style.Unfit("needs two budgets and a policy that has one: quality --parts")
    return {policy: sorted(rows, key=lambda row: row[0]) for policy, rows in found.items()}


def draw_lines(figure, reports: dict[str, list[dict]], value: str, what: str, note: str, beside: tuple = ()) -> list[tuple]:
    """A panel for each report, labelled; returns (axes, report) for what a picture adds before ends are named."""
    found = reports[NEEDS[0]]
    panels = style.stacked(figure, len(found), 430)
    style.machine(figure, reports, note)
    for axes, report in zip(panels, found):
        for policy, rows in lines(report, beside).items():
            color, dash = style.POLICIES[policy]
            # An exact 0, where nothing had to go, has no place on a logarithmic axis.
            values = [row[value] if row[value] > 0 else float("nan") for _, row in rows]
            axes.plot([budget for budget, _ in rows], values, dash, marker="o", markersize=3.5, color=color)
        axes.set_xscale("log", base=2)
        budgets = sorted(block["budget"] for block in report["budgets"])
        style.at_ticks(axes.xaxis, budgets)
        axes.set_xlim(budgets[-1] * 1.07, budgets[0])  # forgetting grows to the right
        axes.set_title(f"{style.short_name(report['model'])}: {report['windows']} x {report['window']} tokens, the last {report['window'] - report['prompt']} scored")
        axes.set_ylabel(what)
    panels[-1].set_xlabel("budget, tokens of each layer and KV head")
    return list(zip(panels, found))


def draw(reports: dict[str, list[dict]], figure) -> None:
    note = "snapkv, kvzip also keep what comes after the prompt; quest, indexer keep all; pale: the deviation, where below the mean"
    for axes, report in draw_lines(figure, reports, "mean_kl", "mean KL, bits a token", note, ON_THE_PAGE):
        rows = lines(report, ON_THE_PAGE)
        positive = [row["mean_kl"] for line in rows.values() for _, row in line if row["mean_kl"] > 0]
        if not positive:
            raise style.Unfit("nothing differs from the full cache")
        axes.set_yscale("log")
        axes.set_ylim(min(positive) * 0.7, max(positive) * 1.5)
        for policy, line in rows.items():
            for budget, row in line:
                if row.get("mean_kl_deviation", 0) < row["mean_kl"]:  # others would reach the floor
                    style.deviation(axes, budget, row, style.POLICIES[policy][0])
        style.end_labels(axes, [(line[0][1]["mean_kl"], policy, style.POLICIES[policy][0]) for policy, line in rows.items() if line[0][1]["mean_kl"] > 0], gap=0.05)
        none = [policy for policy, line in rows.items() if line[-1][1]["mean_kl"] == 0]
        if none:
            axes.text(0.995, 0.03, "exactly 0 at the largest budget: " + ", ".join(none), transform=axes.transAxes, ha="right", fontsize=8, color=style.GREY)
