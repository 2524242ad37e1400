#!/usr/bin/env python3
"""Tests tools/viewer.py: what it counts, what it refuses, what stands in the page.

    viewer_test.py                    the program, with hostile files
    viewer_test.py --recorder PROGRAM traces that step03_kvcache records
    viewer_test.py --browser          the page in headless Chromium (exit code 77 where there is none)
"""
from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from fake_trace import checksum, fake_trace, text

VIEWER = Path(__file__).resolve().parents[2] / "tools" / "viewer.py"


def run_viewer(content: bytes, *more: str) -> tuple[int, str, str, str | None]:
    """Exit code, standard output, standard error, and the page if there is one."""
    with tempfile.TemporaryDirectory() as folder:
        trace, page = Path(folder) / "run.jsonl", Path(folder) / "run.html"
        trace.write_bytes(content)
        done = subprocess.run([sys.executable, VIEWER, trace, "-o", page, *more], capture_output=True, text=True, timeout=120)
        return done.returncode, done.stdout, done.stderr, page.read_text(encoding="utf-8") if page.exists() else None


def encoded(lines: list[dict]) -> bytes:
    return text(lines).encode()


def data_of(page: str) -> dict:
    return json.loads(re.search(r'<script type="application/json" id="trace">(.*?)</script>', page, re.DOTALL)[1])


def find(lines: list[dict], run: str, step: int, op: str, layer: int = 0) -> int:
    """The place of an operator's line; of the step's end line for op 'end'."""
    return next(i for i, line in enumerate(lines) if (line.get("run"), line.get("step")) == (run, step) and
                (line.get("op"), line.get("layer")) == ((None, None) if op == "end" else (op, layer)))


# floats that a run without a cache computes in a step of n tokens: see fake_trace.ORDER
def floats_of_step(n: int) -> int:
    return n * (64 + 2 * (9 * 64 - 64 + 2 * 32 + 172)) + 64 + 256


class Counts(unittest.TestCase):
    def test_equal_runs(self):
        expected = f"RESULT steps=6 floats={sum(floats_of_step(3 + step) for step in range(6))} differ=0\n"
        for interleaved in (True, False):
            code, out, err, page = run_viewer(encoded(fake_trace(interleaved=interleaved)))
            self.assertEqual((code, out, err), (0, expected, ""))
            self.assertIsNotNone(page)

    def test_order_of_the_runs_in_the_file_does_not_matter(self):
        one, other = (run_viewer(encoded(fake_trace(runs=runs))) for runs in (("cached", "uncached"), ("uncached", "cached")))
        self.assertEqual(one[:3], other[:3])
        self.assertEqual(data_of(one[3])["compared"], data_of(other[3])["compared"])

    def test_a_flipped_bit_counts_once_in_each_step_that_holds_it(self):
        for op, layer in (("key", 1), ("ffn_hidden", 0)):
            code, out, _, page = run_viewer(encoded(fake_trace(flip=(3, op, layer, 2, 5))))
            self.assertEqual(code, 1)
            self.assertIn(" differ=3\n", out)
            compared = data_of(page)["compared"]
            self.assertEqual([now["differ"] for now in compared], [0, 0, 0, 1, 2, 3])
            self.assertEqual(compared[2]["first"], None)
            self.assertEqual(compared[3]["first"], {"step": 3, "op": op, "layer": layer, "position": 2, "index": 5})

    def test_a_bit_that_is_wrong_in_the_cached_run_stays_wrong(self):
        # The cached run computes position 4 in step 2 alone; every later step of the other run disagrees with it.
        code, out, _, _ = run_viewer(encoded(fake_trace(runs=("uncached", "cached"), flip=(2, "value", 0, 4, 31))))
        self.assertEqual(code, 1)
        self.assertIn(" differ=4\n", out)

    def test_a_sign_of_zero_is_a_difference(self):
        lines = fake_trace(steps=1, prompt=("a",))
        for run, zero in (("cached", "00000000"), ("uncached", "80000000")):
            line = lines[find(lines, run, 0, "query")]
            line["bits"] = zero + line["bits"][8:]
            line["sum"] = checksum(line["bits"])
        self.assertIn(" differ=1\n", run_viewer(encoded(lines))[1])

    def test_one_run_alone_has_nothing_to_compare(self):
        for name in ("cached", "uncached"):
            code, out, _, page = run_viewer(encoded(fake_trace(runs=(name,))))
            self.assertEqual(code, 0)
            self.assertIn(f"holds the run '{name}' alone", out)
            self.assertIn("RESULT steps=6 floats=0 differ=0", out)
            self.assertIsNone(data_of(page)["compared"])

    def test_a_run_that_ended_early_limits_both(self):
        lines = fake_trace(steps=5, interleaved=False)
        lines = lines[:find(lines, "uncached", 3, "embedding", -1)]
        code, out, _, page = run_viewer(encoded(lines))
        self.assertEqual((code, data_of(page)["steps"]), (0, 3))
        self.assertIn("5 and 3 steps: the first 3 are shown", out)


