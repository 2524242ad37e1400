"""Writes traces as `step03_kvcache generate --trace` does, with random rows: for the tests of tools/viewer.py."""
from __future__ import annotations

import functools
import json
import random
import struct

CONFIG = {"architecture": "llama", "layers": 2, "heads": 4, "kv_heads": 2, "head_dim": 16, "dim": 64, "ffn": 172,
          "vocab": 256, "context": 1024}
# operator -> (layers it comes from, width), in the order in which a step passes them
INSIDE = {"attention_norm": 64, "query": 64, "key": 32, "value": 32, "attention": 64, "attention_out": 64,
          "attention_add": 64, "ffn_norm": 64, "ffn_hidden": 172, "ffn_out": 64, "ffn_add": 64}
ORDER = ([("embedding", -1, 64)] + [(op, layer, width) for layer in range(2) for op, width in INSIDE.items()]
         + [("final_norm", -1, 64), ("logits", -1, 256)])


def checksum(bits: str) -> str:
    """FNV-1a over the 32-bit patterns of a string of hexadecimal digits, 8 a float."""
    total = 0xCBF29CE484222325
    for i in range(0, len(bits), 8):
        total = ((total ^ int(bits[i:i + 8], 16)) * 1099511628211) % 2**64
    return f"{total:016x}"


@functools.cache
def row(op: str, layer: int, position: int, width: int) -> str:
    """The same bits for the same place, in every run."""
    numbers = random.Random(f"{op} {layer} {position}")
    return "".join(struct.pack(">f", numbers.gauss(0, 1)).hex() for _ in range(width))


def floats(bits: str) -> list[float]:
    return list(struct.unpack(f">{len(bits) // 8}f", bytes.fromhex(bits)))


def bits_of(numbers: list[float]) -> str:
    return struct.pack(f">{len(numbers)}f", *numbers).hex()


def head_bits(op: str, layer: int, head: int, position: int, width: int) -> str:
    """One head's 16 floats of a recorded row."""
    return row(op, layer, position, width)[128 * head:128 * (head + 1)]


def weights(layer: int, head: int, query: int) -> list[float]:
    """Attention of the fake rows once more: a plain loop."""
    q = floats(head_bits("query", layer, head, query, 64))
    keys = [floats(head_bits("key", layer, head // 2, position, 32)) for position in range(query + 1)]
    scores = [sum(a * b for a, b in zip(q, k)) for k in keys]
    powers = [2 ** (score - max(scores)) for score in scores]
    return [power / sum(powers) for power in powers]


class Recorder:
    """`flip` = (step, op, layer, position, float): from that step on, the lowest bit of this float is the other one."""

    def __init__(self, name: str, prompt: list[str], flip: tuple | None):
        self.name, self.prompt, self.flip, self.recorded = name, prompt, flip, {}

    def bits(self, step: int, op: str, layer: int, position: int, width: int) -> str:
        bits = row(op, layer, position, width)
        if self.flip and self.flip[1:4] == (op, layer, position) and step >= self.flip[0]:
            at = 8 * self.flip[4] + 7
            bits = bits[:at] + f"{int(bits[at], 16) ^ 1:x}" + bits[at + 1:]
        return bits

    def step(self, step: int, piece: str) -> list[dict]:
        end = len(self.prompt) + step
        rows = list(range(end)) if self.name == "uncached" or step == 0 else [end - 1]
        lines = []
        for op, layer, width in ORDER:
            positions = [end - 1] if op in ("final_norm", "logits") else rows
            bits = {p: self.bits(step, op, layer, p, width) for p in positions}
            fresh = [p for p in positions if self.recorded.get((op, layer, p)) != bits[p]]
            self.recorded.update({(op, layer, p): bits[p] for p in fresh})
            lines.append({"run": self.name, "step": step, "op": op, "layer": layer, "positions": positions, "fresh": fresh,
                          "width": width, "sum": checksum("".join(bits.values())), "bits": "".join(bits[p] for p in fresh)})
        held = 0 if self.name == "uncached" else 512 * end
        lines.append({"run": self.name, "step": step, "token": 97 + step % 26, "piece": piece, "logits_sum": lines[-1]["sum"],
                      "work": {"flops": 240000 * len(rows), "kv_projections": 2 * len(rows), "weight_bytes": 490000,
                               "cache_read": 512 * end, "cache_written": 512 * len(rows), "activation_bytes": 10000},
                      "cache_bytes": held, "seconds": 0.0001})
        return lines


def fake_trace(steps: int = 6, prompt: tuple = ("T", "h", " "), runs: tuple = ("cached", "uncached"), flip: tuple | None = None,
               interleaved: bool = True, pieces: str = "etaoin shrdlu\n\ufffd", model: str = "tiny") -> list[dict]:
    """The lines of a trace; the flip is made in the last one of `runs`."""
    header = {"kvlab_trace": 1, "model": model, "config": CONFIG, "engine": "cpu avx512, 1 thread",
              "runs": [{"name": name, "cache": "none" if name == "uncached" else "f32"} for name in runs],
              "prompt": list(range(len(prompt))), "prompt_pieces": list(prompt)}
    recorders = [Recorder(name, list(prompt), flip if name == runs[-1] else None) for name in runs]
    parts = [(step, recorder) for recorder in recorders for step in range(steps)]
    if interleaved:
        parts.sort(key=lambda part: part[0])
    return [header] + [line for step, recorder in parts for line in recorder.step(step, pieces[step % len(pieces)])]


def text(lines: list[dict]) -> str:
    return "".join(json.dumps(line, separators=(",", ":"), ensure_ascii=False) + "\n" for line in lines)
