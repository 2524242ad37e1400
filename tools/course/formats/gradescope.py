"""Gradescope's results.json: a test per task with its points, which students see, and one per hidden question that went wrong, which
they see when grades are published."""
import json

from course.asking import PASSED
from course.report import explained, summary


def gradescope(result):
    tests = []
    for task in result["tasks"]:
        said = []
        for case in task["cases"]:
            said.append(f"{'ok' if case['outcome'] == PASSED else 'NO'}  {case['name']}")
            said += [f"    {line}" for line in explained(case, hidden=False)] if case["outcome"] != PASSED else []
        tests.append({"name": f"{task['id']} {task['title']}", "number": task["id"], "score": task["score"], "max_score": task["points"],
                      "status": "passed" if task["outcome"] == PASSED else "failed", "visibility": "visible",
                      "output": "\n".join([summary(task), *said]), "tags": [f"step{result['step']:02}", task["outcome"]]})
        for case in task["cases"]:
            if case["outcome"] != PASSED and case["hidden"]:
                tests.append({"name": f"{case['name']} (hidden question)", "number": f"{task['id']}.h", "status": "failed",
                              "visibility": "after_published", "output": "\n".join(explained(case)), "tags": ["hidden"]})
    words = [*result["notes"], f"grader {result['grader']}, tests {result['tests']}, seed {result['seed']}; {result['confined']}",
             f"{result['machine']['processor']}, {result['machine']['compiler']}"]
    # `execution_time` is left out, so that the same submission gives the same file.
    return json.dumps({"score": result["score"], "output": "\n".join(words), "stdout_visibility": "hidden", "visibility": "visible",
                       "tests": tests}, indent=1) + "\n"
