"""Which files of the project a starter has: the chapters up to its own, how their tasks are asked, and nothing that says an answer."""
import functools
import pathlib
import re
import subprocess

from course.tasks import ROOT, STEPS, Failure

SOURCES = (".cpp", ".cu", ".hpp", ".cuh")


def selected(step):
    """The files of the starter of a step, or of all (None), as paths from the root."""
    steps = list(STEPS) if step is None else [step]
    for path in tracked():
        asks = path.parts[:2] == ("tests", "course") and path.name.startswith("step0")
        if belongs(path, steps[-1]) and not works_out(path, steps) and not (asks and int(path.name[4:6]) not in steps):
            yield path


def tracked():
    """Files of the project, from its root: git's, or, where this is no clone, all but what builds leave behind."""
    try:
        names = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True).stdout.decode().split("\0")
        paths = [pathlib.Path(name) for name in names if name and (ROOT / name).is_file()]
    except (OSError, subprocess.CalledProcessError):
        paths = [p.relative_to(ROOT) for p in sorted(ROOT.rglob("*")) if p.is_file()]
        paths = [p for p in paths if p.parts[0] not in ("build", ".git") and not {"downloads", "__pycache__", ".venv"} & set(p.parts)]
    return paths


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


def belongs(path, last):
    """Whether a file of the project is in the starter of this last step as it is, or with holes."""
    top = path.parts[0]
    if top in STEPS.values():
        return top in [STEPS[n] for n in STEPS if n <= last]
    if top == "tests":
        return belongs_of_the_tests(path, last)
    return top in ("CMakePresets.json", "CMakeLists.txt", "cmake", "weights", "book", "LICENSE", "vcpkg.json", ".clang-format", ".gitignore")


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
