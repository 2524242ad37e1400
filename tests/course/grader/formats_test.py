#!/usr/bin/env python3
"""What the grader writes: each format is what its platform's documentation says, tells no hidden question, and the same result gives the
same text. Results as an instructor reads them, too."""
import contextlib
import json
import os
import pathlib
import re
import sys
import tempfile
import unittest
import xml.etree.ElementTree as xml

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "tests" / "tools"), str(ROOT / "tests" / "course")]

from course import report, statistics  # noqa: E402
from course.asking import CRASHED, FAILED, NOT_COMPILED, NOT_RUN, OUTCOMES, PASSED, TIMED_OUT, Verdict  # noqa: E402
from course.formats import FORMATS  # noqa: E402
from course.tasks import Failure, Task  # noqa: E402

SECRET = "tokens=77 seed=9"  # a hidden line
VARIABLES = {"CLASSROOM": "caching", "ASSIGNMENT": "step1", "SUBMISSION_TAG": "submit/1", "COMMIT_URL": "https://x/commit/1",
             "RELEASE_URL": "https://x/releases/1", "OWNER": "alice"}

# The documented shapes: {key: type}, [shape of each element], a tuple of types, or the values that are allowed.
OPTIONAL = "?"
GRADESCOPE = {"score": int, "output": str, "stdout_visibility": {"hidden", "visible", "after_due_date", "after_published"},
              "visibility": {"hidden", "visible", "after_due_date", "after_published"},
              "tests": [{"name": str, "number": str, "status": {"passed", "failed"}, "output": str, "tags": [str], "score?": int, "max_score?": int,
                         "visibility": {"hidden", "visible", "after_due_date", "after_published"}}]}
CLASSROOM50 = {"schema": {"classroom50/result/v1"}, "classroom": str, "assignment": str, "submission": str, "commit": str, "release": str,
               "review": str, "owner?": str, "usernames?": [str], "datetime": re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"), "score": int,
               "max-score": int, "tests": [{"test-name": str, "passed": bool, "score": int, "max-score": int, "output?": str}]}
OWN = {"schema": {"kvlab/grade/v1"}, "grader": str, "step": int, "submission": str, "seed": int, "tests": str, "confined": str, "points": int,
       "machine": {"processor": str, "system": str, "compiler": str}, "score": (int, type(None)), "notes": [str],
       "time": {"graded": str, "seconds": float},
       "tasks": [{"id": str, "title": str, "outcome": set(OUTCOMES), "score": int, "points": int, "cases": [
           {"name": str, "outcome": set(OUTCOMES), "message?": str, "line?": str, "hidden?": bool, "open?": bool, "hint?": str, "output?": str}]}]}


def wrong(value, shape, where="the result"):
    """The first place that has another shape, in words; None if there is none."""
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            return f"{where} is no object"
        names = {name.rstrip(OPTIONAL): name for name in shape}
        for name in value:
            if name not in names:
                return f"{where} has '{name}'"
        for name, key in names.items():
            if name not in value and not key.endswith(OPTIONAL):
                return f"{where} has no '{name}'"
            found = wrong(value[name], shape[key], f"{where}.{name}") if name in value else None
            if found:
                return found
        return None
    if isinstance(shape, list):
        if not isinstance(value, list):
            return f"{where} is no array"
        return next((found for i, item in enumerate(value) if (found := wrong(item, shape[0], f"{where}[{i}]"))), None)
    if isinstance(shape, set):
        return None if value in shape else f"{where} is '{value}'"
    if isinstance(shape, re.Pattern):
        return None if isinstance(value, str) and shape.fullmatch(value) else f"{where} is '{value}'"
    kinds = shape if isinstance(shape, tuple) else (shape,)
    return None if type(value) in kinds else f"{where} is a {type(value).__name__}"