class Page(unittest.TestCase):
    def test_stands_alone(self):
        page = run_viewer(encoded(fake_trace()))[3]
        self.assertNotRegex(page, r"https?://|@import|url\(|<link|<img|<script src|\{\{")
        self.assertIn("default-src 'none'", page)

    def test_text_of_a_trace_cannot_leave_its_place(self):
        evil = "</script><script>document.title='x'</script>{{script}}"
        lines = fake_trace(prompt=(evil, "\ud800", "\\1\u2028"), model=evil)
        # A lone surrogate is legal in JSON as an escape, and in no encoding of text.
        code, out, _, page = run_viewer("".join(json.dumps(line) + "\n" for line in lines).encode())
        self.assertEqual(code, 0, out)
        self.assertEqual(page.count("</script>"), 2)
        self.assertEqual(data_of(page)["prompt_pieces"][0], evil)

    def test_64_tokens_stay_below_3_megabytes(self):
        page = run_viewer(encoded(fake_trace(steps=61)))[3]
        self.assertLess(len(page), 1_000_000)  # a row once a position and run: 2 x 63 x 2 x 128 floats, in base64


def spoiled(change) -> tuple[bytes, int]:
    """A sound trace after `change(lines)`, which returns the index of the line that is wrong now."""
    lines = fake_trace()
    index = change(lines)
    return encoded(lines), index + 1


def set_in(run: str, step: int, op: str, layer: int | None = 0, /, **values):
    def change(lines: list[dict]) -> int:
        index = find(lines, run, step, op, layer)
        lines[index].update(values)
        return index
    return change


def drop(run: str, step: int, op: str, reported_at: int):
    """Leaves a line out; the one `reported_at` lines later is refused."""
    def change(lines: list[dict]) -> int:
        index = find(lines, run, step, op)
        del lines[index]
        return index + reported_at
    return change


def doubled(lines: list[dict]) -> int:
    index = find(lines, "cached", 1, "key")
    lines.insert(index + 1, {**lines[index], "fresh": [], "bits": ""})
    return index + 1


def shorter_bits(lines: list[dict]) -> int:
    index = find(lines, "uncached", 2, "value")
    lines[index]["bits"] = lines[index]["bits"][:-8]
    return index


def other_bit(lines: list[dict]) -> int:
    index = find(lines, "uncached", 2, "value")
    lines[index]["bits"] = ("0" if lines[index]["bits"][0] != "0" else "1") + lines[index]["bits"][1:]
    return index


def header_with(**values):
    def change(lines: list[dict]) -> int:
        lines[0].update(values)
        return 0
    return change


