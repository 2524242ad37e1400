#!/usr/bin/env python3
"""Draws the reports of this project's experiments as SVG and PNG, readable on dark and on light pages.

    python3 tools/plot.py peers [build/peers.json] [--out build/pictures]

Needs: matplotlib. Exit codes: 0 drawn, 1 no such report or no matplotlib, 2 wrong usage.
"""
from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Mid-tones on a transparent ground: legible on white and on near-black.
INK, OURS = "#808890", "#2f9e8f"
PEERS = {"llama.cpp": "#d9822b", "PyTorch": "#9b6fd4", "transformers": "#c75b7a"}


def style(plt) -> None:
    plt.rcParams.update({
        "figure.facecolor": "none", "axes.facecolor": "none", "savefig.facecolor": "none", "svg.fonttype": "none",
        "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": INK, "xtick.color": INK, "ytick.color": INK,
        "axes.spines.top": False, "axes.spines.right": False, "font.size": 9, "svg.hashsalt": "kvlab"})


def save(figure, out: Path, name: str) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for ending, metadata in (("svg", {"Date": None}), ("png", {})):  # without a date, the same report gives the same file
        path = out / f"{name}.{ending}"
        figure.savefig(path, dpi=150, bbox_inches="tight", metadata=metadata)
        print(path)


def caption(report: dict) -> str:
    machine = report["machine"]
    text = f"{machine['processor']}, {machine['cores']} cores, {report['date'][:10]}, commit {report['kvlab']['commit']}"
    if (machine.get("cores_taken_by_others") or 0) > 0.1:
        text += "; THE MACHINE WAS BUSY"
    missing = [name for name, peer in report["peers"].items() if "missing" in peer]
    return text + (f"; missing, not raced: {', '.join(missing)}" if missing else "")


def draw_peers(plt, report: dict, out: Path) -> None:
    """One bar a race: how many times faster, on a logarithmic axis, with the quartiles of the rounds."""
    raced = [r for r in report["results"] if "ratio" in r]
    if not raced:
        sys.exit("plot: this report holds no race against a peer")
    counts = sorted({r["threads"] for r in raced})
    figure, axes = plt.subplots(1, len(counts), squeeze=False, sharex=True,
                                figsize=(5.5 * len(counts), 1.2 + 0.24 * max(sum(r["threads"] == t for r in raced) for t in counts)))
    for axis, threads in zip(axes[0], counts, strict=True):
        rows = [r for r in raced if r["threads"] == threads][::-1]
        ratios = [r["ratio"] for r in rows]
        # The median of the rounds' ratios need not be the ratio of the medians: a whisker never points inwards.
        low = [max(0.0, r["ratio"] - r["ratio_low"]) for r in rows]
        high = [max(0.0, r["ratio_high"] - r["ratio"]) for r in rows]
        places = range(len(rows))
        axis.barh(places, [ratio - 1 for ratio in ratios], left=1, color=[PEERS[r["peer"]] for r in rows], height=0.7)
        axis.errorbar(ratios, places, xerr=[low, high], fmt="none", ecolor=INK, elinewidth=1)
        for place, ratio, more in zip(places, ratios, high, strict=True):
            axis.annotate(f" {ratio:.2f}" if ratio < 10 else f" {ratio:.0f}", (max(ratio + more, 1), place), va="center",
                          fontsize=7, xytext=(3, 0), textcoords="offset points")
        axis.set_yticks(places, [r["row"] for r in rows], fontsize=7)
        axis.set_xscale("log")
        axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axis.axvline(1, color=OURS, linewidth=1.5)
        axis.set_title(f"{threads} thread{'s' if threads > 1 else ''}", color=INK)
        axis.set_xlabel("tokens/s of kvlab over the peer's (1: equal)")
    present = [name for name in PEERS if any(r["peer"] == name for r in raced)]
    handles = [plt.Rectangle((0, 0), 1, 1, color=PEERS[name]) for name in present]
    figure.legend(handles, [f"against {name}" for name in present], loc="upper right", frameon=False, labelcolor=INK, ncols=len(present),
                  bbox_to_anchor=(1, 1.06))
    figure.text(0, -0.02, caption(report), fontsize=7)
    figure.tight_layout()
    save(figure, out, "peers")


PICTURES = {"peers": (draw_peers, "compare_peers", "build/peers.json")}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", choices=PICTURES)
    parser.add_argument("report", type=Path, nargs="?", help="the JSON file (default: where the experiment writes it)")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "pictures", help="folder (default: build/pictures)")
    args = parser.parse_args()
    draw, experiment, default = PICTURES[args.picture]
    path = args.report or ROOT / default
    try:
        report = json.loads(path.read_text())
    except (OSError, ValueError) as problem:
        print(f"plot: {path}: {problem}", file=sys.stderr)
        return 1
    if not isinstance(report, dict) or report.get("experiment") != experiment:
        print(f"plot: {path}: expected the report of {experiment}", file=sys.stderr)
        return 1
    try:
        import matplotlib
    except ImportError:
        print("plot: matplotlib is missing; install it with: apt-get install python3-matplotlib", file=sys.stderr)
        return 1
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    style(plt)
    draw(plt, report, args.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
