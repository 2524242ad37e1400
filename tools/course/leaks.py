"""Whether text of a solution stands anywhere in a starter: in chapters, tests, results, other sources.

A line counts when what is left of it without white space is long enough to mean something; two lines in a row count from
fewer letters on. What stands in tests/course/common_lines.txt is said in so many places that it gives nothing away.
"""
import re

LONG, SHORT = 24, 12  # letters of a line that counts by itself; of a line that counts with its neighbour


def normalised(line):
    return re.sub(r"\s+", "", re.sub(r"//.*", "", line))


def fingerprints(regions, common=frozenset()):
    """{text: (task, line as it was written)} of all solutions, without what stands elsewhere anyway."""
    found = {}
    for region in regions:
        lines = [(normalised(line), line.strip()) for line in region.lines]
        lines = [(text, line) for text, line in lines if len(text) >= SHORT]
        for text, line in lines:
            if len(text) >= LONG and text not in common and not re.fullmatch(r"for\([^;]*;[^;]*;[^;]*\)[{;]?", text):  # the head of a loop
                found.setdefault(text, (region.task, line))
        for (text, line), (following, _) in zip(lines, lines[1:]):
            if not {text, following} & common:
                found.setdefault(text + following, (region.task, line + " ..."))
    return found


def common_lines(path):
    """Lines that may stand elsewhere: "line | reason", one each."""
    rows = [row.rsplit(" | ", 1) for row in path.read_text().splitlines() if row.strip() and not row.startswith("#")]
    if any(len(row) != 2 for row in rows):
        raise ValueError(f"{path.name}: a line has no reason after ' | '")
    return {normalised(line) for line, _ in rows}


def leaks_in(text, prints):
    """[(task, solution's line)] of what is found in a text."""
    dense = re.sub(r"\s+", "", re.sub(r"//.*", "", text))
    return [where for fingerprint, where in prints.items() if fingerprint in dense]


def leaks_of(folder, prints):
    """[(file, task, line)] of a whole tree. Files that are no text are searched as bytes."""
    found = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and "build" not in p.relative_to(folder).parts[:1]):
        text = path.read_bytes().decode("utf-8", errors="replace")
        found += [(path.relative_to(folder).as_posix(), *where) for where in leaks_in(text, prints)]
    return found
