"""Registers of four floats: along one sum, where the number of lanes decides its order, or across four sums, where it does not."""
from __future__ import annotations

from . import scheme

NEEDS = ()
SHOWS = ["lane 0", "one y[n], in an order that the lanes decide", "four different y, each in the plain loop's order"]
LANES, STEPS = 4, 3


def panel(page: scheme.Scheme, x: float, title: str, color: str, term) -> None:
    page.text(x, 58, title, color, bold=True)
    for lane in range(LANES):
        page.text(x + 50 + lane * 82 + 36, 86, f"lane {lane}", size=11, anchor="middle")
    for step in range(STEPS):
        y = 96 + step * 46
        page.text(x, y + 20, f"step {step}", size=11)
        for lane in range(LANES):
            page.box(x + 50 + lane * 82, y, 72, 30, color, term(step, lane))
        if step:
            page.arrows([(x + 86 + lane * 82, y - 15, x + 86 + lane * 82, y - 1) for lane in range(LANES)], color)


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(352, "Where to put several floats of one register: into one sum, or into several sums")
    panel(page, 16, "along the sum: we do not do this", scheme.GLOBAL, lambda step, lane: f"x{step * LANES + lane}*w{step * LANES + lane}")
    panel(page, 418, "across the outputs: our way", scheme.SHARED, lambda step, lane: f"x{step}*w{step}({lane})")
    bottom = 96 + STEPS * 46
    page.box(152, bottom + 40, 110, 30, scheme.GLOBAL, "add the lanes")
    page.arrows([(102 + lane * 82, bottom - 14, 170 + lane * 25, bottom + 38) for lane in range(LANES)], scheme.GLOBAL)
    page.text(16, bottom + 92, "one y[n], in an order that the lanes decide", scheme.GLOBAL)
    page.arrows([(504 + lane * 82, bottom - 14, 504 + lane * 82, bottom + 38) for lane in range(LANES)], scheme.SHARED)
    for lane in range(LANES):
        page.box(468 + lane * 82, bottom + 40, 72, 30, scheme.SHARED, f"y[n+{lane}]")
    page.text(418, bottom + 92, "four different y, each in the plain loop's order", scheme.SHARED)
    return page
