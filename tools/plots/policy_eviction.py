"""Two of six slots go: the victims, the hole, and the one copy that closes it."""
from __future__ import annotations

from . import scheme

NEEDS = ()
CHAPTER = "step05_policies"
POSITIONS, RATINGS, KEEP = [4, 0, 7, 2, 9, 5], [3, 1, 1, float("inf"), 1, 2], 4
WIDE, LEFT = 92, 150


def victims() -> list[int]:
    slots = sorted(range(len(POSITIONS)), key=lambda s: (RATINGS[s], -POSITIONS[s]))
    return sorted(slots[:len(POSITIONS) - KEEP])


def moves() -> list[tuple[int, int]]:
    going = victims()
    holes, survivors = [s for s in going if s < KEEP], [s for s in range(KEEP, len(POSITIONS)) if s not in going]
    return list(zip(survivors, holes))


def after() -> list[int]:
    left = list(POSITIONS)
    for source, to in moves():
        left[to] = left[source]
    return left[:KEEP]


BY_HAND = ["victims: slots" + "".join(f" {s} (token {POSITIONS[s]})" for s in victims()), "moves:  " + "  ".join(f"slot {a} to {b}" for a, b in moves()),
           "positions afterwards:  " + " ".join(map(str, after()))]
SHOWS = ["token 7", "token 5"]


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(330, "Six slots, of which four stay: one copy")
    going = victims()
    for s in range(len(POSITIONS)):
        page.text(LEFT + s * WIDE + 40, 58, f"slot {s}", anchor="middle", size=11)
    page.text(16, 98, "before")
    page.text(16, 132, "rating", size=11)
    for s, position in enumerate(POSITIONS):
        page.box(LEFT + s * WIDE, 72, 80, 44, scheme.GLOBAL if s in going else scheme.THREADS, f"token {position}")
        page.text(LEFT + s * WIDE + 40, 132, "protected" if RATINGS[s] == float("inf") else f"{RATINGS[s]}" + (", goes" if s in going else ""), scheme.GLOBAL if s in going else scheme.INK, size=11, anchor="middle")
    border = LEFT + KEEP * WIDE - 6
    page.lines([(border, 46, border, 258)], scheme.SHARED)
    page.text(border + 8, 252, "beyond this line nothing is held", scheme.SHARED, size=11)
    page.text(16, 220, "after")
    moved = dict((to, source) for source, to in moves())
    for s, position in enumerate(after()):
        page.box(LEFT + s * WIDE, 194, 80, 44, scheme.SHARED if s in moved else scheme.THREADS, f"token {position}")
    for to, source in moved.items():
        page.arrows([(LEFT + source * WIDE + 20, 142, LEFT + to * WIDE + 62, 190)], scheme.SHARED)
    page.text(16, 284, "Orange goes: slots 1, 2 and 4 are rated lowest, and of these the later tokens go, 7 and 9. Slot 2 is a hole, and", size=11)
    page.text(16, 302, "the survivor beyond the border fills it. Slot 4 lies beyond the border: nothing has to fill it. The others stay.", size=11)
    return page
