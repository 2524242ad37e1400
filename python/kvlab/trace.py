"""Writes a recorded run as step03_kvcache diverge --traces, kvlab.Recording.read and the viewer read it.

    with kvlab.trace.Writer("mine.jsonl", head_dim=16) as trace:
        trace.operator("logits", rows, positions=[4])   # rows [1, V]
        trace.end_step(token=97)

step03_kvcache/trace_format.md describes the lines, and lists the operators with the shapes of their rows. This
file needs nothing but Python: an engine that cannot install kvlab takes a copy of it along.
"""
from __future__ import annotations

import json
import os
import struct
import tempfile
from collections.abc import Sequence
from typing import Any

OPERATORS = ("embedding", "attention_norm", "query", "key", "value", "attention", "attention_out", "attention_add",
             "ffn_norm", "ffn_hidden", "ffn_out", "ffn_add", "final_norm", "logits")


def bits_of(row: Any) -> str:
    """A row of floats as text, eight hexadecimal digits each: of a NumPy array, a PyTorch tensor or a sequence."""
    if hasattr(row, "detach"):
        row = row.detach().cpu().numpy()
    if hasattr(row, "astype"):
        return row.astype(">f4").tobytes().hex()
    return struct.pack(f">{len(row)}f", *row).hex()


def checksum_of(bits: str) -> str:
    """FNV-1a over 32-bit patterns (chapter 1, rule 8), of text as bits_of() makes it."""
    total = 0xCBF29CE484222325
    for pattern in struct.unpack(f">{len(bits) // 8}I", bytes.fromhex(bits)):
        total = (total ^ pattern) * 1099511628211 & 0xFFFFFFFFFFFFFFFF
    return f"{total:016x}"


class Writer:
    """A trace that is being written. The file is there under its name after close(), whole; an error leaves none."""

    def __init__(self, path: str | os.PathLike[str], *, runs: Sequence[str] = ("run",), model: str = "unnamed",
                 engine: str = "", head_dim: int = 0, prompt: Sequence[int] = ()) -> None:
        if len(set(runs)) != len(runs) or not runs or isinstance(runs, str):
            raise ValueError(f"runs: expected different names, at least one, found {runs!r}")
        self._path = os.fspath(path)
        self._runs = {name: 0 for name in runs}  # the step that is open
        self._open: dict[str, set[tuple[str, int]]] = {name: set() for name in runs}  # what it has
        self._known: dict[tuple[str, str, int, int], str] = {}  # rows that were written
        folder = os.path.dirname(os.path.abspath(self._path))
        self._file = tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=folder, prefix=os.path.basename(self._path) + ".",
                                                 suffix=".part", delete=False)
        header: dict[str, Any] = {"kvlab_trace": 1, "model": model, "engine": engine,
                                  "runs": [{"name": name} for name in runs], "prompt": [int(t) for t in prompt]}
        if head_dim:
            header["config"] = {"head_dim": head_dim}
        self._write(header)

    def _write(self, line: dict[str, Any]) -> None:
        self._file.write(json.dumps(line, separators=(",", ":")) + "\n")

    def _run(self, run: str | None) -> str:
        if run is None and len(self._runs) == 1:
            return next(iter(self._runs))
        if run not in self._runs:
            raise ValueError(f"run: expected one of {', '.join(self._runs)}, found {run!r}")
        return run

    def operator(self, op: str, rows: Any, positions: Sequence[int], layer: int = -1, run: str | None = None) -> None:
        """What an operator of the open step produced: rows [R, width] at the positions [R] of the text.

        Rows whose bits this run has written before are not written again.
        """
        run = self._run(run)
        if op not in OPERATORS:
            raise ValueError(f"op: expected one of {', '.join(OPERATORS)}, found {op!r}")
        if (op, layer) in self._open[run]:
            raise ValueError(f"op: {op} of layer {layer} for the second time in this step")
        places, texts = [int(p) for p in positions], [bits_of(row) for row in rows]
        if len(places) != len(texts) or not texts:
            raise ValueError(f"positions: expected one for each row, at least one, found {len(places)} for {len(texts)} rows")
        if len({len(text) for text in texts}) != 1 or not texts[0]:
            raise ValueError("rows: expected rows of one width, of at least one float")
        fresh = [i for i, place in enumerate(places) if self._known.get((run, op, layer, place)) != texts[i]]
        self._known.update({(run, op, layer, places[i]): texts[i] for i in fresh})
        self._open[run].add((op, layer))
        self._write({"run": run, "step": self._runs[run], "op": op, "layer": layer, "positions": places,
                     "fresh": [places[i] for i in fresh], "width": len(texts[0]) // 8, "sum": checksum_of("".join(texts)),
                     "bits": "".join(texts[i] for i in fresh)})

    def end_step(self, token: int | None = None, run: str | None = None) -> None:
        """Ends the open step; token: what was chosen from its logits."""
        run = self._run(run)
        if not self._open[run]:
            raise ValueError("a step without operators")
        line = {"run": run, "step": self._runs[run]}
        self._write(line if token is None else {**line, "token": int(token)})
        self._open[run].clear()
        self._runs[run] += 1

    def close(self) -> None:
        """Gives the file its name. Every run must have a step, and none may be open."""
        for run, steps in self._runs.items():
            if self._open[run] or not steps:
                self.discard()
                raise ValueError(f"run {run}: {'a step is open' if self._open[run] else 'no steps'}")
        self._file.close()
        os.chmod(self._file.name, 0o644)
        os.replace(self._file.name, self._path)

    def discard(self) -> None:
        """Removes what was written; a file that was there before stays."""
        self._file.close()
        if os.path.exists(self._file.name):
            os.unlink(self._file.name)

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, error: Any, *_: Any) -> None:
        if error is None:
            self.close()
        else:
            self.discard()
