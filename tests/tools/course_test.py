#!/usr/bin/env python3
"""The course's tools on cases that they must find: marks that do not fit, solutions that leave by a back door, answers that only look right.

    course_test.py              all of it; builds nothing
"""
import math
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest
from unittest import mock

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "tests" / "tools"), str(ROOT / "tests" / "course")]

import book  # noqa: E402
from course import expect, judge, leaks, markers, mistakes, proof, signatures  # noqa: E402
from course.export import unquoted, without_dead_links  # noqa: E402
from course.tasks import ROOT as PROJECT, STEPS, Failure, tasks_of  # noqa: E402
from course.values import Floats, Integers, bits_of, place  # noqa: E402
from mutant_file import Failure as MistakeFailure  # noqa: E402

SOURCE = """int twice(int x) {
    check(x > 0, "x");
    // SOLUTION-BEGIN 1.1
    const int doubled_number = x + x;
    return doubled_number;
    // SOLUTION-END 1.1
}
"""


class Marks(unittest.TestCase):
    def refused(self, text, *words):
        with self.assertRaises(markers.MarkerError) as caught:
            markers.regions_in(text, "a.cpp")
        for word in words:
            self.assertIn(word, str(caught.exception))

    def test_a_region_is_what_lies_between(self):
        (region,) = markers.regions_in(SOURCE, "a.cpp")
        self.assertEqual((region.task, region.first, region.last, region.indent, region.code_lines), ("1.1", 3, 6, "    ", 2))
        self.assertEqual(region.lines[1].strip(), "return doubled_number;")

    def test_marks_that_do_not_fit(self):
        begin, end = "// SOLUTION-BEGIN 1.1\n", "// SOLUTION-END 1.1\n"
        self.refused(begin + "x;\n", "a.cpp:1", "no end")
        self.refused("x;\n" + end, "a.cpp:2", "ends nothing")
        self.refused(begin + "x;\n// SOLUTION-BEGIN 1.2\n", "a.cpp:3", "inside of 1.1")
        self.refused(begin + "x;\n// SOLUTION-END 1.2\n", "a.cpp:3", "expected 1.1")
        self.refused(begin + end, "empty")
        self.refused("// SOLUTION-BEGIN 1\nx;\n// SOLUTION-END 1\n", "no number of a task")
        self.refused("x; // SOLUTION-BEGIN 1.1\n", "a line of its own")
        self.refused("// SOLUTION-BEGINS 1.1\n", "a line of its own")

    def test_a_hole_names_its_task(self):
        text = markers.with_replaced(SOURCE, "a.cpp", lambda region: markers.hole(region, "twice", "about 2 lines"))
        self.assertIn('    // TASK 1.1: twice (about 2 lines)\n    todo("1.1");\n}\n', text)
        self.assertIn("check(x > 0", text)
        self.assertNotIn("doubled", text)
        kernel = markers.with_replaced(SOURCE, "a.cu", lambda region: markers.hole(region, "twice", ""))
        self.assertIn('todo_device("1.1");', kernel)

    def test_a_solution_stays_without_its_marks(self):
        text = markers.with_replaced(SOURCE, "a.cpp", lambda region: None)
        self.assertIn("return doubled_number;", text)
        self.assertNotIn("SOLUTION", text)


