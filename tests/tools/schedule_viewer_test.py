#!/usr/bin/env python3
"""Tests tools/schedule_viewer.py: what it refuses, what stands in the page.

    schedule_viewer_test.py                    the program, with hostile files
    schedule_viewer_test.py --recorder PROGRAM schedules of step07_serving
    schedule_viewer_test.py --browser          the page in headless Chromium (exit code 77 where there is none)
"""
from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from fake_schedule import NAMES, STATES, fake_schedule, part, text
from viewer_test import data_of

VIEWER = Path(__file__).resolve().parents[2] / "tools" / "schedule_viewer.py"


def run_viewer(content: bytes) -> tuple[int, str, str, str | None]:
    """Exit code, standard output, standard error, and the page if there is one."""
    with tempfile.TemporaryDirectory() as folder:
        schedule, page = Path(folder) / "run.json", Path(folder) / "run.html"
        schedule.write_bytes(content)
        done = subprocess.run([sys.executable, VIEWER, schedule, "-o", page], capture_output=True, text=True, timeout=120)
        return done.returncode, done.stdout, done.stderr, page.read_text(encoding="utf-8") if page.exists() else None


def encoded(schedule) -> bytes:
    return text(schedule).encode()


class Page(unittest.TestCase):
    def test_stands_alone(self):
        code, out, err, page = run_viewer(encoded(fake_schedule()))
        self.assertEqual((code, out, err), (0, "RESULT requests=4 steps=11 pages=6 preempted=1 cancelled=2\n", ""))
        self.assertNotRegex(page, r"https?://|@import|url\(|<link|<img|<script src|\{\{")
        self.assertIn("default-src 'none'", page)

    def test_what_each_request_does(self):
        data = data_of(run_viewer(encoded(fake_schedule()))[3])
        for request, states in enumerate(STATES):
            found = "".join(next((letter for letter, name in NAMES.items() if name == step["states"][request]), ".") for step in data["steps"])
            self.assertEqual(found, states, request)

    def test_a_swapped_request_goes_on_where_it_was(self):
        for events in (["swapped"], ["preempted", "swapped"], ["swapped", "preempted"]):
            schedule = fake_schedule()
            schedule["steps"][5]["events"] = [{"kind": kind, "request": 2, "count": 1} for kind in events]
            schedule["steps"][7]["parts"] = [part(2, 4, 0)]
            code, _, err, page = run_viewer(encoded(schedule))
            self.assertEqual(code, 0, err)
            found = [step["states"][2] for step in data_of(page)["steps"]]
            self.assertEqual(found[7], "prefill", "its pages came back: nothing is fed again")
            if events[-1] == "swapped":
                self.assertEqual(found[5:7], ["swapped", "swapped"])

    def test_a_guess_can_end_a_text(self):
        schedule = fake_schedule()
        schedule["steps"][6]["parts"][0].update(fed=3, wanted=3, drafted=2, accepted=1)
        self.assertEqual(run_viewer(encoded(schedule))[0], 0)

    def test_text_of_a_schedule_cannot_leave_its_place(self):
        evil = "</script><script>document.title='x'</script>{{script}}\ud800"
        code, out, _, page = run_viewer(encoded(fake_schedule(model=evil, scope=evil)))
        self.assertEqual(code, 0, out)
        self.assertEqual(page.count("</script>"), 2)
        self.assertEqual(data_of(page)["model"], evil)


def report_with(**values):
    return lambda schedule: schedule.update(values)


def request_with(index: int, **values):
    return lambda schedule: schedule["requests"][index].update(values)


def step_with(index: int, **values):
    return lambda schedule: schedule["steps"][index].update(values)


def part_with(step: int, index: int, **values):
    return lambda schedule: schedule["steps"][step]["parts"][index].update(values)


def event_with(step: int, index: int, **values):
    return lambda schedule: schedule["steps"][step]["events"][index].update(values)


def table_with(step: int, request: str, pages):
    return lambda schedule: schedule["steps"][step]["tables"].update({request: pages})


