"""Chapter 8: four, two and one KV heads, and a latent, trained on the same text: bytes, time, bits per byte, recall."""
from __future__ import annotations

from . import style
from .mix_recall import with_recall

NEEDS = ("step08_architectures compare",)
SHOWS = ["bytes after 512 tokens", "ms per token", "bits per byte", "right answers, %", "mqa", "98"]
DRAWN = ("mha", "gqa", "mqa", "mla")


def draw(reports: dict[str, list[dict]], figure) -> None:
    report = style.one(reports, NEEDS[0])
    models = [model for model in with_recall(report) if model["model"] in DRAWN]
    if len(models) < 2:
        raise style.NotYet(f"needs two of {', '.join(DRAWN)}")
    style.height(figure, 230)
    left = [name for name in DRAWN if name not in [model["model"] for model in models]]
    style.machine(figure, reports, f"{report['engine']}{', not there: ' + ', '.join(left) if left else ''}")
    titles = {"bytes after 512 tokens": lambda m: m["bytes_512"], "ms per token": lambda m: m["ms_per_token"],
              "bits per byte": lambda m: m["bits_per_byte"], "right answers, %": lambda m: 100 * m["recall_mean"]}
    every = figure.subplots(1, len(titles), sharey=True)
    for axes, (title, value) in zip(every, titles.items()):
        values = [value(model) for model in models]
        axes.barh(range(len(models)), values, color=[style.family_color(model["model"]) for model in models])
        for place, x in enumerate(values):
            style.label(axes, x, place, f"{x:d}" if isinstance(x, int) else style.number(x), dx=3, fontsize=8)
        axes.set_xlim(0, 1.45 * max(*values, 1e-9))
        axes.set_title(title, fontsize=9)
        axes.set_xticks([])
        axes.grid(visible=False)
    every[0].set_yticks(range(len(models)), [model["model"] for model in models])
    every[0].set_ylim(len(models) - 0.5, -0.5)