class Leaks(unittest.TestCase):
    def setUp(self):
        self.prints = leaks.fingerprints(markers.regions_in(SOURCE, "a.cpp"))

    def test_a_line_is_found_however_it_is_spaced(self):
        for text in ("const  int doubled_number=x + x;", "```\n    const int\n    doubled_number = x + x;\n```", "| `const int doubled_number = x + x;` |",
                     '{"code": "const int doubled_number = x + x;"}'):
            self.assertTrue(leaks.leaks_in(text, self.prints), text)
        self.assertFalse(leaks.leaks_in("const int tripled_number = x + x + x;", self.prints))

    def test_short_lines_count_with_their_neighbours(self):
        prints = leaks.fingerprints(markers.regions_in("// SOLUTION-BEGIN 1.1\nsum = first + 12;\nreturn sum * sum;\n// SOLUTION-END 1.1\n", "a.cpp"))
        self.assertFalse(leaks.leaks_in("sum = first + 12;", prints))
        self.assertTrue(leaks.leaks_in("sum = first + 12;\nreturn sum * sum;", prints))

    def test_common_lines_are_left_out_and_have_reasons(self):
        with tempfile.TemporaryDirectory() as name:
            path = pathlib.Path(name) / "common.txt"
            path.write_text("# comment\nconst int doubled_number = x + x; | given\n")
            self.assertFalse(leaks.fingerprints(markers.regions_in(SOURCE, "a.cpp"), leaks.common_lines(path)))
            path.write_text("const int doubled_number = x + x;\n")
            with self.assertRaises(ValueError):
                leaks.common_lines(path)

    def test_a_tree_is_searched_whole(self):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            (folder / "results").mkdir()
            (folder / "results" / "a.txt").write_text("const int doubled_number = x + x;\n")
            (folder / "b.bin").write_bytes(b"\xff\x00const int doubled_number = x + x;")
            self.assertEqual([file for file, _, _ in leaks.leaks_of(folder, self.prints)], ["b.bin", "results/a.txt"])

    def test_a_table_of_mistakes_names_the_task_instead(self):
        row = "| 12 | wrong | `a.cu`: `const int doubled_number = x + x;` |"
        self.assertEqual(unquoted(row, self.prints), "| 12 | wrong | `a.cu`: (task 1.1) |")


class Links(unittest.TestCase):
    def test_a_link_to_what_is_not_there_is_its_words(self):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            (folder / "there.md").write_text("")
            for text, expected in (("see [chapter 3](../step03/README.md#a).", "see chapter 3."), ("[a `b`](there.md#c) [d](#e)",) * 2, ("[x](https://example.org/y)",) * 2,
                                   ("![a picture](x.svg)",) * 2, ("```\nv[i](x)\n```\n[y](z.md)", "```\nv[i](x)\n```\ny")):
                self.assertEqual(without_dead_links(text, folder), expected)


class Expectations(unittest.TestCase):
    def floats(self, *values):
        return Floats([len(values)], values)

    def said(self, expectation, found, **others):
        return expect.difference("y", expectation, {"y": found, **others})

    def test_bits(self):
        right = expect.exact(self.floats(0.0, 1.5), "component")
        self.assertIsNone(self.said(right, self.floats(0.0, 1.5).to_json()))
        self.assertIn("at component 0", self.said(right, self.floats(-0.0, 1.5).to_json()))
        self.assertIn("1 of 2 differ", self.said(right, {"shape": [2], "f32": [0, bits_of(1.5) + 1]}))

    def test_nothing_that_is_not_finite_is_close(self):
        near = expect.close(self.floats(1.0, 2.0), "component", 1e-3, "test")
        self.assertIsNone(self.said(near, self.floats(1.0005, 2.0).to_json()))
        for bad in (math.nan, math.inf, 1.01):
            self.assertIn("at component 0", self.said(near, {"shape": [2], "f32": [bits_of(bad), bits_of(2.0)]}))

    def test_what_is_no_answer(self):
        right = expect.exact(self.floats(1.0), "component")
        for bad in (None, 1, "x", [], {}, {"shape": [1], "f32": [1.5]}, {"shape": [1], "f32": [True]}, {"shape": [1], "f32": [-(1 << 40)]},
                    {"shape": [2], "f32": [0]}, {"shape": [-1], "f32": []}, {"shape": "1", "f32": [0]}, {"shape": [1], "int": [1]},
                    {"shape": [1 << 70], "f32": []}, {"shape": [True], "f32": [0]}):
            self.assertIsNotNone(self.said(right, bad), bad)
        self.assertIn("missing", expect.difference("y", right, {}))

    def test_shapes_come_first(self):
        right = expect.integers(Integers([2, 2], [1, 2, 3, 4]), "row column")
        self.assertIn("shape", self.said(right, {"shape": [4], "int": [1, 2, 3, 4]}))
        self.assertIn("at row 1, column 0: got 9, expected 3", self.said(right, {"shape": [2, 2], "int": [1, 2, 9, 4]}))

    def test_one_answer_against_another(self):
        same = expect.same_as("uncached", "token")
        one, other = self.floats(1.0, 2.0).to_json(), self.floats(1.0, 2.5).to_json()
        self.assertIsNone(self.said(same, one, uncached=one))
        self.assertIn("'uncached'", self.said(same, one, uncached=other))
        self.assertIsNotNone(self.said(same, one))

    def test_numbers_and_texts(self):
        self.assertIsNone(self.said(expect.number(3), 3))
        for bad in (True, 3.0, "3", None):
            self.assertIsNotNone(self.said(expect.number(3), bad), bad)
        self.assertIsNone(self.said(expect.says("full", "room"), "cache is full: room for 3"))
        self.assertIn("no Error was thrown", self.said(expect.says("full"), ""))

    def test_places(self):
        self.assertEqual(place([2, 3], 4), (1, 1))
        self.assertEqual(Floats([2, 3], range(6))[1, 1], 4)
        self.assertEqual(Floats([2, 3], range(6))[1].values, [3, 4, 5])
        with self.assertRaises(IndexError):
            Floats([2, 3], range(6))[0, 3]


