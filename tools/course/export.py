"""A starter's tree, file by file."""
import functools
import json
import pathlib
import re
import shutil
import subprocess

import snippets
from course import files
from course.leaks import common_lines, fingerprints, leaks_in, leaks_of
from course.loading import cases_of
from course.markers import hole, with_replaced
from course.tasks import ROOT, STEPS, Failure, tasks_of

EXAMPLE_SEED = 1  # of the questions that a starter holds; a grader asks others
OPENED = ("values", "expect", "asking", "student")  # of tools/course: what ./course needs
SOURCES = (".cpp", ".cu", ".hpp", ".cuh")


def export(step, out):
    """Writes the starter of a step, or of all (None), into the folder `out`. Returns {id: Task} of its open tasks."""
    steps = list(STEPS) if step is None else [step]
    last = steps[-1]
    tasks = {id: task for number in steps for id, task in tasks_of(number).items()}
    if not tasks:
        raise Failure(f"chapter {step} has no tasks")
    for path in tracked():
        if belongs(path, last) and not works_out(path, steps) and not (step is not None and finished_tasks(path, step)):
            copied(path, out / path, tasks if path.parts[0] in {STEPS[n] for n in steps} else {})
    prints = fingerprints([region for task in tasks.values() for region in task.regions], common_lines(ROOT / "tests/course/common_lines.txt"))
    for number in steps:
        chapter(out, number, prints)
    own_files(out, step, last, tasks)
    questions(out, steps)
    searched(out, prints)
    return tasks


@functools.cache
def left_out():
    rows = [row.split(" | ") for row in (ROOT / "tests/course/left_out.txt").read_text().splitlines() if row and not row.startswith("#")]
    missing = [row[0] for row in rows if len(row) != 2 or not (ROOT / row[0]).is_file()]
    if missing:
        raise Failure(f"left_out.txt: {missing[0]}: no such file, or no reason")
    return {row[0] for row in rows}


def works_out(path, steps):
    """Whether a file works a task of these chapters out."""
    return path.as_posix() in left_out() and int(re.search(r"step0(\d)", path.as_posix())[1]) in steps


def finished_tasks(path, step):
    """The questions of an earlier chapter, whose tasks are solved in the starter of this one."""
    return path.parts[:2] == ("tests", "course") and path.name.startswith("step0") and int(path.name[4:6]) != step


def tracked():
    """Files of the project, from its root: git's, or, where this is no clone, all but what builds leave behind."""
    try:
        names = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True).stdout.decode().split("\0")
        paths = [pathlib.Path(name) for name in names if name and (ROOT / name).is_file()]
    except (OSError, subprocess.CalledProcessError):
        paths = [p.relative_to(ROOT) for p in sorted(ROOT.rglob("*")) if p.is_file()]
        paths = [p for p in paths if p.parts[0] not in ("build", ".git") and not {"downloads", "__pycache__", ".venv"} & set(p.parts)]
    return paths


def belongs(path, last):
    """Whether a file of the project is in the starter of this last step as it is, or with holes."""
    top = path.parts[0]
    if top in STEPS.values():
        return top in [STEPS[n] for n in STEPS if n <= last]
    if top == "tests":
        return belongs_of_the_tests(path, last)
    return top in ("CMakePresets.json", "CMakeLists.txt", "cmake", "weights", "LICENSE", "vcpkg.json", ".clang-format", ".gitignore")


def belongs_of_the_tests(path, last):
    """Programs of the chapters' own tests up to this one; of the course, how a task is asked, and no judge."""
    folder = path.parts[1]
    if folder == "course":
        of_a_step = path.name.startswith("step0")
        kept = path.name == "CMakeLists.txt" or path.suffix in SOURCES
        return len(path.parts) == 3 and kept and not (of_a_step and int(path.name[4:6]) > last)
    if folder == "simt_kernels":
        return last >= 4
    if folder == "support":
        return path.name in support_of(last)
    return path.name == "programs.cmake" or folder == "data" or len(path.parts) == 2 and is_test(path.name, last)


# The tests that stand in no step's own program, and the first step that builds them.
ACROSS = {"equivalence_test.cpp": 3, "golden_test.cpp": 3, "allocation_test.cpp": 3, "smollm2_logits_test.cpp": 2, "smollm2_tokenizer_test.cpp": 1}


def is_test(name, last):
    first = int(name[4:6]) if name.startswith("step0") else ACROSS.get(name, 1)
    return name.endswith(".cpp") and first <= last


@functools.cache
def support_of(last):
    """Files of tests/support that these tests read, by their #includes, and what programs.cmake names."""
    tests = ROOT / "tests"
    files = [p for p in tests.glob("*.cpp") if is_test(p.name, last)] + list((tests / "simt_kernels").glob("*") if last >= 4 else [])
    named = re.findall(r"support/(\w+\.cpp)", (tests / "programs.cmake").read_text())
    files += [tests / "support" / name for name in named if last >= 4 or name == "main.cpp"]
    found = set()
    while files:
        path = files.pop()
        for include in re.findall(r'#include "([\w.]+)"', path.read_text()):
            if include not in found and (tests / "support" / include).exists():
                files.append(tests / "support" / include)
        found.add(path.name)
    return found


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
    """The chapter with its open tasks in the place of solved code; a line of it that a table quotes is named by its task."""
    page = out / STEPS[number] / "README.md"
    lines, result, i = of_the_starter(page.read_text()).split("\n"), [], 0
    while i < len(lines):
        result.append(lines[i])
        marker = snippets.MARKER.match(lines[i])
        i += 1
        if not (marker and marker[1] == "snippet"):
            continue
        body = snippets.snippet(str(page.parent), marker[2])
        end = next(n for n in range(i + 1, len(lines)) if lines[n] == "```")
        result += [lines[i], *body, "```"]
        i = end + 1
    page.write_text("\n".join(unquoted(line, prints) if line.startswith("|") else line for line in result))


def of_the_starter(text):
    """What a chapter says of the project gives way to what it says of a starter, which until then is a comment."""
    text, count = re.subn(r"<!-- project -->\n(?:(?!<!-- ).*\n)*?<!-- starter: (.*) -->", r"\1", text)
    if not count or "<!-- project" in text or "<!-- starter" in text:
        raise Failure("a chapter's <!-- project --> has no <!-- starter: ... --> after it")
    return text


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
    top = (out / "CMakeLists.txt").read_text()
    top = top.replace('set(KVLAB_STARTER_STEP ""', f'set(KVLAB_STARTER_STEP "{last if step is not None else 1}"')
    top = top.replace("set(KVLAB_LAST_STEP 6 ", f"set(KVLAB_LAST_STEP {last} ")
    (out / "CMakeLists.txt").write_text(top.replace("include(KvlabInstall)\ninclude(KvlabHeaders)\n", ""))
    (out / "tests" / "CMakeLists.txt").write_text(files.TESTS)
    package = out / "tools" / "course"
    package.mkdir(parents=True)
    for name in OPENED:
        shutil.copy(ROOT / "tools" / "course" / f"{name}.py", package / f"{name}.py")
    (package / "__init__.py").write_text('"""What ./course needs."""\n')
    rows = [{"id": t.id, "title": t.title, "idea": t.idea, "files": t.files, "lines": t.lines, "minutes": t.minutes,
             "points": t.points, "needs": t.needs, "hints": [files.veiled(hint) for hint in t.hints]} for t in tasks.values()]
    (out / "tests" / "course" / "tasks.json").write_text(json.dumps(rows, indent=1) + "\n")


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
