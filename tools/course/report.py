"""The result of a grading as data, which all formats are written from, and as text for people."""
import datetime
import platform
import textwrap

from course.asking import FAILED, NOT_COMPILED, NOT_RUN, PASSED
from course.grading import passed

VERSION = "1.0"  # of the grader: another gives the same submission another score only if this is another
SCHEMA = "kvlab/grade/v1"
WIDTH = 100


def result_of(course, name, verdicts, notes, tests_hash, compiler, confined, seconds):
    """All that is known of a submission's grading. But for `time` it is the same each time."""
    tasks = []
    for id, task in course.tasks.items():
        cases = [case_row(course, verdicts[name]) for name in course.cases_of(id)]
        outcomes = [case["outcome"] for case in cases if case["outcome"] != PASSED]
        tasks.append({"id": id, "title": task.title, "outcome": outcomes[0] if outcomes else PASSED,
                      "score": task.points if passed(course, verdicts, id) else 0, "points": task.points, "cases": cases})
    complete = all(case["outcome"] != NOT_RUN for task in tasks for case in task["cases"])
    now = datetime.datetime.now(datetime.timezone.utc)
    return {"schema": SCHEMA, "grader": VERSION, "step": course.step, "submission": name, "seed": course.seed, "tests": tests_hash,
            "machine": {"processor": processor(), "system": f"{platform.system()} {platform.machine()}", "compiler": compiler},
            "confined": confined, "score": sum(task["score"] for task in tasks) if complete else None,
            "points": sum(task["points"] for task in tasks), "notes": notes, "tasks": tasks,
            "time": {"graded": now.strftime("%Y-%m-%dT%H:%M:%SZ"), "seconds": round(seconds, 1)}}


def case_row(course, verdict):
    """`hidden` is whether it is a hidden line that went wrong: who must not see those is told no more than that."""
    row = {"name": verdict.case, "outcome": verdict.outcome}
    if verdict.outcome != PASSED:
        row |= {"message": printable(verdict.message), "line": verdict.line, "hidden": verdict.line in course.extra.get(verdict.case, ())}
        row |= {"open": True} if verdict.open_task else {}
        row |= {"hint": verdict.hint} if verdict.hint else {}
        shown = printable(verdict.output.strip(), "\n")
        row |= {"output": shown} if shown and verdict.outcome != NOT_COMPILED else {}
    return row


def printable(text, allowed=""):
    """Without what a terminal, or a document, would take for an order."""
    return "".join(c if c.isprintable() or c in allowed else "\N{REPLACEMENT CHARACTER}" for c in text)


def processor():
    try:
        with open("/proc/cpuinfo") as lines:
            return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    except OSError:
        return platform.machine()


def explained(case, hidden=True):
    """What is said of a case that did not pass, a line of text each. hidden: whether a hidden line's contents may be told."""
    if case["hidden"] and not hidden:
        return [f"{case['outcome']}, with a hidden question"]
    said = case["message"]
    if case["line"] and not case.get("open"):
        said = f"with {case['line']}: {said}"
    if case["outcome"] not in (FAILED, NOT_COMPILED):
        said = f"{case['outcome']}: {said}"
    return [said, *([f"Perhaps: {case['hint']}"] if "hint" in case else [])]


def text_of(result, output=False):
    lines = [f"{result['submission']}, chapter {result['step']}"]
    lines += [f"note: {note}" for note in result["notes"]]
    for task in result["tasks"]:
        head = f"  {task['id']} {task['title']} "
        lines.append(f"{head:.<58} {task['score']:3}/{task['points']:<3} {summary(task)}")
        for case in task["cases"]:
            if case["outcome"] == PASSED or case.get("open"):
                continue
            lines.append(f"      {case['name']}")
            for said in explained(case):
                lines += textwrap.wrap(said, WIDTH, initial_indent=" " * 8, subsequent_indent=" " * 10)
            if output and "output" in case:
                lines += [" " * 10 + "| " + line for line in case["output"].splitlines()[-10:]]
    score = f"{result['score']} of {result['points']} points" if result["score"] is not None else "no score: not everything could be run"
    lines += [score, f"grader {result['grader']}, tests {result['tests']}, seed {result['seed']}; {result['confined']}",
              f"{result['machine']['processor']}, {result['machine']['system']}, {result['machine']['compiler']}",
              f"{result['time']['graded']}, {result['time']['seconds']:g} s"]
    return "\n".join(lines) + "\n"


def summary(task):
    if all(case.get("open") for case in task["cases"]):
        return "not solved yet"
    return task["outcome"]
