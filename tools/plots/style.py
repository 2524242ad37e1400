"""What all pictures share: size, fonts, colours, labels, and the corner that names the machine."""
from __future__ import annotations

import io
import re
from collections import defaultdict
from pathlib import Path

from .dark import with_dark

# Okabe and Ito's palette, which most colour-blind readers can tell apart; the yellow is too faint on white.
BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY = "#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9"
CYCLE = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)
INK, GREY, FAINT = "#222222", "#6b6b6b", "#d9d9d9"
# The same thing has the same colour in every picture.
WITH, WITHOUT = BLUE, VERMILION
FORMATS = {"f32": BLUE, "f16": GREEN, "int8": ORANGE, "none": VERMILION}
FORMAT_LABELS = {"f32": "cache, f32", "f16": "cache, f16", "int8": "cache, int8", "none": "no cache"}

# The switches of diverge, in words; another one stands for itself.
SWITCHES = {"none": "the contract kept", "order": "sums in another order", "contraction": "no fma", "f16": "sums rounded to f16",
            "split": "attention in pieces"}

# Chapter 5: a policy has its colour and line in every picture; all others look alike.
POLICIES = defaultdict(lambda: (INK, "-."), {
    "window": (BLUE, "-"), "sinks": (SKY, "-"), "sinks-relative": (SKY, "--"), "h2o": (VERMILION, "-"), "tova": (ORANGE, "-"),
    "snapkv": (GREEN, "-"), "pyramidkv": (GREEN, "--"), "scissorhands": (PURPLE, "-"), "quest": (PURPLE, "--"),
    "expected-attention": (VERMILION, "--"), "adakv-snapkv": (GREEN, ":"), "duo": (BLUE, "--"), "indexer": (PURPLE, ":"), "kvzip": (VERMILION, ":"),
    "minicache": (ORANGE, "--"), "key-norm": (GREY, "--"), "random": (GREY, "-"), "oracle": (INK, "-"), "full": (INK, ":")})

# Chapter 6: a format of the cache has its colour and line in every picture; all others look alike.
CODES = defaultdict(lambda: (INK, "-."), {
    "f32": (BLUE, "-"), "f16": (GREEN, "-"), "bf16": (GREEN, "--"), "e4m3": (PURPLE, "-"), "e5m2": (PURPLE, "--"), "int8": (ORANGE, "-"),
    "q8_0": (ORANGE, "--"), "q4_0": (SKY, "-"), "q4_1": (SKY, "--"), "lloyd4": (GREY, "-"), "lloyd3": (GREY, "--"), "lloyd2": (GREY, ":"),
    "turbo4": (INK, "-"), "turbo3": (INK, "--"), "turbo2": (INK, ":"), "turbo4-mse": (PURPLE, "-."), "turbo3-mse": (PURPLE, ":"),
    "turbo2-mse": (GREEN, ":"),
    "kivi4": (VERMILION, "-"), "kivi2": (VERMILION, "--")})

# Chapter 8: a model has the colour of its family in every picture.
FAMILIES = {"heads": BLUE, "latent": SKY, "across layers": GREY, "patterns": ORANGE, "chosen tokens": PURPLE, "linear": VERMILION, "states": GREEN, "hybrids": INK}
MIXERS = {**dict.fromkeys(("mha", "gqa", "mqa", "gqa4"), "heads"), "mla": "latent", **dict.fromkeys(("cla", "yoco"), "across layers"),
          **dict.fromkeys(("local", "strided", "dilated", "bigbird", "alternating"), "patterns"), **dict.fromkeys(("lsh", "indexed"), "chosen tokens"),
          **dict.fromkeys(("linear", "delta"), "linear"), **dict.fromkeys(("s4d", "mamba", "rwkv"), "states"), **dict.fromkeys(("jamba", "samba"), "hybrids")}

WIDTH = 800 / 96  # inches: an SVG that browsers show 800 pixels wide, and a PNG of as many at 96 dpi
MB = 1 << 20


class Unfit(Exception):
    """A report that is of the right kind, but cannot be drawn: one line that says why."""


class NotYet(Unfit):
    """What is to be drawn is not there yet, and nothing is wrong: tools/experiments.py names the picture as left out."""


