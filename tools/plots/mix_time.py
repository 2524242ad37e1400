"""Chapter 8: the time of a token by the tokens before it, in three groups of models, with full attention in each of them."""
from __future__ import annotations

from . import style

NEEDS = ("step08_architectures clock",)
SHOWS = ["time of a token, ms", "tokens before", "full attention (gqa)", "mamba", "rows of all tokens", "not there: mqa, gqa4"]
BESIDE = "gqa"
GROUPS = {"rows of all tokens": ("heads", "latent", "across layers"), "fewer tokens": ("patterns", "chosen tokens"), "states, and hybrids": ("linear", "states", "hybrids")}
DASHES = ("-", "--", ":", "-.", (0, (5, 1)))


def lines_of(report: dict) -> dict[str, list[dict]]:
    """The rows of each model, by length."""
    found: dict[str, list[dict]] = {}
    for row in sorted(report["rows"], key=lambda row: row["length"]):
        found.setdefault(row["model"], []).append(row)
    if BESIDE not in found:
        raise style.Unfit(f"needs {BESIDE} in the same run")
    lengths = [row["length"] for row in found[BESIDE]]
    if len(lengths) < 2:
        raise style.Unfit("needs two lengths: clock --lengths")
    for model, rows in found.items():
        if [row["length"] for row in rows] != lengths:
            raise style.Unfit(f"{model} was not timed at every length")
    return found


def absent(models) -> str:
    """The known models that a report has not, as a line of the corner."""
    names = [name for name in style.MIXERS if name not in models]
    return f"not there: {', '.join(names)}\n" if names else ""


def draw_panel(axes, title: str, families: tuple, lines: dict[str, list[dict]], value) -> list[tuple[float, str, str]]:
    """Returns the names at the lines' ends."""
    ends, dashes = [], {}
    for model, rows in lines.items():
        family = style.MIXERS.get(model)
        color = style.family_color(model)
        if model != BESIDE and family not in families:
            continue
        if model == BESIDE:
            dash, width = "-", 2.6
        else:
            dash, width = DASHES[dashes.setdefault(family, 0) % len(DASHES)], 1.4
            dashes[family] += 1
        axes.plot([row["length"] for row in rows], [value(row) for row in rows], linestyle=dash, marker="o", markersize=3.5, color=color, linewidth=width)
        ends.append((value(rows[-1]), "full attention (gqa)" if model == BESIDE else model, color if color not in (style.SKY, style.ORANGE) else style.INK))
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    lengths = [row["length"] for row in lines[BESIDE]]
    style.at_ticks(axes.xaxis, lengths)
    style.plain_ticks(axes.yaxis)
    axes.set_xlim(lengths[0] * 0.93, lengths[-1])
    axes.set_title(title)
    return ends


def draw_panels(reports: dict[str, list[dict]], figure, value, what: str) -> None:
    report = style.one(reports, NEEDS[0])
    lines = lines_of(report)
    every = style.stacked(figure, len(GROUPS), 235)
    style.machine(figure, reports, absent(lines) + report["engine"])
    ends = []
    for axes, (title, families) in zip(every, GROUPS.items()):
        ends.append(draw_panel(axes, title, families, lines, value))
        axes.set_ylabel(what, fontsize=9)
    low, high = min(axes.get_ylim()[0] for axes in every), max(axes.get_ylim()[1] for axes in every)
    for axes, names in zip(every, ends):
        axes.set_ylim(low, high)
        style.end_labels(axes, names, gap=0.085)
    every[-1].set_xlabel("tokens before")


def draw(reports: dict[str, list[dict]], figure) -> None:
    draw_panels(reports, figure, lambda row: 1e3 * row["seconds"]["median"], "time of a token, ms")
