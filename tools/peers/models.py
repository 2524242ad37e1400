"""The files that are raced: made once under build/peers/, from what the repository has or fetches."""
from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from .install import Peer
from .rows import Row

ROOT = Path(__file__).resolve().parents[2]
SMOLLM2 = ROOT / "weights" / "downloads" / "SmolLM2-135M-Instruct-Q4_1.gguf"


class NoModel(Exception):
    """Why a file is not there, on one line."""


def run(command: list, what: str) -> None:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode != 0:
        said = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        raise NoModel(f"{what}: {said[-1][:200] if said else 'failed'}")


def model_file(row: Row, bins: Path, folder: Path, peers: dict[str, Peer]) -> str:
    """The path of a row's file. Throws NoModel."""
    if row.model == "tiny":
        return str(ROOT / "weights" / "tiny.gguf")
    folder.mkdir(parents=True, exist_ok=True)
    if row.model == "gpt2":
        path = folder / "distilgpt2-shape-F32.gguf"
        if not path.exists():
            pythons = [peer.python for peer in peers.values() if peer.python]
            if not pythons:
                raise NoModel("the file of distilgpt2's shape is written with the package gguf, which comes with the peers")
            run([pythons[0], Path(__file__).with_name("gpt2_shape.py"), path], "gpt2_shape.py")
        return str(path)
    if not SMOLLM2.exists():
        run([sys.executable, ROOT / "weights" / "get_smollm2.py"], "get_smollm2.py")
    if row.format == "q4_1":
        return str(SMOLLM2)
    path = folder / f"SmolLM2-135M-Instruct-{row.format.upper()}.gguf"
    if not path.exists():
        run([bins / "kvlab_weights", "convert", SMOLLM2, path, "--type", row.format], "kvlab_weights convert")
    return str(path)
