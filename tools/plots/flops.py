"""D2: the work of a generation by its length: counted on a real run, and by closed form for a 7B model."""
from __future__ import annotations

from . import style

NEEDS = ("step03_kvcache count",)
SHOWS = ["2275.6", "with the", "tokens generated"]


def tokens_processed(prompt: int, steps: int, cached: bool) -> int:
    """Tokens that pass through the model; the last one that is generated is never fed."""
    return prompt + steps - 1 if cached else (2 * prompt + steps - 1) * steps // 2


def draw_pair(axes, lengths: list[int], without: list[float], cached: list[float], ratio: str) -> None:
    """Both lines with their names at the right end, and the ratio between them."""
    axes.plot(lengths, without, color=style.WITHOUT)
    axes.plot(lengths, cached, color=style.WITH)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(lengths[0] / 1.2, lengths[-1] * 1.3)
    axes.set_ylim(cached[0] / 2, without[-1] * 2)
    style.plain_ticks(axes.xaxis)
    axes.set_xlabel("tokens generated")
    axes.annotate("", (lengths[-1], without[-1]), (lengths[-1], cached[-1]), arrowprops={"arrowstyle": "<->", "color": style.GREY, "shrinkA": 6, "shrinkB": 6})
    style.end_labels(axes, [(without[-1], "without", style.WITHOUT), ((without[-1] * cached[-1])**0.5, ratio, style.INK),
                            (cached[-1], "with the\ncache", style.WITH)])


def draw_counted(axes, reports: list[dict]) -> None:
    reports = sorted(reports, key=lambda report: report["steps"])
    if len({(report["model"], report["prompt"]) for report in reports}) > 1 or len({report["steps"] for report in reports}) < 2:
        raise style.Unfit("needs reports of count of one model and one prompt, and of at least two lengths")

    def flops(run: str, kind: str) -> list[float]:
        return [report[run][kind]["FLOPs"] for report in reports]

    steps = [report["steps"] for report in reports]
    without, cached = flops("uncached", "counted"), flops("cached", "counted")
    draw_pair(axes, steps, flops("uncached", "predicted"), flops("cached", "predicted"), f"{without[-1] / cached[-1]:.0f}\ntimes")
    axes.plot(steps, without, "o", color=style.WITHOUT)
    axes.plot(steps, cached, "o", color=style.WITH)
    axes.set_title(f"{reports[0]['model']}, prompt of {reports[0]['prompt']}\ncounted (points) on the closed form (lines)", fontsize=9)
    axes.set_ylabel("FLOP, the whole generation")


def draw_7b(axes, report: dict) -> None:
    prompt, steps = report["at_7b"]["prompt"], report["at_7b"]["steps"]
    one = next(row["flops"] for row in report["projection_flops_per_token"] if row["kv_heads"] == 32)
    told = next(row for row in report["tokens_processed"] if not row["last_token_fed"])
    if (told["without"], told["with"]) != (tokens_processed(prompt, steps, False), tokens_processed(prompt, steps, True)):
        raise style.Unfit("the closed form of tools/plots/flops.py is not that of the report")
    lengths = [*(2**i for i in range(steps.bit_length()) if 2**i < steps), steps]
    draw_pair(axes, lengths, [one * tokens_processed(prompt, n, False) for n in lengths], [one * tokens_processed(prompt, n, True) for n in lengths],
              f"{told['ratio']:.1f}\ntimes")
    axes.plot([steps, steps], [one * told["without"], one * told["with"]], "o", color=style.INK, markersize=4)
    axes.set_title(f"7B (32 layers, width 4096), prompt of {prompt}\nprojections, by closed form", fontsize=9)
    axes.set_ylabel("FLOP, the projections")


def draw(reports: dict[str, list[dict]], figure) -> None:
    style.machine(figure, reports)
    left, right = figure.subplots(1, 2)
    draw_counted(left, reports[NEEDS[0]])
    draw_7b(right, reports[NEEDS[0]][0])
