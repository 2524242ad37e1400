"""Chapter 8: tokens of a prompt in a second, by its length, in three groups of models, with full attention in each of them."""
from __future__ import annotations

from . import mix_time, style

NEEDS = mix_time.NEEDS
SHOWS = ["prompt, tokens/s", "full attention (gqa)", "states, and hybrids", "rwkv"]


def rate(row: dict) -> float:
    if "prefill_tokens_per_second" not in row:
        raise style.NotYet("the clock has no times of prompts")
    return row["prefill_tokens_per_second"]


def draw(reports: dict[str, list[dict]], figure) -> None:
    mix_time.draw_panels(reports, figure, rate, "prompt, tokens/s")
