"""The first difference: of arrays, of recordings, of files that kvlab.trace wrote."""
import json
import os
import tempfile
import unittest
from pathlib import Path

import numpy as np

import kvlab
import kvlab.trace


class Arrays(unittest.TestCase):
    def setUp(self) -> None:
        self.a = np.arange(1, 25, dtype=np.float32).reshape(2, 3, 4)

    def test_none(self) -> None:
        self.assertIsNone(kvlab.first_difference(self.a, self.a.copy()))
        self.assertIsNone(kvlab.first_difference(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.float32)))

    def test_the_element(self) -> None:
        b = self.a.copy()
        b[1, 0, 2] = np.nextafter(b[1, 0, 2], np.float32(99))
        b[1, 2, 3] = 0
        d = kvlab.first_difference(self.a, b)
        self.assertEqual(d.index, (1, 0, 2))
        self.assertEqual(self.a[d.index], d.a)
        self.assertEqual(b[d.index], d.b)
        self.assertEqual((d.floats, d.differ, d.ulp, d.op, d.position, d.element), (24, 2, 1, "array", 3, 2))
        self.assertEqual(str(d), "row 3, element 2: 0x1.ep+3 and 0x1.e00002p+3, 1 ulp apart; 6e-08 of the row's largest")
        self.assertIn(str(d), repr(d))
        self.assertEqual(kvlab.first_difference(self.a, b, 1e-6).index, (1, 2, 3))
        self.assertIsNone(kvlab.first_difference(self.a, b, 1.0))

    def test_signs_of_zero_and_nan(self) -> None:
        zero, minus = np.zeros(1, np.float32), -np.zeros(1, np.float32)
        self.assertIsNotNone(kvlab.first_difference(zero, minus))
        self.assertIsNone(kvlab.first_difference(zero, minus, 1e-9))
        nan = np.full(1, np.nan, np.float32)
        self.assertIsNone(kvlab.first_difference(nan, nan.copy()))
        self.assertIsNotNone(kvlab.first_difference(np.ones(1, np.float32), nan, 1.0))


class Recordings(unittest.TestCase):
    def setUp(self) -> None:
        self.model = kvlab.Model(kvlab.tiny_model())
        self.tokens = self.model.encode("In the beginning")

    def recorded(self, cached: bool) -> kvlab.Recording:
        recording, cache = kvlab.Recording(self.model.config.head_dim), self.model.cache()
        for end in range(len(self.tokens) - 3, len(self.tokens) + 1):
            if cached:
                cache.decode(self.tokens[len(cache):end], record=recording)
            else:
                self.model.logits(self.tokens[:end], record=recording)
        return recording

    def test_cached_and_uncached(self) -> None:
        cached = self.recorded(True)
        self.assertEqual(len(cached), 4)
        self.assertIsNone(kvlab.first_difference(cached, self.recorded(False)))

    def test_an_engine_of_ones_own(self) -> None:
        reference = kvlab.Recording(16)
        logits = self.model.logits(self.tokens, record=reference)
        mine = kvlab.Recording()
        logits[5, 100] += np.float32(0.5)
        mine.add("logits", logits)
        mine.end_step(int(logits[-1].argmax()))
        d = kvlab.first_difference(reference, mine, 1e-4)
        self.assertEqual((d.op, d.step, d.position, d.position_b, d.element, d.differ, d.left_out), ("logits", 0, 5, 5, 100, 1, 24))
        self.assertGreater(d.relative, 1e-3)
        self.assertIn("step 0, logits, position 5, element 100: ", str(d))
        self.assertIn("matrix product", d.likely)

    def test_heads_and_layers(self) -> None:
        a, b = kvlab.Recording(2), kvlab.Recording(2)
        for recording, last in ((a, 4), (b, 5)):
            recording.add("key", np.array([[1, 2, 3, last]], np.float32), layer=3, positions=[9])
            recording.end_step()
        d = kvlab.first_difference(a, b)
        self.assertEqual((d.layer, d.head, d.element, d.position, d.a, d.b), (3, 1, 1, 9, 4.0, 5.0))


