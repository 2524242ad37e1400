"""Chapter 6: keys and values in fewer directions: the error of the products and what the model says, by rank."""
from __future__ import annotations

from . import style

NEEDS = ("step06_quant lowrank",)
SHOWS = ["directions kept, of 8", "all directions, f32: at most 7e-13", "W X, latents int8", "values, whitened"]
ERRORS = (("keys", "plain", style.BLUE, "--"), ("keys", "whitened", style.BLUE, "-"), ("values", "plain", style.VERMILION, "--"),
          ("values", "whitened", style.VERMILION, "-"))
QUALITY = (("plain", "f32", style.GREY, "--", "directions of W"), ("whitened", "f32", style.INK, "-", "directions of W X"),
           ("whitened", "int8", style.ORANGE, ":", "W X, latents int8"))

ROUNDING = 1e-9  # all directions in floats differ from the float cache by this little: off the scale, and said


def mean_error(report: dict, side: str, basis: str) -> list[float]:
    """By rank, over the layers."""
    curves = [curve[f"{basis}_error"] for curve in report["curves"] if curve["side"] == side]
    return [sum(values) / len(values) for values in zip(*curves, strict=True)]


def by_rank(report: dict, basis: str, latents: str) -> list[tuple[int, float]]:
    """Of the rows with as many directions of keys as of values."""
    return sorted((int(row["keys"]), row["mean_kl"]) for row in report["rows"]
                  if (row["basis"], row["latents"]) == (basis, latents) and row["keys"] == row["values"] and row["keys"].isdigit())


def rising(report: dict) -> list[tuple[float, float]]:
    """LoRC's rule: more directions in early layers; at the mean of its ends."""
    return [(sum(map(int, row["keys"].split("-"))) / 2, row["mean_kl"]) for row in report["rows"] if "-" in row["keys"]]


def draw(reports: dict[str, list[dict]], figure) -> None:
    found = reports[NEEDS[0]]
    style.height(figure, 60 + 330 * len(found))
    style.machine(figure, reports, "; ".join(style.text_note(report) for report in found))
    every = figure.subplots(len(found), 2, squeeze=False)
    for (left, right), report in zip(every, found):
        size = report["size"]
        for side, basis, color, dash in ERRORS:
            errors = mean_error(report, side, basis)
            left.plot(range(1, size + 1), errors[1:], dash, color=color, label=f"{side}, {basis}")
        left.set_ylabel("relative error of W X, mean of the layers")
        left.legend(fontsize=8, frameon=False)
        left.set_ylim(0)
        ends = []
        for basis, latents, color, dash, name in QUALITY:
            points = [(rank, kl) for rank, kl in by_rank(report, basis, latents) if kl > ROUNDING]
            if points:
                right.plot([rank for rank, _ in points], [kl for _, kl in points], dash, color=color, marker="o", markersize=3.5, label=name)
                ends += [kl for _, kl in points]
        marks = [(rank, kl) for rank, kl in rising(report) if kl > 0]
        if marks:
            right.plot([rank for rank, _ in marks], [kl for _, kl in marks], "x", color=style.GREEN, label="W X, more in early layers")
        if not ends:
            raise style.Unfit("no rank between none and all: lowrank --share")
        right.set_yscale("log")
        right.set_ylim(style.above_zero(ends) * 0.5, max(ends) * 2)
        right.set_ylabel("mean KL, bits a token")
        whole = [kl for basis, latents, *_ in QUALITY for rank, kl in by_rank(report, basis, latents) if kl <= ROUNDING]
        if whole:
            right.text(0.98, 0.97, f"all directions, f32: at most {max(whole):.2g}", transform=right.transAxes, ha="right", va="top", fontsize=8, color=style.GREY)
        right.legend(fontsize=8, frameon=False, loc="lower left")
        for axes in (left, right):
            axes.set_xlim(0, size * 1.02)
            axes.set_title(style.short_name(report["model"]))
            axes.set_xlabel(f"directions kept, of {size}")
