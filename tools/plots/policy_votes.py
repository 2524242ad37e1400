"""SnapKV: the votes of the prompt's last queries, pooled over three slots."""
from __future__ import annotations

from . import scheme

NEEDS = ()
CHAPTER = "step05_policies"
QUERIES = ([0.1, 0.3, 0.0, 0.1, 0.0, 0.1, 0.4, 0.0], [0.0, 0.2, 0.0, 0.1, 0.1, 0.0, 0.1, 0.5])  # each shares out 1; query 6 does not see slot 7
VOTES, WINDOW, KERNEL = [a + b for a, b in zip(*QUERIES)], 2, 3
LEFT, WIDE, UNIT = 150, 74, 150


def pooled() -> list[float]:
    prefix = len(VOTES) - WINDOW
    return [sum(VOTES[n] for n in range(s - KERNEL // 2, s + KERNEL // 2 + 1) if 0 <= n < prefix) / KERNEL for s in range(prefix)]


BY_HAND = ["".join(f"{rating:8.2f}" for rating in pooled()) + "   stays   stays", "".join(f"{vote:8.2f}" for vote in VOTES)]
SHOWS = [f"{rating:.2f}" for rating in pooled()]


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(400, "SnapKV: eight tokens of a prompt, of which the last two vote")
    prefix = len(VOTES) - WINDOW
    for y, name, values in ((152, "votes", VOTES), (294, "mean of 3", pooled())):
        page.text(16, y - 8, name, bold=True)
        page.lines([(LEFT - 10, y, LEFT + 8 * WIDE, y)])
        for s, value in enumerate(values):
            stays = s >= prefix
            color = scheme.SHARED if stays else scheme.THREADS
            page.boxes([(LEFT + s * WIDE, y - value * UNIT)], 56, value * UNIT, scheme.PALE[color], color)
            page.text(LEFT + s * WIDE + 28, y + 16, f"{value:.1f}" if y < 200 else f"{value:.2f}", anchor="middle", size=11)
    for s in range(len(VOTES)):
        page.text(LEFT + s * WIDE + 28, 338, f"slot {s}", anchor="middle", size=11)
    for s in range(prefix, len(VOTES)):
        page.text(LEFT + s * WIDE + 28, 286, "stays", scheme.SHARED, anchor="middle")
    border = LEFT + prefix * WIDE - 9
    page.lines([(border, 44, border, 342)], scheme.SHARED)
    page.text(border + 8, 54, "the window", scheme.SHARED, size=11)
    page.arrows([(LEFT + n * WIDE + 28, 176, LEFT + 2 * WIDE + 28 + (n - 2) * 12, 262) for n in (1, 2, 3)], scheme.GLOBAL)
    page.text(LEFT + 3 * WIDE + 44, 214, "a third of each", scheme.GLOBAL, size=11)
    page.text(16, 368, "Nobody looked at slot 2, and it is rated highest, since both its neighbours were looked at. Beyond a", size=11)
    page.text(16, 386, "border a neighbour is 0: the votes of the window do not reach slot 5.", size=11)
    return page