class Course:
    """As much of grading.Course as a report needs."""
    step, seed = 1, 20260
    tasks = {id: Task(id, title, "idea", "needs", 20, points, ["hint"]) for id, title, points in
             (("1.1", "first", 10), ("1.2", "second", 20), ("1.3", "third", 5), ("1.4", "fourth", 7), ("1.5", "fifth", 8))}
    names = ["1.1 a: holds", "1.1 b: holds", "1.2 c: <&> \"quotes\"", "1.3 d: late", "1.4 e: compiled", "1.5 f: hidden"]
    extra = {"1.5 f: hidden": [SECRET]}

    def cases_of(self, task):
        return [name for name in self.names if name.startswith(task + " ")]


def result(outcomes=None, course=Course()):
    verdicts = {name: Verdict(name, PASSED) for name in course.names}
    verdicts |= {verdict.case: verdict for verdict in ([
        Verdict(course.names[2], CRASHED, "the program ended by SIGSEGV: \x1b[31m<b>&\x00", "terms=65", output="\x1b[2Jlast words\n", hint="One chain."),
        Verdict(course.names[3], TIMED_OUT, "no answer within 10 s", "n=1"),
        Verdict(course.names[4], NOT_COMPILED, "a.cpp:3: expected ';'"),
        Verdict(course.names[5], FAILED, "head: at 1: got 2, expected 3", SECRET)] if outcomes is None else outcomes)}
    return report.result_of(course, "alice", verdicts, ["a note"], "0123456789abcdef", "c++ 12", "confined by Landlock 7", 12.34)


@contextlib.contextmanager
def variables(**values):
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


class Formats(unittest.TestCase):
    def texts(self, found):
        with variables(**VARIABLES):
            return {name: write(found) for name, write in FORMATS.items()}

    def test_points_are_given_for_whole_tasks(self):
        found = result()
        self.assertIsNone(wrong(found, OWN))
        self.assertEqual([task["score"] for task in found["tasks"]], [10, 0, 0, 0, 0])
        self.assertEqual((found["score"], found["points"]), (10, 50))
        half = result([Verdict("1.1 b: holds", FAILED, "no", "n=1")])
        self.assertEqual([task["score"] for task in half["tasks"]], [0, 20, 5, 7, 8])

    def test_what_could_not_be_run_is_no_score(self):
        found = result([Verdict("1.1 b: holds", NOT_RUN, "the program cannot be started")])
        self.assertIsNone(found["score"])
        self.assertEqual(found["tasks"][0]["score"], 0)
        self.assertIn("no score", report.text_of(found))

    def test_gradescope(self):
        found = json.loads(self.texts(result())["gradescope"])
        self.assertIsNone(wrong(found, GRADESCOPE))
        self.assertEqual(found["score"], sum(test.get("score", 0) for test in found["tests"]))
        self.assertEqual([test["visibility"] for test in found["tests"]], ["visible"] * 5 + ["after_published"])

    def test_classroom50(self):
        found = json.loads(self.texts(result())["classroom50"])
        self.assertIsNone(wrong(found, CLASSROOM50))
        self.assertEqual(found["score"], sum(test["score"] for test in found["tests"]))
        self.assertEqual(found["max-score"], sum(test["max-score"] for test in found["tests"]))
        self.assertEqual(found["review"], found["commit"])
        with variables(**VARIABLES, REVIEW_URL="https://x/compare"):
            self.assertEqual(json.loads(FORMATS["classroom50"](result()))["review"], "https://x/compare")
        with variables(**{**VARIABLES, "COMMIT_URL": ""}), self.assertRaisesRegex(Failure, "COMMIT_URL is not set"):
            FORMATS["classroom50"](result())

    def test_junit(self):
        root = xml.fromstring(self.texts(result())["junit"])
        self.assertEqual((root.tag, root.get("tests"), root.get("failures"), root.get("errors")), ("testsuites", "6", "1", "3"))
        for suite in root:
            self.assertEqual(suite.tag, "testsuite")
            self.assertEqual(len(suite.findall("testcase")), int(suite.get("tests")))
            self.assertEqual(len(suite.findall("testcase/failure")), int(suite.get("failures")))
            self.assertEqual(len(suite.findall("testcase/error")), int(suite.get("errors")))
            self.assertTrue(all(case.get("name") and case.get("classname") for case in suite.findall("testcase")))
            self.assertEqual([child.tag for child in suite][0], "properties")

    def test_hidden_questions_are_not_told(self):
        texts = self.texts(result())
        visible = [test for test in json.loads(texts["gradescope"])["tests"] if test["visibility"] == "visible"]
        for text in (texts["junit"], texts["classroom50"], json.dumps(visible)):
            self.assertNotIn("tokens=77", text)
            self.assertNotIn("expected 3", text)
            self.assertIn("hidden question", text)
        self.assertIn("tokens=77", report.text_of(result()))  # for the instructor

    def test_nothing_orders_a_terminal(self):
        for text in (report.text_of(result(), output=True), json.dumps(result()), *self.texts(result()).values()):
            self.assertNotIn("\x1b", text)
            self.assertNotIn("\\u001b", text)
            self.assertNotIn("\x00", text)

    def test_the_same_result_is_the_same_text(self):
        first, second = result(), result()
        first["time"] = second["time"] = {"graded": "2026-01-01T00:00:00Z", "seconds": 1.0}
        self.assertEqual(self.texts(first), self.texts(second))
        self.assertEqual(report.text_of(first), report.text_of(second))

    def test_the_text_says_all(self):
        text = report.text_of(result())
        for words in ("grader 1.0", "tests 0123456789abcdef", "seed 20260", "Landlock 7", "a note", "10/10", "0/20", "Perhaps: One chain.",
                      "crashed: with terms=65", "a.cpp:3: expected ';'", "10 of 50 points", "c++ 12", "12.3 s"):
            self.assertIn(words, text)
        opened = report.text_of(result([Verdict(name, FAILED, "task is not solved yet", "n=1", open_task=True) for name in Course.names]))
        self.assertEqual(opened.count("not solved yet"), 5)

    def test_the_check_of_shapes_finds_what_is_wrong(self):
        good = json.loads(self.texts(result())["gradescope"])
        for change, words in (({"score": "10"}, "score is a str"), ({"tests": [{}]}, "has no 'name'"), ({"more": 1}, "has 'more'"),
                              ({"visibility": "all"}, "visibility is 'all'"), ({"score": True}, "score is a bool")):
            self.assertIn(words, wrong({**good, **change}, GRADESCOPE))


