"""Chapter 8: hashing by hand: six directions fall into four buckets, in two rounds, and the last token sees whoever shares one with it."""
from __future__ import annotations

import math

from . import scheme
from .style import FAINT, PURPLE

NEEDS = ()
CHAPTER = "step08_architectures"
TOKENS = {"A": (6, 5), "B": (-6, 7), "C": (3, 5), "D": (-5, 1), "E": (-4, -6), "F": (5, 6)}
ROUNDS = [((1, 0), (0, 1)), ((1, 1), (-1, 1))]  # the columns of R: y = u R
ASKS = "F"


def turned(u: tuple, number: int) -> list[int]:
    return [u[0] * column[0] + u[1] * column[1] for column in ROUNDS[number]]


def bucket(u: tuple, number: int) -> int:
    """Which of y and -y is the largest; of equal ones the first."""
    both = [*turned(u, number), *(-y for y in turned(u, number))]
    return both.index(max(both))


def sees(rounds: int) -> str:
    """Whom the last token sees, of the tokens before it."""
    return " ".join(name for name, u in TOKENS.items() if name != ASKS and any(bucket(u, r) == bucket(TOKENS[ASKS], r) for r in range(rounds)))


BY_HAND = [*(f"  {name}  {u[0]:3} {u[1]:3}   " + "   ".join(f"{turned(u, r)[0]:4} {turned(u, r)[1]:4}  bucket {bucket(u, r)}" for r in range(2)) for name, u in TOKENS.items()),
           *(f"  {ASKS} sees after {rounds} round{'s' * (rounds > 1)}: {sees(rounds)}" for rounds in (1, 2))]
SHOWS = ["one round: F sees B C", "two rounds: F sees A B C", "bucket 0", "bucket 3"]
UNIT, TOP = 13, 176


def direction(column: tuple) -> tuple[float, float]:
    length = math.hypot(*column)
    return column[0] / length, column[1] / length


def draw_round(page: scheme.Scheme, x: float, number: int) -> None:
    axes = [direction(column) for column in ROUNDS[number]]
    every = [*axes, *((-a, -b) for a, b in axes)]
    # Borders lie halfway between the directions of neighbouring buckets.
    page.lines([(x - 96 * (a[0] + b[0]) / math.sqrt(2), TOP + 96 * (a[1] + b[1]) / math.sqrt(2), x + 96 * (a[0] + b[0]) / math.sqrt(2), TOP - 96 * (a[1] + b[1]) / math.sqrt(2))
                for a, b in ((axes[0], axes[1]), (axes[1], (-axes[0][0], -axes[0][1])))], FAINT)
    for i, (dx, dy) in enumerate(every):
        page.text(x + 108 * dx, TOP - 108 * dy + 4, f"bucket {i}", size=10, anchor="start" if dx > 0.4 else "end" if dx < -0.4 else "middle")
    own = bucket(TOKENS[ASKS], number)
    for name, u in TOKENS.items():
        color = scheme.THREADS if name == ASKS else scheme.SHARED if bucket(u, number) == own else scheme.GLOBAL
        page.arrows([(x, TOP, x + u[0] * UNIT * 0.8, TOP - u[1] * UNIT * 0.8)], color)
        page.text(x + u[0] * UNIT * 0.8 + 9 * u[0] / math.hypot(*u), TOP - u[1] * UNIT * 0.8 - 9 * u[1] / math.hypot(*u) + 4, name, color, size=11, anchor="middle", bold=True)


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(412, "Which of six tokens does F see? Those that fall into its bucket")
    for x, number, words in ((166, 0, "round 1: R leaves u as it is"), (470, 1, "round 2: R turns by 45 degrees")):
        page.text(x - 140, 50, words, bold=True)
        draw_round(page, x, number)
    page.text(620, 50, "u, and u R in round 2", bold=True, size=11)
    for i, (name, u) in enumerate(TOKENS.items()):
        page.text(620, 78 + i * 20, f"{name} ({u[0]}, {u[1]})", size=11)
        page.text(706, 78 + i * 20, f"({turned(u, 1)[0]}, {turned(u, 1)[1]}): {bucket(u, 1)}", size=11)
    page.text(620, 220, f"one round: F sees {sees(1)}", scheme.SHARED, size=11, bold=True)
    page.text(620, 240, f"two rounds: F sees {sees(2)}", scheme.SHARED, size=11, bold=True)
    page.note(326, "A bucket is the nearest of four directions, so neighbours mostly share one. A and F are ten degrees apart and fall on two sides of a border in round 1; round 2 has its borders elsewhere, and finds A. B is eighty degrees away, and seen all the same.")
    page.note(386, "Blue: the token that asks. Green: in its bucket. Orange: not. More rounds find more neighbours, and more that are none.")
    return page
