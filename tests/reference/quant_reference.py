#!/usr/bin/env python3
"""Writes tests/data/quant_reference.txt: blocks of 32 floats, and what the reference
implementation of the block formats (PyPI gguf, which follows ggml-quants.c) makes of them.

Needs gguf and numpy; the tests need only the file that it wrote. Run from anywhere:
    python3 tests/reference/quant_reference.py
"""
import importlib.metadata
import pathlib
import random

import numpy as np
from gguf import GGMLQuantizationType as T
from gguf import quants

TYPES = {"f16": T.F16, "bf16": T.BF16, "q8_0": T.Q8_0, "q4_0": T.Q4_0, "q4_1": T.Q4_1}
OUT = pathlib.Path(__file__).resolve().parent.parent / "data" / "quant_reference.txt"


def fill(*values):
    """32 numbers: those given, then zeros."""
    return list(values) + [0.0] * (32 - len(values))


def hand_made():
    # No block of -0 alone: there the package's Q4_0 differs from ggml-quants.c in the sign of d.
    yield "zeros", fill()
    yield "constant", [0.75] * 32
    yield "negative constant", [-0.3] * 32
    yield "nibble order", [float(i) for i in range(32)]
    yield "falling", [3.0 - 0.2 * i for i in range(32)]
    yield "both extremes with the negative first", fill(-1.0, 1.0, 0.5, -0.5)
    yield "both extremes with the positive first", fill(1.0, -1.0, 0.5, -0.5)
    # d = 1 in Q8_0: halves are rounded away from zero, and just below a half is not.
    yield "halves", fill(127.0, 0.5, -0.5, 1.5, -1.5, 2.5, -2.5, 0.49999997, -0.49999997, 125.5)
    # d = 1 in Q4_0 (the extreme is negative) and in Q4_1.
    yield "halves of q4_0", fill(-8.0, 0.5, -0.5, 1.5, -1.5, 6.5, 7.5, 0.49999997, -0.49999997)
    yield "halves of q4_1", fill(15.0, 0.5, 1.5, 2.5, 14.5, 0.49999997, 13.499999)
    # d rounds down in f16; codes from the rounded d would differ.
    yield "scale between two halves", [1.00047 * (i - 15.5) / 16 for i in range(32)]
    yield "scale is subnormal in f16", [3e-6 * (i - 15) for i in range(32)]
    yield "scale underflows in f16", [1e-9 * (i - 15) for i in range(32)]
    yield "as large as f16", fill(65504.0, -65504.0, 1.0)
    yield "one outlier", [100.0 if i == 17 else 0.01 * i for i in range(32)]
    yield "far from zero", [1000.0 + 0.125 * i for i in range(32)]


def drawn(generator):
    for i in range(12):
        scale = 10.0 ** generator.uniform(-4, 2)
        yield f"normal {i}", [generator.gauss(0, scale) for _ in range(32)]
    for i in range(6):
        low, high = sorted(generator.uniform(-3, 3) for _ in range(2))
        yield f"uniform {i}", [generator.uniform(low, high) for _ in range(32)]


def main():
    lines = [f"# Made by tests/reference/quant_reference.py with gguf {importlib.metadata.version('gguf')}.",
             "# name; then 32 float32, then per type the bytes and the 32 float32 that they mean; hex,",
             "# as the bytes lie in memory (little-endian)."]
    for name, values in [*hand_made(), *drawn(random.Random(20240607))]:
        block = np.array([values], dtype=np.float32)
        lines += [f"block {name}", "values " + block.tobytes().hex()]
        for label, kind in TYPES.items():
            packed = quants.quantize(block, kind)
            back = np.asarray(quants.dequantize(packed, kind), dtype=np.float32)
            lines += [f"{label} {packed.tobytes().hex()}", f"means {back.tobytes().hex()}"]
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text("\n".join(lines) + "\n", encoding="ascii")
    print(f"{OUT.name}: {OUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