# what is wrong -> (change, what the message names)
SPOILED = {
    "no header": (lambda lines: lines.pop(0) and 0, "header"),
    "another version": (header_with(kvlab_trace=2), "header"),
    "no config": (header_with(config={}), "layers"),
    "a config that lies": (header_with(config={**fake_trace()[0]["config"], "heads": True}), "heads"),
    "heads that do not divide": (header_with(config={**fake_trace()[0]["config"], "heads": 3}), "multiple"),
    "an empty prompt": (header_with(prompt=[], prompt_pieces=[]), "prompt"),
    "two uncached runs": (header_with(runs=[{"name": "a", "cache": "none"}, {"name": "b", "cache": "none"}]), "runs? "),
    "no runs": (header_with(runs=[]), "expected a run"),
    "a second header": (lambda lines: lines.insert(5, lines[0]) or 5, "second header"),
    "an unknown run": (set_in("cached", 0, "key", run="warm"), "'run'"),
    "a run that is a list": (set_in("cached", 0, "key", run=["cached"]), "'run'"),
    "an unknown operator": (set_in("cached", 2, "key", op="keys\nand more"), "unknown operator"),
    "an operator in the wrong layer": (set_in("cached", 2, "key", layer=2), "layer 2"),
    "a layer that has none": (set_in("cached", 2, "key", layer=-1), "layer -1"),
    "a step too far": (set_in("cached", 2, "key", step=3), "expected step 2"),
    "a negative step": (set_in("cached", 2, "key", step=-1), "expected step 2"),
    "another width": (set_in("cached", 2, "value", width=33), "32 floats wide"),
    "bits too short": (shorter_bits, "'bits' has 248 digits"),
    "bits that are no digits": (set_in("cached", 2, "value", bits="3F" * 128), "lower-case"),
    "bits that changed": (other_bit, "the bits give"),
    "a wrong sum": (set_in("uncached", 3, "logits", -1, sum="0" * 16), "the bits give"),
    "no sum": (set_in("uncached", 3, "logits", -1, sum=None), "the bits give"),
    "positions that fall": (set_in("uncached", 2, "key", positions=[1, 0]), "rising"),
    "a position twice": (set_in("uncached", 2, "key", positions=[1, 1]), "rising"),
    "no positions": (set_in("uncached", 2, "key", positions=[], fresh=[], bits=""), "empty"),
    "positions that are no numbers": (set_in("uncached", 2, "key", positions=[0, "1"]), "rising"),
    "a position behind the text": (set_in("uncached", 2, "key", positions=[0, 1, 2, 3, 4, 5]), "only 5 tokens"),
    "a position without bits": (set_in("cached", 0, "value", fresh=[0], bits="0" * 256), "position 1 of 'value' has no bits"),
    "fresh elsewhere": (set_in("cached", 2, "value", fresh=[1]), "'fresh'"),
    "a line twice": (doubled, "comes twice"),
    "a key left out": (drop("cached", 2, "key", 21), "'key' of layer 0"),
    "an end left out": (drop("cached", 2, "end", 0), "no end line"),
    "an end without work": (set_in("cached", 2, "end", None, work={}), "flops"),
    "work that is no number": (set_in("cached", 2, "end", None, work={"flops": 1.5}), "flops"),
    "an end without a token": (set_in("cached", 2, "end", None, token=None), "token"),
}


