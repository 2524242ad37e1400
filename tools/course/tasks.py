"""The table of a chapter's tasks: tests/course/stepNN.toml for what a person decides, the markers in the sources for the rest."""
import pathlib
import re
import tomllib
from dataclasses import dataclass, field

import book
from course.markers import regions_of

ROOT = pathlib.Path(__file__).resolve().parents[2]
STEPS = {1: "step01_tensor", 2: "step02_attention", 3: "step03_kvcache", 4: "step04_cuda", 5: "step05_policies", 6: "step06_quant",
         7: "step07_serving", 8: "step08_architectures"}
FIELDS = {"id": str, "title": str, "idea": str, "needs": str, "minutes": int, "points": int, "hints": list}
MOST_LINES = 30


class Failure(Exception):
    """A reason that fits on one line."""


@dataclass
class Task:
    id: str
    title: str
    idea: str  # one sentence
    needs: str  # the section, of the chapter or one of its pages, that gives what it needs
    minutes: int
    points: int
    hints: list  # from the first push to the last
    regions: list = field(default_factory=list)  # markers.Region
    text: str = ""  # where that section stands, relative to the project

    @property
    def files(self):
        return sorted({region.file for region in self.regions})

    @property
    def lines(self):
        return sum(region.code_lines for region in self.regions)


def sources_of(step, root=ROOT):
    return [p for p in sorted((root / STEPS[step]).rglob("*")) if p.suffix in (".cpp", ".cu", ".hpp", ".cuh")]


def headings_of(chapter):
    """{heading: the text that has it} of a chapter and its pages; what stands in both is the chapter's."""
    texts = reversed(book.texts_of(chapter))
    return {heading: text for text in texts for heading in re.findall(r"^#+ (.*?)\s*$", text.read_text(), re.MULTILINE)}


def tasks_of(step, root=ROOT):
    """{id: Task} of a chapter, in the order of its table. Raises Failure where table and markers disagree."""
    path = root / "tests" / "course" / f"step{step:02}.toml"
    if not path.exists():
        return {}
    try:
        rows = tomllib.loads(path.read_text())["task"]
    except (tomllib.TOMLDecodeError, KeyError) as error:
        raise Failure(f"{path.name}: {error}") from None
    tasks = {}
    for row in rows:
        wrong = [name for name, kind in FIELDS.items() if not isinstance(row.get(name), kind) or not row[name]]
        wrong += [name for name in row if name not in FIELDS]
        if wrong:
            raise Failure(f"{path.name}: task {row.get('id', '?')}: '{wrong[0]}' is missing, empty or of another type")
        if not re.fullmatch(rf"{step}\.[1-9]", row["id"]) or row["id"] in tasks:
            raise Failure(f"{path.name}: '{row['id']}' is no number of a task of this chapter, or stands twice")
        tasks[row["id"]] = Task(**row)
    for source in sources_of(step, root):
        for region in regions_of(source, root):
            if region.task not in tasks:
                raise Failure(f"{region.file}:{region.first}: task {region.task} is not in {path.name}")
            if source.suffix not in (".cpp", ".cu"):
                raise Failure(f"{region.file}:{region.first}: a task stands in a source, as a header builds the chapter anew")
            tasks[region.task].regions.append(region)
    text_of = headings_of(root / STEPS[step])
    for task in tasks.values():
        if task.needs not in text_of:
            raise Failure(f"{path.name}: task {task.id} needs '{task.needs}', which is no heading of the chapter or its pages")
        task.text = str(text_of[task.needs].relative_to(root))
        if not task.regions:
            raise Failure(f"{path.name}: no source has a SOLUTION-BEGIN {task.id}")
        if task.lines > MOST_LINES:
            raise Failure(f"task {task.id} has {task.lines} lines of solution, expected at most {MOST_LINES}")
    return tasks
