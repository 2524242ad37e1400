"""What has to hold of a chapter's tasks, shown by building and asking.

1. In the starter every case fails, each because its own task is open.
2. With the solutions every case passes.
3. With one task open, its cases fail and no other's: tasks do not wait for one another.
4. Every known mistake costs its own task points, and no other task any. There are three or more for each task.
5. So does a body that was emptied, or that returns zero.
6. The grader names each mistake: its recorded answers (signatures.py) are still those that it gives. With `record` they are written anew.
   They do not depend on memory that nobody wrote, which would differ on another machine.
"""
import concurrent.futures
import os
import pathlib
import re
import tempfile
from dataclasses import dataclass, field

from course import signatures
from course.asking import NOT_COMPILED, PASSED, judged, questions_of
from course.export import export
from course.loading import cases_of
from course.markers import hole, with_replaced
from course.mistakes import mistakes_of
from course.tasks import ROOT, STEPS, tasks_of
from course.variants import Built, NoBuild, removed

FEWEST_MISTAKES = 3
SEED = 1
FILLS = [["env", f"MALLOC_PERTURB_={byte}"] for byte in (85, 170)]  # what glibc fills new memory with


@dataclass
class Wrong:
    """A program that must lose points."""
    task: str
    kind: str  # mistake, empty, zero, open
    name: str
    says: str
    texts: dict  # {file: text}
    mistake: object = None  # mistakes.Mistake
    lost: dict = field(default_factory=dict)  # {task: Verdict}
    entries: list = field(default_factory=list)  # of the file of signatures
    problem: str = ""


class Proof:
    def __init__(self, step, work, only=(), record=False, every=1):
        self.record, self.every = record, every  # of the wrong solutions every N-th is tried
        self.step, self.tasks, self.cases = step, tasks_of(step), cases_of(step)
        self.questions = {name: questions_of(case, SEED) for name, case in self.cases.items()}
        self.only = set(only) or set(self.tasks)
        self.tree = pathlib.Path(work) / f"starter{step}"
        removed(self.tree)
        self.tree.mkdir(parents=True)
        export(step, self.tree)
        self.built = Built(self.tree, step, targets=[f"step{step:02}_tasks", STEPS[step]])  # the chapter's program builds, too
        files = sorted({file for task in self.tasks.values() for file in task.files})
        self.solved = {file: self.with_open(file, ()) for file in files}
        self.problems = []
        self.known = signatures.Known(step, self.tasks, self.cases)

    def with_open(self, file, open_tasks):
        """A file of the reference with these tasks open."""
        def lines(region):
            return hole(region, "", "") if region.task in open_tasks else None
        return with_replaced((ROOT / file).read_text(), file, lines)

    def emptied(self, file, task, body):
        return with_replaced((ROOT / file).read_text(), file, lambda region: body if region.task == task else None)

    def verdicts(self, program):
        """{task: the first verdict that is not passed, or None}."""
        found = {}
        for name, case in self.cases.items():
            if found.get(case.task) is None:
                verdict = judged([str(program)], name, self.questions[name])
                found[case.task] = None if verdict.outcome == PASSED else verdict
        return found

    def starter(self):
        for name in self.cases:
            verdict = judged([str(self.built.program())], name, self.questions[name])
            if not (verdict.open_task and f"task {name.split()[0]} " in verdict.message):
                self.problems.append(f"starter: '{name}' {verdict.outcome}: {verdict.message}, expected its task to be open")

    def reference(self):
        with tempfile.TemporaryDirectory() as folder:
            for task, verdict in self.verdicts(self.built.variant(self.solved, pathlib.Path(folder))).items():
                if verdict:
                    self.problems.append(f"reference: task {task}: {verdict.case}: {verdict.message}")

    def wrong_ones(self):
        found = []
        for task in (task for task in self.tasks.values() if task.id in self.only):
            found.append(Wrong(task.id, "open", "alone", "", {file: self.with_open(file, [task.id]) for file in task.files}))
            for kind, body in (("empty", []), ("zero", ["return {};"])):
                found.append(Wrong(task.id, kind, kind, "", {file: self.emptied(file, task.id, body) for file in task.files}))
        for mistake in mistakes_of(self.step, self.tasks, ROOT):
            if mistake.task in self.only:
                changed = mistake.applied(lambda file: (ROOT / file).read_text())
                texts = {file: with_replaced(text, file, lambda region: None) for file, text in changed.items()}
                found.append(Wrong(mistake.task, "mistake", mistake.name, mistake.says, texts, mistake))
        return found

    def tried(self, wrong):
        with tempfile.TemporaryDirectory() as folder:
            try:
                program = self.built.variant({**self.solved, **wrong.texts}, pathlib.Path(folder))
                verdicts = self.verdicts(program)
                if wrong.mistake:
                    self.named(wrong, [str(program)], verdicts.get(wrong.task))
            except NoBuild as error:
                if wrong.kind in ("mistake", "open"):
                    wrong.problem = f"does not compile: {error}"
                wrong.lost = {wrong.task: NOT_COMPILED}
                return wrong
        wrong.lost = {task: verdict for task, verdict in verdicts.items() if verdict}
        others = sorted(set(wrong.lost) - {wrong.task})
        if wrong.task not in wrong.lost:
            wrong.problem = "costs nothing"
        elif wrong.kind == "open" and not wrong.lost[wrong.task].open_task:
            wrong.problem = f"its case does not say that the task is open: {wrong.lost[wrong.task].message}"
        elif others:
            wrong.problem = f"costs points of task {others[0]}, too: {wrong.lost[others[0]].message}"
        return wrong

    def named(self, wrong, command, verdict):
        """Records the mistake's answers, or asks whether they are recognised."""
        entries = [signatures.recorded_of(self.step, wrong.mistake, self.cases, [*fill, *command]) for fill in FILLS]
        if entries[0] != entries[1]:
            wrong.problem = "answers with what lies in memory that nobody wrote: a mistake has to be the same everywhere"
        elif self.record:
            wrong.entries = entries[0]
        elif verdict and wrong.says not in self.known.matches(verdict.case, command):
            wrong.problem = "is not recognised by its recorded answers (tools/course.py prove --record)"

    def run(self, say=print, jobs=os.cpu_count() or 2):
        """Prints a line per wrong program; returns (passed, failed)."""
        self.starter()
        self.reference()
        wrong = self.wrong_ones()
        for task in sorted(self.only):
            count = sum(w.kind == "mistake" and w.task == task for w in wrong)
            if count < FEWEST_MISTAKES:
                self.problems.append(f"task {task} has {count} known mistakes, expected {FEWEST_MISTAKES} or more")
        wrong = wrong[:: self.every]
        with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
            for done in pool.map(self.tried, wrong):
                verdict = done.lost.get(done.task)
                what = "does not compile" if verdict == NOT_COMPILED else f"{verdict.outcome}: {shortened(verdict)}" if verdict else "nothing"
                say(f"{'NO ' if done.problem else 'yes'} {done.task} {self.tasks[done.task].points:3} points  {done.kind:8}{done.name}: {what}")
                if done.problem:
                    self.problems.append(f"task {done.task}: {done.kind} '{done.name}': {done.problem}")
        if self.record:
            signatures.write(self.step, [entry for one in wrong for entry in one.entries], self.only)
        self.problems += signatures.problems(self.step, self.tasks, self.cases) if self.only == set(self.tasks) else []
        for problem in self.problems:
            say(f"FAILED: {problem}")
        whole = 2 + len(wrong)
        return whole - min(whole, len(self.problems)), len(self.problems)


def shortened(verdict):
    return re.sub(r"\s+", " ", verdict.message)[:90]