class Refuses(unittest.TestCase):
    def refused(self, content: bytes, number: int | None, pattern: str):
        code, out, err, page = run_viewer(content)
        self.assertEqual((code, out, page), (2, "", None), err)
        self.assertEqual(err.count("\n"), 1, err)
        self.assertRegex(err, pattern)
        if number is not None:
            self.assertIn(f"line {number}: ", err)

    def test_spoiled_lines(self):
        for name, (change, pattern) in SPOILED.items():
            with self.subTest(name):
                self.refused(*spoiled(change), pattern)

    def test_cut_anywhere(self):
        content = encoded(fake_trace(steps=2))
        ends = {i for i in range(len(content)) if content[i] == 10}
        # A cut behind an end line leaves a sound trace of fewer steps; anywhere else it shows.
        for length in (0, 1, 50, 700, len(content) // 3, len(content) // 2, len(content) - 2, sorted(ends)[5] + 1):
            with self.subTest(length=length):
                self.refused(content[:length], content[:length].count(b"\n") + 1, "cut off|not a line of JSON|empty")

    def test_what_is_no_text(self):
        head = encoded(fake_trace(steps=1)[:1])
        for name, line in (("bytes", b"\xff\xfe\n"), ("deep", b"[" * 100000 + b"\n"), ("blank", b"\n"), ("a list", b"[1]\n"),
                           ("a number", b"1" * 5000 + b"\n"), ("a word", b"null\n")):
            with self.subTest(name):
                self.refused(head + line, 2, "JSON")

    def test_runs_that_cannot_be_compared(self):
        lines = [line for line in fake_trace() if not (line.get("run") == "cached" and line.get("op") == "attention")]
        self.refused(encoded(lines), None, "'attention' of layer 0, position 0; run 'cached' never did")

    def test_wrong_use(self):
        with tempfile.TemporaryDirectory() as folder:
            trace = Path(folder) / "run.jsonl"
            trace.write_bytes(encoded(fake_trace(steps=1)))
            for arguments in ([], [trace], [trace, "-o", trace], [trace, "-o", "/no/such/folder/x.html"], [trace, "-o", folder],
                              [Path(folder) / "none.jsonl", "-o", "x.html"], [folder, "-o", "x.html"], [trace, "-o", "x", "--no"]):
                with self.subTest(arguments=arguments):
                    done = subprocess.run([sys.executable, VIEWER, *arguments], capture_output=True, text=True, timeout=60, cwd=folder)
                    self.assertEqual((done.returncode, done.stdout, done.stderr.count("\n")), (2, "", 1), done.stderr)
            self.assertEqual(trace.read_bytes(), encoded(fake_trace(steps=1)))
            self.assertEqual([path.name for path in Path(folder).iterdir()], ["run.jsonl"])


class Recorded(unittest.TestCase):
    """What the recorder writes, the viewer reads."""
    program = ""

    def record(self, *arguments: str) -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            trace = Path(folder) / "run.jsonl"
            done = subprocess.run([self.program, "generate", "-m", "tiny", *arguments, "--trace", trace], capture_output=True, timeout=300)
            self.assertEqual(done.returncode, 0, done.stderr)
            return trace.read_bytes()

    def test_both_runs(self):
        code, out, err, page = run_viewer(self.record("-p", "In the \u00e9nd", "-n", "9", "--compare"))
        config = data_of(page)["config"]
        self.assertEqual([config[name] for name in ("layers", "dim", "ffn", "vocab")], [2, 64, 172, 256], "floats_of_step holds")
        prompt = len(data_of(page)["prompt_pieces"])
        expected = sum(floats_of_step(prompt + step) for step in range(9))
        self.assertEqual((code, out), (0, f"RESULT steps=9 floats={expected} differ=0\n"), err)

    def test_one_run(self):
        for arguments, name in (([], "cached"), (["--no-cache"], "uncached")):
            code, out, _, _ = run_viewer(self.record("-n", "3", *arguments))
            self.assertEqual(code, 0)
            self.assertIn(f"holds the run '{name}' alone", out)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--browser"]:
        import viewer_browser
        sys.exit(viewer_browser.main(sys.argv[2:]))
    cases = [Counts, Page, Refuses]
    if sys.argv[1:2] == ["--recorder"] and len(sys.argv) == 3:
        cases, Recorded.program = [Recorded], sys.argv[2]
    suite = unittest.TestSuite(unittest.defaultTestLoader.loadTestsFromTestCase(case) for case in cases)
    sys.exit(0 if unittest.TextTestRunner().run(suite).wasSuccessful() else 1)
