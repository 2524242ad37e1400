"""Chapter 8: a state that fades at one pace beside one whose pace the token decides (Mamba), over eight tokens."""
from __future__ import annotations

import math

from . import scheme

NEEDS = ()
CHAPTER = "step08_architectures"
TEXT, INPUTS = "k=7;..9.", (1, 1, 7, 1, 1, 1, 9, 1)
# dt of each token: what matters is written and wipes out the old, what does not passes by. The other one has a single pace.
CHOSEN, SAME = (0.01, 0.01, 1, 0.01, 0.01, 0.01, 1, 0.01), (0.3,) * 8


def run(pace: tuple) -> list[tuple[float, float, float]]:
    """Of each token: what is kept of the state, what is written, the state. With A = -1 and B = 1."""
    state, found = 0.0, []
    for dt, u in zip(pace, INPUTS):
        kept = math.exp(-dt)
        state = kept * state + dt * u
        found.append((kept, dt * u, state))
    return found


BY_HAND = [f"  {letter}  {u:3}   {dt:4g}  {kept:.3f}  {written:7.2f}  {state:6.3f}   {other[0]:.3f}  {other[1]:7.2f}  {other[2]:6.3f}"
           for letter, u, dt, (kept, written, state), other in zip(TEXT, INPUTS, CHOSEN, run(CHOSEN), run(SAME))]
SHOWS = ["kept 0.368", "kept 0.990", "kept 0.741", *(f"{state:.3f}" for pace in (CHOSEN, SAME) for _, _, state in run(pace)[2:7:4])]
LEFT, STEP, UNIT = 110, 84, 9


def draw_row(page: scheme.Scheme, y: float, pace: tuple, color: str) -> None:
    for t, (kept, written, state) in enumerate(run(pace)):
        x = LEFT + t * STEP
        page.text(x + 24, y + 4, f"dt {pace[t]:g}", size=10, anchor="middle")
        page.text(x + 24, y + 18, f"kept {kept:.3f}", size=10, anchor="middle")
        tall, new = state * UNIT, min(written, state) * UNIT
        page.boxes([(x, y + 146 - tall)], 48, tall - new, scheme.PALE[color], color)
        page.boxes([(x, y + 146 - new)], 48, new, color, color)
        page.text(x + 24, y + 140 - tall, f"{state:.3f}", size=10, anchor="middle", bold=True)


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(492, "One number of a state over eight tokens: s = exp(-dt) s + dt u")
    page.text(16, 62, "token", size=11)
    page.text(16, 80, "input u", size=11)
    for t, (letter, u) in enumerate(zip(TEXT, INPUTS)):
        page.text(LEFT + t * STEP + 24, 62, letter, size=14, anchor="middle", bold=True)
        page.text(LEFT + t * STEP + 24, 80, str(u), size=11, anchor="middle")
    page.text(16, 130, "the token\ndecides\n(Mamba)", scheme.SHARED, bold=True)
    draw_row(page, 104, CHOSEN, scheme.SHARED)
    page.text(16, 300, "one pace\nfor all", scheme.GLOBAL, bold=True)
    draw_row(page, 276, SAME, scheme.GLOBAL)
    page.note(448, "A bar is the state, its filled part what this token has written. A dt of 1 writes the 7 and leaves 0.368 of what was there, a dt of 0.01 lets the fillers pass: the 7 stays until the 9 takes its place. At one pace it fades under every filler.")
    return page
