"""Small books for prose.py to find the mistakes of: each is the sample with something replaced, and what has to be found then."""
from __future__ import annotations

import re
import tempfile
from pathlib import Path

SAMPLE = {
    "README.md": "# A book\n\nIt has a [cache](book/glossary.md), a [key row](book/glossary.md) and [SIMD](book/glossary.md). Begin with [chapter 1](step01_a/README.md).\n\n![A small picture here](step01_a/pictures/p.svg)\n\n*Figure 1: two boxes.*\n",
    "book/glossary.md": "# Glossary\n\n- **key row**: what is looked up. [Chapter 2](../step02_attention/README.md#keys)\n"
                        "- **memo**: a note. [Chapter 1](../step01_tensor/pages/more.md#more)\n- **SIMD**: many at once. [Chapter 1](../step01_tensor/README.md#the-sum)\n- **ulp**: one of the floats. [Chapter 1](../step01_tensor/README.md#the-sum)\n",
    "step01_tensor/README.md": "# One\n\nFirst words.\n\n## The sum\n\nA *ulp* is one float of a SIMD register. It takes 31 · 3 = 93 steps and 4 711 bytes.\n\n<!-- term: ulp, SIMD -->\n\n"
                               "![A picture with words](pictures/p.svg)\n\n*Figure 1.1: see 12.5.*\n\n```\n4711 x\n```\n\nLanes are used. See [the key rows of chapter 2](../step02_attention/README.md#keys): they wait. Then key rows are free.\n\nEnd. [More](pages/more.md).\n",
    "step01_tensor/pages/more.md": "# More\n\nA memo is a note.\n\n<!-- term: memo -->\n\n![Another picture with words](../pictures/p.svg)\n\n*Figure 1.2: it again.*\n",
    "step01_tensor/pictures/p.svg": '<svg><text x="1">12.5 ms</text></svg>\n',
    "step02_attention/README.md": "# Two\n\n## Keys\n\nThe words are:\n\n- a key row, which holds 0.25 of it\n\n<!-- term: key row -->\n\nKey rows and ulps and memos are known. | 0.25\n\n| a | b |\n|---|---|\n| 0.25 | 0.125 |\n",
    "step02_attention/results/r.json": '{"a": 0.33333, "b": 8111}\n',
}
SAMPLE["README.md"] = SAMPLE["README.md"].replace("step01_a", "step01_tensor").replace("a [cache](book/glossary.md), ", "")
ONE, TWO, MORE, GLOSSARY = "step01_tensor/README.md", "step02_attention/README.md", "step01_tensor/pages/more.md", "book/glossary.md"
LONG = "word " * 46

