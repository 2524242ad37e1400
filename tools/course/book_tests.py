"""The chapters' own tests in a starter: none fails in another way than by an open task, and with the solutions all pass.

Longer than the proof of the tasks, since whole test programs are built: for the night.
"""
import pathlib
import subprocess
import xml.etree.ElementTree as ElementTree

from course.export import export
from course.markers import with_replaced
from course.tasks import ROOT, tasks_of
from course.variants import Built, removed

OPEN = "is not solved yet"
FLAGS = ["-DKVLAB_BOOK_TESTS=ON", "-DCMAKE_CXX_FLAGS_DEBUG=-O1"]


def results(build, program, report):
    """{case: (passed, output)} of a test program."""
    subprocess.run(["ctest", "--test-dir", str(build), "-L", f"^{program}$", "-j", "2", "--timeout", "300", "--output-junit", str(report)],
                   capture_output=True, check=False)
    found = {}
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        if case.find("skipped") is not None:
            continue  # it needs what this machine has not, such as a GPU
        output = case.findtext("system-out") or ""
        found[case.get("name")] = (case.get("status") == "run" and case.find("failure") is None, output)
    return found


def run(step, work, say=print):
    """Prints what is wrong; returns (passed, failed)."""
    tree = pathlib.Path(work) / f"book{step}"
    removed(tree)
    tree.mkdir(parents=True)
    tasks = export(step, tree)
    # The chapter's own program: those of earlier chapters passed in the project, and their sources are the same.
    program = f"step{step:02}_tests"
    passed = failed = 0
    for solved in (False, True):
        if solved:
            for file in {file for task in tasks.values() for file in task.files}:
                (tree / file).write_text(with_replaced((ROOT / file).read_text(), file, lambda region: None))
        built = Built(tree, step, FLAGS, [program, f"step{step:02}_tasks"])
        found = results(built.build, program, tree / "report.xml")
        open_ones = [name for name, (good, output) in found.items() if not good and OPEN in output]
        wrong = [name for name, (good, output) in found.items() if not good and (solved or OPEN not in output)]
        say(f"chapter {step}, {'solved' if solved else 'open'}: {len(found)} cases, {len(open_ones)} wait for an open task, {len(wrong)} fail otherwise")
        for name in wrong:
            say(f"FAILED: chapter {step}, {'solved' if solved else 'open'}: {name}")
        passed, failed = passed + len(found) - len(wrong), failed + len(wrong)
        if not found or (not solved and not open_ones):
            say(f"FAILED: chapter {step}: no case of its own tests waits for a task")
            failed += 1
    return passed, failed
