"""Chapter 7: what each request does in each step of a batch: it waits, is fed, decodes, is preempted."""
from __future__ import annotations

import sys
from pathlib import Path

from . import style
from .serve_pages_over_time import TAG, runs

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "viewer"))  # what reads a schedule, and follows its requests

from lines import Malformed  # noqa: E402
from schedule_file import Schedule  # noqa: E402

NEEDS = ("step07_serving record",)
SHOWS = ["step", "request", "prefill", "preempted", "tokens from pages of another text", "guesses"]
STATES = {"waiting": ("#e9e9e9", "waits"), "prefill": (style.ORANGE, "prefill, and its tokens"), "again": ("#8f6200", "prefill again"),
          "decode": (style.GREEN, "decode"), "idle": ("#cfeee3", "runs without tokens"), "preempted": (style.VERMILION, "preempted"),
          "swapped": (style.PURPLE, "swapped out")}
RIGHT, WRONG = style.BLUE, "#ffffff"
HIGH = 0.8


def draw_request(axes, request: int, schedule: Schedule) -> None:
    steps, states = schedule.report["steps"], [now[request] for now in schedule.states]
    parts = [next((part for part in step["parts"] if part["request"] == request), None) for step in steps]
    for first, end in runs(states):
        if states[first] not in STATES:
            continue
        axes.barh(request, end - first, HIGH, left=first, color=STATES[states[first]][0])
        if states[first] in ("prefill", "again"):
            axes.text(first + 0.3, request - 0.08, str(sum(part["fed"] for part in parts[first:end])), **{**TAG, "fontsize": 6.5})
    for number, part in enumerate(parts):
        if part and part["drafted"]:  # below, as far across as they were right
            right = part["accepted"] / part["drafted"]
            for left, width, color in ((0, right, RIGHT), (right, 1 - right, WRONG)):
                axes.barh(request + HIGH / 2, width, -HIGH * 0.3, left=number + left, align="edge", color=color)


def draw_events(axes, schedule: Schedule) -> None:
    marks = {"hit": ("v", style.INK), "ended": ("|", style.INK), "cancelled": ("x", style.INK)}
    for number, step in enumerate(schedule.report["steps"]):
        for event in step["events"]:
            kind = "hit" if event["kind"] in ("admitted", "resumed") and event["count"] else event["kind"]
            if kind in marks:
                place = {"hit": number + 0.5, "ended": number + 1, "cancelled": number + 0.5}[kind]
                high = event["request"] - (HIGH / 2 + 0.08 if kind == "hit" else 0)
                axes.plot(place, high, marks[kind][0], color=marks[kind][1], markersize={"hit": 5, "ended": 13, "cancelled": 7}[kind], clip_on=False)


def key(axes, schedule: Schedule) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch
    seen = {state for now in schedule.states for state in now}
    handles = [Patch(color=color, label=label) for state, (color, label) in STATES.items() if state in seen]
    handles += [Patch(color=RIGHT, label="guesses, as far as they were right"), Line2D([], [], color=style.INK, marker="v", linestyle="", label="tokens from pages of another text"),
                Line2D([], [], color=style.INK, marker="|", markersize=11, linestyle="", label="ended"), Line2D([], [], color=style.INK, marker="x", linestyle="", label="cancelled")]
    axes.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=4, fontsize=8, frameon=False)


def draw(reports: dict[str, list[dict]], figure) -> None:
    try:
        schedule = Schedule(style.one(reports, NEEDS[0]))
    except Malformed as problem:
        raise style.Unfit(str(problem)) from None
    count, steps = len(schedule.requests), len(schedule.states)
    if count > 60:
        raise style.Unfit("a picture has room for at most 60 requests")
    style.height(figure, 190 + 24 * count)
    style.machine(figure, reports, schedule.report["model"])
    axes = figure.subplots()
    for request in range(count):
        draw_request(axes, request, schedule)
    draw_events(axes, schedule)
    key(axes, schedule)
    axes.set_xlim(0, steps)
    axes.set_ylim(count - 0.4, -0.7)
    axes.set_yticks(range(count))
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("step")
    axes.set_ylabel("request")
