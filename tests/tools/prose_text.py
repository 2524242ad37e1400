"""A text of the book in blocks, as prose.py reads it: paragraphs, bullets, rows, captions, headings, code; links and anchors as GitHub makes them."""
from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2] / "tools"))

import book  # noqa: E402

PROSE = ("paragraph", "bullet", "row", "caption")
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\((<[^>]*>|[^()\s]*(?:\([^()]*\)[^()\s]*)*)(?:\s+\"[^\"]*\")?\)")
COMMENT = re.compile(r"<!--.*?-->", re.S)
ALLOWED = re.compile(r"<!-- allowed ([^:]+?): (.+?) -->", re.S)
TERM = re.compile(r"<!-- term: (.+?) -->")
BULLET = re.compile(r"\s*(?:[-*+]|\d+[.)])\s+")
WORD = re.compile(r"[^\s]*[A-Za-z0-9][^\s]*")
ABBREVIATED = re.compile(r"(?:\b(?:e\.g|i\.e|cf|resp|Fig|vs|No|al|St|Dr)|\b[A-Z])\.$")


@dataclass
class Block:
    kind: str  # paragraph, bullet, row, caption, picture, heading, code, generated, comment
    line: int
    text: str
    section: str  # the anchor of the heading above it
    owner: "Block | None" = None  # of a comment: the block before it
    wrapped: int = 0  # a line on which a paragraph goes on
    allowed: dict = field(default_factory=dict)  # {what: reason}
    used: set = field(default_factory=set)  # those that were needed

    def prose(self) -> str:
        """What is read aloud: no comments, code as one word, of links and pictures their words. A quoted mark is no prose."""
        return visible(self.text)


def visible(text: str) -> str:
    text = COMMENT.sub(" ", text)
    text = code_away(text)
    text = re.sub(r"^\s*>\s?", "", text)
    text = BULLET.sub("", text, count=1) if BULLET.match(text) else text
    for _ in range(2):  # a picture in a link
        text = LINK.sub(lambda link: "" if link[1] else link[2], text)
    return re.sub(r"\*\*|(?<!\w)\*(?=\S)|(?<=\S)\*(?!\w)|(?<!\w)_(?=\w)|(?<=\w)_(?!\w)", "", text)


def code_away(text: str) -> str:
    """Code spans become one word in backticks, which no rule looks at; the text keeps its length."""
    return re.sub(r"(`+)(.+?)\1", lambda span: "`" + "c" * (len(span[0]) - 2) + "`", text)


class Text:
    def __init__(self, path: Path, root: Path):
        self.path, self.root = path, root
        self.place = path.relative_to(root).as_posix()
        folder = book.folder_of(path).relative_to(root).as_posix()
        chapter = re.match(r"step0*(\d+)_", folder)
        self.chapter = int(chapter[1]) if chapter else 0
        self.folder = root / folder
        self.lines = path.read_text(encoding="utf-8").split("\n")
        self.blocks: list[Block] = []
        self.anchors: set[str] = set()
        self.terms: list[tuple[str, Block, int]] = []  # term, block that begins its definition, line of the mark
        self.problems: list[tuple[int, str]] = []
        self.split()
        self.attach()

    def split(self) -> None:
        i, section, generated = 0, "", False
        while i < len(self.lines):
            line, before = self.lines[i], self.blocks[-1] if self.blocks else None
            goes_on = i > 0 and self.lines[i - 1].strip() and before
            fence = re.match(r"\s*(`{3,}|~{3,})", line)
            if fence:
                end = next((j for j in range(i + 1, len(self.lines)) if self.lines[j].strip().startswith(fence[1])), len(self.lines) - 1)
                self.blocks.append(Block("code", i + 1, "\n".join(self.lines[i + 1:end]), section))
                i = end + 1
                continue
            if line.lstrip().startswith("<!--"):
                end = next((j for j in range(i, len(self.lines)) if "-->" in self.lines[j]), len(self.lines) - 1)
                text = "\n".join(self.lines[i:end + 1])
                if re.fullmatch(r"\s*(<!--.*?-->\s*)+", text, re.S):
                    self.blocks.append(Block("comment", i + 1, text, section))
                    generated = text.startswith("<!-- table:") or generated and not text.startswith("<!-- end of table")
                    i = end + 1
                    continue
            if not line.strip():
                pass
            elif generated:
                self.blocks.append(Block("generated", i + 1, line, section))
            elif re.match(r"#{1,6} ", line):
                section = self.anchor(line.lstrip("# ").strip())
                self.blocks.append(Block("heading", i + 1, line, section))
            elif line.lstrip().startswith("|"):
                self.blocks.append(Block("row", i + 1, line, section))
            elif re.match(r"\s*!\[.*\)\s*$", line):
                self.blocks.append(Block("picture", i + 1, line, section))
            elif re.match(r"\*Figure\b", line):
                self.blocks.append(Block("caption", i + 1, line, section))
            elif BULLET.match(line):
                self.blocks.append(Block("bullet", i + 1, line, section))
            elif re.fullmatch(r"\s*(-{3,}|\*{3,})\s*", line):
                pass
            elif goes_on and before.kind in ("paragraph", "bullet", "caption") and not (line.startswith(">") != before.text.startswith(">")):
                before.wrapped = before.wrapped or i + 1
                before.text += "\n" + line
            else:
                self.blocks.append(Block("paragraph", i + 1, line, section))
            i += 1

    def anchor(self, heading: str) -> str:
        name = slug(heading)
        number, found = 0, name
        while found in self.anchors:
            number += 1
            found = f"{name}-{number}"
        self.anchors.add(found)
        return found

    def attach(self) -> None:
        """Comments belong to the block before them: reasons, and marks of terms."""
        own = None
        for place, block in enumerate(self.blocks):
            if block.kind != "comment":
                own = block
            block.owner = own
            if block.kind in ("code", "generated"):
                continue
            for what, reason in ALLOWED.findall(code_away(block.text)):
                if own is None or len(reason.split()) < 3:
                    self.problems.append((block.line, f"'allowed {what}' needs a paragraph before it, and a reason of three words or more"))
                else:
                    own.allowed[what.strip().lower()] = reason
            marks = TERM.findall(code_away(block.text))
            if re.search(r"<!--\s*terms?\b", code_away(block.text)) and (block.kind != "comment" or not marks):
                self.problems.append((block.line, "a mark of terms stands on a line of its own: <!-- term: query, key -->"))
            for term in [term.strip() for mark in marks for term in mark.split(",")]:
                if own is None or own.kind not in PROSE:
                    self.problems.append((block.line, f"the mark of '{term}' stands right after the paragraph, list, table or caption that defines it"))
                else:
                    self.terms.append((term, self.definition(place), block.line))

    def definition(self, mark: int) -> Block:
        """Where the definition before a mark begins: its paragraph; of a list or a table its first line, or the paragraph with a colon before it."""
        place = mark
        while self.blocks[place].kind == "comment":
            place -= 1
        kind = self.blocks[place].kind
        if kind in ("bullet", "row"):
            while place > 0 and self.blocks[place - 1].kind in (kind, "comment"):
                place -= 1
            if place > 0 and self.blocks[place - 1].kind == "paragraph" and self.blocks[place - 1].prose().rstrip().endswith(":"):
                place -= 1
        while self.blocks[place].kind == "comment":
            place += 1
        return self.blocks[place]


def slug(heading: str) -> str:
    """GitHub's anchor of a heading: lower case, no punctuation, a hyphen for each space."""
    heading = LINK.sub(lambda link: link[2], heading)
    heading = re.sub(r"[*`]|(?<!\w)_|_(?!\w)", "", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", heading).replace(" ", "-")


def sentences(text: str) -> list[str]:
    found, begin = [], 0
    for end in re.finditer(r"[.!?][\"'’”)`]*\s+(?=[\"'“‘(`]?[A-Z0-9`])", text):
        if not ABBREVIATED.search(text[begin:end.end()].rstrip()):
            found.append(text[begin:end.end()])
            begin = end.end()
    return [*found, text[begin:]]


def words(text: str) -> int:
    return len(WORD.findall(re.sub(r"`[^`]+`", "code", text)))


def self_test() -> list[str]:
    cases = [(slug("The `Policy` interface, shown"), "the-policy-interface-shown"), (slug("C++ & CUDA: a look"), "c--cuda-a-look"), (slug("Why [KV](x.md) is *here*?"), "why-kv-is-here"),
             (slug("What a step_by_step — costs"), "what-a-step_by_step--costs"), (len(sentences("One. Two e.g. this. Three? `four` ends. 5 more")), 5), (words("one `a b c` two, – 3"), 4),
             (visible("- See [the *first* one](a.md#b) of `x y`. <!-- claim: a -->").strip(), "See the first one of `ccc`."), (visible("a_b * c *d* **e**"), "a_b * c d e")]
    return [f"case {i} of texts: {found!r} instead of {expected!r}" for i, (found, expected) in enumerate(cases) if found != expected]
