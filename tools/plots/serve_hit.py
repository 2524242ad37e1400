"""Which pages of a prompt are found: its own letters and everything before them must be the same."""
from __future__ import annotations

from . import scheme

NEEDS = ()
CHAPTER = "step07_serving"
SLOTS, KNOWN, OWNER = 4, "the cat sat on", "shop"
ASKED = [("shop", "the cat ran off"), ("shop", "the cat sat on"), ("shop", "the cat sat "), ("shop", "a cat sat on"), ("bank", "the cat sat on")]


def pages(text: str) -> list[str]:
    return [text[i:i + SLOTS] for i in range(0, len(text), SLOTS)]


def found(scope: str, text: str) -> int:
    count = 0
    while scope == OWNER and count < len(text) // SLOTS and (count + 1) * SLOTS <= len(KNOWN) and text[:(count + 1) * SLOTS] == KNOWN[:(count + 1) * SLOTS]:
        count += 1
    return count


def computed(scope: str, text: str) -> int:
    """At least the last token, whose row of logits is wanted."""
    return max(1, len(text) - SLOTS * found(scope, text))


def copied(scope: str, text: str) -> int:
    """Pages that the computed tokens would have to be written into, although they are the index's."""
    return int(len(text) - computed(scope, text) < SLOTS * found(scope, text))


def quoted(text: str) -> str:
    return f'"{text}"'


BY_HAND = [f"  {scope:<5}  {quoted(text):<17}  {len(text) // SLOTS:11}  {found(scope, text):5}  {computed(scope, text):8}  {copied(scope, text):6}" for scope, text in ASKED]
SHOWS = ["2 pages found, 7 tokens computed", "3 pages found, 1 token computed"]


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(350, "The pages of \"the cat sat on\" are there. What do others get?")
    rows = [("held", KNOWN, None)] + [(scope, text, scope) for scope, text in ASKED]
    for i, (name, text, scope) in enumerate(rows):
        y = 44 + i * 42 + (14 if i else 0)
        page.text(16, y + 20, {"held": "the shop's, held", "shop": "the shop", "bank": "the bank"}[name], bold=not i)
        taken = found(scope, text) if scope else len(KNOWN) // SLOTS
        for number, part in enumerate(pages(text)):
            color = scheme.THREADS if number < taken else scheme.GLOBAL if scope else scheme.GREY
            last = scope and number == taken - 1 and copied(scope, text)
            page.box(130 + number * 84, y, 78, 30, scheme.SHARED if last else color, part.replace(" ", "\u00b7"))
        if scope:
            tokens = computed(scope, text)
            page.text(480, y + 20, f"{found(scope, text)} pages found, {tokens} token{'s' * (tokens > 1)} computed", size=11)
        else:
            page.text(480, y + 20, "3 whole pages; \"on\" fills none", size=11)
    page.text(16, 322, "Blue is taken over, orange is computed. A page counts only with all that stands before it, so \"a cat sat on\" finds", size=11)
    page.text(16, 340, "nothing. Green: \"the cat sat \" is all there, but its last token is computed, in a copy. The bank has another scope.", size=11)
    return page
