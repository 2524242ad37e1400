"""A text of the project as a page of the site: markers go, links lead to pages, and what MkDocs reads otherwise than a code host is written its way.

MkDocs reads Markdown by the rules of Python-Markdown. There a list or a table needs an empty line before it, and what is inside of a list is
indented by four. A code host needs neither, so the texts need not have it.
"""
from __future__ import annotations

import re
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2] / "tests" / "tools"))

from prose_text import BULLET, COMMENT, LINK, code_away, slug  # noqa: E402

MARKER = re.compile(r"<!-- (snippet|output|measured|bench): (.+?) -->")
FENCE = re.compile(r"(\s*)(`{3,}|~{3,})(.*)")
HEADING = re.compile(r"(#{1,6}) (.+)")
ENTRY = re.compile(r"- \*\*(.+?)\*\*: (.+?) \[[^\]]+\]\([^)]+\)$")
CAPTION = re.compile(r"\*(Figure\b.*)\*$")
FILE = re.compile(r"[\w./-]*\w\.(?:cpp|hpp|h|c|cu|cuh|py|sh|toml|json|txt|md|cmake|mutant|js|css)|[\w./-]*(?:CMakeLists\.txt|LICENSE)")
LANGUAGES = {"": "text", "cu": "cuda"}


class Broken(Exception):
    """A text that cannot be a page, with the place."""


def comments_away(text: str) -> str:
    """Without comments; what is quoted in code stays."""
    shown = code_away(text)
    for comment in reversed(list(COMMENT.finditer(shown))):
        rest = text[comment.end():]
        text = (text[:comment.start()].rstrip(" ") if not rest or rest[0] == "\n" else text[:comment.start()]) + rest
    return text


def anchors_of(text: str) -> list[str]:
    """The anchors of a text's headings, in order, as a code host makes them."""
    found, fence = [], ""
    for line in text.split("\n"):
        mark = FENCE.match(line)
        if mark and (not fence or line.strip().startswith(fence)):
            fence = "" if fence else mark[2]
        elif not fence and (heading := HEADING.fullmatch(line)):
            found.append(new_anchor(comments_away(heading[2]).strip(), found))
    return found


def new_anchor(heading: str, taken: list[str]) -> str:
    name = slug(heading)
    return next(one for number in range(len(taken) + 1) if (one := f"{name}-{number}" if number else name) not in taken)


class Lines:
    """The lines of a page as they are made: what is prose waits, so that a link may run over lines."""

    def __init__(self, prose):
        self.out: list[str] = []
        self.waiting: list[tuple[int, str]] = []
        self.prose = prose

    def add(self, number: int, line: str) -> None:
        self.waiting.append((number, line))

    def plain(self, *lines: str) -> None:
        self.settle()
        self.out += lines

    def gap(self) -> None:
        self.settle()
        if self.out and self.out[-1].strip():
            self.out.append("")

    def settle(self) -> None:
        if self.waiting:
            self.out += self.prose(self.waiting[0][0], "\n".join(line for _, line in self.waiting)).split("\n")
            self.waiting = []


