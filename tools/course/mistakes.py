"""Common mistakes of the tasks: tests/course/mistakes/stepNN.txt, and those named mutants that lie inside of a task's region.

    MISTAKE 1.2 one chain for the whole sum
    Says: All terms were added in one chain. That is another order, and so other last bits, from the 65th term on.
    FILE step01_tensor/src/numbers/numerics.cpp
    <<<<
    text that occurs exactly once in FILE (any white space matches any other)
    ====
    what stands there instead
    >>>>

`Says` is what the grader tells a student whose answers are those of the mistake: it names it, and does not solve the task.
A line that begins with a space goes on with it. Further blocks `<<<<` belong to the same mistake.
"""
import re
from dataclasses import dataclass, field

from mutant_file import FOLDER, Failure, Mutant, replaced

HEAD = re.compile(r"MISTAKE (\d\.\d) (\S.*)")


@dataclass
class Mistake:
    task: str
    name: str
    says: str = ""
    edits: list = field(default_factory=list)  # (file, old, new)
    where: str = ""  # for messages

    def applied(self, texts):
        """{file: text} of the files that change; `texts` gives a file's text."""
        changed = {}
        for file, old, new in self.edits:
            changed[file] = replaced(changed.get(file) or texts(file), old, new, self.where, file)
        return changed


def parsed(path):
    found, file, part, old, new = [], None, None, [], []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        where = f"{path.name}:{number}"
        head = HEAD.fullmatch(line) if part is None else None
        if head:
            found.append(Mistake(head[1], head[2], where=where))
            file = None
        elif part is None and line.startswith("Says: ") and found:
            found[-1].says = line[6:].strip()
        elif part is None and line.startswith(" ") and found and found[-1].says and not found[-1].edits:
            found[-1].says += line.rstrip()
        elif part is None and line.startswith("FILE ") and found:
            file = line[5:].strip()
        elif part is None and line == "<<<<" and file:
            part, old, new = "old", [], []
        elif part == "old" and line == "====":
            part = "new"
        elif part == "new" and line == ">>>>":
            found[-1].edits.append((file, "\n".join(old), "\n".join(new)))
            part = None
        elif part:
            (old if part == "old" else new).append(line)
        elif line.strip() and not line.startswith("#"):
            raise Failure(f"{where}: not understood: {line.strip()[:60]}")
    if part:
        raise Failure(f"{path.name}: the last edit has no end")
    for mistake in found:
        if not mistake.says or not mistake.edits:
            raise Failure(f"{mistake.where}: mistake '{mistake.name}' says nothing or changes nothing")
    return found


def mistakes_of(step, tasks, root):
    """All mistakes of a chapter, by their task; named mutants are among those whose text lies in a region."""
    path = root / "tests" / "course" / "mistakes" / f"step{step:02}.txt"
    found = parsed(path) if path.exists() else []
    for mistake in found:
        if mistake.task not in tasks:
            raise Failure(f"{mistake.where}: there is no task {mistake.task}")
    for mutant_path in sorted(FOLDER.glob("*.mutant")):
        mutant = Mutant(mutant_path)
        task = task_of(mutant, tasks)
        if task:
            found.append(Mistake(task, mutant.fields["Short"], " ".join(mutant.fields["Bug"].split()), mutant.edits, mutant.path.name))
    return found


def task_of(mutant, tasks):
    """The task in whose regions all of a mutant's edits lie, or None."""
    owners = set()
    for file, old, _ in mutant.edits:
        words = r"\s*".join(map(re.escape, re.findall(r"\w+|[^\w\s]", old)))
        owners |= {next((task.id for task in tasks.values() for region in task.regions
                         if region.file == file and re.search(words, "\n".join(region.lines))), None)}
    return owners.pop() if len(owners) == 1 else None
