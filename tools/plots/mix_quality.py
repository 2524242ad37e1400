"""Chapter 8: bits per byte of held-out text, a mark for each model, with the bytes that 512 tokens leave behind."""
from __future__ import annotations

from . import style
from .mix_recall import MARKS, judged
from .mix_time import absent

NEEDS = ("step08_architectures compare",)
SHOWS = ["bits per byte", "2.18; 262144 bytes", "mamba", "not there: "]


def draw(reports: dict[str, list[dict]], figure) -> None:
    report = style.one(reports, NEEDS[0])
    models = judged(report)
    style.height(figure, 80 + 21 * len(models))
    style.machine(figure, reports, absent([model["model"] for model in models]) + f"{report['windows']} x 512 bytes")
    axes = figure.subplots()
    for place, model in enumerate(models):
        family = style.MIXERS.get(model["model"])
        color = style.family_color(model["model"])
        axes.plot([model["bits_per_byte"]], [place], MARKS[family], color=color, markersize=8)
        style.label(axes, model["bits_per_byte"], place, f"{model['bits_per_byte']:.3g}; {model['bytes_512']} bytes", dx=9, fontsize=8)
    bits = [model["bits_per_byte"] for model in models]
    room = max(max(bits) - min(bits), 0.01)
    axes.set_xlim(min(bits) - 0.05 * room, max(bits) + 0.3 * room)
    axes.set_yticks(range(len(models)), [model["model"] for model in models])
    axes.set_ylim(len(models) - 0.5, -0.5)
    axes.set_xlabel("bits per byte; bytes that 512 tokens leave behind (the axis does not begin at 0)")