class Questions(unittest.TestCase):
    def test_lines_are_read_or_refused(self):
        self.assertEqual(judge.parsed("a=1 b=2.5 c=tova"), {"a": 1, "b": 2.5, "c": "tova"})
        for bad in ("a", "a=", "a=1 a=2", "1a=2", "=3"):
            with self.assertRaises(ValueError, msg=bad):
                judge.parsed(bad)

    def test_numbers_depend_on_line_and_seed(self):
        first = judge.Random("case", "n=1", 0, 1).floats(4).values
        self.assertEqual(first, judge.Random("case", "n=1", 0, 1).floats(4).values)
        for other in (("case", "n=1", 0, 2), ("case", "n=2", 0, 1), ("case", "n=1", 1, 1)):
            self.assertNotEqual(first, judge.Random(*other).floats(4).values)
        self.assertEqual([bits_of(v) for v in judge.Random("case").floats(2).values], [bits_of(v) for v in judge.Random("case").floats(2).values])


class Signatures(unittest.TestCase):
    RIGHT = {line: {"call": {"kind": "text", "value": "refused; room 5"}} for line in "ab"}

    def most_like(self, recorded, **replies):
        def answers(texts):
            return {line: {"answer": {"call": text}} for line, text in texts.items()}
        return signatures.most_like([([[line, reply] for line, reply in answers(texts).items()], says) for says, texts in recorded.items()],
                                    answers(replies), self.RIGHT)

    def test_the_same_answers_count_more_than_near_ones(self):
        """Two lines that differ in a number alone, as reports of places do, are near; one line that is the same wins."""
        recorded = {"near in both": {"a": "done; room 4", "b": "done; room 3"}, "the same": {"a": "done; room 5"}}
        self.assertEqual(self.most_like(recorded, a="done; room 5", b="done; room 1"), ["the same"])
        self.assertEqual(self.most_like({"near in both": recorded["near in both"]}, a="done; room 5", b="done; room 1"), ["near in both"])

    def test_more_lines_count_more_than_fewer(self):
        recorded = {"one": {"a": "done; room 5"}, "two": {"a": "done; room 5", "b": "done; room 4"}}
        self.assertEqual(self.most_like(recorded, a="done; room 5", b="done; room 4"), ["two"])
        self.assertEqual(self.most_like(recorded, a="done; room 5", b="refused; room 5"), ["one"])

    def test_those_that_cannot_be_told_apart_are_all_said(self):
        recorded = {"one": {"a": "done; room 5"}, "other": {"a": "done; room 5"}, "third": {"a": "gone"}}
        self.assertEqual(self.most_like(recorded, a="done; room 5"), ["one", "other"])
        self.assertEqual(self.most_like(recorded, a="refused; room 5"), [])
        self.assertEqual(self.most_like(recorded), [])


