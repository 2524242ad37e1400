"""Chapter 5: bits per byte by budget, one line per policy, and the full cache's."""
from __future__ import annotations

from . import policy_kl, style

NEEDS = policy_kl.NEEDS


def draw(reports: dict[str, list[dict]], figure) -> None:
    for axes, report in policy_kl.draw_lines(figure, reports, "bits_per_byte", "bits per byte"):
        full, rows = report["full_bits_per_byte"], policy_kl.lines(report)
        axes.axhline(full, color=style.INK, linewidth=1.2, linestyle=":")
        # The scale of those that come near the full cache; of the others the note says where they are.
        worst = {policy: max(row["bits_per_byte"] for _, row in line) for policy, line in rows.items()}
        near = {policy: line for policy, line in rows.items() if worst[policy] < 1.9 * full}
        values = [row["bits_per_byte"] for line in near.values() for _, row in line] + [full]
        room = 0.06 * max(max(values) - min(values), 0.01 * full)
        axes.set_ylim(min(values) - room, max(values) + room)
        beyond = [f"{policy} up to {style.number(worst[policy])}" for policy in rows if policy not in near]
        if beyond:
            axes.text(0.005, 0.97, "above: " + ", ".join(beyond), transform=axes.transAxes, ha="left", va="top", fontsize=8, color=style.GREY,
                      bbox={"facecolor": "white", "edgecolor": "none", "pad": 1})
        style.end_labels(axes, [(line[0][1]["bits_per_byte"], policy, style.POLICIES[policy][0]) for policy, line in near.items()]
                         + [(full, "everything kept", style.INK)], gap=0.072)