def new_figure():
    import matplotlib
    from matplotlib.figure import Figure
    matplotlib.rcParams.update({
        "figure.facecolor": "white", "axes.facecolor": "white", "savefig.facecolor": "white", "figure.dpi": 96,
        "svg.fonttype": "none", "svg.hashsalt": "kvlab",  # text stays text; the same report gives the same file
        "font.family": ["DejaVu Sans", "sans-serif"], "font.size": 10, "axes.labelsize": 10, "axes.titlesize": 10,
        "xtick.labelsize": 9, "ytick.labelsize": 9, "lines.linewidth": 1.8, "lines.markersize": 5,
        "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": GREY, "xtick.color": GREY, "ytick.color": GREY,
        "xtick.labelcolor": INK, "ytick.labelcolor": INK, "axes.titlelocation": "left", "axes.titlecolor": INK,
        "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.color": FAINT,
        "grid.linewidth": 0.6, "axes.axisbelow": True})
    return Figure(figsize=(WIDTH, 4.2), layout="constrained")


def height(figure, pixels: float) -> None:
    figure.set_size_inches(WIDTH, pixels / 96)


def save(figure, out: Path) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.suffix == ".svg":
        text = io.StringIO()
        figure.savefig(text, format="svg", dpi=96, metadata={"Date": None})  # without a date, the same report gives the same file
        out.write_text(with_dark(numbered_clips(short_numbers(text.getvalue()))), encoding="utf-8")
    else:
        figure.savefig(out, dpi=96)


def short_numbers(svg: str) -> str:
    """The SVG with four decimals in its tags: matplotlib's sixth depends on where the layout's unknowns happened to lie in memory."""
    return re.sub(r"<[^>]+>", lambda tag: re.sub(r"\d+\.\d{5,}", lambda number: f"{float(number[0]):.4f}", tag[0]), svg)


def numbered_clips(svg: str) -> str:
    """The SVG with its clip paths numbered. Matplotlib names one by a hash of its corners, whose last bit depends on where the
    layout's unknowns happened to lie in memory."""
    found = re.findall(r'<clipPath id="(p[0-9a-f]+)">', svg)
    numbers = {name: f"clip{i}" for i, name in enumerate(found)}
    return re.sub(r'(id="|url\(#)(p[0-9a-f]+)(?="|\))', lambda match: match[1] + numbers.get(match[2], match[2]), svg)


def corner(figure, text: str) -> None:
    """A small line at the bottom right, or some; the axes keep clear of them."""
    room = (20 + 12 * text.count("\n")) / 96 / figure.get_figheight()
    figure.get_layout_engine().set(rect=(0, room, 1, 1 - room))
    figure.text(0.995, 4 / 96 / figure.get_figheight(), text, ha="right", va="bottom", fontsize=7, color=GREY)


def machine_note(reports: dict[str, list[dict]], note: str = "") -> str:
    """The machine and the compiler of all reports, and what was measured."""
    every = [report for group in reports.values() for report in group]
    seen = dict.fromkeys(f"{report['processor']}, {report['compiler']}" for report in every)
    return " / ".join([*([note] if note else []), *seen])


def machine(figure, reports: dict[str, list[dict]], note: str = "") -> None:
    corner(figure, machine_note(reports, note))


def short_name(model: str) -> str:
    """kvlab-tiny: tiny; Smollm2 135M 8k ...: SmolLM2-135M."""
    return "SmolLM2-135M" if model.lower().startswith("smollm2 135m") else model.removeprefix("kvlab-")


def stacked(figure, count: int, pixels: int) -> list:
    """Axes below each other, each as many pixels high."""
    height(figure, 40 + pixels * count)
    return list(figure.subplots(count, 1, squeeze=False)[:, 0])


def text_note(report: dict) -> str:
    """tiny: 8 x 512 tokens; of a file of rounded numbers also what all is relative to."""
    source = report["source_type"]
    relative = f", relative to its {source.upper()} values" if source.lower().startswith("q") else ""
    return f"{short_name(report['model'])}: {report['windows']} x {report['window']} tokens{relative}"


def above_zero(values) -> float:
    """The least positive one, for a logarithmic axis; an exact 0 has no place there."""
    positive = [value for value in values if value > 0]
    if not positive:
        raise Unfit("nothing differs from the model itself")
    return min(positive)


