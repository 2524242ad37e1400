"""Chapter 6: how far a quantised cache moves the next-token distribution, by the bits of a number that the positions see."""
from __future__ import annotations

from . import style

NEEDS = ("step06_quant kv",)
SHOWS = ["bits that the positions see of a number", "deep, two channels x20, rotated", "kivi2", "SmolLM2-135M: 8 x 512 tokens, relative to its Q4_1 values"]
# Formats that the chapter's table does not have; all others are drawn, new ones too.
LEFT_OUT = ("f32", "f16", "bf16", "e4m3", "e5m2", "turbo4", "turbo3", "turbo2")
# Formats of one kind are joined by a line and told apart by their bits.
KINDS = (("lloyd2", "lloyd3", "lloyd4"), ("turbo2-mse", "turbo3-mse", "turbo4-mse"), ("kivi2", "kivi4"))
SIZE = 8  # of a label, in points


def rows_of(report: dict) -> list[dict]:
    return [row for row in report["rows"] if row["of"] == "both" and row["format"] not in LEFT_OUT and row["mean_kl"] > 0]


def title(report: dict) -> str:
    more = [text for key, text in (("inject", "two channels x20"), ("rotate", "rotated"), ("before_rope", "keys before RoPE")) if report[key]]
    if report["sinks"] > 0:
        more.append(f"{report['sinks']} sinks in f32")
    return style.short_name(report["model"]) + (", " + ", ".join(more) if more else "")


def color_of(name: str) -> str:
    return style.CODES[next((kind[-1] for kind in KINDS if name in kind), name)][0]


def joined(rows: list[dict]) -> list[tuple[str, list[tuple[float, float]]]]:
    """The lines: of each kind its last name, and the points of those of its formats that are there."""
    found = {row["format"]: (row["bits"], row["mean_kl"]) for row in rows}
    lines = [(kind[-1], [found[name] for name in kind if name in found]) for kind in KINDS]
    return [line for line in lines if len(line[1]) > 1]


def draw_panel(axes, rows: list[dict]) -> None:
    for name, points in joined(rows):
        axes.plot(*zip(*points), color=color_of(name), linewidth=0.9, alpha=0.55, zorder=2)
    for row in rows:
        color = color_of(row["format"])
        axes.plot([row["bits"]], [row["mean_kl"]], "o", color=color, markersize=6, zorder=3)
        style.deviation(axes, row["bits"], row, color)


def overlap(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    """The area that two boxes (left, low, right, high) share."""
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))


def along(ends: list[tuple[float, float]]) -> list[tuple[float, ...]]:
    """Small boxes on a line through these places."""
    places = [(x + (u - x) * i / 30, y + (v - y) * i / 30) for (x, y), (u, v) in zip(ends, ends[1:]) for i in range(31)]
    return [(x - 2, y - 2, x + 2, y + 2) for x, y in places]


def place_labels(axes, rows: list[dict], dpi: float) -> None:
    """Beside each point where it hides no other label, no point and no line; when the layout is final."""
    point = dpi / 72
    points = {row["format"]: (row["bits"], row["mean_kl"]) for row in rows}
    # In whole pixels: the last bits of a layout are not the same every time.
    places = {name: tuple(map(round, axes.transData.transform(at))) for name, at in points.items()}
    inside = axes.get_window_extent()
    taken = [(x - 4 * point, y - 4 * point, x + 4 * point, y + 4 * point) for x, y in places.values()]
    taken += [box for _, line in joined(rows) for box in along([tuple(map(round, axes.transData.transform(at))) for at in line])]
    labels: list[tuple[float, ...]] = []
    for name, (x, y) in sorted(places.items(), key=lambda one: (-one[1][1], one[0])):
        wide, high = 0.62 * SIZE * len(name) * point, 1.1 * SIZE * point
        best = None
        for effort, (side, up) in enumerate((side, up) for up in (0, 7, -7, 14, -14, 22, -22, 30, -30, 40, -40) for side in (1, -1)):
            left = x + 7 * point if side > 0 else x - 7 * point - wide
            box = (left, y + up * point - high / 2, left + wide, y + up * point + high / 2)
            outside = wide * high - overlap(box, (inside.x0, inside.y0, inside.x1, inside.y1))
            leader = along([((box[0] + box[2]) / 2, (box[1] + box[3]) / 2), (x, y)]) if abs(up) > 7 else []
            cost = outside + sum(overlap(box, other) for other in taken) + sum(overlap(a, b) for a in leader for b in labels) + 0.01 * effort
            if best is None or cost < best[0]:
                best = cost, side, up, box
        taken.append(best[3])
        labels.append(best[3])
        far = {"arrowprops": {"arrowstyle": "-", "color": style.GREY, "linewidth": 0.5, "shrinkA": 0, "shrinkB": 3}} if abs(best[2]) > 7 else {}
        style.label(axes, *points[name], name, color_of(name), dx=7 * best[1], dy=best[2], fontsize=SIZE, **far)


def draw(reports: dict[str, list[dict]], figure) -> None:
    found = reports[NEEDS[0]]
    lines = (len(found) + 1) // 2
    style.height(figure, 70 + 300 * lines)
    texts = dict.fromkeys(style.text_note(report) for report in found)
    style.machine(figure, reports, "; ".join(texts))
    every = list(figure.subplots(lines, 2, squeeze=False, sharex=True, sharey=True).flat)
    values = [[row["mean_kl"] for row in rows_of(report)] for report in found]
    least, most = min(map(style.above_zero, values)), max(map(max, values))
    for spare in every[len(found):]:
        spare.set_axis_off()
    for axes in every[:len(found)]:
        axes.set_xscale("log", base=2)
        axes.set_xlim(2.2, 12)
        style.at_ticks(axes.xaxis, (2.5, 3, 4, 5, 6, 8, 10))
        axes.set_yscale("log")
        axes.set_ylim(least * 0.5, most * 2.5)
        axes.tick_params(labelbottom=True)
    for axes, report in zip(every, found):
        draw_panel(axes, rows_of(report))
        axes.set_title(title(report))
    for line in range(lines):
        every[2 * line].set_ylabel("mean KL, bits a token")
    for axes in every[max(0, len(found) - 2):len(found)]:
        axes.set_xlabel("bits that the positions see of a number")
    # Labels need the final places. Those of a second layout differ in their last bits from run to run, so there is none.
    figure.draw_without_rendering()
    for axes in every:
        axes.set_position([round(part, 4) for part in axes.get_position().bounds])
    figure.set_layout_engine("none")
    for axes, report in zip(every, found):
        place_labels(axes, rows_of(report), figure.dpi)
