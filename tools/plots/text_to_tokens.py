"""Text to tokens: one token per byte, and a word joined by three merges."""
from __future__ import annotations

from . import scheme

NEEDS = ()
CHAPTER = "step02_attention"
TEXT = "In the"
WORD, MERGES = "lower", [("l", "o"), ("lo", "w"), ("e", "r")]
LETTER = 44


def steps() -> list[list[str]]:
    """The pieces of WORD before the first merge and after each; here every merge is used, in the order of the list."""
    pieces, found = list(WORD), [list(WORD)]
    for left, right in MERGES:
        at = next(i for i in range(len(pieces) - 1) if (pieces[i], pieces[i + 1]) == (left, right))
        pieces = pieces[:at] + [left + right] + pieces[at + 2:]
        found.append(pieces)
    return found


BY_HAND = [" ".join(str(ord(letter)) for letter in TEXT), *(" ".join(pieces) for pieces in steps())]
SHOWS = [str(ord("I")), "low", "er"]


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(390, "Text to tokens, in two ways")
    page.text(16, 56, "bytes: every byte is a token; a text of tiny begins with BOS, byte 0", bold=True)
    for place, (letter, number) in enumerate([("BOS", 0)] + [("_" if c == " " else c, ord(c)) for c in TEXT]):
        x = 36 + place * 60
        page.box(x, 70, 48, 30, scheme.GREY if place == 0 else scheme.THREADS, letter)
        page.arrows([(x + 24, 102, x + 24, 120)], scheme.THREADS)
        page.box(x, 122, 48, 30, scheme.GLOBAL, str(number))
    page.text(476, 90, "text")
    page.text(476, 142, "tokens: what the model reads", scheme.GLOBAL)
    page.text(16, 190, "byte pairs: begin with bytes, then join the pair that stands first in a list", bold=True)
    for row, pieces in enumerate(steps()):
        y, x = 206 + row * 44, 36
        for piece in pieces:
            width = LETTER * len(piece)
            new = row > 0 and piece == "".join(MERGES[row - 1])
            page.box(x, y, width - 4, 30, scheme.SHARED if new else scheme.THREADS, piece)
            x += width
        left, right = MERGES[row - 1] if row else ("", "")
        words = f"merge {row - 1}: {left} + {right}" if row else "one token for each byte"
        page.text(290, y + 20, words, scheme.SHARED if row else scheme.GREY)
    page.text(500, 358, "no pair left: two tokens", scheme.GLOBAL)
    return page
