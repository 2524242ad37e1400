"""D6: the cache against the weights of a 7B model: the context at which it outgrows them."""
from __future__ import annotations

from . import style

NEEDS = ("step03_kvcache memory",)
SHOWS = ["26 703", "GQA: 8", "cache / weights"]
SAME_EVERYWHERE = True
HEADS = {"MHA": ("mha_bytes", "MHA: 32 KV heads", style.VERMILION), "GQA": ("gqa_bytes", "GQA: 8", style.BLUE),
         "MQA": ("mqa_bytes", "MQA: 1", style.GREEN)}


def draw(reports: dict[str, list[dict]], figure) -> None:
    report = reports[NEEDS[0]][0]
    row = report["memory_at_7b"][0]
    style.corner(figure, "by formula: 7B, 32 layers, heads of 128, FP16, batch 1; with a batch of B every crossing is at 1/B of the context")
    axes = figure.subplots()
    contexts = [2**i for i in range(10, 21)]
    ends = []
    for crossing in report["crossover"]:
        key, text, color = HEADS[crossing["heads"]]
        ratio = [row[key] / (row["context"] * row["batch"]) * context / row["weight_bytes"] for context in contexts]
        axes.plot(contexts, ratio, color=color)
        axes.plot(crossing["context"], 1, "o", color=color)
        style.label(axes, crossing["context"], 1, f"{crossing['context']:,}".replace(",", " "), color, dx=5, dy=-11)
        ends.append((ratio[-1], text, color))
    axes.axhline(1, color=style.INK, linewidth=1)
    style.label(axes, contexts[0], 1, "as large as the weights", dx=2, dy=8)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xlim(contexts[0], contexts[-1])
    axes.set_xticks(contexts[::2], [f"{context // 1024}K" for context in contexts[::2]])
    style.plain_ticks(axes.yaxis)
    axes.set_xlabel("context, tokens")
    axes.set_ylabel("cache / weights")
    style.end_labels(axes, ends)
