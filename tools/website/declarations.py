"""What stands in a header: declarations with the comments above them. Doxygen has found them; their words are taken from the header itself."""
from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field
from pathlib import Path

SHOWN = ("public", "protected")
MARK = re.compile(r"\s*//\s*(?:ANCHOR|ANCHOR_END|SOLUTION|TASK|NOLINT|clang-format)\w*")
TEMPLATE = re.compile(r"\s*(template\b|requires\b|\[\[)")
KINDS = {"public-func": "function", "func": "function"}


@dataclass
class Declaration:
    kind: str  # function, variable, typedef, enum, define, class, struct
    name: str
    line: int  # from 1, of its name
    body_end: int = 0
    types: set = field(default_factory=set)  # names of classes in it


@dataclass
class Type(Declaration):
    bases: list = field(default_factory=list)
    derived: list = field(default_factory=list)
    members: list = field(default_factory=list)


@dataclass
class Header:
    place: str
    lines: list
    types: list = field(default_factory=list)
    others: list = field(default_factory=list)


def simple(name: str) -> str:
    return re.sub(r"<.*", "", name).strip().removeprefix("kvlab::")


def read(xml: Path, root: Path) -> dict[str, Header]:
    """{place of a header: what stands in it}"""
    headers: dict[str, Header] = {}
    for path in sorted(xml.glob("*.xml")):
        if path.name.startswith(("class", "struct", "union", "namespace")) or path.name.endswith(("_8hpp.xml", "_8h.xml")):
            for compound in ElementTree.parse(path).getroot().findall("compounddef"):
                add(compound, headers, root)
    for header in headers.values():
        header.types.sort(key=lambda one: one.line)
        header.others = list({(one.line, one.name): one for one in sorted(header.others, key=lambda one: one.line)}.values())
    return dict(sorted(headers.items()))


def header_of(location, headers: dict[str, Header], root: Path) -> Header:
    place = location.get("file")
    if place not in headers:
        headers[place] = Header(place, (root / place).read_text(encoding="utf-8").split("\n"))
    return headers[place]


def add(compound, headers: dict[str, Header], root: Path) -> None:
    location, kind = compound.find("location"), compound.get("kind")
    if kind in ("class", "struct", "union"):
        name = compound.findtext("compoundname", "")
        outer = name.removeprefix("kvlab::").split("::")[:-1]
        if location is None or compound.get("prot", "public") != "public" or any(part == "detail" for part in outer):
            return
        one = Type(kind, simple(name), int(location.get("line")), int(location.get("bodyend") or 0))
        one.bases = [simple(base.text) for base in compound.findall("basecompoundref") if base.get("prot") == "public"]
        one.derived = [simple(other.text) for other in compound.findall("derivedcompoundref")]
        one.members = sorted((member(found) for found in compound.iter("memberdef") if found.get("prot") in SHOWN and found.get("kind") != "friend"), key=lambda found: found.line)
        header_of(location, headers, root).types.append(one)
    elif kind in ("namespace", "file"):
        if "detail" in compound.findtext("compoundname", "").split("::"):
            return
        for found in compound.iter("memberdef"):
            if kind == "file" and found.get("kind") == "define" and not found.findtext("name", "").startswith("KVLAB_"):
                continue
            header_of(found.find("location"), headers, root).others.append(member(found))


def member(found) -> Declaration:
    location = found.find("location")
    types = {simple(ref.text or "") for ref in found.iter("ref") if ref.get("kindref") == "compound"}
    return Declaration(found.get("kind"), found.findtext("name", ""), int(location.get("line")), int(location.get("bodyend") or 0), types)


def begin(lines: list, line: int) -> int:
    """The first line, from 0, of a declaration whose name stands in this line, from 1: templates and types that stand above it belong to it."""
    at = line - 1
    while at > 0 and (TEMPLATE.match(lines[at - 1]) or re.search(r"[,<(]\s*(//.*)?$", lines[at - 1]) and not lines[at - 1].lstrip().startswith("//")):
        at -= 1
    return at


def text_of(lines: list, line: int) -> tuple[list, int]:
    """A declaration up to its body, with the comments in it, and its last line from 0."""
    first, depth, out = begin(lines, line), 0, []
    if lines[line - 1].lstrip().startswith("#"):
        last = next(at for at in range(line - 1, len(lines)) if not lines[at].endswith("\\"))
        return [text.rstrip() for text in lines[line - 1:last + 1]], last
    for at in range(first, min(first + 60, len(lines))):
        code, _, comment = re.sub(r'"(?:\\.|[^"\\])*"', lambda text: '"' + "." * (len(text[0]) - 2) + '"', lines[at]).partition("//")
        comment = lines[at][len(code) + 2:]
        if at > first and depth == 0 and re.match(r"\s*:(?!:)", code) and at >= line:  # a constructor's members
            out[-1] += ";"
            return dedented(out), at
        for place, character in enumerate(code):
            depth += (character in "([") - (character in ")]")
            ends = depth == 0 and at >= line - 1
            if ends and (character in ";{" or character == ":" and re.search(r"\)\s*(noexcept\s*)?$", code[:place]) and code[place:place + 2] != "::" and code[place - 1] != ":"):
                rest = f"  //{comment}" if comment and character == ";" else ""
                out.append((lines[at][:place].rstrip() + ";" + rest).rstrip())
                return dedented(out), at
        out.append(lines[at].rstrip())
    return dedented(out), first


def dedented(lines: list) -> list:
    least = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    return [line[least:] for line in lines]


def comment_above(lines: list, line: int) -> list:
    """The lines of the comment right above a declaration, without their slashes."""
    at, out = begin(lines, line) - 1, []
    while at >= 0 and re.match(r"\s*//", lines[at]):
        if not MARK.match(lines[at]):
            out.append(re.sub(r"^\s*// ?", "", lines[at]))
        at -= 1
    return out[::-1]


def head_comment(lines: list) -> list:
    end = next((at for at, line in enumerate(lines) if not line.startswith("//")), 0)
    return [re.sub(r"^// ?", "", line) for line in lines[:end] if not MARK.match(line)]


def grouped(lines: list, members: list) -> list[list]:
    """Declarations that stand under one comment, without an empty line between them, are told together."""
    groups: list[list] = []
    last = -2
    for one in members:
        first, (_, end) = begin(lines, one.line), text_of(lines, one.line)
        end = max(end, one.body_end - 1 if one.body_end > 0 and one.kind == "function" else end)
        between = lines[last + 1:first]
        joins = groups and 0 <= last < first and all(line.strip() and not line.lstrip().startswith(("//", "public", "private", "protected")) for line in between) and not between
        if joins:
            groups[-1].append(one)
        else:
            groups.append([one])
        last = end
    return groups
