"""Chapter 8: linear attention's state by hand: two tokens go into a matrix of two by two, and a question comes out blurred."""
from __future__ import annotations

import math

from . import scheme

NEEDS = ()
CHAPTER = "step08_architectures"
KEYS, VALUES = [(3.0, 0.0), (0.0, 3.0)], [(1.0, 0.0), (0.0, 1.0)]
Matrix = list[list[float]]


def feature(x: float) -> float:
    return x + 1 if x > 0 else math.exp(x)


def outer(k: tuple, v: tuple) -> Matrix:
    return [[a * b for b in v] for a in k]


def plus(a: Matrix, b: Matrix) -> Matrix:
    return [[x + y for x, y in zip(*rows)] for rows in zip(a, b)]


def ask(q: tuple, state: Matrix) -> list[float]:
    """S^T q."""
    return [sum(a * row[j] for a, row in zip(q, state)) for j in range(2)]


FEATURES = [tuple(feature(x) for x in k) for k in KEYS]
STATES: list[Matrix] = []
SUMS: list[list[float]] = []
for _f, _v in zip(FEATURES, VALUES):
    STATES.append(plus(STATES[-1] if STATES else [[0.0, 0.0]] * 2, outer(_f, _v)))
    SUMS.append([a + b for a, b in zip(SUMS[-1] if SUMS else [0.0, 0.0], _f)])


def answer(q: int) -> tuple[list[float], float, list[float]]:
    """Asked with a token's own key: S^T f(q), f(q).z, and their quotient."""
    above, below = ask(FEATURES[q], STATES[-1]), sum(a * b for a, b in zip(FEATURES[q], SUMS[-1]))
    return above, below, [x / below for x in above]


def by_softmax(q: int) -> list[float]:
    scores = [math.exp(sum(a * b for a, b in zip(KEYS[q], k)) / math.sqrt(2)) for k in KEYS]
    return [s / sum(scores) for s in scores]


def words(numbers) -> str:
    return " ".join(f"{x:g}" for x in numbers)


def rows(state: Matrix) -> str:
    return " | ".join(words(row) for row in state)


BY_HAND = [*(f"  {t + 1:5}   {words(FEATURES[t]):5}  {words(VALUES[t]):5}  {rows(STATES[t]):11}  {words(SUMS[t])}" for t in range(2)),
           *(f"  asked with key {q + 1}: {words(answer(q)[0])} over {answer(q)[1]:g} = {words(answer(q)[2])};  softmax attention: " + " ".join(f"{x:.3f}" for x in by_softmax(q)) for q in range(2))]
SHOWS = ["17 and 8, over 25", "0.68 and 0.32", "0.998 and 0.002"]
CELL = 42


def draw_matrix(page: scheme.Scheme, x: float, y: float, state: Matrix, color: str, new: tuple = ()) -> None:
    """Two by two numbers in boxes; rows in `new` are filled."""
    for i, row in enumerate(state):
        for j, number in enumerate(row):
            page.boxes([(x + j * CELL, y + i * CELL)], CELL - 3, CELL - 3, scheme.PALE[color] if i in new else "white", color)
            page.text(x + j * CELL + (CELL - 3) / 2, y + i * CELL + 24, f"{number:g}", anchor="middle")


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(326, "Linear attention: what two tokens leave behind is four sums, S, and two more, z")
    for t in range(2):
        x = 16 + t * 292
        page.text(x, 56, f"token {t + 1}", bold=True)
        page.text(x, 76, f"k = ({KEYS[t][0]:g}, {KEYS[t][1]:g})\nf(k) = ({FEATURES[t][0]:g}, {FEATURES[t][1]:g})\nv = ({VALUES[t][0]:g}, {VALUES[t][1]:g})", size=11)
        page.text(x + 110, 76, "S", scheme.SHARED, bold=True)
        draw_matrix(page, x + 124, 62, STATES[t], scheme.SHARED, (0, 1))
        page.text(x + 110, 172, "z", scheme.SHARED, bold=True)
        for j in range(2):
            page.box(x + 124 + j * CELL, 152, CELL - 3, 30, scheme.SHARED, f"{SUMS[t][j]:g}")
        page.arrows([(x + 226, 102, x + 284, 102)], scheme.SHARED)
    above, below, out = answer(0)
    page.text(600, 56, "asked with key 1", scheme.THREADS, bold=True)
    page.text(600, 76, f"f(q) = ({FEATURES[0][0]:g}, {FEATURES[0][1]:g})", size=11)
    page.text(600, 96, "S gives " + " and ".join(f"{x:g}" for x in above) + ", z gives " + f"{below:g}", size=11)
    page.text(600, 120, f"{above[0]:g} and {above[1]:g}, over {below:g}", size=11)
    page.text(600, 146, " and ".join(f"{x:g}" for x in out), scheme.THREADS, size=14, bold=True)
    page.text(600, 172, "softmax attention:", size=11)
    page.text(600, 190, " and ".join(f"{x:.3f}" for x in by_softmax(0)), size=11)
    page.note(222, "The matrix is a sum over tokens of f(k) times v: its first row is what belongs to the key's first number. A token's part is added to what is there, and however long the text is, four numbers and two stay.")
    page.note(272, "Whoever asks with the first key wants its value, (1, 0). The two features are not at right angles, so the second value shines through: a third of the answer. Softmax attention, which has kept both rows, can tell them apart.")
    return page
