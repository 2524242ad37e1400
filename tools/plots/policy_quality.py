"""Chapter 5: bits per byte by budget, one line per policy, and the full cache's."""
from __future__ import annotations

from . import policy_kl, style

NEEDS = policy_kl.NEEDS
NOTE = "snapkv, pyramidkv also keep all that comes after the prompt; quest and minicache keep everything"
SHOWS = ["bits per byte", "everything kept", "above: window up to 2.3, random up to 5", "SmolLM2-135M: 3 x 512 tokens, the last 256 scored"]


def on_scale(worst: dict[str, float], full: float) -> list[str]:
    """Policies that come near the full cache: the scale is theirs, and a note says where the others are. Not one that alone
    would press the lines of all others into one."""
    near = sorted((policy for policy in worst if worst[policy] < 1.9 * full), key=lambda policy: worst[policy])
    if len(near) > 1 and worst[near[-1]] - full > max(5 * abs(worst[near[-2]] - full), 0.1 * full):
        near.pop()
    return near


def draw(reports: dict[str, list[dict]], figure) -> None:
    for axes, report in policy_kl.draw_lines(figure, reports, "bits_per_byte", "bits per byte", NOTE):
        full, rows = report["full_bits_per_byte"], policy_kl.lines(report)
        axes.axhline(full, color=style.INK, linewidth=1.2, linestyle=":")
        worst = {policy: max(row["bits_per_byte"] for _, row in line) for policy, line in rows.items()}
        near = {policy: rows[policy] for policy in on_scale(worst, full)}
        values = [row["bits_per_byte"] for line in near.values() for _, row in line] + [full]
        room = 0.06 * max(max(values) - min(values), 0.01 * full)
        axes.set_ylim(min(values) - room, max(values) + room)
        beyond = [f"{policy} up to {style.number(worst[policy])}" for policy in rows if policy not in near]
        if beyond:
            axes.text(0.005, 0.97, "above: " + ", ".join(beyond), transform=axes.transAxes, ha="left", va="top", fontsize=8, color=style.GREY,
                      bbox={"facecolor": "white", "edgecolor": "none", "pad": 1})
        style.end_labels(axes, [(line[0][1]["bits_per_byte"], policy, style.POLICIES[policy][0]) for policy, line in near.items()]
                         + [(full, "everything kept", style.INK)], gap=0.056)