class Traces(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.path = Path(self.folder.name) / "mine.jsonl"

    def lines(self) -> list[dict]:
        return [json.loads(line) for line in self.path.read_text().splitlines()]

    def test_what_is_written_is_read(self) -> None:
        rows = np.array([[1, -0.0, 3], [4, 5, np.inf]], np.float32)
        with kvlab.trace.Writer(self.path, runs=("a", "b"), head_dim=3, model="mine", prompt=[1, 2]) as trace:
            for run in ("a", "b"):
                trace.operator("value", rows, [0, 1], layer=1, run=run)
                trace.end_step(7, run=run)
        header = self.lines()[0]
        self.assertEqual((header["kvlab_trace"], header["model"], header["config"], header["prompt"]), (1, "mine", {"head_dim": 3}, [1, 2]))
        self.assertEqual(self.lines()[1]["sum"], kvlab.checksum(rows))
        expected = kvlab.Recording(3)
        expected.add("value", rows, layer=1)
        expected.end_step(7)
        for run in ("", "#a", "#b"):
            self.assertIsNone(kvlab.first_difference(expected, kvlab.Recording.read(f"{self.path}{run}")))
        with self.assertRaisesRegex(kvlab.BadFile, "no such run"):
            kvlab.Recording.read(f"{self.path}#c")

    def test_rows_that_are_known_are_not_written_again(self) -> None:
        with kvlab.trace.Writer(self.path) as trace:
            for step in range(3):
                trace.operator("logits", [[float(p), 0.5] for p in range(step + 1)], range(step + 1))
                trace.end_step()
        self.assertEqual([line["fresh"] for line in self.lines() if "op" in line], [[0], [1], [2]])
        recording = kvlab.Recording()
        for step in range(3):
            recording.add("logits", np.array([[p, 0.5] for p in range(step + 1)], np.float32))
            recording.end_step()
        self.assertIsNone(kvlab.first_difference(recording, kvlab.Recording.read(str(self.path))))

    def test_a_file_is_there_whole_or_not_at_all(self) -> None:
        self.path.write_text("before")
        with self.assertRaisesRegex(ZeroDivisionError, ""):
            with kvlab.trace.Writer(self.path) as trace:
                trace.operator("logits", [[1.0]], [0])
                raise ZeroDivisionError
        trace = kvlab.trace.Writer(self.path)
        trace.operator("logits", [[1.0]], [0])
        with self.assertRaisesRegex(ValueError, "run run: a step is open"):
            trace.close()
        with self.assertRaisesRegex(ValueError, "run run: no steps"):
            kvlab.trace.Writer(self.path).close()
        self.assertEqual(self.path.read_text(), "before")
        self.assertEqual(os.listdir(self.folder.name), ["mine.jsonl"])

    def test_what_is_no_trace_is_refused(self) -> None:
        with kvlab.trace.Writer(self.path, runs=("a", "b")) as trace:
            for run in ("a", "b"):
                trace.operator("logits", [[1.0]], [0], run=run)
                for call, words in (
                        (lambda: trace.operator("logits", [[1.0]], [0], run=run), "logits of layer -1 for the second time"),
                        (lambda: trace.operator("softmax", [[1.0]], [0], run=run), "op: expected one of embedding, .*found 'softmax'"),
                        (lambda: trace.operator("key", [[1.0]], [0, 1], run=run), "found 2 for 1 rows"),
                        (lambda: trace.operator("key", [], [], run=run), "found 0 for 0 rows"),
                        (lambda: trace.operator("key", [[1.0], [1.0, 2.0]], [0, 1], run=run), "rows of one width"),
                        (lambda: trace.operator("key", [[1.0]], [0], run="c"), "run: expected one of a, b, found 'c'"),
                        (lambda: trace.operator("key", [[1.0]], [0]), "run: expected one of a, b, found None")):
                    with self.assertRaisesRegex(ValueError, words):
                        call()
                trace.end_step(run=run)
                with self.assertRaisesRegex(ValueError, "a step without operators"):
                    trace.end_step(run=run)
        for runs in ((), ("a", "a"), "a"):
            with self.assertRaisesRegex(ValueError, "runs: expected different names"):
                kvlab.trace.Writer(self.path, runs=runs)


if __name__ == "__main__":
    unittest.main()
