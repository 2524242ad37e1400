"""Chapter 7: how many guesses are right, and what they bring, by how many are made in a step."""
from __future__ import annotations

from . import style

NEEDS = ("step07_serving acceptance",)
SHOWS = ["guesses in a step", "of them right, %", "tokens a step", "look-up", "all right"]
COLORS = (("look-up", style.BLUE), ("first", style.GREEN), ("the same", style.VERMILION))
DASHES = ("-", "--", ":")


def lines(report: dict) -> list[tuple[str, str, str, list[dict]]]:
    """Of each drafter its name, colour, line, and rows by length."""
    found: dict[str, list[dict]] = {}
    for row in report["rows"]:
        found.setdefault(row["drafter"], []).append(row)
    result = []
    for name, rows in found.items():
        color = next((color for start, color in COLORS if name.startswith(start)), style.INK)
        dash = DASHES[sum(line[1] == color for line in result) % len(DASHES)]
        result.append((name, color, dash, sorted(rows, key=lambda row: row["length"])))
    if any(len(rows) < 2 for _, _, _, rows in result):
        raise style.Unfit("needs two draft lengths; acceptance --lengths takes a list")
    return result


def title(report: dict) -> str:
    return f"{style.short_name(report['model'])}, {report['text']}, " + (f"temperature {report['temperature']:g}" if report["temperature"] else "always the likeliest token")


def draw_report(report: dict, right, tokens) -> None:
    ends, lengths = [], sorted({row["length"] for row in report["rows"]})
    for name, color, dash, rows in lines(report):
        x = [row["length"] for row in rows]
        right.plot(x, [100 * row["rate"] for row in rows], dash, marker="o", markersize=3.5, color=color)
        tokens.plot(x, [row["tokens_per_step"] for row in rows], dash, marker="o", markersize=3.5, color=color)
        ends.append((rows[-1]["tokens_per_step"], name, color))
    tokens.plot(lengths, [length + 1 for length in lengths], ":", color=style.GREY, linewidth=1)
    ends.append((lengths[-1] + 1, "all right", style.GREY))
    right.set_ylim(0, 100)
    tokens.set_ylim(1, lengths[-1] + 1)
    for axes in (right, tokens):
        axes.set_xlim(lengths[0] - 0.2, lengths[-1])
        style.at_ticks(axes.xaxis, lengths)
        axes.set_xlabel("guesses in a step")
    right.set_ylabel("of them right, %")
    tokens.set_ylabel("tokens a step")
    right.set_title(title(report), fontsize=9)
    style.end_labels(tokens, ends, gap=0.11)


def draw(reports: dict[str, list[dict]], figure) -> None:
    found = reports[NEEDS[0]]
    if any(not report["equal"] for report in found):
        raise style.Unfit("guesses changed a text: there is nothing to be drawn but a mistake")
    style.height(figure, 30 + 215 * len(found))
    style.machine(figure, reports, f"{found[0]['prompts']} prompts of {found[0]['prompt']} tokens, {found[0]['steps']} tokens each")
    for report, (right, tokens) in zip(found, figure.subplots(len(found), 2, squeeze=False)):
        draw_report(report, right, tokens)
