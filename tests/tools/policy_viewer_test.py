#!/usr/bin/env python3
"""Tests tools/policy_viewer.py: what it refuses, what stands in the page.

    policy_viewer_test.py                    the program, with hostile files
    policy_viewer_test.py --recorder PROGRAM recordings of step05_policies
    policy_viewer_test.py --browser          the page in headless Chromium (exit code 77 where there is none)
"""
from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from fake_recording import PIECES, fake_recording, text
from viewer_test import data_of

VIEWER = Path(__file__).resolve().parents[2] / "tools" / "policy_viewer.py"


def run_viewer(content: bytes) -> tuple[int, str, str, str | None]:
    """Exit code, standard output, standard error, and the page if there is one."""
    with tempfile.TemporaryDirectory() as folder:
        recording, page = Path(folder) / "run.jsonl", Path(folder) / "run.html"
        recording.write_bytes(content)
        done = subprocess.run([sys.executable, VIEWER, recording, "-o", page], capture_output=True, text=True, timeout=120)
        return done.returncode, done.stdout, done.stderr, page.read_text(encoding="utf-8") if page.exists() else None


def encoded(lines: list[dict]) -> bytes:
    return text(lines).encode()


class Page(unittest.TestCase):
    def test_stands_alone(self):
        code, out, err, page = run_viewer(encoded(fake_recording()))
        self.assertEqual((code, out, err), (0, "RESULT policies=3 steps=18 answered=1\n", ""))
        self.assertNotRegex(page, r"https?://|@import|url\(|<link|<img|<script src|\{\{")
        self.assertIn("default-src 'none'", page)
        self.assertEqual(data_of(page)["pieces"], list(PIECES))

    def test_order_of_the_policies_lines_does_not_matter(self):
        lines = fake_recording()
        mixed = [lines[0]] + sorted(lines[1:], key=lambda line: line["step"])
        self.assertEqual(data_of(run_viewer(encoded(mixed))[3]), data_of(run_viewer(encoded(lines))[3]))

    def test_text_of_a_recording_cannot_leave_its_place(self):
        evil = "</script><script>document.title='x'</script>{{script}}"
        lines = fake_recording(pieces=(evil, "\ud800", "\\1\u2028", "b", "c"), whole=2, recall=False, model=evil)
        code, out, _, page = run_viewer("".join(json.dumps(line) + "\n" for line in lines).encode())
        self.assertEqual(code, 0, out)
        self.assertEqual(page.count("</script>"), 2)
        self.assertEqual(data_of(page)["pieces"][0], evil)


def header_with(**values):
    return lambda lines: lines[0].update(values) or 0


def step_with(index: int, **values):
    return lambda lines: lines[index].update(values) or index


def drop_change(lines: list[dict]) -> int:
    del lines[21]["changes"][0]
    return 21


def add_change(*change):
    return lambda lines: lines[21]["changes"].append(list(change)) or 21


# what is wrong -> (change of the lines, which returns the index of the wrong one; what the message names).
# Lines 1 to 18 are of "full", 19 to 36 of "window"; line 21 is its step 2, where position 3 goes and position 11 comes.
SPOILED = {
    "no header": (lambda lines: lines.pop(0) and 0, "header"),
    "another version": (header_with(kvlab_policies=2), "header"),
    "a version that is true": (header_with(kvlab_policies=True), "header"),
    "no config": (header_with(config={}), "layers"),
    "heads that do not divide": (header_with(config={"layers": 2, "heads": 3, "kv_heads": 2, "head_dim": 4}), "multiple"),
    "layers without end": (header_with(config={"layers": 10 ** 12, "heads": 2, "kv_heads": 2, "head_dim": 4}), "too many"),
    "one piece": (header_with(pieces=["a"]), "pieces"),
    "a piece that is no text": (header_with(pieces=["a", 1]), "pieces"),
    "nothing goes in": (header_with(whole=0), "whole"),
    "all goes in": (header_with(whole=len(PIECES)), "whole"),
    "other classes": (header_with(classes=["kept"]), "classes"),
    "a ratio of infinity": (header_with(ratio=float("inf")), "ratio"),
    "a needle behind the text": (header_with(recall={"distance": 1, "needle": [len(PIECES) - 1], "question": [1]}), "needle"),
    "a needle that falls": (header_with(recall={"distance": 1, "needle": [3, 2], "question": [1]}), "needle"),
    "no question": (header_with(recall={"distance": 1, "needle": [3]}), "question"),
    "recall that is a list": (header_with(recall=[]), "recall"),
    "no policies": (header_with(policies=[]), "no policies"),
    "a policy without an idea": (header_with(policies=[{"name": "full"}]), "idea"),
    "two of one name": (header_with(policies=[{"name": "a", "idea": "", "paper": ""}] * 2), "same name"),
    "a second header": (lambda lines: lines.insert(5, lines[0]) or 5, "second header"),
    "an unknown policy": (step_with(21, policy="h20"), "'policy'"),
    "a policy that is a list": (step_with(21, policy=["full"]), "'policy'"),
    "a step twice": (step_with(21, step=1), "expected step 2"),
    "a step left out": (lambda lines: lines.pop(21) and 21, "expected step 2"),
    "a step too many": (lambda lines: lines.insert(19, {**lines[18], "step": 18}) or 19, "18 steps only"),
    "right that is a number": (step_with(21, right=1), "right"),
    "no likeliest": (step_with(21, likeliest=None), "likeliest"),
    "bits that are no number": (step_with(21, bits=float("nan")), "bits"),
    "bits below 0": (step_with(21, bits=-0.5), "bits"),
    "no bytes": (step_with(21, bytes=None), "bytes"),
    "changes that are no list": (step_with(21, changes={}), "changes"),
    "a change of three numbers": (add_change(0, 1, 2), "four whole numbers"),
    "a change with a fraction": (add_change(0, 5, 5.0, 0), "four whole numbers"),
    "a change of another place": (add_change(4, 5, 5, 0), "place 4"),
    "a change to another class": (add_change(0, 5, 5, 6), "class 6"),
    "a change behind the text": (add_change(0, 5, 12, 4), "of 12"),
    "a change that goes back": (add_change(0, 6, 5, 0), "positions 6 to 5"),
    "a change of nothing": (add_change(0, 5, 5, 3), "changes nothing"),
    "a token that comes back": (add_change(0, 1, 1, 4), "comes back"),
    "a change that is lost": (drop_change, "'held'"),
    "a token without a class": (step_with(21, changes=[]), "has no class"),
    "held of one place": (step_with(21, held=[8]), "'held'"),
    "held that lies": (step_with(21, held=[8, 8, 8, 8]), "'held'"),
}