class Memory(unittest.TestCase):
    """A mistake that reads what nobody wrote answers otherwise on each machine; the proof fills memory in two ways to see it."""

    def problem_of(self, answers):
        one = proof.Proof.__new__(proof.Proof)
        one.step, one.cases, one.record = 1, {}, True
        wrong = proof.Wrong("1.1", "mistake", "name", "says", {})
        with mock.patch.object(signatures, "recorded_of", lambda step, mistake, cases, command: answers(command)):
            one.named(wrong, ["program"], None)
        return wrong.problem, wrong.entries

    def test_answers_that_depend_on_it(self):
        problem, entries = self.problem_of(lambda command: [command])
        self.assertIn("memory that nobody wrote", problem)
        self.assertEqual(entries, [])

    def test_answers_that_do_not(self):
        self.assertEqual(self.problem_of(lambda command: [command[-1]]), ("", ["program"]))


class Tables(unittest.TestCase):
    def test_each_chapter_has_four_to_eight_tasks_and_a_hundred_points(self):
        for step in STEPS:
            tasks = tasks_of(step)
            self.assertTrue(4 <= len(tasks) <= 8, f"chapter {step}: {len(tasks)} tasks")
            self.assertEqual(sum(task.points for task in tasks.values()), 100, f"chapter {step}")
            for task in tasks.values():
                self.assertTrue(20 <= task.minutes <= 60, task.id)
                self.assertTrue(3 <= len(task.hints) <= 5, task.id)
            answers = (PROJECT / "tests/course/answers" / f"step{step:02}.md").read_text()
            self.assertEqual([task for task in tasks if f"### {task} " not in answers], [])

    def test_hints_say_no_solution(self):
        for step in STEPS:
            tasks = tasks_of(step)
            prints = leaks.fingerprints([region for task in tasks.values() for region in task.regions])
            for task in tasks.values():
                for hint in task.hints:
                    self.assertFalse(leaks.leaks_in(hint, prints), f"{task.id}: {hint}")

    def test_every_mistake_still_applies(self):
        for step in STEPS:
            tasks = tasks_of(step)
            found = mistakes.mistakes_of(step, tasks, PROJECT)
            for task in tasks:
                self.assertGreaterEqual(sum(m.task == task for m in found), 3, task)
            for mistake in found:
                self.assertTrue(mistake.applied(lambda file: (PROJECT / file).read_text()), mistake.name)
            names = [(m.task, m.name) for m in found]
            self.assertEqual(len(names), len(set(names)), f"chapter {step}: two mistakes have one name")

    def test_the_readme_counts_the_mistakes(self):
        said = int(re.search(r"more than (\d+) known\s+mistakes", (PROJECT / "README.md").read_text())[1])
        self.assertGreater(sum(len(mistakes.mistakes_of(step, tasks_of(step), PROJECT)) for step in STEPS), said)

    def test_a_mistake_that_is_not_understood(self):
        with tempfile.TemporaryDirectory() as name:
            path = pathlib.Path(name) / "step01.txt"
            for text in ("MISTAKE 1.1 x\nFILE a\n<<<<\na\n====\nb\n>>>>\n", "MISTAKE 1.1 x\nSays: y\n", "hello\n", "MISTAKE 1.1 x\nSays: y\nFILE a\n<<<<\na\n"):
                path.write_text(text)
                with self.assertRaises(MistakeFailure, msg=text):
                    mistakes.parsed(path)