class Statistics(unittest.TestCase):
    def test_pass_rates(self):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            for i in range(3):
                (folder / f"right{i}.json").write_text(json.dumps(result([])))
            (folder / "wrong.json").write_text(json.dumps(result()))
            (folder / "open.json").write_text(json.dumps(result([Verdict("1.3 d: late", FAILED, "open", open_task=True)])))
            (folder / "other.json").write_text("[1, 2")
            (folder / "list.json").write_text("[]")
            text = statistics.text_of(*statistics.results_in(folder))
        self.assertIn("5 submissions", text)
        self.assertIn("other.json", text)
        self.assertRegex(text, r"60\.0 % +1\.3 third")
        self.assertRegex(text, r"60\.0 % +75\.0 % +1\.3 d: late \(1 timed out, 1 failed\)|60\.0 % +75\.0 % +1\.3 d: late \(1 failed, 1 timed out\)")
        self.assertRegex(text, r"100\.0 % +1\.1 first")
        self.assertIn("1    1.2: One chain.", text)
        self.assertLess(text.index("1.3 third"), text.index("1.1 first"))  # the worst first

    def test_no_results(self):
        with tempfile.TemporaryDirectory() as name:
            with self.assertRaisesRegex(Failure, "no result"):
                statistics.results_in(pathlib.Path(name))
            with self.assertRaisesRegex(Failure, "no such folder"):
                statistics.results_in(pathlib.Path(name) / "none")


if __name__ == "__main__":
    unittest.main()
