"""Chapter 8: the delta rule by hand: a key is written twice; a sum keeps both values, the rule replaces the old one, a gate fades all."""
from __future__ import annotations

from . import scheme
from .mix_linear import Matrix, ask, draw_matrix, outer, plus, rows, words

NEEDS = ()
CHAPTER = "step08_architectures"
A, B = (1.0, 0.0), (0.0, 1.0)
TOKENS = [("a", A, (2.0, 1.0)), ("b", B, (0.0, 3.0)), ("a", A, (4.0, 5.0))]
# Whether what the key already gives is taken away first, and what remains of the state at each token.
KINDS = [("a sum", False, 1.0), ("delta rule", True, 1.0), ("with a gate of 0.5", True, 0.5)]


def run(subtracts: bool, gate: float) -> list[Matrix]:
    """The state after each token: S <- gate S; S += k (v - S^T k)."""
    state, states = [[0.0, 0.0], [0.0, 0.0]], []
    for _, k, v in TOKENS:
        state = [[gate * x for x in row] for row in state]
        known = ask(k, state) if subtracts else [0.0, 0.0]
        state = plus(state, outer(k, tuple(x - y for x, y in zip(v, known))))
        states.append(state)
    return states


STATES = [run(*kind[1:]) for kind in KINDS]
BY_HAND = [*("  ".join([f"  {t + 1:5}  {words(k)}  {words(v):5}", *(f"{rows(states[t]):15}" for states in STATES)]).rstrip() for t, (_, k, v) in enumerate(TOKENS)),
           *("  ".join([f"  asked with {words(q):6}", *(f"{words(ask(q, states[-1])):15}" for states in STATES)]).rstrip() for q in (A, B))]
SHOWS = ["asked with a: 6 6", "asked with a: 4 5", "asked with b: 0 1.5"]


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(476, "The same key is written twice: what does the state answer then?")
    for t, (name, k, v) in enumerate(TOKENS):
        y = 92 + t * 100
        page.text(16, y + 16, f"token {t + 1}", bold=True)
        page.text(16, y + 36, f"key {name} = ({k[0]:g}, {k[1]:g})\nvalue ({v[0]:g}, {v[1]:g})", size=11)
    for number, ((name, _, _), states) in enumerate(zip(KINDS, STATES)):
        x, color = 170 + number * 214, (scheme.GLOBAL, scheme.THREADS, scheme.SHARED)[number]
        page.text(x, 56, name, color, bold=True)
        page.text(x, 74, ("k times v is added", "what k gives is taken away first", "half is lost at each token")[number], size=11)
        for t, state in enumerate(states):
            draw_matrix(page, x, 88 + t * 100, state, color, (0 if TOKENS[t][0] == "a" else 1,))
        for i, (key, q) in enumerate((("a", A), ("b", B))):
            page.text(x, 396 + i * 18, f"asked with {key}: {words(ask(q, states[-1]))}", color, bold=True)
    page.note(446, "Row 1 of S belongs to key a, row 2 to key b; filled: what the token has written. The last value of a is (4, 5).")
    return page