class Names(unittest.TestCase):
    def test_no_other_test_has_the_number_of_a_task(self):
        for source in sorted((PROJECT / "tests").rglob("*.cpp")):
            found = re.findall(r'TEST_CASE\w*\(\s*"(\d[^"]*)"', source.read_text())
            self.assertEqual(found, [], source.name)

    def test_a_case_has_the_number_of_a_task_of_its_chapter(self):
        for source in sorted((PROJECT / "tests" / "course").glob("step*_tasks*.cpp")):
            names = re.findall(r'KVLAB_TASK_CASE\(\s*"([^"]*)"', source.read_text())
            self.assertTrue(names, source.name)
            for name in names:
                self.assertIn(name.split()[0], tasks_of(int(source.name[4:6])), name)
                self.assertRegex(name, r"^\d\.\d [^:;|\[\]]+: [^;|\[\]\\]+$")


class Starters(unittest.TestCase):
    """A starter of each chapter is written, and what a student first types works."""

    def ran(self, *command, folder=None):
        done = subprocess.run([str(word) for word in command], cwd=folder, capture_output=True, text=True)
        return done.returncode, done.stdout, done.stderr

    def test_refusals(self):
        starter = [sys.executable, ROOT / "tools" / "starter.py"]
        with tempfile.TemporaryDirectory() as name:
            self.assertEqual(self.ran(*starter, "--step", 1, name)[0], 2)
            self.assertEqual(self.ran(*starter, "--step", 9, name + "/x")[0], 2)
            self.assertEqual(self.ran(*starter, name + "/x")[0], 2)
            self.assertEqual(self.ran(*starter, "--step", 1, ROOT / "build" / "starter")[0], 2)
            file = pathlib.Path(name) / "file"
            file.write_text("")
            code, _, error = self.ran(*starter, "--step", 1, file / "x")
            self.assertEqual((code, error.count("\n"), "Traceback" in error), (1, 1, False))
            self.assertEqual(list(pathlib.Path(name).iterdir()), [file])

    def test_each_chapter(self):
        for step in [*STEPS, None]:
            with self.subTest(step=step), tempfile.TemporaryDirectory() as name:
                out = pathlib.Path(name) / "starter"
                which = ["--all"] if step is None else ["--step", step]
                code, said, error = self.ran(sys.executable, ROOT / "tools" / "starter.py", *which, out)
                self.assertEqual((code, error), (0, ""))
                self.checked(out, step)

    def checked(self, out, step):
        last = step or max(STEPS)
        self.assertFalse((out / ".git").exists())
        names = {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()}
        self.assertFalse([n for n in names if re.search(r"mutant|mistakes/|answers/|signatures|tests/course/\w+\.(py|toml)|course/judge", n)])
        for later in range(last + 1, max(STEPS) + 1):
            self.assertFalse([n for n in names if f"step0{later}" in n], f"chapter {later} is in the starter of {last}")
        text = "".join((out / n).read_text(errors="replace") for n in names if n.endswith((".cpp", ".cu")) and not n.startswith("tests"))
        for task in tasks_of(last):
            self.assertIn(f"// TASK {task}: ", text)
        if step and step > 1:
            self.assertNotIn(f"// TASK {step - 1}.", text)
        for text in book.texts(out):
            self.assertEqual(without_dead_links(text.read_text(), text.parent), text.read_text())
        page = (out / STEPS[last] / "README.md").read_text()
        self.assertIn(f"TASK {last}.", page)
        code, said, _ = self.ran(sys.executable, out / "course", folder=out)
        self.assertEqual(code, 0)
        for task in tasks_of(last).values():
            self.assertIn(f"{task.id}  {task.title}  [not checked yet]", said)
        first = next(iter(tasks_of(last).values()))
        one = self.ran(sys.executable, out / "course", "hint", first.id, folder=out)[1]
        two = self.ran(sys.executable, out / "course", "hint", first.id, folder=out)[1]
        self.assertIn(f"(1 of {len(first.hints)})", one)
        self.assertTrue(len(two) > len(one) and "\n2. " in two)
        code, _, error = self.ran(sys.executable, out / "course", "hint", "9.9", folder=out)
        self.assertEqual((code, "Traceback" in error), (1, False))


if __name__ == "__main__":
    unittest.main()