def more_events(step: int, *kinds: str):
    return lambda schedule: schedule["steps"][step]["events"].extend({"kind": kind, "request": 0, "count": 0} for kind in kinds)


# what is wrong -> (the change, what the message begins with)
SPOILED = {
    "another experiment": (report_with(experiment="step07_serving compare"), "'experiment'"),
    "another version": (report_with(schema=2), "'schema'"),
    "a version that is true": (report_with(schema=True), "'schema'"),
    "a model that is no text": (report_with(model=1), "expected 'model'"),
    "no pages": (report_with(pages=0), "'pages'"),
    "pages without end": (report_with(pages=10 ** 9), "'pages'"),
    "slots with a fraction": (report_with(page_slots=4.0), "'page_slots'"),
    "no requests": (report_with(requests=[]), "'requests'"),
    "requests that are no list": (report_with(requests={}), "expected 'requests'"),
    "no steps": (report_with(steps=[]), "'steps'"),
    "a request that is a list": (report_with(requests=[[]]), "requests[0].number"),
    "another number": (request_with(1, number=2), "requests[1].number"),
    "a number that is true": (request_with(1, number=True), "requests[1].number"),
    "no prompt": (request_with(1, prompt_tokens=0), "requests[1].prompt_tokens"),
    "no tokens to write": (request_with(1, max_tokens=None), "requests[1].max_tokens"),
    "a scope that is no text": (request_with(1, scope=None), "requests[1].scope"),
    "an outcome of another kind": (request_with(1, outcome="fine"), "requests[1].outcome"),
    "an outcome that is too early": (request_with(1, outcome="running"), "requests[1].outcome"),
    "written that lies": (request_with(0, written=6), "requests[0].written"),
    "another arrival": (request_with(1, arrival_step=3), "steps[2].events[0]"),
    "a request that never comes": (lambda schedule: schedule["steps"][9]["events"].pop() and schedule["steps"][10]["events"].pop(0), "requests[3]: no step adds it"),
    "a step left out": (lambda schedule: schedule["steps"].pop(3), "steps[3].step"),
    "a step that is null": (lambda schedule: schedule["steps"].insert(3, None), "steps[3].step"),
    "seconds that are no number": (step_with(3, seconds=float("nan")), "steps[3].seconds"),
    "time that goes back": (step_with(3, seconds=-1), "steps[3].seconds"),
    "no copies": (step_with(3, copied=None), "steps[3].copied"),
    "parts that are no list": (step_with(3, parts={}), "steps[3].parts"),
    "tables that are a list": (step_with(3, tables=[]), "steps[3].tables"),
    "a part that is a number": (step_with(3, parts=[1]), "steps[3].parts[0]"),
    "a part of nobody": (part_with(3, 0, request=4), "steps[3].parts[0].request"),
    "a part of one who waits": (part_with(2, 1, request=2), "steps[2].parts[1].request"),
    "a part of one who is over": (part_with(7, 0, request=0), "steps[7].parts[0].request"),
    "two parts of one": (part_with(3, 1, request=0), "steps[3].parts[1].request"),
    "guesses alone": (part_with(3, 0, drafted=3), "steps[3].parts[0].drafted"),
    "more right than guessed": (part_with(3, 0, accepted=3), "steps[3].parts[0].accepted"),
    "more rows than tokens": (part_with(3, 1, wanted=2), "steps[3].parts[1].wanted"),
    "more fed than there is": (part_with(3, 1, fed=2), "steps[3].parts[1].fed"),
    "logits in the middle of a prompt": (part_with(0, 0, wanted=1), "steps[0].parts[0].wanted"),
    "a row without a token": (part_with(3, 1, written=0), "steps[3].parts[1].written"),
    "a token without a row": (part_with(0, 0, written=1), "steps[0].parts[0].written"),
    "an event that is a text": (step_with(3, events=["added"]), "steps[3].events[0].kind"),
    "an event of another kind": (event_with(3, 0, kind="lost"), "steps[3].events[0].kind"),
    "an event without a count": (event_with(3, 0, count=None), "steps[3].events[0].count"),
    "an event of nobody": (event_with(3, 0, request=4), "steps[3].events[0].request"),
    "added twice": (more_events(0, "added"), "steps[0].events[2].kind"),
    "admitted twice": (more_events(1, "admitted"), "steps[1].events[0].kind"),
    "resumed who was never preempted": (more_events(1, "resumed"), "steps[1].events[0].kind"),
    "ended twice": (more_events(7, "ended"), "steps[7].events[2].kind"),
    "cancelled who is over": (more_events(8, "cancelled"), "steps[8].events[1].kind"),
    "all of the prompt from other pages": (event_with(2, 2, count=8), "steps[2].events[2].count"),
    "a page that is not there": (table_with(3, "1", [0, 3, 6]), 'steps[3].tables["1"][2]'),
    "a page that is true": (table_with(3, "1", [0, 3, True]), 'steps[3].tables["1"][2]'),
    "a page twice in one table": (table_with(3, "1", [0, 3, 3]), 'steps[3].tables["1"]: page 3'),
    "a page twice in the index": (step_with(3, indexed=[0, 0]), "steps[3].indexed: page 0"),
    "a page too few": (table_with(3, "1", [0, 3]), 'steps[3].tables["1"]: 2 pages for 9 tokens'),
    "a table that is a text": (table_with(3, "1", "034"), 'steps[3].tables["1"]'),
    "a table of one who is over": (table_with(7, "0", [1]), 'steps[7].tables["0"]'),
    "a table of no number": (table_with(3, "01", [1]), 'steps[3].tables["01"]'),
    "a table that is lost": (lambda schedule: schedule["steps"][3]["tables"].pop("1"), "steps[3].tables: request 1"),
}


