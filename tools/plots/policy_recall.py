"""Chapter 5: right answers by the distance of what is asked for, the question outside and inside of what is compressed."""
from __future__ import annotations

from . import style

NEEDS = ("step05_policies needle",)
SHOWS = ["question outside", "compressed with the text", "100", "37", "2 questions", "budget 64 tokens, 30 questions"]


def draw(reports: dict[str, list[dict]], figure) -> None:
    report = style.one(reports, NEEDS[0])
    rows = report["policies"]
    distances = sorted(rows[0]["outside"], key=int)
    style.height(figure, 110 + 21 * len(rows))
    style.machine(figure, reports, f"{style.short_name(report['model'])}, budget {report['budget']} tokens, {report['cases']} questions")
    every = figure.subplots(1, 3, sharey=True, gridspec_kw={"width_ratios": [len(distances), len(distances), 2.4]})
    two = [[row["first"], row["second"]] if row["asked_two"] else [None, None] for row in rows]
    tables = [[[row[where][distance] for distance in distances] for row in rows] for where in ("outside", "inside")] + [two]
    for axes, table in zip(every, tables):
        shade = [[-0.1 if cell is None else cell for cell in line] for line in table]
        axes.imshow(shade, cmap="Blues", vmin=0, vmax=1.15, aspect="auto")
        for y, line in enumerate(table):
            for x, cell in enumerate(line):
                if cell is not None:
                    # In hundredths, so that a cell has room for it.
                    axes.text(x, y, f"{100 * cell:.0f}", ha="center", va="center", fontsize=7, color="white" if cell > 0.6 else style.INK)
        axes.grid(visible=False)
        axes.tick_params(length=0)
    for axes, title in zip(every, ("question outside of what is compressed", "inside: compressed with the text")):
        axes.set_xticks(range(len(distances)), distances, fontsize=7)
        axes.set_title(title, fontsize=9)
        axes.set_xlabel("distance, tokens; right answers in %")
    every[2].set_xticks([0, 1], ["first", "second"], fontsize=7)
    every[2].set_title("2 questions", fontsize=9)
    every[0].set_yticks(range(len(rows)), [row["policy"] for row in rows])