class Refuses(unittest.TestCase):
    def refused(self, content: bytes, number: int, pattern: str):
        code, out, err, page = run_viewer(content)
        self.assertEqual((code, out, page), (2, "", None), err)
        self.assertEqual(err.count("\n"), 1, err)
        self.assertRegex(err, pattern)
        self.assertIn(f"line {number}: ", err)

    def test_spoiled_lines(self):
        for name, (change, pattern) in SPOILED.items():
            with self.subTest(name):
                lines = fake_recording()
                index = change(lines)
                self.refused(encoded(lines), index + 1, pattern)

    def test_cut_anywhere(self):
        content = encoded(fake_recording())
        for length in (0, 1, 50, len(content) // 3, len(content) // 2, len(content) - 2, content.rindex(b"\n", 0, -1) + 1):
            with self.subTest(length=length):
                self.refused(content[:length], content[:length].count(b"\n") + 1, "cut off|not a line of JSON|empty")

    def test_what_is_no_text(self):
        head = encoded(fake_recording()[:1])
        for name, line in (("bytes", b"\xff\xfe\n"), ("deep", b"[" * 100000 + b"\n"), ("blank", b"\n"), ("a list", b"[1]\n"), ("a word", b"null\n")):
            with self.subTest(name):
                self.refused(head + line, 2, "JSON")

    def test_wrong_use(self):
        with tempfile.TemporaryDirectory() as folder:
            recording = Path(folder) / "run.jsonl"
            recording.write_bytes(encoded(fake_recording()))
            for arguments in ([], [recording], [recording, "-o", recording], [recording, "-o", "/no/such/folder/x.html"], [recording, "-o", folder],
                              [Path(folder) / "none.jsonl", "-o", "x.html"], [folder, "-o", "x.html"], [recording, "-o", "x", "--no"]):
                with self.subTest(arguments=arguments):
                    done = subprocess.run([sys.executable, VIEWER, *arguments], capture_output=True, text=True, timeout=60, cwd=folder)
                    self.assertEqual((done.returncode, done.stdout, done.stderr.count("\n")), (2, "", 1), done.stderr)
                    self.assertTrue(done.stderr.startswith("policy_viewer: "), done.stderr)
            self.assertEqual([path.name for path in Path(folder).iterdir()], ["run.jsonl"])


class Recorded(unittest.TestCase):
    """What the recorder writes: the page reads it, and it is what the policies promise."""
    program = ""

    def record(self, *arguments: str) -> tuple[list[dict], str]:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "run.jsonl"
            done = subprocess.run([self.program, "record", *arguments, "-o", path], capture_output=True, text=True, timeout=300)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual([p.name for p in Path(folder).iterdir()], ["run.jsonl"])
            content = path.read_bytes()
        code, out, err, _ = run_viewer(content)
        self.assertEqual(code, 0, err)
        self.assertIn(out.strip(), done.stdout)
        return [json.loads(line) for line in content.splitlines()], done.stdout

    @staticmethod
    def replay(lines: list[dict], policy: str):
        """The classes of each place after each step."""
        places = [[] for _ in lines[1]["held"]]
        for line in lines[1:]:
            if line["policy"] == policy:
                for place, first, last, into in line["changes"]:
                    now = places[place]
                    now.extend([None] * (last + 1 - len(now)))
                    now[first:last + 1] = [lines[0]["classes"][into]] * (last + 1 - first)
                yield [list(now) for now in places]

    def test_a_recall_case(self):
        lines, out = self.record("--budget", "24", "--distance", "64", "--case", "3")
        header = lines[0]
        pieces, recall = header["pieces"], header["recall"]
        needle, question = ("".join(pieces[p] for p in recall[name]) for name in ("needle", "question"))
        self.assertEqual((needle[:2], needle[2], question[2], needle[3]), (question[:2], "=", "?", pieces[-1]))
        self.assertEqual((recall["question"][-1], recall["question"][0] - recall["needle"][0]), (len(pieces) - 2, recall["distance"] + 1))
        self.assertEqual(pieces[0], "\0", "the beginning of the text")
        self.assertIn(f"policies={len(header['policies'])} steps={len(pieces) - header['whole']} ", out)
        full = [line for line in lines if line.get("policy") == "full"]
        self.assertEqual(full[-1]["right"], full[-1]["likeliest"] == pieces[-1])

        whole = header["whole"]
        for step, places in enumerate(self.replay(lines, "window")):
            n = whole + step
            self.assertEqual(places, [["evicted"] * (n - 24) + ["recent"] * 24] * 4)
        for step, places in enumerate(self.replay(lines, "sinks")):
            n = whole + step
            self.assertEqual(places, [["sink"] * 4 + ["evicted"] * (n - 24) + ["recent"] * 20] * 4)
        for step, places in enumerate(self.replay(lines, "full")):
            self.assertEqual(places, [["kept"] * (whole + step)] * 4)
        heads = set()
        for places in self.replay(lines, "h2o"):
            for now in places:
                self.assertEqual((now.count("heavy"), now.count("recent"), now[-12:]), (12, 12, ["recent"] * 12))
            heads.add(json.dumps(places[0]) == json.dumps(places[1]))
        self.assertIn(False, heads, "each KV head chooses for itself")
        for places in self.replay(lines, "tova"):
            self.assertEqual(places[0], places[1], "one set for all heads of a layer")
        for places in self.replay(lines, "minicache"):
            self.assertEqual([set(now) for now in places], [{"kept", "merged"}] * 4, "the two layers are a pair")

    def test_the_oracle_keeps_what_is_asked_for(self):
        lines, _ = self.record("--policy", "full,window,oracle", "--whole", "60")
        right = {line["policy"]: line["right"] for line in lines[1:]}  # the last step's
        self.assertEqual(right, {"full": True, "window": False, "oracle": True})
        self.assertEqual(lines[0]["whole"], 60)

    def test_a_prompt_is_what_the_full_cache_writes(self):
        for model in ("tiny", "deep"):
            lines, _ = self.record("-m", model, "-p", "In the \u00e9nd", "-n", "12", "--policy", "full,sinks", "--budget", "16")
            self.assertEqual((lines[0]["recall"], len(lines[0]["pieces"]) - lines[0]["whole"]), (None, 12))
            self.assertTrue(all(line["right"] for line in lines[1:] if line["policy"] == "full"))

    def test_refusals_leave_no_file(self):
        with tempfile.TemporaryDirectory() as folder:
            out = str(Path(folder) / "x.jsonl")
            for arguments, code, message in (
                    (["record"], 2, "--out"), (["record", "-o", out, "--policy", "h20"], 2, "h20"),
                    (["record", "-o", out, "-p", "a", "--distance", "16"], 2, "distance"), (["record", "-o", out, "--case", "0"], 2, "case"),
                    (["record", "-o", out, "--distance", "17"], 1, "there are 0 recall cases of the distance 17"),
                    (["record", "-o", out, "--case", "201"], 1, "there are 200"), (["record", "-o", out, "--whole", "400"], 1, "400 tokens that go in whole"),
                    (["record", "-o", out, "--policy", "full,snapkv", "--budget", "8"], 1, "a window of 16 tokens"),
                    (["record", "-o", "/no/such/folder/x"], 1, "cannot write"), (["record", "-o", out, "--cases", "/no/such"], 2, "/no/such")):
                with self.subTest(arguments=arguments):
                    done = subprocess.run([self.program, *arguments], capture_output=True, text=True, timeout=60)
                    self.assertEqual(done.returncode, code, done.stderr)
                    self.assertIn(message, done.stderr)
            self.assertEqual(list(Path(folder).iterdir()), [])


if __name__ == "__main__":
    if sys.argv[1:2] == ["--browser"]:
        import policy_viewer_browser
        sys.exit(policy_viewer_browser.main(sys.argv[2:]))
    cases = [Page, Refuses]
    if sys.argv[1:2] == ["--recorder"] and len(sys.argv) == 3:
        cases, Recorded.program = [Recorded], sys.argv[2]
    suite = unittest.TestSuite(unittest.defaultTestLoader.loadTestsFromTestCase(case) for case in cases)
    sys.exit(0 if unittest.TextTestRunner().run(suite).wasSuccessful() else 1)
