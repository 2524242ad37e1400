"""Chapter 8: what a text of N tokens leaves behind in each model, by the table of its mixers, and what their files say."""
import json
from pathlib import Path

WEIGHTS = Path(__file__).resolve().parents[3] / "weights"
HEAD_DIM = 16
# Models of several kinds of layers, and those with a name of their own; all others are two layers of what they are called.
LAYERS = {"gqa4": ["gqa"] * 4, "cla": ["gqa", "shared"] * 2, "yoco": ["local", "local", "gqa", "shared"],
          "alternating": ["local", "gqa"] * 2, "jamba": ["mamba", "mamba", "gqa", "mamba"], "samba": ["mamba", "local"] * 2}
NAMES = ["mha", "gqa", "mqa", "mla", "local", "strided", "dilated", "bigbird", "lsh", "indexed", "linear", "delta", "s4d", "mamba", "rwkv",
         *LAYERS]


def layers_of(name):
    return LAYERS.get(name, [name] * 2)


def floats(kind, N):
    """Of one layer."""
    row = 2 * HEAD_DIM  # a key and a value of one head
    return {"mha": 4 * row * N, "gqa": 2 * row * N, "mqa": row * N, "mla": (24 + 8) * N, "local": 2 * row * min(N, 64), "strided": 2 * row * N,
            "dilated": row * (min(N, 32) + min(N, 31 * 8 + 1)), "bigbird": 2 * row * N, "lsh": 4 * (row + 4) * N, "indexed": (2 * row + 8) * N,
            "linear": 4 * (16 * 16 + 16), "delta": 4 * 16 * 16 + 3 * 3 * 64, "s4d": 64 * 16 * 2, "mamba": 128 * 16 + 3 * 128, "rwkv": 4 * 64,
            "shared": 0}[kind]


def state_bytes(name, N):
    return 4 * sum(floats(kind, N) for kind in layers_of(name))


def kinds(name):
    """As the program's tables call its layers."""
    found = dict.fromkeys(layers_of(name), 0)
    for kind in layers_of(name):
        found[kind] += 1
    return ", ".join(f"{count} {kind}" for kind, count in found.items()) if len(found) > 1 else layers_of(name)[0]


def trained(name):
    return (WEIGHTS / "mixers" / f"{name}.gguf").exists()


def scores(name):
    """What PyTorch found of the same file (weights/evaluate.py)."""
    return json.loads((WEIGHTS / "mixers" / f"{name}_scores.json").read_text())