class Refuses(unittest.TestCase):
    def refused(self, content: bytes, beginning: str):
        code, out, err, page = run_viewer(content)
        self.assertEqual((code, out, page), (2, "", None), err)
        self.assertEqual(err.count("\n"), 1, err)
        self.assertIn(f"run.json: {beginning}", err)

    def test_spoiled_fields(self):
        for name, (change, beginning) in SPOILED.items():
            with self.subTest(name):
                schedule = fake_schedule()
                change(schedule)
                self.refused(encoded(schedule), beginning)

    def test_what_is_no_schedule(self):
        content = encoded(fake_schedule())
        for name, wrong in (("nothing", b""), ("cut", content[:len(content) // 2]), ("bytes", b"\xff\xfe"), ("deep", b"[" * 100000),
                            ("two", content + content), ("twice", content.replace(b'"schema"', b'"schema": 1, "schema"', 1))):
            with self.subTest(name):
                self.refused(wrong, "not JSON" if name != "twice" else '"schema" stands twice')
        for name, wrong in (("a list", b"[1]"), ("a word", b"null"), ("nothing in it", b"{}")):
            with self.subTest(name):
                self.refused(wrong, "'experiment'")

    def test_wrong_use(self):
        with tempfile.TemporaryDirectory() as folder:
            schedule = Path(folder) / "run.json"
            schedule.write_bytes(encoded(fake_schedule()))
            for arguments in ([], [schedule], [schedule, "-o", schedule], [schedule, "-o", "/no/such/folder/x.html"], [schedule, "-o", folder],
                              [Path(folder) / "none.json", "-o", "x.html"], [folder, "-o", "x.html"], [schedule, "-o", "x", "--no"]):
                with self.subTest(arguments=arguments):
                    done = subprocess.run([sys.executable, VIEWER, *arguments], capture_output=True, text=True, timeout=60, cwd=folder)
                    self.assertEqual((done.returncode, done.stdout, done.stderr.count("\n")), (2, "", 1), done.stderr)
                    self.assertTrue(done.stderr.startswith("schedule_viewer: "), done.stderr)
            self.assertEqual([path.name for path in Path(folder).iterdir()], ["run.json"])


class Recorded(unittest.TestCase):
    """What the recorder writes: the page reads it, and all that the program says happened is in it."""
    program = ""

    def record(self, *arguments: str) -> tuple[dict, dict]:
        """The schedule, and the words of RESULT."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "run.json"
            done = subprocess.run([self.program, "record", *arguments, "--out", path], capture_output=True, text=True, timeout=300)
            self.assertEqual(done.returncode, 0, done.stderr + done.stdout)
            self.assertEqual([p.name for p in Path(folder).iterdir()], ["run.json"])
            content = path.read_bytes()
        code, _, err, _ = run_viewer(content)
        self.assertEqual(code, 0, err)
        self.assertLess(len(content), 200_000, "a schedule is small enough to be read in a page")
        said = dict(word.split("=") for word in done.stdout.splitlines()[-1].removeprefix("RESULT ").split())
        return json.loads(content), said

    def check(self, schedule: dict, said: dict):
        steps = schedule["steps"]
        events = [event for step in steps for event in step["events"]]
        parts = [part for step in steps for part in step["parts"]]
        kinds = [event["kind"] for event in events]
        found = {"requests": len(schedule["requests"]), "steps": len(steps), "preempted": kinds.count("preempted") + kinds.count("swapped"),
                 "hits": sum(event["count"] for event in events if event["kind"] in ("admitted", "resumed")), "copied": sum(step["copied"] for step in steps),
                 "evicted": sum(event["count"] for event in events if event["kind"] == "evicted"),
                 "accepted": sum(part["accepted"] for part in parts), "rejected": sum(part["drafted"] - part["accepted"] for part in parts)}
        self.assertEqual({name: int(said[name]) for name in found}, found)
        self.assertGreater(min(found.values()), 0, "everything that there is to see happens")
        shared = [page for step in steps for page in sum(step["tables"].values(), []) if sum(page in table for table in step["tables"].values()) > 1]
        self.assertGreater(len(shared), 0, "two requests share a page")
        self.assertGreater(max(len(step["parts"]) for step in steps), 1)

    def test_what_is_built_in(self):
        self.check(*self.record())

    def test_in_other_ways(self):
        for arguments in (("--index", "radix"), ("--preemption", "swap")):
            with self.subTest(arguments=arguments):
                schedule, said = self.record(*arguments)
                self.check(schedule, said)
                kinds = {event["kind"] for step in schedule["steps"] for event in step["events"]}
                self.assertEqual("swapped" in kinds, "swap" in arguments)

    def test_the_same_run_gives_the_same_schedule(self):
        first, again = (self.record()[0] for _ in range(2))
        for schedule in (first, again):
            for step in schedule["steps"]:
                step["seconds"] = 0
        self.assertEqual(first, again)

    def test_refusals_leave_no_file(self):
        with tempfile.TemporaryDirectory() as folder:
            out = str(Path(folder) / "x.json")
            for arguments, code, message in ((["record"], 2, "--out"), (["record", "--out", out, "--pages", "0"], 2, "--pages"),
                                             (["record", "--out", out, "--pages", "500"], 1, "no request was preempted"),
                                             (["record", "--out", out, "--pages", "2"], 1, "page"), (["record", "--out", "/no/such/folder/x"], 1, "cannot write")):
                with self.subTest(arguments=arguments):
                    done = subprocess.run([self.program, *arguments], capture_output=True, text=True, timeout=60)
                    self.assertEqual(done.returncode, code, done.stderr)
                    self.assertIn(message, done.stderr)
            self.assertEqual(list(Path(folder).iterdir()), [])


if __name__ == "__main__":
    if sys.argv[1:2] == ["--browser"]:
        import schedule_viewer_browser
        sys.exit(schedule_viewer_browser.main(sys.argv[2:]))
    cases = [Page, Refuses]
    if sys.argv[1:2] == ["--recorder"] and len(sys.argv) == 3:
        cases, Recorded.program = [Recorded], sys.argv[2]
    suite = unittest.TestSuite(unittest.defaultTestLoader.loadTestsFromTestCase(case) for case in cases)
    sys.exit(0 if unittest.TextTestRunner().run(suite).wasSuccessful() else 1)
