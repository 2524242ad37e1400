#!/usr/bin/env python3
"""Whether weights/train.py does what its first lines promise: from an empty folder, after a kill, and with wrong arguments.

    python3 tests/tools/train_test.py

Quick runs of MQAR, which need no text: 40 steps that learn nothing. Exit codes: 0 passed, 1 failed, 77 skipped, since
there is no PyTorch.
"""
import contextlib
import importlib
import importlib.util
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

WEIGHTS = Path(__file__).resolve().parents[2] / "weights"
sys.path.insert(0, str(WEIGHTS))
if importlib.util.find_spec("torch") is None:
    print("skipped: no PyTorch, so weights/train.py was not run")
    sys.exit(77)

import torch  # noqa: E402

MQAR = ("--mixer", "gqa", "--task", "mqar", "--no-compile", "--log-every", "1")


def run(script: str, *arguments: object) -> tuple[int, str, str]:
    """In this process, since PyTorch takes seconds to load: status, what it printed, what it complained of."""
    out, err, before = io.StringIO(), io.StringIO(), sys.argv
    sys.argv = [f"{script}.py", *map(str, arguments)]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            importlib.import_module(script).main()
        return 0, out.getvalue(), err.getvalue()
    except SystemExit as end:
        text = end.code if isinstance(end.code, str) else ""  # the interpreter prints it, and ends with 1
        return (1 if text else end.code or 0), out.getvalue(), err.getvalue() + text
    finally:
        sys.argv = before


def logged(out: Path) -> list[dict]:
    """The lines of a log, without the times."""
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [{key: x for key, x in line.items() if "seconds" not in key} for line in lines]


class Train(unittest.TestCase):
    def setUp(self) -> None:
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = Path(scratch.name)

    def test_a_kill_changes_nothing(self) -> None:
        """Killed in the second stage and resumed: the log and the weights of a run that was left alone."""
        alone, killed = self.folder / "alone", self.folder / "killed"
        self.assertEqual(run("train", *MQAR, "--quick", "--out", alone)[0], 0)
        training = subprocess.Popen([sys.executable, WEIGHTS / "train.py", *MQAR, "--quick", "--out", killed],
                                    stdout=subprocess.PIPE, text=True)
        for line in training.stdout:
            if json.loads(line)["step"] >= 13:
                break
        training.send_signal(signal.SIGKILL)
        training.wait()
        training.stdout.close()
        saved = torch.load(killed / "checkpoint.pt", weights_only=True)["at"]["total"]
        if saved == 40:
            self.skipTest("the run had ended before it was killed")
        self.assertIn(saved, (10, 20, 30))
        self.assertEqual(run("train", *MQAR, "--quick", "--out", killed, "--resume")[0], 0)
        self.assertEqual([line["step"] for line in logged(killed)], list(range(1, 41)))
        self.assertEqual(logged(killed), logged(alone))
        weights = [torch.load(out / "checkpoint.pt", weights_only=True)["model"] for out in (alone, killed)]
        self.assertEqual(weights[0].keys(), weights[1].keys())
        self.assertTrue(all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0]))

    def test_from_an_empty_folder(self) -> None:
        """Trained, exported and scored by the commands of weights/README.md, and the seed decides."""
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(self.folder)
        self.assertEqual(run("train", *MQAR, "--quick", "--out", "run")[0], 0)
        steps = [line for line in logged(Path("run")) if "loss" in line]
        self.assertEqual((steps[-1]["step"], steps[-1]["tokens"]), (40, 40 * 2048))
        self.assertEqual(run("train", *MQAR, "--quick", "--seed", 2, "--out", "two")[0], 0)
        self.assertNotEqual(steps, [line for line in logged(Path("two")) if "loss" in line])
        if importlib.util.find_spec("gguf") is None:
            self.skipTest("no package gguf: the model was not exported")
        self.assertEqual(run("export", "run/checkpoint.pt", "m.gguf")[0], 0)
        for model in ("m.gguf", "run/checkpoint.pt"):
            self.assertEqual(run("evaluate_mqar", model, "--cases", 2, "--json", "s.json")[0], 0)
            scores = json.loads(Path("s.json").read_text())
            self.assertEqual((scores["family"], scores["d"], len(scores["rows"])), ("gqa", 64, 9))
            self.assertEqual([row["answers"] for row in scores["rows"]], [2 * row["pairs"] for row in scores["rows"]])

    def test_other_runs_are_not_resumed(self) -> None:
        self.assertEqual(run("train", *MQAR, "--quick", "--out", self.folder)[0], 0)
        before = (self.folder / "log.jsonl").read_bytes()
        for changes, said in ((("--seed", "2"), "has seed 1, and the command line says 2"),
                              (("--mixer", "mla"), "has name gqa, and the command line says mla"),
                              (("--width", "32"), "has width 64, and the command line says 32")):
            with self.subTest(changes=changes):
                status, _, complaint = run("train", *MQAR, *changes, "--quick", "--out", self.folder, "--resume")
                self.assertEqual((status, len(complaint.splitlines())), (1, 1))
                self.assertIn(said, complaint)
                self.assertEqual((self.folder / "log.jsonl").read_bytes(), before)
        status, _, complaint = run("train", *MQAR, "--out", self.folder / "none", "--resume")
        self.assertEqual((status, len(complaint.splitlines())), (1, 1))
        self.assertIn("there is nothing to resume", complaint)

    def test_wrong_arguments(self) -> None:
        for arguments, said in ((("--mixer", "perceiver"), "invalid choice: 'perceiver' (choose from 'mha', 'gqa'"),
                                ((), "one of the arguments --model --mixer is required"),
                                (("--model", "tiny", "--mixer", "gqa"), "not allowed with argument --model"),
                                (("--model", "tiny", "--task", "mqar"), "--task mqar is for the models of mixers/"),
                                (("--model", "tiny", "--short-first"), "--short-first is another order"),
                                (("--mixer", "gqa", "--width", "32"), "--width and --short-conv go with --task mqar"),
                                (("--mixer", "gqa", "--task", "mqar", "--width", "40"), "a multiple of 16"),
                                (("--mixer", "gqa", "--device", "tpu"), "--device tpu: PyTorch finds no such device here")):
            with self.subTest(arguments=arguments):
                status, _, complaint = run("train", *arguments, "--out", self.folder / "out")
                self.assertEqual(status, 2)
                self.assertIn(said, complaint)
                self.assertFalse((self.folder / "out").exists())
        status, said, _ = run("train", "--help")
        self.assertEqual(status, 0)
        for option in ("--mixer", "--task", "--width", "--short-conv", "--resume", "--device"):
            self.assertIn(option, said)

    def test_a_convolution_before_the_mixer_is_not_exported(self) -> None:
        if importlib.util.find_spec("gguf") is None:
            self.skipTest("no package gguf: export.py does not start")
        self.assertEqual(run("train", *MQAR, "--quick", "--short-conv", 4, "--out", self.folder)[0], 0)
        status, _, complaint = run("export", self.folder / "checkpoint.pt", self.folder / "m.gguf")
        self.assertEqual((status, (self.folder / "m.gguf").exists()), (1, False))
        self.assertIn("has no place in the file", complaint)


if __name__ == "__main__":
    unittest.main()
