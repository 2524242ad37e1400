"""What a course's results say together: which cases and tasks are passed by whom, and what goes wrong most often."""
import collections
import json

from course.asking import OUTCOMES, PASSED
from course.report import SCHEMA
from course.tasks import Failure


def results_in(folder):
    """The results below a folder (grade.py --json), and the names of files that are none."""
    if not folder.is_dir():
        raise Failure(f"{folder}: there is no such folder")
    results, others = [], []
    for path in sorted(folder.rglob("*.json")):
        try:
            result = json.loads(path.read_text())
            assert result["schema"] == SCHEMA
            rows(result)
            results.append(result)
        except (OSError, ValueError, KeyError, TypeError, AssertionError, RecursionError):
            others.append(path.relative_to(folder).as_posix())
    if not results:
        raise Failure(f"{folder}: no result of 'grade.py --json' in it")
    return results, others


def rows(result):
    return [(task["id"], task["title"], case["name"], case["outcome"], case.get("open", False), case.get("hint", ""), case.get("message", ""))
            for task in result["tasks"] for case in task["cases"]]


def share(part, whole):
    return f"{100 * part / whole:5.1f} %" if whole else "    - "


def text_of(results, others):
    lines = []
    if others:
        lines.append(f"left out, as they are no results: {', '.join(others[:5])}" + (f" and {len(others) - 5} more" if len(others) > 5 else ""))
    for step in sorted({result["step"] for result in results}):
        lines += of_step(step, [result for result in results if result["step"] == step])
    return "\n".join(lines) + "\n"


def of_step(step, results):
    scores = sorted(result["score"] for result in results if result["score"] is not None)
    lines = [f"chapter {step}: {len(results)} submissions" + (f", median {scores[len(scores) // 2]} of {results[0]['points']} points" if scores else "")]
    tests = {result["tests"] for result in results}
    if len(tests) > 1:
        lines.append(f"  judged by {len(tests)} versions of the tests: {', '.join(sorted(tests))}")
    tasks, cases, outcomes, hints, opened = {}, {}, collections.Counter(), collections.Counter(), collections.Counter()
    for result in results:
        for task in result["tasks"]:
            tasks.setdefault((task["id"], task["title"]), []).append(task["outcome"] == PASSED)
        for id, _, name, outcome, is_open, hint, _ in rows(result):
            cases.setdefault(name, []).append(outcome)
            outcomes[outcome] += 1
            opened[name] += is_open
            if hint:
                hints[id, hint] += 1
    lines.append("  passed     task")
    for (id, title), passed in sorted(tasks.items(), key=lambda item: (sum(item[1]) / len(item[1]), item[0])):
        lines.append(f"  {share(sum(passed), len(passed))}    {id} {title}")
    lines.append("  passed   of those begun   case")
    for name, found in sorted(cases.items(), key=lambda item: (item[1].count(PASSED) / len(item[1]), item[0])):
        right = found.count(PASSED)
        others = ", ".join(f"{count} {outcome}" for outcome, count in collections.Counter(found).most_common() if outcome != PASSED)
        lines.append(f"  {share(right, len(found))}  {share(right, len(found) - opened[name])}           {name}" + (f" ({others})" if others else ""))
    lines.append("  outcomes: " + ", ".join(f"{outcomes[outcome]} {outcome}" for outcome in OUTCOMES if outcomes[outcome]))
    if hints:
        lines.append("  times    recognised mistake")
        lines += [f"  {count:5}    {id}: {hint}" for (id, hint), count in sorted(hints.items(), key=lambda item: (-item[1], item[0]))[:20]]
    return lines
