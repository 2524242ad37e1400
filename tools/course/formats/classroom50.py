"""Classroom 50's result.json. What identifies the submission comes from its runner, in variables of the environment."""
import json
import os

from course.asking import PASSED
from course.report import explained
from course.tasks import Failure

SCHEMA = "classroom50/result/v1"
VARIABLES = {"classroom": "CLASSROOM", "assignment": "ASSIGNMENT", "submission": "SUBMISSION_TAG", "commit": "COMMIT_URL",
             "release": "RELEASE_URL"}


def classroom50(result):
    missing = [variable for variable in VARIABLES.values() if not os.environ.get(variable)]
    if missing:
        raise Failure(f"the variable {missing[0]} is not set; Classroom 50's runner sets {', '.join(VARIABLES.values())}")
    fields = {field: os.environ[variable] for field, variable in VARIABLES.items()}
    owner = os.environ.get("OWNER") or os.environ.get("USERNAME")
    tests = [{"test-name": f"{task['id']} {task['title']}", "passed": task["outcome"] == PASSED, "score": task["score"],
              "max-score": task["points"], "output": told(task)} for task in result["tasks"]]
    return json.dumps({"schema": SCHEMA, **fields, "review": os.environ.get("REVIEW_URL") or fields["commit"],
                       **({"owner": owner, "usernames": [owner]} if owner else {}), "datetime": result["time"]["graded"],
                       "score": result["score"], "max-score": result["points"], "tests": tests}, indent=1) + "\n"


def told(task):
    return "\n".join(f"{case['name']}: {line}" for case in task["cases"] if case["outcome"] != PASSED
                     for line in explained(case, hidden=False))
