"""Floats on a line, and their bits read as whole numbers: these count upwards on the right of zero, and away from it on the left."""
from __future__ import annotations

from . import scheme
from .float_rounding import word

NEEDS = ()
SHOWS = ["1065353216", "3212836864", "2147483648"]


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(250, "Floats on a line, and their bits read as an integer without a sign")
    y, middle = 92, 400
    page.lines([(40, y, 760, y)])
    places = {-1.0: 110, -0.0: middle - 44, 0.0: middle + 44, 1.0: 690}
    for x, label, value in ((places[-1.0], "-1", -1.0), (middle - 44, "-0", -0.0), (middle + 44, "+0", 0.0), (places[1.0], "1", 1.0)):
        page.lines([(x, y - 8, x, y + 8)], scheme.THREADS if label in ("+0", "1") else scheme.GLOBAL)
        page.text(x, y - 16, label, anchor="middle", bold=True)
        page.text(x, y + 28, str(word(value)), scheme.THREADS if label in ("+0", "1") else scheme.GLOBAL, anchor="middle")
    page.arrows([(middle + 60, y + 52, places[1.0], y + 52)], scheme.THREADS)
    page.text((middle + 60 + places[1.0]) / 2, y + 72, "to the right: each next float, one more", scheme.THREADS, anchor="middle")
    page.arrows([(middle - 60, y + 52, places[-1.0], y + 52)], scheme.GLOBAL)
    page.text((middle - 60 + places[-1.0]) / 2, y + 72, "to the left: each next float, one more", scheme.GLOBAL, anchor="middle")
    steps = word(1.0) - word(0.0)
    page.text(16, 210, f"Between +0 and 1 there are {steps} steps. Read like this, the two halves count in opposite directions,\nand -1 gets a larger integer than 1: no good for measuring a distance across zero.")
    return page
