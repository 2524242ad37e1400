"""GPTQ on three columns: each is rounded, and what that cost is taken from the columns to come."""
from __future__ import annotations

from . import scheme

NEEDS = ()
CHAPTER = "step06_quant"
INPUTS = ((1.0, 0.0, 0.0), (1.0, 1.0, 0.0), (0.0, 1.0, 2.0))
WEIGHTS = (1.3, 1.6, 0.6)


def gram() -> list[list[float]]:
    return [[sum(x[i] * x[j] for x in INPUTS) for j in range(3)] for i in range(3)]


def cholesky(a: list[list[float]]) -> list[list[float]]:
    lower = [[0.0] * 3 for _ in range(3)]
    for i in range(3):
        for j in range(i + 1):
            left = a[i][j] - sum(lower[i][k] * lower[j][k] for k in range(j))
            lower[i][j] = left**0.5 if i == j else left / lower[j][j]
    return lower


def inverse(a: list[list[float]]) -> list[list[float]]:
    """By Gauss and Jordan."""
    rows = [list(row) + [float(i == j) for j in range(3)] for i, row in enumerate(a)]
    for i in range(3):
        rows[i] = [x / rows[i][i] for x in rows[i]]
        for k in range(3):
            if k != i:
                rows[k] = [x - rows[k][i] * y for x, y in zip(rows[k], rows[i])]
    return [row[3:] for row in rows]


def upper() -> list[list[float]]:
    lower = cholesky(inverse(gram()))
    return [[lower[j][i] for j in range(3)] for i in range(3)]


def steps() -> list[tuple[list[float], int, float]]:
    """Of each column: the row before it is rounded, what it becomes, the error over U's diagonal."""
    row, found, u = list(WEIGHTS), [], upper()
    for i in range(3):
        q = round(row[i])
        error = (row[i] - q) / u[i][i]
        found.append((list(row), q, error))
        for j in range(i + 1, 3):
            row[j] -= error * u[i][j]
    return found


def cost(q: list[float]) -> float:
    return sum(sum(x[i] * (WEIGHTS[i] - q[i]) for i in range(3))**2 for x in INPUTS)


ROUNDED, NEAREST = [float(q) for _, q, _ in steps()], [float(round(w)) for w in WEIGHTS]
BY_HAND = [f"  {'rounded to nearest':20}" + "".join(f"{q:6g}" for q in NEAREST) + f"   {cost(NEAREST):.2f}", f"  {'GPTQ':20}" + "".join(f"{q:6g}" for q in ROUNDED) + f"   {cost(ROUNDED):.2f}",
           *[("  U       " if i == 0 else " " * 10) + "".join(f"{x + 0.0:6g}" for x in row) for i, row in enumerate([[round(x, 9) for x in row] for row in upper()])]]
SHOWS = [f"{row[2]:.3g}" for row, _, _ in steps()[:1]]
LEFT, WIDE = 130, 210


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(384, "Three columns, rounded from left to right")
    u = upper()
    for i in range(3):
        page.text(LEFT + i * WIDE + 60, 54, f"column {i}", bold=True, anchor="middle")
    for i, (row, q, error) in enumerate(steps()):
        y = 68 + i * 92
        page.text(16, y + 22, f"step {i}")
        for j in range(3):
            done = j < i
            color = scheme.SHARED if done else scheme.GLOBAL if j == i else scheme.THREADS
            words = f"{ROUNDED[j]:g}" if done else f"{row[j]:.3g}"
            page.box(LEFT + j * WIDE, y, 120, 34, color, words if done or j != i else f"{words} is rounded to {q}")
        if i < 2:
            x = LEFT + i * WIDE + 60
            page.text(x, y + 56, f"error {row[i] - q:.2g} / {u[i][i]:g} = {error:.2g}", size=11, anchor="middle")
            for j in range(i + 1, 3):
                page.text(LEFT + j * WIDE + 60, y + 56, f"{row[j]:.3g} - ({error:.2g}) * ({u[i][j]:g})", size=11, anchor="middle")
                page.arrows([(LEFT + j * WIDE + 60, y + 62, LEFT + j * WIDE + 60, y + 90)], scheme.GREY)
    page.text(16, 342, f"GPTQ keeps {', '.join(f'{q:g}' for q in ROUNDED)}: squared error of the products {cost(ROUNDED):.2f}.")
    page.text(16, 362, f"Each weight rounded to the nearest, {', '.join(f'{q:g}' for q in NEAREST)}: {cost(NEAREST):.2f}.")
    return page