def one(reports: dict[str, list[dict]], experiment: str) -> dict:
    found = reports[experiment]
    if len(found) > 1:
        raise Unfit(f"one report of '{experiment}' is enough, found {len(found)}")
    return found[0]


def panels(figure, bars: list[int], note: str, key: int = 4) -> tuple[list, object]:
    """Two columns of axes with as many horizontal bars each, all of one height, and empty axes behind them for a key as high as
    `key` bars; `note` into the corner."""
    lines = len(bars) // 2 + 1
    most = [max([*bars[2 * line:2 * line + 2], key if line == lines - 1 else 0]) for line in range(lines)]
    height(figure, 50 + sum(50 + 22 * count for count in most))
    corner(figure, note)
    every = list(figure.subplots(lines, 2, squeeze=False, gridspec_kw={"height_ratios": most}).flat)
    for spare in every[len(bars):]:
        spare.set_axis_off()
    for i, (axes, count) in enumerate(zip(every, bars)):
        axes.set_ylim(count - most[i // 2] - 0.6, count - 0.4)
        axes.grid(axis="y", visible=False)
    return every[:len(bars)], every[len(bars)]


def label(axes, x: float, y: float, text: str, color: str = INK, dx: float = 6, dy: float = 0, **more) -> None:
    """Text beside a point, dx and dy in points."""
    axes.annotate(text, (x, y), xytext=(dx, dy), textcoords="offset points", color=color,
                  **{"va": "center", "ha": "left" if dx >= 0 else "right", "fontsize": 9, **more})


def end_labels(axes, ends: list[tuple[float, str, str]], gap: float = 0.075) -> None:
    """Names lines at their right end instead of in a legend: (y of the end, text, colour). Moved apart by `gap` of the
    axes' height where they would overlap; call it when the limits are final."""
    places = sorted((axes.transAxes.inverted().transform(axes.transData.transform((axes.get_xlim()[1], y)))[1], text, color)
                    for y, text, color in ends)
    heights: list[float] = []
    for place, _, _ in places:
        heights.append(max(place, heights[-1] + gap) if heights else place)
    over = (heights[-1] - 1.0) if heights else 0.0  # above the axes: all that push it move down
    for i in range(len(heights) - 1, -1, -1):
        limit = heights[i + 1] - gap if i + 1 < len(heights) else 1.0 if over > 0 else heights[i]
        heights[i] = min(heights[i], limit)
    for (_, text, color), at in zip(places, heights, strict=True):
        axes.annotate(text, (1, at), xycoords="axes fraction", xytext=(5, 0), textcoords="offset points", color=color, va="center", fontsize=9)


def plain_ticks(axis) -> None:
    """100 and 1000 instead of powers of ten."""
    axis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.set_minor_formatter(lambda *_: "")


def at_ticks(axis, places) -> None:
    """Ticks at these places and nowhere else, also on a logarithmic axis."""
    axis.set_ticks(list(places), [f"{place:g}" for place in places])
    axis.set_minor_locator(null_locator())


def null_locator():
    from matplotlib.ticker import NullLocator
    return NullLocator()


def family_color(model: str) -> str:
    """Of a model of chapter 8."""
    if model not in MIXERS:
        raise Unfit(f"{model}: a model of no family; style.py names them")
    return FAMILIES[MIXERS[model]]


def number(value: float) -> str:
    """Three digits that mean something: 0.0123, 4.25, 118, 4.25e+09."""
    return f"{value:.0f}" if 100 <= abs(value) < 1e5 else f"{value:.3g}"


def deviation(axes, x: float, row: dict, color: str) -> None:
    """A thin line from mean KL minus to plus the standard deviation of the windows, where there are several. After the limits are set:
    what would reach below 0 ends where the axis does."""
    around = row.get("mean_kl_deviation", 0)
    if around > 0 and row["mean_kl"] > 0:
        low = row["mean_kl"] - around
        axes.plot([x, x], [low if low > 0 else axes.get_ylim()[0], row["mean_kl"] + around], color=color, linewidth=1.6, alpha=0.3, zorder=1, scalex=False, scaley=False)
