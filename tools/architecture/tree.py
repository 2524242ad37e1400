"""What the tree says of itself: floors, the links between them, their #include lines, and classes that derive from one another.

A floor is a folder whose CMakeLists.txt declares libraries. A seam is a class with pure virtual members: what others fill.
"""
from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

LIBRARY = re.compile(r"\bkvlab_(?:step\s*\(\s*\d+|library\s*\()\s*(\w+)\b([^()]*)\)")
INCLUDE = re.compile(r'^\s*#\s*include\s*<kvlab/(\w+)/', re.MULTILINE)
# What a reader of C++ skips before looking for braces.
NOISE = re.compile(r'//[^\n]*|/\*.*?\*/|R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])\'', re.DOTALL)
# No enum, and no class of another one (Outer::Inner): that is a detail of the other.
CLASS = re.compile(r"(?<!enum )\b(?:class|struct)\s+(?:\[\[[^]]*\]\]\s*)?(\w+)\s*(?:final\s*)?(:\s*(?!:)[^{};()]*)?\{")
PURE = re.compile(r"\bvirtual\b[^;{}]*=\s*0\s*;")
PARTS, ENDINGS = ("include", "src", "simt", "gpu"), (".hpp", ".cpp", ".cu", ".cuh")


class Wrong(Exception):
    """The tree breaks its own rule: one line that says where."""


@dataclass
class Class:
    name: str
    floor: "Floor"
    header: str  # the file's name
    bases: list[str]
    pure: bool  # has pure virtual members of its own
    base: "Class | None" = None  # the one that leads to a seam
    children: list["Class"] = field(default_factory=list)

    def root(self) -> "Class":
        return self.base.root() if self.base else self


@dataclass(eq=False)
class Floor:
    folder: Path
    libraries: list[str]  # the first one is that of the folder's name
    links: list[str]
    includes: dict[str, str] = field(default_factory=dict)  # library: the first place, "file:line"
    classes: list[Class] = field(default_factory=list)
    below: list["Floor"] = field(default_factory=list)  # what it links

    @property
    def name(self) -> str:
        return self.libraries[0]

    def height(self) -> int:
        return 1 + max((floor.height() for floor in self.below), default=-1)

    def subject(self) -> str:
        """What the folder's README is about: "# Chapter 5: what to forget" says "what to forget"."""
        readme = self.folder / "README.md"
        found = re.search(r"^# [^:\n]*: (.+)", readme.read_text(encoding="utf-8"), re.MULTILINE) if readme.exists() else None
        return found[1].strip() if found else ""


def own_level(body: str) -> str:
    """The text of a class without what its nested braces hold."""
    depth, kept = 0, []
    for character in body:
        depth -= character == "}"
        if depth == 0:
            kept.append(character)
        depth += character == "{"
    return "".join(kept)


def classes_of(text: str) -> list[tuple[str, list[str], bool]]:
    """(name, bases, whether it has pure virtual members) of each class of a source."""
    text = NOISE.sub(" ", text)
    found, end = [], 0
    for match in CLASS.finditer(text):
        if match.start() < end:
            continue  # inside of the last one
        depth, end = 1, match.end()
        while depth and end < len(text):
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            end += 1
        bases = re.sub(r"<[^<>]*>|\b(?:public|protected|private|virtual)\b|\w+::", " ", (match[2] or "").lstrip(":"))
        found.append((match[1], [base.strip() for base in bases.split(",") if base.strip()], bool(PURE.search(own_level(text[match.end():end - 1])))))
    return found


def read_floor(folder: Path) -> Floor | None:
    cmake = re.sub(r"#[^\n]*", "", (folder / "CMakeLists.txt").read_text(encoding="utf-8"))
    found = LIBRARY.findall(cmake)
    if not found:
        return None
    links = [link for _, rest in found for link in re.findall(r"kvlab::(\w+)", rest)]
    names = sorted((name for name, _ in found), key=lambda name: not folder.name.endswith(name))
    floor = Floor(folder, names, [link for link in dict.fromkeys(links) if link not in dict(found)])
    for path in sorted(path for path in folder.rglob("*") if path.suffix in ENDINGS):
        text = path.read_text(encoding="utf-8")
        for match in INCLUDE.finditer(text):
            place = f"{path.relative_to(folder.parent)}:{text.count(chr(10), 0, match.start(1)) + 1}"
            floor.includes.setdefault(match[1], place)
        if path.relative_to(folder).parts[0] in PARTS:  # programs and benchmarks fill seams for themselves alone
            floor.classes += [Class(name, floor, path.name, bases, pure) for name, bases, pure in classes_of(text)]
    return floor


def connect(floors: list[Floor]) -> None:
    """Links to floors, and classes to what they derive from; only what leads to a seam stays."""
    by_library = {library: floor for floor in floors for library in floor.libraries}
    for floor in floors:
        for link in floor.links:
            if link not in by_library:
                raise Wrong(f"{floor.folder.name}/CMakeLists.txt: links kvlab::{link}, which no folder declares")
            floor.below.append(by_library[link])


def derive(floors: list[Floor]) -> None:
    """Finds the base of each class that leads to a seam; the other classes go."""
    by_name: dict[str, Class] = {}
    for floor in floors:
        for one in sorted(floor.classes, key=lambda one: not one.pure):
            by_name.setdefault(one.name, one)
    for floor in floors:
        for one in floor.classes:
            for name in one.bases:
                base = by_name.get(name)
                if base is not None and base is not one and one.base is None:
                    one.base = base
    for floor in floors:
        floor.classes = [one for one in floor.classes if leads_to_a_seam(one)]
        for one in floor.classes:
            if one.base:
                one.base.children.append(one)


def leads_to_a_seam(one: Class | None) -> bool:
    while one is not None and not one.pure:
        one = one.base
    return one is not None


def check_direction(floors: list[Floor]) -> None:
    """Nothing may include from a floor above: a reader of step N has not seen step N + 1."""
    place = {library: number for number, floor in enumerate(floors) for library in floor.libraries}
    for number, floor in enumerate(floors):
        for library, where in floor.includes.items():
            if library not in place:
                raise Wrong(f"{where}: includes <kvlab/{library}/...>, which no folder declares")
            if place[library] > number:
                raise Wrong(f"{where}: {floor.name} includes from {library}, a later step")


def read_tree(root: Path) -> list[Floor]:
    """The floors from the ground up. Throws Wrong when one uses a floor above it."""
    folders = [path.parent for path in sorted(root.glob("*/CMakeLists.txt")) if (path.parent / "include").is_dir()]
    floors = [floor for floor in map(read_floor, folders) if floor]
    connect(floors)
    # Steps keep their numbers; a folder without one goes where its links allow.
    floors.sort(key=lambda floor: (floor.height(), floor.folder.name))
    check_direction(floors)
    derive(floors)
    return floors
