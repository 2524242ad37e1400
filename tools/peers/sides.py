"""The two sides of a race as processes that stay alive: start, then one round each time it is their turn."""
from __future__ import annotations

import json
import select
import subprocess
import tempfile
import time
from pathlib import Path

PATIENCE = 900  # seconds without an answer after which a side is given up
HERE = Path(__file__).resolve().parent
WORKERS = {"llama.cpp": "llama_worker.py", "PyTorch": "torch_worker.py", "transformers": "torch_worker.py"}


class SideFailed(Exception):
    """One line: who, and why."""


class Process:
    """A program that answers each line with a line."""

    def __init__(self, name: str, command: list[str]) -> None:
        self.name = name
        self.errors = tempfile.TemporaryFile("w+")
        self.buffer = b""  # what came and was not asked for yet
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, bufsize=0)

    def fail(self, why: str) -> SideFailed:
        self.close()
        self.errors.seek(0)
        said = [line.strip() for line in self.errors.read().splitlines() if line.strip()]
        code = self.process.returncode
        if code is not None and code < 0:
            why += f" (died of signal {-code})"
        return SideFailed(f"{self.name}: {why}" + (f": {said[-1][:200]}" if said else ""))

    def tell(self, line: str) -> None:
        try:
            self.process.stdin.write(line.encode() + b"\n")
        except BrokenPipeError:
            raise self.fail("ended early") from None

    def answer(self) -> str:
        deadline = time.monotonic() + PATIENCE
        while b"\n" not in self.buffer:
            ready, _, _ = select.select([self.process.stdout], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                self.process.kill()
                raise self.fail(f"no answer in {PATIENCE} s")
            piece = self.process.stdout.read(65536)
            if not piece:
                raise self.fail("ended early")
            self.buffer += piece
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line.decode("utf-8", "replace").strip()

    def close(self) -> None:
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Ours:
    """step03_kvcache speed, step06_quant kv-speed for a cache that is not f32, or step07_serving serve-speed: they say READY and
    ROUND, and in the end what they measured."""

    def __init__(self, program: Path, task: dict, rounds: int) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.report = Path(self.folder.name) / "speed.json"
        self.kind = task["kind"]
        decode = self.kind == "decode"
        if self.kind == "serve":
            command = [program, "serve-speed", "--clients", task["batch"], "--requests", task["tokens"]]
        elif task["cache"]:
            command = [program, "kv-speed", "--code", task["cache"], "--tokens", task["tokens"], "--context", task["context"]]
        else:
            command = [program, "speed", "--prefill", 0 if decode else task["tokens"], "--tokens", task["tokens"] if decode else 0,
                       "--batch", task["batch"], "--context", task["context"]]
        command += ["-m", task["model"], "--threads", task["threads"], "--rounds", rounds,
                    "--warm-up", task["warm_up"], "--seconds", task["seconds"], "--wait", "--json", self.report]
        if task["all_logits"]:
            command.append("--all-logits")
        self.process = Process("kvlab", [str(part) for part in command])
        while self.process.answer() != "READY":  # its first line names the model
            pass

    def round(self) -> None:
        self.process.tell("")
        self.process.answer()

    def finish(self) -> dict:
        """The report of `speed`, with the rounds and the tokens of the one thing that it measured."""
        self.process.process.stdin.close()  # that ends the rounds, should some be left
        self.process.process.stdout.read()
        self.process.close()
        if self.process.process.returncode != 0:
            raise self.process.fail("failed")
        report = json.loads(self.report.read_text())
        self.folder.cleanup()
        measured = report.pop(self.kind)
        return {"rounds": measured["rounds"], "chosen": measured["chosen"][:32],
                "about": {**report, "cache_bytes": measured["cache_bytes"]}}

    def abandon(self) -> None:
        self.process.process.kill()
        self.process.close()
        self.folder.cleanup()


class Theirs:
    """A peer's worker."""

    def __init__(self, peer: str, python: Path, task: dict) -> None:
        self.process = Process(peer, [str(python), str(HERE / WORKERS[peer])])
        self.rounds: list[float] = []
        self.chosen: list[int] = []
        self.process.tell(json.dumps({**task, "transformers": peer == "transformers"}))
        self.about = self.ask()["about"]

    def ask(self) -> dict:
        answer = json.loads(self.process.answer())
        if "error" in answer:
            raise self.process.fail(answer["error"])
        return answer

    def round(self) -> None:
        self.process.tell("")
        answer = self.ask()
        self.rounds.append(answer["tokens_per_second"])
        self.chosen = answer["chosen"]

    def finish(self) -> dict:
        self.process.close()
        return {"rounds": self.rounds, "chosen": self.chosen, "about": self.about}


def take_turns(ours: Ours, theirs: Theirs | None, rounds: int) -> None:
    """Ours, theirs, ours, theirs ..., so that whatever the machine does besides hits both."""
    for _ in range(rounds):
        for side in (ours, theirs):
            if side is not None:
                time.sleep(0.02)  # OpenMP's threads spin for some milliseconds after their work
                side.round()
