"""D3: what fills the memory of a 7B model in FP16: weights, cache, activations, by context and batch."""
from __future__ import annotations

from . import style

NEEDS = ("step03_kvcache memory",)
SHOWS = ["weights", "78.04 GB, of which cache 64", "memory, GB"]
SAME_EVERYWHERE = True
GB = 1 << 30
ACTIVATIONS = 1.0  # GB, the round figure that the experiment adds


def draw(reports: dict[str, list[dict]], figure) -> None:
    report = reports[NEEDS[0]][0]
    rows = report["memory_at_7b"][::-1]
    style.corner(figure, "by formula: 32 layers, width 4096, MHA, 2 bytes a number; 1 GB = 2^30 bytes; activations: a round figure")
    axes = figure.subplots()
    places = range(len(rows))
    weights = [row["weight_bytes"] / GB for row in rows]
    cache = [row["mha_bytes"] / GB for row in rows]
    starts = [w + c for w, c in zip(weights, cache)]
    axes.barh(places, weights, color=style.GREY, height=0.65)
    axes.barh(places, cache, left=weights, color=style.BLUE, height=0.65)
    axes.barh(places, [ACTIVATIONS] * len(rows), left=starts, color=style.ORANGE, height=0.65)
    for place, start, own in zip(places, starts, cache):
        style.label(axes, start + ACTIVATIONS, place, f"{start + ACTIVATIONS:.2f} GB, of which cache {own:g}")
    for at, text, color in ((0.97, f"weights, {weights[0]:.2f} GB", style.GREY), (0.91, "cache", style.BLUE),
                            (0.85, f"activations, about {ACTIVATIONS:g} GB", style.ORANGE)):
        axes.text(0.99, at, text, color=color, fontweight="bold", fontsize=9, va="top", ha="right", transform=axes.transAxes)
    axes.set_yticks(places, [f"{row['context']:,} tokens".replace(",", " ") + (f", batch {row['batch']}" if row["batch"] > 1 else "") for row in rows])
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.set_xlim(0, max(starts) * 1.45)
    axes.set_xlabel("memory, GB")
    axes.grid(axis="y", visible=False)
