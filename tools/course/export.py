"""A starter's tree: the files of selection.py with holes in them, the chapter, the questions, and what only a starter has."""
import json
import re
import shutil

import book
import snippets
from course import files
from course.leaks import common_lines, fingerprints, leaks_in, leaks_of
from course.loading import cases_of
from course.markers import hole, with_replaced
from course.selection import SOURCES, selected
from course.tasks import ROOT, STEPS, Failure, tasks_of

EXAMPLE_SEED = 1  # of the questions that a starter holds; a grader asks others
OPENED = ("values", "expect", "asking", "student")  # of tools/course: what ./course needs


def export(step, out):
    """Writes the starter of a step, or of all (None), into the folder `out`. Returns {id: Task} of its open tasks."""
    steps = list(STEPS) if step is None else [step]
    last = steps[-1]
    tasks = {id: task for number in steps for id, task in tasks_of(number).items()}
    if not tasks:
        raise Failure(f"chapter {step} has no tasks")
    for path in selected(step):
        copied(path, out / path, tasks)
    prints = fingerprints([region for task in tasks.values() for region in task.regions], common_lines(ROOT / "tests/course/common_lines.txt"))
    for number in steps:
        chapter(out, number, prints)
    own_files(out, step, last, tasks)
    for page in book.texts(out):
        page.write_text(without_dead_links(page.read_text(), page.parent))
    questions(out, steps)
    searched(out, prints)
    return tasks


def copied(path, to, tasks):
    to.parent.mkdir(parents=True, exist_ok=True)
    text = None
    if path.suffix in SOURCES and path.parts[0] != "tests":
        text = (ROOT / path).read_text()
        text = with_replaced(text, path.as_posix(), lambda region: holed(region, tasks)) if "SOLUTION-" in text else None
    if text is None:
        shutil.copy(ROOT / path, to)
    else:
        to.write_text(text)


def holed(region, tasks):
    """The lines of a hole, or None for a region that is to keep its solution."""
    task = tasks.get(region.task)
    return task and hole(region, task.title, f"about {region.code_lines} lines" if region.code_lines > 1 else "one line")


def chapter(out, number, prints):
    """The chapter and its pages with open tasks in the place of solved code; a line of it that a table quotes is named by its task."""
    for page in book.texts_of(out / STEPS[number]):
        text = page.read_text()
        page.write_text(with_tasks(of_the_starter(text, page.name == "README.md"), page, prints))


def with_tasks(text, page, prints):
    lines, result, i = text.split("\n"), [], 0
    while i < len(lines):
        result.append(lines[i])
        marker = snippets.MARKER.match(lines[i])
        i += 1
        if not (marker and marker[1] == "snippet"):
            continue
        body = snippets.snippet(str(book.folder_of(page)), marker[2])
        end = next(n for n in range(i + 1, len(lines)) if lines[n] == "```")
        result += [lines[i], *body, "```"]
        i = end + 1
    return "\n".join(unquoted(line, prints) if line.startswith("|") else line for line in result)


def of_the_starter(text, is_chapter):
    """What a text says of the project gives way to what it says of a starter, which until then is a comment. Every chapter has such a place."""
    text, count = re.subn(r"<!-- project -->\n(?:(?!<!-- ).*\n)*?<!-- starter: (.*) -->", r"\1", text)
    if (is_chapter and not count) or "<!-- project" in text or "<!-- starter" in text:
        raise Failure("a chapter's <!-- project --> has no <!-- starter: ... --> after it")
    return text


def without_dead_links(text, folder):
    """A link to what a starter does not hold, such as a later chapter, is only its words."""
    def kept(link):
        there = re.match(r"[a-z]+:|#", link[2]) or (folder / link[2].partition("#")[0]).exists()
        return link[0] if there else link[1]
    parts = re.split(r"^(```.*?^```$)", text, flags=re.M | re.S)  # code is left alone
    return "".join(part if part.startswith("```") else re.sub(r"(?<!!)\[([^\[\]]+)\]\(([^()\s]+)\)", kept, part) for part in parts)


def unquoted(row, prints):
    """A row of a table without code of a solution: tables of mistakes quote the line where a report points."""
    for code in re.findall(r"`[^`]+`", row):
        found = leaks_in(code.replace("\\|", "|"), prints)
        if found:
            row = row.replace(code, f"(task {found[0][0]})")
    return row


def own_files(out, step, last, tasks):
    """What only a starter has."""
    chapters = f"chapter {last}" if step is not None else "all chapters"
    (out / "README.md").write_text(files.README.format(chapters=chapters, folder=STEPS[last], first=next(iter(tasks)), last=last))
    (out / "AGENTS.md").write_text(files.AGENTS)
    (out / "course").write_text(files.COMMAND)
    (out / "course").chmod(0o755)
    changed(out / "CMakeLists.txt", {
        'set(KVLAB_STARTER_STEP ""': f'set(KVLAB_STARTER_STEP "{last if step is not None else 1}"',
        f"set(KVLAB_LAST_STEP {max(STEPS)} ": f"set(KVLAB_LAST_STEP {last} ",
        "include(KvlabInstall)\ninclude(KvlabHeaders)\n": ""})
    (out / "tests" / "CMakeLists.txt").write_text(files.TESTS)
    package = out / "tools" / "course"
    package.mkdir(parents=True)
    for name in OPENED:
        shutil.copy(ROOT / "tools" / "course" / f"{name}.py", package / f"{name}.py")
    (package / "__init__.py").write_text('"""What ./course needs."""\n')
    rows = [{"id": t.id, "title": t.title, "idea": t.idea, "files": t.files, "lines": t.lines, "minutes": t.minutes,
             "points": t.points, "needs": t.needs, "text": t.text, "hints": [files.veiled(hint) for hint in t.hints]} for t in tasks.values()]
    (out / "tests" / "course" / "tasks.json").write_text(json.dumps(rows, indent=1) + "\n")


def changed(path, texts):
    """Replaces texts in a file, each of which stands there exactly once."""
    text = path.read_text()
    for old, new in texts.items():
        if text.count(old) != 1:
            raise Failure(f"{path.name} has {text.count(old)} times '{old.splitlines()[0]}', expected once")
        text = text.replace(old, new)
    path.write_text(text)


def questions(out, steps):
    """Examples: questions with what is expected, which ./course compares as the grader does."""
    folder = out / "tests" / "course"
    for number in steps:
        examples = {}
        for name, case in cases_of(number).items():
            examples[name] = [[line, *case.question(line, EXAMPLE_SEED)] for line in case.lines]
        (folder / f"examples{number:02}.json").write_text(json.dumps(examples, separators=(",", ":")) + "\n")
        (folder / f"cases{number:02}.txt").write_text("".join(f"{name}\n" for name in examples))


def searched(out, prints):
    """Raises Failure if a line of a solution stands anywhere in the tree."""
    found = leaks_of(out, prints)
    if found:
        raise Failure(f"{len(found)} lines of solutions are in the starter: " +
                      "; ".join(f"{file}: task {task}: {line}" for file, task, line in found[:20]))
    for path in out.rglob("*"):
        if path.is_file() and path.suffix in SOURCES and "SOLUTION-" in path.read_text(errors="replace"):
            raise Failure(f"{path.relative_to(out)} has marks of a solution")
