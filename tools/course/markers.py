"""Regions of solutions in the sources, and the holes that take their place in a starter.

    // SOLUTION-BEGIN 3.2
    ...
    // SOLUTION-END 3.2

A pair stands inside of a function's body. What lies between becomes a call of todo("3.2"), or of todo_device in a kernel,
which never returns. Marks that do not match are an error with its place: a solution must not leave by a misprint.
"""
import re
from dataclasses import dataclass

BEGIN = re.compile(r"^(\s*)// SOLUTION-BEGIN (\S+)\s*$")
END = re.compile(r"^\s*// SOLUTION-END (\S+)\s*$")
ANY = re.compile(r"SOLUTION-(BEGIN|END)")
TASK = re.compile(r"[1-8]\.[1-9]")


class MarkerError(Exception):
    """A mark that does not fit, with its file and line."""


@dataclass
class Region:
    task: str
    file: str  # from the root, with slashes
    first: int  # number of the line with the mark; the solution begins after it
    last: int
    indent: str
    lines: list  # of the solution

    @property
    def code_lines(self):
        """Lines that have more than a comment or a brace."""
        return sum(not re.fullmatch(r"\s*(//.*|[{}();]*)\s*", line) for line in self.lines)


def regions_in(text, file):
    regions, open_region = [], None
    for number, line in enumerate(text.splitlines(), 1):
        begin, end = BEGIN.match(line), END.match(line)
        where = f"{file}:{number}"
        if begin:
            if open_region:
                raise MarkerError(f"{where}: SOLUTION-BEGIN {begin[2]} inside of {open_region.task}, which begins in line {open_region.first}")
            if not TASK.fullmatch(begin[2]):
                raise MarkerError(f"{where}: '{begin[2]}' is no number of a task")
            open_region = Region(begin[2], file, number, 0, begin[1], [])
        elif end:
            if not open_region or end[1] != open_region.task:
                raise MarkerError(f"{where}: SOLUTION-END {end[1]} ends nothing" if not open_region else
                                  f"{where}: SOLUTION-END {end[1]}, expected {open_region.task}")
            if not any(line.strip() for line in open_region.lines):
                raise MarkerError(f"{where}: the solution of {end[1]} is empty")
            open_region.last = number
            regions.append(open_region)
            open_region = None
        elif ANY.search(line):
            raise MarkerError(f"{where}: a mark is a line of its own, '// SOLUTION-BEGIN 1.1' or '// SOLUTION-END 1.1': {line.strip()}")
        elif open_region:
            open_region.lines.append(line)
    if open_region:
        raise MarkerError(f"{file}:{open_region.first}: SOLUTION-BEGIN {open_region.task} has no end")
    return regions


def regions_of(path, root):
    text = path.read_text()
    return regions_in(text, path.relative_to(root).as_posix()) if "SOLUTION-" in text else []


def with_replaced(text, file, replacement):
    """The text with each region, marks and all, replaced by the lines of replacement(region); None leaves the solution, without marks."""
    lines, out, at = text.splitlines(), [], 0
    for region in regions_in(text, file):
        out += lines[at:region.first - 1]
        new = replacement(region)
        out += region.lines if new is None else [f"{region.indent}{line}".rstrip() for line in new]
        at = region.last
    return "\n".join(out + lines[at:]) + "\n"


def hole(region, title, hint):
    """What a student finds in the place of a solution."""
    call = "todo_device" if region.file.endswith((".cu", ".cuh")) else "todo"
    return [f"// TASK {region.task}: {title} ({hint})", f'{call}("{region.task}");']
