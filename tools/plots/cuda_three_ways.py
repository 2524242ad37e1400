"""One kernel file, compiled up to three times, and one program that chooses."""
from __future__ import annotations

from . import scheme

NEEDS = ()
CHAPTER = "step04_cuda"
SHOWS = ["linear_3_split.cu", "the same bits"]
WAYS = (("host's compiler, optimised", "raw", "a CPU, fast:\nwhole models run", scheme.THREADS), ("host's compiler, each access seen", "checked", "a CPU, slow: reports\nmistakes, counts traffic", scheme.SHARED),
        ("nvcc, if there is one", "gpu", "a GPU,\nif there is one", scheme.GLOBAL))


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(330, "One kernel file, compiled up to three times; the program chooses when it runs")
    page.box(16, 130, 160, 60, scheme.GREY, "linear_3_split.cu")
    page.text(96, 210, "plain CUDA", scheme.GREY, size=11, anchor="middle")
    for i, (compiler, name, runs_on, color) in enumerate(WAYS):
        y = 52 + i * 84
        page.arrows([(178, 160, 246, y + 30)])
        page.box(250, y, 250, 60, color, f"{name}\n{compiler}")
        page.arrows([(502, y + 30, 536, y + 30)], color)
        page.text(544, y + 26, runs_on, color)
        page.lines([(716, y + 30, 730, y + 30)])
    page.lines([(730, 82, 730, 250)])
    page.arrows([(730, 166, 750, 166)])
    page.text(16, 316, "Whichever of them runs, the numbers that come out have")
    page.text(410, 316, "the same bits", bold=True)
    page.text(772, 171, "==", bold=True, anchor="middle", size=16)
    return page