class Page:
    """One text. `site` answers where things are: link(), source(), snippet_line(), glossary."""

    def __init__(self, place: str, folder: str, text: str, site):
        self.place, self.folder, self.site = place, folder, site
        self.lines = text.split("\n")
        self.anchors: list[str] = []
        self.out = Lines(self.prose)
        self.lists: list[tuple[int, int]] = []  # of each list that is open: where its bullets begin, and their text

    def made(self) -> str:
        i, marker, before = 0, None, ""
        while i < len(self.lines):
            line = self.lines[i]
            fence = FENCE.match(line)
            if fence:
                i = self.code(i, fence, marker)
                marker, before = None, "code"
                continue
            if line.lstrip().startswith("<!--"):
                end = next((j for j in range(i, len(self.lines)) if "-->" in self.lines[j]), None)
                if end is None:
                    raise Broken(f"{self.place}:{i + 1}: this comment has no end")
                whole = "\n".join(self.lines[i:end + 1])
                if re.fullmatch(r"\s*(<!--.*?-->\s*)+", whole, re.S):
                    found = MARKER.fullmatch(whole.strip())
                    marker = (found[1], found[2]) if found else marker
                    i = end + 1
                    continue
            before = self.line(i, line, before)
            i += 1
        self.out.settle()
        return re.sub(r"\n{3,}", "\n\n", "\n".join(self.out.out)).strip("\n") + "\n"

    def line(self, i: int, line: str, before: str) -> str:
        """One line outside of code; returns what it is."""
        heading = HEADING.fullmatch(line)
        if not line.strip():
            self.out.plain("")
            return ""
        if heading:
            self.lists = []
            self.out.gap()
            anchor = new_anchor(comments_away(heading[2]).strip(), self.anchors)
            self.anchors.append(anchor)
            words = self.prose(i + 1, heading[2])
            self.out.plain(f"{heading[1]} {words} {{ #{anchor} }}", "")
            return "heading"
        if line.lstrip().startswith("|"):
            if before != "row":
                self.out.gap()
            self.out.settle()
            self.out.plain(self.prose(i + 1, line.strip()))
            return "row"
        if before == "row":
            self.out.gap()
        bullet = BULLET.match(line)
        if bullet and not re.fullmatch(r"\s*(-{3,}|\*{3,})\s*", line):
            return self.bullet(i, line, bullet, before)
        caption = CAPTION.fullmatch(comments_away(line).strip())
        if caption and self.picture_before():
            return self.figure(i, caption[1])
        indent = len(line) - len(line.lstrip())
        if before == "" and indent == 0:
            self.lists = []
        depth = sum(text <= indent for _, text in self.lists) if before != "bullet" else len(self.lists)
        self.out.add(i + 1, "    " * depth + (line.strip() if self.lists else line.rstrip()))
        return "bullet" if before == "bullet" else "paragraph"

    def bullet(self, i: int, line: str, bullet: re.Match, before: str) -> str:
        indent = len(line) - len(line.lstrip())
        while self.lists and indent < self.lists[-1][0]:
            self.lists.pop()
        deeper = not self.lists or indent >= self.lists[-1][1]
        if before not in ("bullet", ""):
            self.out.gap()
        if deeper:
            self.lists.append((indent, bullet.end()))
        mark = re.sub(r"\)$", ".", bullet[0].strip())
        rest = line[bullet.end():]
        entry = ENTRY.match(comments_away(line))
        if entry and self.place == self.site.glossary_place:
            rest = rest.replace(f"**{entry[1]}**", f"**{entry[1]}**{{ #{slug(entry[1])} }}", 1)
        self.out.settle()
        self.out.add(i + 1, "    " * (len(self.lists) - 1) + f"{mark} " + rest.rstrip())
        return "bullet"

    # --- pictures and code --------------------------------------------------------------------------------------------------------------

    def picture_before(self) -> bool:
        self.out.settle()
        last = next((k for k in reversed(range(len(self.out.out))) if self.out.out[k].strip()), None)
        return last is not None and self.out.out[last].startswith("[![")

    def figure(self, i: int, caption: str) -> str:
        """The picture and what is to be seen on it belong together."""
        while not self.out.out[-1].strip():
            self.out.out.pop()
        picture = self.out.out.pop()
        self.out.plain('<figure markdown="1">', "", picture, "", f'<figcaption markdown="span">{self.prose(i + 1, caption)}</figcaption>', "", "</figure>", "")
        return "paragraph"

    def code(self, i: int, fence: re.Match, marker) -> int:
        end = next((j for j in range(i + 1, len(self.lines)) if self.lines[j].strip().startswith(fence[2])), None)
        if end is None:
            raise Broken(f"{self.place}:{i + 1}: this code has no end")
        indent = len(fence[1])
        depth = sum(text <= indent for _, text in self.lists) if indent else 0
        if not indent:
            self.lists = []
        name = fence[3].strip()
        body = [line[indent:] if not line[:indent].strip() else line for line in self.lines[i + 1:end]]
        self.out.gap()
        above = self.origin(i, marker)
        lines = ([above, ""] if above else []) + [f"{fence[2]} {{ .{LANGUAGES.get(name, name)} }}", *body, fence[2], ""]
        self.out.plain(*[("    " * depth + line).rstrip() for line in lines])
        return end + 1

    def origin(self, i: int, marker) -> str:
        """Where a block comes from, as the line above it."""
        if marker is None:
            return ""
        kind, what = marker
        if kind == "snippet":
            name, _, anchor = what.partition("#")
            place = self.site.tree.named(name, self.folder)
            if place is None:
                raise Broken(f"{self.place}:{i}: snippet '{what}': there is no such file")
            line = self.site.snippet_line(place, anchor)
            if line is None:
                raise Broken(f"{self.place}:{i}: snippet '{what}': {place} has no such anchor")
            return f"[{name}, line {line}]({self.site.source(self.place, place)}#__span-0-{line}){{ .from }}"
        if kind == "measured":
            place = self.site.tree.named(f"results/{what}.txt", self.folder)
            if place is None:
                raise Broken(f"{self.place}:{i}: measured '{what}': there is no {self.folder}/results/{what}.txt")
            return f"[measured: results/{what}.txt]({self.site.source(self.place, place)}){{ .from }}"
        return f"`{what}`{{ .from }}" if kind == "output" else ""

    # --- prose --------------------------------------------------------------------------------------------------------------------------

    def prose(self, number: int, text: str) -> str:
        """Links lead to pages, and names of files to their sources."""
        text = comments_away(text)
        row = text.lstrip().startswith("|")
        links = list(LINK.finditer(code_away(text)))
        for link in reversed(links):
            line = number + text.count("\n", 0, link.start())
            words = text[link.start(2):link.end(2)]
            text = text[:link.start()] + self.link(line, link[1], words, text[link.start(3):link.end(3)].strip("<>")) + text[link.end():]
        shown, covered = code_away(text), [(link.start(), link.end()) for link in LINK.finditer(code_away(text))]
        for span in reversed(list(re.finditer(r"(`+)(?!`)(.+?)(?<!`)\1(?!`)", text))):
            words = span[2].replace("\\|", "|") if row else span[2]
            made = f"{span[1]}{words}{span[1]}"
            if shown[span.start()] == "`" and not any(begin <= span.start() < end for begin, end in covered) and FILE.fullmatch(words.strip()):
                place = self.site.tree.named(words.strip(), self.folder)
                made = f"[{made}]({self.site.source(self.place, place)})" if place and place != self.place else made
            text = text[:span.start()] + made + text[span.end():]
        return text

    def link(self, line: int, picture: str, words: str, target: str) -> str:
        if re.match(r"[a-z]+:", target):
            return f"{picture}[{words}]({target})"
        inside = LINK.search(code_away(words))
        if inside and inside[1]:  # a picture in a link
            words = words[:inside.start()] + self.link(line, "!", inside[2], inside[3]).removeprefix("[").rpartition("](")[0] + words[inside.end():]
        try:
            found, title = self.site.link(self.place, target, words)
        except Broken as problem:
            raise Broken(f"{self.place}:{line}: '{target}': {problem}") from None
        title = f' "{title}"' if title else ""
        return f"[![{words}]({found})]({found})" if picture else f"[{words}]({found}{title})"
