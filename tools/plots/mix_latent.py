"""Chapter 8: latent attention by hand: two numbers of a token are kept; its key is made from them, or the query is turned instead."""
from __future__ import annotations

from . import scheme

NEEDS = ()
CHAPTER = "step08_architectures"
K = [(1, 0), (0, 1), (1, 1), (1, -1)]  # k_up [D, r]: a head of 4 numbers from a latent of 2
QUERY, ROTATED = (1, 2, 0, 1), (1, 0)  # q_n, and q_r after RoPE
LATENTS, TURNED = [(2, 1), (0, 3)], [(1, 0), (0, 1)]  # c, and k_r after RoPE


def dot(a, b) -> int:
    return sum(x * y for x, y in zip(a, b))


def expanded(c: tuple) -> list[int]:
    """K c: the key."""
    return [dot(row, c) for row in K]


def absorbed() -> list[int]:
    """K^T q."""
    return [dot([row[i] for row in K], QUERY) for i in range(2)]


SCORES = [(dot(QUERY, expanded(c)) + dot(ROTATED, r), dot(absorbed(), c) + dot(ROTATED, r)) for c, r in zip(LATENTS, TURNED)]


def words(numbers) -> str:
    return " ".join(str(x) for x in numbers)


# The third number of what comes out, with the values of the chapter's example: as the program prints it, in both orders.
OUT = {"expanded": "2.99999976", "absorbed": "3"}
BY_HAND = [f"  K^T q = {words(absorbed())}",
           *(f"  token {t + 1}: c = {words(c)}  K c = {words(expanded(c))}  expanded: {dot(QUERY, expanded(c))} + {dot(ROTATED, TURNED[t])} = {SCORES[t][0]}"
             f"  absorbed: {dot(absorbed(), c)} + {dot(ROTATED, TURNED[t])} = {SCORES[t][1]}" for t, c in enumerate(LATENTS)),
           *(f"  {order}, out: 1.54579496 1.45420492 {third} 2.90840983" for order, third in OUT.items())]
SHOWS = ["q · K c = 5", "(K^T q) · c = 5", "q · K c = 3", "(K^T q) · c = 3", "c = (2, 1)"]


def listed(numbers) -> str:
    return "(" + ", ".join(str(x) for x in numbers) + ")"


def draw_page() -> scheme.Scheme:
    assert all(one == other for one, other in SCORES)
    page = scheme.Scheme(414, "Latent attention: two numbers of a token are kept, and its key has four")
    page.text(16, 56, "kept of a token", scheme.SHARED, bold=True)
    page.text(300, 56, "expand: make every key", scheme.GLOBAL, bold=True)
    page.text(300, 196, "absorb: turn the query, once", scheme.THREADS, bold=True)
    page.text(24, 170, "K, from 2 to 4", size=11, bold=True)
    for i, row in enumerate(K):
        for j, x in enumerate(row):
            page.boxes([(24 + j * 34, 180 + i * 30)], 31, 27, "white", scheme.THREADS)
            page.text(24 + j * 34 + 15, 198 + i * 30, str(x), anchor="middle")
    page.text(120, 198, "q = " + listed(QUERY), size=11)
    page.text(120, 216, "q_r = " + listed(ROTATED), size=11)
    for t, (c, r) in enumerate(zip(LATENTS, TURNED)):
        y = 68 + t * 46
        page.box(16, y, 104, 30, scheme.SHARED, "c = " + listed(c))
        page.box(128, y, 104, 30, scheme.SHARED, "k_r = " + listed(r))
        page.arrows([(240, y + 15, 292, y + 15)], scheme.GLOBAL)
        page.box(300, y, 150, 30, scheme.GLOBAL, "K c = " + listed(expanded(c)))
        page.text(464, y + 19, f"q · K c = {dot(QUERY, expanded(c))}", size=11)
        page.text(584, y + 19, f"+ q_r · k_r = {dot(ROTATED, r)}: score {SCORES[t][0]}", size=11)
        y = 222 + t * 28
        page.text(464, y + 4, f"(K^T q) · c = {dot(absorbed(), c)}", size=11)
        page.text(584, y + 4, f"+ q_r · k_r = {dot(ROTATED, r)}: score {SCORES[t][1]}", size=11)
    page.box(300, 216, 150, 30, scheme.THREADS, "K^T q = " + listed(absorbed()))
    page.text(300, 268, "one product for all tokens", size=11)
    page.note(330, f"A token leaves c, which serves all heads, and k_r, the part of its key that RoPE has turned: it cannot go through K. Expanding costs a product with K for every token that is seen, absorbing one for the query. On paper that is the same. In floats the sums have another order: a number of this example's output is {OUT['absorbed']} absorbed and {OUT['expanded']} expanded. So the contract has to choose, and takes the absorbed order.")
    return page
