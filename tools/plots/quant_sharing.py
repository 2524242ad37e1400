"""Who shares a scale: rows of a token, blocks of 32 channels, or one channel of 32 tokens; and which groups a large channel spoils."""
from __future__ import annotations

from . import scheme

NEEDS = ()
CHAPTER = "step06_quant"
TOKENS, CHANNELS, LARGE = 64, 64, 20
# title, tokens and channels of a group
FORMATS = [("int8, lloyd, turbo", "one scale for a token's row", 1, CHANNELS), ("q8_0, q4_0, q4_1; KIVI's values", "one for 32 channels of a token", 1, 32),
           ("KIVI's keys", "one for 32 tokens of a channel", 32, 1)]
CELL = 3.25


def groups(tokens: int, channels: int) -> list[tuple[int, int]]:
    """Their first token and channel."""
    return [(t, c) for t in range(0, TOKENS, tokens) for c in range(0, CHANNELS, channels)]


def spoiled(tokens: int, channels: int) -> list[tuple[int, int]]:
    return [(t, c) for t, c in groups(tokens, channels) if c <= LARGE < c + channels]


def share(tokens: int, channels: int) -> str:
    return f"{len(spoiled(tokens, channels))} of {len(groups(tokens, channels))} groups hold it,"


def others(tokens: int, channels: int) -> str:
    numbers = len(spoiled(tokens, channels)) * (tokens * channels) - TOKENS
    return f"with {numbers} numbers of other channels"


SHOWS = [text for _, _, tokens, channels in FORMATS for text in (share(tokens, channels), others(tokens, channels))]


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(370, f"One KV head: {TOKENS} tokens of {CHANNELS} channels, of which channel {LARGE} is large")
    for i, (name, what, tokens, channels) in enumerate(FORMATS):
        left, top = 30 + i * 260, 96
        page.text(left, 56, name, bold=True)
        page.text(left, 76, what)
        hit = spoiled(tokens, channels)
        for group, fill, stroke in ((groups(tokens, channels), "white", scheme.FAINT), (hit, scheme.PALE[scheme.GLOBAL], scheme.GLOBAL)):
            page.boxes([(left + c * CELL, top + t * CELL) for t, c in group], channels * CELL, tokens * CELL, fill, stroke)
        page.boxes([(left + LARGE * CELL, top)], CELL, TOKENS * CELL, scheme.GLOBAL)
        page.text(left, top + TOKENS * CELL + 22, share(tokens, channels))
        page.text(left, top + TOKENS * CELL + 40, others(tokens, channels))
    page.text(12, 96 + TOKENS * CELL / 2, "tokens", size=11, anchor="middle", more=f' transform="rotate(-90 12 {96 + TOKENS * CELL / 2:g})"')
    return page
