"""The same twelve tokens by four other rules: the last query's, SnapKV after the prompt, what Quest reads, and chance."""
from __future__ import annotations

from . import policy_grid, scheme

NEEDS = ()
CHAPTER = "step05_policies"
# What is drawn by chance has no rule to draw it by: as the program prints it, which the test compares.
RANDOM = ["#", "##", "###", "####", ".####", "..####", "..####.", "...###.#", "....##.##", "....##.#.#", "....##.#.#.", "....##.#...#"]
GRIDS = {"tova": policy_grid.run(policy_grid.tova), "snapkv": policy_grid.run(policy_grid.snapkv, waits=True), "quest": policy_grid.quest(),
         "random": [[s for s, cell in enumerate(row) if cell == "#"] for row in RANDOM]}
BY_HAND = [row.rstrip() for row in policy_grid.printed(GRIDS)]
SHOWS = list(GRIDS)


def draw_page() -> scheme.Scheme:
    words = ("by the last query", "once, after token 7", "reads three pages", "any four")
    colors = (scheme.THREADS, scheme.THREADS, scheme.SHARED, scheme.THREADS)
    grids = [(name, of, rows, color) for (name, rows), of, color in zip(GRIDS.items(), words, colors)]
    return policy_grid.draw_row("The same twelve tokens by four other rules", grids,
                                ["Full: held after this step, and for Quest: read by it (Quest holds everything). Outlined: gone, or not read.",
                                 "SnapKV grows again after it has forgotten. Chance drops the newest token as readily as any."])
