"""A token and four guesses in one step: which rows are kept, and whose dice are thrown."""
from __future__ import annotations

from . import scheme

NEEDS = ()
CHAPTER = "step07_serving"
FED, CHOSEN = ("c", "a", "t", "\u00b7", "s"), ("a", "t", "\u00b7", "r", "")
LEFT, WIDE = 150, 112


def accepted() -> int:
    """Guesses that are what was chosen in the row before, from the first on."""
    count = 0
    while count + 1 < len(FED) and CHOSEN[count] == FED[count + 1]:
        count += 1
    return count


KEPT = accepted() + 1
SHOWS = [f"{accepted()} of {len(FED) - 1} guesses are right: {KEPT} tokens in one step", "not looked at"]


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(330, SHOWS[0])
    page.text(16, 82, "fed", bold=True)
    page.text(16, 172, "row of logits", bold=True)
    page.text(16, 232, "chosen", bold=True)
    for i, letter in enumerate(FED):
        x = LEFT + i * WIDE
        page.text(x + 46, 52, "last token" if i == 0 else f"guess {i}", size=11, anchor="middle")
        right = i <= accepted()
        page.box(x, 62, 92, 32, scheme.THREADS if right else scheme.GLOBAL, letter)
        page.arrows([(x + 46, 96, x + 46, 148)])
        page.box(x, 150, 92, 32, scheme.THREADS if i < KEPT else scheme.GREY, f"row {i}")
        if i < KEPT:
            page.arrows([(x + 46, 184, x + 46, 210)])
            page.box(x, 212, 92, 32, scheme.SHARED, CHOSEN[i])
            page.text(x + 46, 262, f"throw {i + 1}", size=11, anchor="middle")
            if i + 1 < len(FED):
                page.arrows([(x + 92, 212, x + WIDE, 96)], scheme.SHARED if i < accepted() else scheme.GLOBAL)
        else:
            page.text(x + 46, 232, SHOWS[1], scheme.GREY, size=11, anchor="middle")
    page.text(16, 298, "Each row chooses with the next throw of the text's own dice, as it would without guesses. What is chosen is compared", size=11)
    page.text(16, 316, "with the next guess. \"r\" is not \"s\": it is kept, row 4 came after a wrong letter, and the slot of \"s\" is taken back.", size=11)
    return page
