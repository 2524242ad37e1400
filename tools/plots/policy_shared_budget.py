"""AdaKV: two heads put their budgets together; what each keeps without a floor, and with one."""
from __future__ import annotations

from . import scheme

NEEDS = ()
CHAPTER = "step05_policies"
RATINGS, EACH = ([9, 8, 7, 6, 5, 4], [3, 2, 1, 1, 1, 1]), 3
FLOORS = (1.0, 0.7, 0.0)
UNIT, WIDE = 12, 28


def kept(floor: float) -> list[int]:
    """Of each head: its best `floor` of the mean are safe, the others compete."""
    safe = int(floor * EACH)
    rivals = sorted(((-rating, slot, head) for head, ratings in enumerate(RATINGS) for slot, rating in enumerate(ratings) if slot >= safe))
    counts = [safe, safe]
    for _, _, head in rivals[:2 * EACH - 2 * safe]:
        counts[head] += 1
    return counts


SHOWS = [f"floor {floor:.1f}: {kept(floor)[0]} and {kept(floor)[1]}" for floor in FLOORS]


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(370, "AdaKV: two heads with three slots each, or six together")
    for number, floor in enumerate(FLOORS):
        x = 60 + number * 250
        page.text(x, 58, SHOWS[number], bold=True)
        for head, ratings in enumerate(RATINGS):
            y = 190 + head * 110
            page.lines([(x, y, x + 6 * WIDE, y)])
            for slot, rating in enumerate(ratings):  # sorted as they are
                stays = slot < kept(floor)[head]
                color = scheme.THREADS
                page.boxes([(x + slot * WIDE, y - rating * UNIT)], WIDE - 6, rating * UNIT, scheme.PALE[color] if stays else "white", color if stays else scheme.FAINT)
                page.text(x + slot * WIDE + 11, y + 15, str(rating), size=11, anchor="middle")
    for head in range(2):
        page.text(8, 182 + head * 110, f"head {head}", size=10)
    page.text(16, 346, "Bars are ratings, in order; filled ones stay. Left: each head keeps its own three. Right: the six best of both, and none", size=10)
    page.text(16, 362, "of them is head 1's. A floor in between saves its best two.", size=10)
    return page
