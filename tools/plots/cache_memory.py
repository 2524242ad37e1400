"""R3: bytes that the cache holds by length, with the straight line through them."""
from __future__ import annotations

from . import style

NEEDS = ("step03_kvcache memory",)
SHOWS = ["int8: 9 792 bytes a token", "= 0.0176 MB, r = 1.0000", "cache, MB (2^20 bytes)"]


def fit(x: list[float], y: list[float]) -> tuple[float, float, float]:
    """Least squares: slope, intercept, correlation."""
    n, mean_x, mean_y = len(x), sum(x) / len(x), sum(y) / len(y)
    xx = sum((a - mean_x)**2 for a in x)
    yy = sum((b - mean_y)**2 for b in y)
    xy = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y))
    if n < 2 or xx == 0 or yy == 0:
        raise style.Unfit("a line needs at least two lengths; memory -n takes a list")
    return xy / xx, mean_y - xy / xx * mean_x, xy / (xx * yy)**0.5


def draw(reports: dict[str, list[dict]], figure) -> None:
    found = reports[NEEDS[0]]
    if len({report["model"] for report in found}) > 1:
        raise style.Unfit("the reports of memory must be of one model, with different --cache")
    style.machine(figure, reports, found[0]["model"])
    axes = figure.subplots()
    ends = []
    for report in found:
        color = style.FORMATS[report["cache"]]
        rows = [line["rows"] for line in report["lengths"]]
        held = [line["logical"] / style.MB for line in report["lengths"]]
        slope, start, r = fit(rows, held)
        axes.plot([0, max(rows)], [start, start + slope * max(rows)], color=color, linewidth=1.2)
        axes.plot(rows, held, "o", color=color, clip_on=False)
        text = f"{report['cache']}: {slope * style.MB:,.0f} bytes a token".replace(",", " ")
        ends.append((start + slope * max(rows), f"{text}\n= {slope:.4f} MB, r = {r:.4f}", color))
    axes.set_xlim(0, max(line["rows"] for report in found for line in report["lengths"]))
    axes.set_ylim(0, max(line["logical"] for report in found for line in report["lengths"]) / style.MB * 1.05)
    axes.set_xlabel("tokens held (prompt + generated - 1)")
    axes.set_ylabel("cache, MB (2^20 bytes)")
    style.end_labels(axes, ends, gap=0.13)
