"""The examples as a reader runs them; a trace of the NumPy engine beside the program's; what the package brings along."""
import inspect
import os
import re
import subprocess
import sys
import tempfile
import unittest
from importlib.metadata import files
from pathlib import Path

import kvlab

EXAMPLES = Path(__file__).resolve().parents[2] / "python" / "examples"
PROGRAM = Path(os.environ.get("KVLAB_PROGRAMS", "/nowhere")) / "step03_kvcache"
OPERATOR = {"positions": "query", "late": "attention", "heads": "attention", "scale": "query"}
SELF, REFERENCE = "cached and uncached, both ", "the reference and "


def run(*command: object) -> subprocess.CompletedProcess:
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=600, check=False)


def example(name: str, *arguments: str) -> subprocess.CompletedProcess:
    return run(sys.executable, EXAMPLES / f"{name}.py", *arguments)


def verdicts(out: str) -> list[str]:
    """What each comparison begins with, as far as its verdict."""
    return [line for line in out.splitlines() if not line.startswith("    ")]


class NumPy(unittest.TestCase):
    def test_right(self) -> None:
        for rows in ("one", "many"):
            done = example("numpy_decoder", "--rows", rows)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            self.assertEqual(verdicts(done.stdout)[:2], [f"{SELF}NumPy, to 0.0001: no difference", f"{REFERENCE}NumPy, cached, to 0.0001: no difference"])

    def test_each_bug_is_found_at_its_operator(self) -> None:
        for bug, op in OPERATOR.items():
            with self.subTest(bug):
                done = example("numpy_decoder", "--bug", bug)
                self.assertEqual(done.returncode, 1, done.stderr)
                # Only positions depend on what is cached: the others are wrong both ways, and the reference knows.
                self.assertEqual("no difference" in verdicts(done.stdout)[0], bug != "positions", done.stdout)
                first = re.search(rf"{REFERENCE}.*\n    first: (.*)\n    likely: (.+)", done.stdout)
                self.assertIn(f"layer 0, {op}, ", first[1])
                self.assertIn("step 1, " if bug == "positions" else "step 0, ", first[1])

    def test_rope_spreads_the_directions_of_keys(self) -> None:
        heldout = EXAMPLES.parents[1] / "weights" / "heldout.txt"
        done = example("key_directions", str(kvlab.tiny_model()), str(heldout), "--windows", "1", "--window", "64")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        rows = [[int(part) for part in line.split()[1:5]] for line in done.stdout.splitlines()[2:]]
        self.assertEqual(len(rows), 2, done.stdout)
        for before_90, before_99, after_90, after_99 in rows:
            self.assertTrue(before_90 < after_90 and before_99 < after_99, done.stdout)

    def test_what_cannot_be_read(self) -> None:
        done = example("numpy_decoder", "--model", "/no/such.gguf")
        self.assertEqual((done.returncode, done.stderr.count("\n")), (1, 1), done.stderr)
        self.assertEqual(example("numpy_decoder", "-n", "0").returncode, 2)

    @unittest.skipUnless(PROGRAM.is_file(), f"there is no program step03_kvcache in {PROGRAM.parent}")
    def test_its_trace_beside_the_programs(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            mine, other = f"{folder}/mine.jsonl", f"{folder}/program.jsonl"
            done = run(PROGRAM, "generate", "-m", kvlab.tiny_model(), "-p", "In the beginning", "-n", "12", "--compare", "--trace", other)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(example("numpy_decoder", "--trace", mine).returncode, 0)
            for which in ("cached", "uncached"):
                done = run(PROGRAM, "diverge", "--traces", f"{other}#{which}", mine, "--tolerance", "1e-4")
                self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
                self.assertNotIn("note", done.stderr)  # every operator of every step was compared
                self.assertIn("\n  0 by more than 0.0001", done.stdout)
                self.assertEqual(done.stdout.splitlines()[2].split()[-1], "-", done.stdout)  # the same choices
                done = run(PROGRAM, "diverge", "--traces", f"{other}#{which}", mine)
                self.assertEqual(done.returncode, 1)  # its bits are its own
            self.assertEqual(example("numpy_decoder", "--bug", "heads", "--trace", mine).returncode, 1)
            done = run(PROGRAM, "diverge", "--traces", other, mine, "--tolerance", "1e-4")
            self.assertEqual(done.returncode, 1)
            self.assertIn("first difference at step 0, layer 0, attention, head 1, position 0", done.stdout)


class Torch(unittest.TestCase):
    def check(self, *arguments: str) -> str:
        done = example("torch_past_key_values", *arguments)
        if done.returncode == 77:
            self.skipTest(done.stderr.strip())
        self.assertEqual(done.returncode, 1 if "--bug" in arguments else 0, done.stdout + done.stderr)
        return done.stdout

    def test_right(self) -> None:
        self.assertEqual(verdicts(self.check())[:2], [f"{SELF}PyTorch, to 0.0001: no difference", f"{REFERENCE}PyTorch, cached, to 0.0001: no difference"])

    def test_tensors_are_arrays_that_are_not_copied(self) -> None:
        try:
            import torch
        except ImportError:
            self.skipTest("torch is not installed")
        out = torch.zeros(256)
        model = kvlab.Model(kvlab.tiny_model())
        self.assertIs(model.cache().decode(torch.tensor([5]), last=True, out=out), out)
        self.assertIsNone(kvlab.first_difference(out, model.logits(5)[0]))

    def test_the_library_transformers(self) -> None:
        self.assertIn(f"{REFERENCE}PyTorch, cached, to 0.0001: no difference", self.check("--transformers"))

    def test_each_bug_is_found(self) -> None:
        for bug in ("positions", "window", "stale", "mask"):
            with self.subTest(bug):
                out = self.check("--bug", bug)
                self.assertNotIn("no difference", "\n".join(verdicts(out)[:2]))
                self.assertIn(f"first: step {0 if bug == 'mask' else 1}, ", out[out.index(REFERENCE):])


class Package(unittest.TestCase):
    def test_types_and_words_for_all_that_is_public(self) -> None:
        folder = Path(kvlab.__file__).parent
        stub = (folder / "_kvlab.pyi").read_text()
        self.assertTrue((folder / "py.typed").is_file())
        for name in set(kvlab.__all__) - {"tiny_model"}:
            self.assertTrue(re.search(rf"(?m)^(class|def) {name}\b", stub), name)
        for thing in (kvlab.Model, kvlab.Cache, kvlab.Recording, kvlab.Difference, kvlab.Config, kvlab.attention, kvlab.checksum,
                      kvlab.first_difference, kvlab.tiny_model, kvlab.Cache.decode, kvlab.Model.logits, kvlab.Recording.add):
            self.assertTrue(inspect.getdoc(thing), thing)
        self.assertNotIn("arg0", stub)

    def test_it_brings_no_sources_along(self) -> None:
        installed = {path.name for path in files("kvlab") or () if path.parts[0] == "kvlab" and "__pycache__" not in path.parts}
        extension = {name for name in installed if name.startswith("_kvlab.") and name.endswith(".so")}
        self.assertEqual(len(extension), 1)
        self.assertEqual(installed - extension, {"__init__.py", "trace.py", "_kvlab.pyi", "py.typed", "tiny.gguf"})


if __name__ == "__main__":
    unittest.main()
