"""Grades one submission in a tree: its files are built, every case is asked, and every task gets its points or none."""
import time

from course import signatures
from course.asking import CRASHED, FAILED, NOT_COMPILED, NOT_RUN, PASSED, TIMED_OUT, Limits, Verdict, judged, questions_of
from course.building import built_fairly
from course.tasks import Failure

DEFAULT_SEED = 20260  # any but that of the examples in a starter


class Course:
    """What a chapter's submissions are asked: tasks, cases, hidden lines."""

    def __init__(self, step, tasks, cases, extra, seed):
        self.step, self.tasks, self.cases, self.extra, self.seed = step, tasks, cases, extra, seed
        for task in tasks:
            if not any(case.task == task for case in cases.values()):
                raise Failure(f"task {task} has no case")
        self.questions = {name: questions_of(case, seed) for name, case in cases.items()}
        self.hidden = {name: [(line, *cases[name].question(line, seed)) for line in lines] for name, lines in extra.items()}
        self.hints = signatures.Known(step, tasks, cases)

    def cases_of(self, task):
        return [name for name, case in self.cases.items() if case.task == task]


def checked(tree, course):
    """Raises Failure unless the program of the starter has the judge's cases: one that is missing would be failed by everybody."""
    names = tree.case_names
    if sorted(names) != sorted(course.cases):
        odd = sorted(set(names) ^ set(course.cases))
        raise Failure(f"the program has {len(names)} cases, the judge {len(course.cases)}: " + "; ".join(odd))


def graded(tree, course, submission):
    """{task: {case: Verdict}} of a submission, and what has to be said of it as a whole."""
    begin, notes = time.monotonic(), []
    if not submission.files:
        notes.append("none of the files with tasks is in the submission")
    errors = built_fairly(tree, submission.files)
    problems = submission.refused | errors
    verdicts = {}
    for id, task in course.tasks.items():
        broken = [problems[file] for file in task.files if file in problems]
        for name in course.cases_of(id):
            verdicts[name] = Verdict(name, NOT_COMPILED, broken[0]) if broken else asked(tree, course, name)
    alone(tree, course, submission, errors, verdicts, notes)
    return verdicts, notes, time.monotonic() - begin


def asked(tree, course, name):
    """A case with its own and its hidden lines; whoever fails is compared with the known mistakes."""
    verdict = judged([tree.program], name, course.questions[name], Limits, tree.running)
    if verdict.outcome == PASSED and name in course.hidden:
        # A process of their own: what is asked there is not seen by one whose words are shown.
        verdict = judged([tree.program], name, course.hidden[name], Limits, tree.running)
    if verdict.outcome in (FAILED, CRASHED) and not verdict.open_task:
        verdict.hint = course.hints.of(name, [tree.program], tree.running)
    return verdict


def alone(tree, course, submission, errors, verdicts, notes):
    """Code of one file can end the program before any task is asked. Then each file is judged by itself, with holes for the
    others, so that it costs its own tasks alone."""
    sane = {file: data for file, data in submission.files.items() if file not in errors and data != tree.originals[file]}
    mine = {id: task for id, task in course.tasks.items() if any(file in sane for file in task.files)}
    silent = [name for id in mine for name in course.cases_of(id) if verdicts[name].outcome in (CRASHED, TIMED_OUT) and not verdicts[name].answers]
    if len(sane) < 2 or len({file for name in silent for file in course.tasks[name.split()[0]].files}) < 2:
        return
    notes.append("the whole program was ended by code of one file, so each file was judged with the starter's others")
    for files in dict.fromkeys(tuple(file for file in task.files if file in sane) for task in mine.values()):
        if built_fairly(tree, {file: sane[file] for file in files}):
            continue
        for id, task in mine.items():
            if tuple(file for file in task.files if file in sane) == files:
                for name in course.cases_of(id):
                    if name in silent:
                        verdicts[name] = asked(tree, course, name)


def not_run(course, why):
    return {name: Verdict(name, NOT_RUN, why) for name in course.cases}


def passed(course, verdicts, task):
    names = course.cases_of(task)
    return bool(names) and all(verdicts[name].outcome == PASSED for name in names)
