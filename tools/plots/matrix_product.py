"""A matrix product by hand: x [T, K] and w [N, K] with their letters, and the row of x and the row of w that make one number of y [T, N]."""
from __future__ import annotations

from . import scheme

NEEDS = ()
X = ((1.0, 2.0, 3.0), (0.5, 0.0, -1.0))
W = ((1.0, 0.0, -1.0), (2.0, 1.0, 0.0))
T, N = 1, 0  # the number of y whose making is drawn
CELL, TOP = (54, 36), 96


def product(t: int, n: int) -> float:
    return sum(a * b for a, b in zip(X[t], W[n]))


def by_hand(t: int, n: int) -> str:
    """One line of what `by-hand product` prints."""
    return f"y({t}, {n}) = " + " + ".join(f"{a:g}*{b:g}" for a, b in zip(X[t], W[n])) + f" = {product(t, n):g}"


Y = tuple(tuple(product(t, n) for n in range(len(W))) for t in range(len(X)))
SHOWS = [by_hand(T, N)]


def matrix(page: scheme.Scheme, x: float, name: str, numbers: tuple, rows: str, columns: str, shaded: tuple) -> None:
    """A grid with its name above, the letter of its columns over it, that of its rows to the left; `shaded`: (row, column or None for all of them, colour)."""
    width, height = CELL
    page.text(x, 62, name, bold=True)
    page.text(x + width * len(numbers[0]) / 2, TOP - 10, columns, scheme.GREY, anchor="middle")
    page.text(x - 10, TOP + height * len(numbers) / 2 + 4, rows, scheme.GREY, anchor="end")
    row, column, color = shaded
    for i, line in enumerate(numbers):
        for j, number in enumerate(line):
            of_row = i == row and column in (None, j)
            page.box(x + j * width, TOP + i * height, width, height, color if of_row else scheme.GREY, f"{number:g}")


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(296, "A matrix product: each row of x with each row of w")
    blue, red, green = scheme.THREADS, scheme.GLOBAL, scheme.SHARED
    (width, height), bottom = CELL, TOP + 2 * CELL[1]
    left = {"x": 70, "w": 330, "y": 610}
    matrix(page, left["x"], "x [T, K]", X, "T = 2", "K = 3", (T, None, blue))
    matrix(page, left["w"], "w [N, K]", W, "N = 2", "K = 3", (N, None, red))
    matrix(page, left["y"], "y [T, N]", Y, "T = 2", "N = 2", (T, N, green))
    # The strip below: the two rows, number by number, and their sum.
    strip, at = 216, [300 + i * 96 for i in range(3)]
    page.text(16, strip + 20, f"row {T} of x with row {N} of w:")
    for i, (a, b) in enumerate(zip(X[T], W[N])):
        page.box(at[i], strip, 30, 30, blue, f"{a:g}")
        page.text(at[i] + 36, strip + 20, "*", anchor="middle")
        page.box(at[i] + 42, strip, 30, 30, red, f"{b:g}")
        page.text(at[i] + 84, strip + 20, "+" if i < 2 else "=", anchor="middle", bold=True)
    page.box(at[2] + 96, strip, 48, 30, green, f"{product(T, N):g}")
    x_row, w_row, result = left["x"] + 1.5 * width, left["w"] + 3 * width + 22, left["y"] + (N + 0.5) * width
    page.arrows([(x_row, bottom + 3, at[0] - 6, strip + 4)], blue)
    page.arrows([(w_row, TOP + (N + 0.5) * height, w_row, strip - 4)], red)
    page.lines([(left["w"] + 3 * width + 3, TOP + (N + 0.5) * height, w_row, TOP + (N + 0.5) * height)], red)
    page.arrows([(at[2] + 120, strip - 3, result, TOP + (T + 1) * height + 4)], green)
    page.text(16, 278, by_hand(T, N))
    page.text(at[0], 278, "Row n of w makes column n of y, and row t of x makes row t.")
    return page
