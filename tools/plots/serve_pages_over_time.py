"""Chapter 7: who has which page of the pool, step by step; shared pages have a band for each owner."""
from __future__ import annotations

from . import style

NEEDS = ("step07_serving record",)
SHOWS = ["step", "page of the pool", "bands: shared by these requests", "grey: the prefix index"]
INDEX = -1  # among the owners
HIGH = 0.86  # of a row
TAG = {"va": "center", "fontsize": 7, "bbox": {"facecolor": "white", "edgecolor": "none", "pad": 0.8}}  # readable on every colour


def owner_color(request: int) -> str:
    return style.CYCLE[request % len(style.CYCLE)]


def owners(step: dict, page: int) -> list[int]:
    return [int(request) for request, pages in step["tables"].items() if page in pages] + ([INDEX] if page in step["indexed"] else [])


def runs(values: list) -> list[tuple[int, int]]:
    """First and end of each run of equal values."""
    ends = [i for i in range(1, len(values) + 1) if i == len(values) or values[i] != values[i - 1]]
    return list(zip([0, *ends], ends))


def draw_run(axes, page: int, first: int, end: int, now: list[int]) -> None:
    """The index has a thin band below the requests', unless it is the only one."""
    requests = [owner for owner in now if owner != INDEX]
    top, below = page - HIGH / 2, 0.0 if len(requests) == len(now) else HIGH * (0.22 if requests else 1)
    if below:
        axes.barh(top + HIGH - below, end - first, below, left=first, align="edge", color=style.FAINT)
    for i, request in enumerate(requests):
        tall = (HIGH - below) / len(requests)
        axes.barh(top + i * tall, end - first, tall, left=first, align="edge", color=owner_color(request))
    if len(requests) > 1:
        axes.barh(top, end - first, HIGH, left=first, align="edge", facecolor="none", edgecolor=style.INK, linewidth=1)
    if len(requests) == 1 and end - first > 1:
        axes.text(first + 0.4, page - below / 2, str(requests[0]), **TAG)


def draw(reports: dict[str, list[dict]], figure) -> None:
    report = style.one(reports, NEEDS[0])
    steps, pages = report["steps"], report["pages"]
    if not steps or pages > 100:
        raise style.Unfit("a picture needs a step, and a pool of at most 100 pages")
    style.height(figure, 120 + 22 * pages)
    style.machine(figure, reports, f"{report['model']}: pages of {report['page_slots']} tokens")
    axes = figure.subplots()
    for page in range(pages):
        now = [owners(step, page) for step in steps]
        for first, end in runs(now):
            if now[first]:
                draw_run(axes, page, first, end, now[first])
    axes.set_xlim(0, len(steps))
    axes.set_ylim(pages - 0.4, -0.6)
    axes.set_yticks(range(0, pages, 1 + pages // 30))
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("step")
    axes.set_ylabel("page of the pool")
    axes.set_title("numbers: the request whose page it is; bands: shared by these requests; grey: the prefix index; empty: free", fontsize=9)
