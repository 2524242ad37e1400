"""What one more token costs without a cache, by the length of the text: tiny's operations by part."""
from __future__ import annotations

from . import scheme

NEEDS = ()
CHAPTER = "step02_attention"
V, C, L, HQ, HKV, D, F = 256, 64, 2, 4, 2, 16, 172  # tiny's
LENGTHS = (1, 60, 155, 512)
MILLION = 4.3  # pixels


def parts(T: int) -> dict[str, int]:
    """Operations of a step over T tokens, with one row of logits."""
    return {"projections": L * 2 * T * C * ((HQ + 2 * HKV) * D + HQ * D), "feed-forward": L * 2 * T * 3 * C * F,
            "attention": L * 4 * HQ * D * T * (T + 1) // 2, "output": 2 * V * C}


BY_HAND = [str(number) for T in LENGTHS for number in (*parts(T).values(), sum(parts(T).values()))]
SHOWS = ["155 tokens", f"{sum(parts(512).values()) / 1e6:.1f} million"]
COLORS = {"projections": scheme.THREADS, "feed-forward": scheme.SHARED, "attention": scheme.GLOBAL, "output": scheme.GREY}


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(300, "One more token for tiny without a cache: operations, by the length of the text")
    for place, (name, color) in enumerate(COLORS.items()):
        page.boxes([(16 + place * 150, 44)], 12, 12, scheme.PALE.get(color, scheme.FAINT), color)
        page.text(34 + place * 150, 55, name, color)
    for row, T in enumerate(LENGTHS):
        y, x = 80 + row * 46, 96
        page.text(84, y + 20, f"{T} tokens" if T > 1 else "1 token", anchor="end")
        for name, operations in parts(T).items():
            width = operations / 1e6 * MILLION * 0.84
            page.boxes([(x, y)], width, 30, scheme.PALE.get(COLORS[name], scheme.FAINT), COLORS[name])
            x += width
        page.text(x + 8, y + 20, f"{sum(parts(T).values()) / 1e6:.1f} million", bold=True)
    page.text(16, 284, "Projections and feed-forward grow with the text, attention with its square; the output is for one row only.", size=11)
    return page
