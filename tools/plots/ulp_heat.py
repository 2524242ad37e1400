"""Where two runs differ: the largest distance in ulp of every operator in every step."""
from __future__ import annotations

from . import style

NEEDS = ("step03_kvcache diverge",)
SHOWS = ["largest distance, ulp", "1 key", "first", "2 345 floats differ"]
NOTHING = "#eef2f5"  # equal bits: off the scale, and clearly so


def draw_run(axes, run: dict, norm, colors) -> object:
    """Operators in the order of a step from top to bottom, steps from left to right."""
    import numpy
    cells = numpy.array(run["max_ulp"], dtype=float).T  # [labels, steps]
    image = axes.imshow(numpy.ma.masked_equal(cells, 0), aspect="auto", norm=norm, cmap=colors, interpolation="nearest",
                        extent=(0.5, cells.shape[1] + 0.5, cells.shape[0] - 0.5, -0.5))
    axes.set_facecolor(NOTHING)
    if run["first"]:
        first = run["first"]
        name = first["op"] if first["layer"] < 0 else f"{first['layer']} {first['op']}"
        if name in run["labels"]:
            axes.plot(first["step"] + 1, run["labels"].index(name), "s", markersize=7, markerfacecolor="none", markeredgecolor=style.INK)
            style.label(axes, first["step"] + 1, run["labels"].index(name), "first", dx=8, fontsize=8, bbox={"facecolor": "white", "edgecolor": "none", "pad": 1})
    axes.set_title(f"{style.SWITCHES.get(run['switch'], run['switch'])}\n{run['differ']:,} floats differ".replace(",", " "), fontsize=8)
    axes.set_xlabel("step")
    axes.grid(visible=False)
    return image


def draw(reports: dict[str, list[dict]], figure) -> None:
    from matplotlib import colormaps
    from matplotlib.colors import LogNorm
    report = style.one(reports, NEEDS[0])
    # At 800 pixels four are beside each other; those without a difference are empty.
    runs = [run for run in report["runs"] if run["differ"]][:4] or report["runs"][:1]
    if len({tuple(run["labels"]) for run in runs}) != 1:
        raise style.Unfit("needs runs with the same operators")
    most = max((ulp for run in report["runs"] for row in run["max_ulp"] for ulp in row), default=0)
    labels = runs[0]["labels"]
    every = 1 if len(labels) <= 40 else -(-len(labels) // 40)
    style.height(figure, 150 + 14 * min(len(labels), 48))
    style.machine(figure, reports, report["model"])
    many = figure.subplots(1, len(runs), sharey=True, squeeze=False)[0]
    colors = colormaps["viridis_r"]
    for axes, run in zip(many, runs):
        image = draw_run(axes, run, LogNorm(1, max(most, 10)), colors)
    many[0].set_yticks(range(0, len(labels), every), labels[::every], fontsize=8)
    many[0].set_ylabel("operator, in the order of a step")
    bar = figure.colorbar(image, ax=list(many), fraction=0.05, pad=0.02)
    bar.set_label("largest distance, ulp")
    bar.ax.annotate("0", (0.5, 0), xycoords="axes fraction", xytext=(0, -14), textcoords="offset points", ha="center", va="center",
                    bbox={"facecolor": NOTHING, "edgecolor": style.GREY, "linewidth": 0.6, "boxstyle": "square,pad=0.35"}, fontsize=8)