CASES = [  # text, what is replaced, by what, the rules that are broken
    (ONE, "", "", []),
    # (a) terms
    (ONE, "First words.", "First ulps.", ["term"]),
    (ONE, "First words.", "First `ulps` of code.", []),
    (ONE, "First words.", "First [ulps](#the-sum), then ulps.", []),
    (ONE, "First words.", "First [ulps](../book/glossary.md), then ulps.", []),
    (ONE, "First words.", "First [ulps](#one).", ["term"]),
    (ONE, "# One", "# One ulp", []),
    (ONE, "First words.", "```\nlanes\n```\n", []),
    (ONE, "First words.", "First ulps. <!-- allowed ulp: the word of roads, not ours -->", []),
    (ONE, "First words.", "First ulps. <!-- allowed ulp: why -->", ["mark", "term"]),
    (ONE, "First words.", "First words. <!-- allowed ulp: the word of roads, not ours -->", ["mark"]),
    (ONE, "End.", "## Another\n\nA key row again.", ["term"]),
    (ONE, "First words.", "A memo.", ["term"]),
    (ONE, "<!-- term: ulp, SIMD -->", "<!-- term ulp, SIMD -->", ["glossary", "glossary", "mark", "short", "short"]),
    (ONE, "<!-- term: ulp, SIMD -->", "and <!-- term: ulp, SIMD -->", ["mark", "term", "term"]),
    (TWO, "## Keys\n\n", "## Keys\n\nA key row before.\n\n", ["term"]),
    ("README.md", "[SIMD](book/glossary.md)", "SIMD", ["term"]),
    ("README.md", "[key row](book/glossary.md)", "[glossary](book/glossary.md) and key row", ["term"]),
    (MORE, "A memo is", "Words are in the [glossary](../../book/glossary.md).\n\nA key row. A memo is", []),
    (MORE, "A memo is", "A key row. A memo is", ["term"]),
    (ONE, "First words.", "## Reading\n\nA memo of GGUF.", []),
    # (b) the glossary
    (GLOSSARY, "- **memo**", "- **memos**", ["glossary", "glossary"]),
    (GLOSSARY, "- **memo**: a note. [Chapter 1](../step01_tensor/pages/more.md#more)\n", "", ["glossary"]),
    (GLOSSARY, "- **SIMD**", "- **ulp**: it. [Chapter 1](../step01_tensor/README.md#the-sum)\n- **SIMD**", ["glossary"]),
    (GLOSSARY, "pages/more.md#more", "README.md#one", ["glossary"]),
    (GLOSSARY, "**memo**: a note.", "**memo** a note.", ["glossary", "glossary"]),
    (TWO, "key row -->", "key row, ulp -->", ["glossary"]),
    (TWO, "key row -->", "key row, ulps -->", ["glossary"]),
    # abbreviations, chapters to come
    (ONE, "First words.", "The GGUF file of a CPU.", ["short"]),
    (ONE, "First words.", "The file of chapter 2.", ["forward"]),
    (ONE, "First words.", "The file of [chapter 2](../step02_attention/README.md), of chapter 2.", []),
    (TWO, "The words are:", "As in chapter 1, the words are:", []),
    # (c) links
    (ONE, "(pages/more.md)", "(pages/none.md)", ["link"]),
    (ONE, "(pages/more.md)", "(pages/more.md#none)", ["link"]),
    (ONE, "(pages/more.md)", "(https://example.org/x)", []),
    (ONE, "(pages/more.md)", "(#the-sums)", ["link"]),
    (ONE, "[More](pages/more.md)", "`[More](pages/none.md)`", []),
    (MORE, "A memo", "[Back](../README.md#the-sum). A memo", []),
    # (d) pictures
    (ONE, "![A picture with words]", "![words]", ["picture"]),
    (ONE, "*Figure 1.1: see 12.5.*\n", "Words.\n", ["picture"]),
    (ONE, "*Figure 1.1:", "*Figure 1.2:", ["picture"]),
    (MORE, "*Figure 1.2:", "*Figure 1.1:", ["picture"]),
    (ONE, "First words.", "First ![a b c](pictures/p.svg) words.", ["picture"]),
    (ONE, "First words.", "*Figure 1.1: nothing.*", ["picture"]),
    (ONE, "see 12.5", "white is free", ["picture"]),
    ("README.md", "*Figure 1: two", "*Figure 0.1: two", ["picture"]),
    # (e) one line
    (ONE, "First words.", "First\nwords.", ["wrapped"]),
    (ONE, "First words.", "- First\n- words.", []),
    (ONE, "First words.", "- First\n  words.", ["wrapped"]),
    # (f) words
    (ONE, "First words.", "The token behind it.", ["word"]),
    (ONE, "First words.", "A wall is behind it. <!-- allowed behind: a wall is a place, not a time -->", []),
    (ONE, "First words.", "A wall is behind it.\n<!-- allowed behind: a wall is a place, not a time -->", []),
    (ONE, "First words.", "The LM head [V, C] is large. <!-- allowed LM: the word that others use -->", ["word"]),
    (ONE, "First words.", "Who waits must be met.", ["word"]),
    (ONE, "First words.", "The KV-cache, a KV cache WITH reason: the words with it.", ["word"]),
    (ONE, "First words.", 'The word "his" is quoted.', []),
    (ONE, "First words.", "Who reads this?", []),
    (ONE, "First words.", "It is obviously right.", ["word"]),
    # (g) numbers
    (ONE, "First words.", "It takes 4 712 bytes.", ["number"]),
    (ONE, "First words.", "It takes 4711 bytes, 128 and 100 of them.", []),
    (ONE, "First words.", "It takes 4 712 bytes. <!-- allowed 4 712: the size of a famous file -->", []),
    (ONE, "First words.", "It takes 31 · 3 = 94 steps.", ["wrong"]),
    (ONE, "First words.", "It takes 31 · 7 = 217 steps.", []),
    (TWO, "The words are:", "From 0.333, 8111 and 0.13:", []),
    (TWO, "The words are:", "From 0.334:", ["number"]),
    ("README.md", "It has", "In 0.25 it has", []),
    # (h) lengths
    (ONE, "First words.", f"First {LONG}.", ["long"]),
    (ONE, "First words.", "Five little words are here. " * 31, ["long"]),
    (ONE, "First words.", f"First {LONG}.\n<!-- allowed long: a list that is read as one -->", []),
]


def wrong(check, relink) -> list[str]:
    """What `check` does not find in these books, or finds beside it."""
    found = []
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        for number, (place, old, new, rules) in enumerate(CASES):
            for path, text in SAMPLE.items():
                assert path != place or old in text, f"case {number}: no {old!r}"
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).write_text(text.replace(old, new, 1) if path == place and old else text, encoding="utf-8")
            problems = check(root)
            if sorted(problem[2] for problem in problems) != rules:
                found.append(f"case {number} ({re.sub(chr(10), ' ', new)[:50]!r}): expected {rules}, found {problems}")
        for path, text in SAMPLE.items():  # links to elsewhere, and no order
            lines = re.sub(r"\(\.\./[^)]*\)", "(x.md)", text).split("\n")
            (root / path).write_text("\n".join([*lines[:2], *sorted(lines[2:-1], reverse=True), ""]) if path == "book/glossary.md" else text, encoding="utf-8")
        relink(root)
        if (root / "book/glossary.md").read_text(encoding="utf-8").lower() != SAMPLE["book/glossary.md"].lower():
            found.append(f"relink: {(root / 'book/glossary.md').read_text(encoding='utf-8')}")
    return found
