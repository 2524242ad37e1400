#!/usr/bin/env python3
"""Writes tests/data/q4_k_reference.txt: blocks of 256 floats, and what llama.cpp's reference quantiser
makes of them in Q4_K. The Python package gguf only reads Q4_K; the quantiser is in llama.cpp's library,
which is called here directly. The rule written out in NumPy float32 below has to give the same bytes: the
library was then compiled without fused multiply-adds, and the test may demand every byte.

Needs llama-cpp-python, gguf and numpy; the tests need only the file that it wrote. Run from anywhere:
    python3 tests/reference/q4_k_reference.py            # writes the file
    python3 tests/reference/q4_k_reference.py --many N   # compares N random blocks, writes nothing
"""
import ctypes
import importlib.metadata
import math
import pathlib
import random
import sys

import llama_cpp
import numpy as np
from gguf import GGMLQuantizationType as T
from gguf import quants

OUT = pathlib.Path(__file__).resolve().parent.parent / "data" / "q4_k_reference.txt"
LIBRARY = pathlib.Path(llama_cpp.__file__).resolve().parent / "lib" / "libggml-base.so"
F = np.float32


def by_library(values):
    library = ctypes.CDLL(str(LIBRARY))
    out = (ctypes.c_uint8 * (values.size // 256 * 144))()
    library.quantize_row_q4_K_ref(values.ctypes.data_as(ctypes.c_void_p), out, ctypes.c_int64(values.size))
    return bytes(out)


def nearest(x):
    bits = int((F(x) + F(12582912)).view(np.uint32))
    return (bits & 0x7FFFFF) - 0x400000


def fit_group(x):
    """scale and minimum of x = scale * code - minimum, and the codes."""
    squares = F(0)
    for v in x:
        squares += v * v
    mean = np.sqrt(squares / F(32))
    w = [mean + abs(v) for v in x]
    least, most, sum_w, sum_x = x[0], x[0], w[0], w[0] * x[0]
    for v, weight in zip(x[1:], w[1:]):
        least, most = min(least, v), max(most, v)
        sum_w += weight
        sum_x += weight * v
    least = min(least, F(0))
    if most == least:
        return F(0), -least, [0] * 32

    def codes_at(steps):  # from the best minimum so far
        inverse = steps / (most - low)
        return [min(15, max(0, nearest(inverse * (v - low)))) for v in x]

    def error_of(scale, low, codes):
        error = F(0)
        for v, weight, code in zip(x, w, codes):
            off = scale * F(code) + low - v
            error += weight * (off * off)
        return error

    low = least
    codes = codes_at(F(15))
    scale = F(1) / (F(15) / (most - least))
    best = error_of(scale, low, codes)
    for trial in range(21):
        tried = codes_at(F(-1) + F(0.1) * F(trial) + F(15))
        sum_l, sum_l2, sum_xl = F(0), F(0), F(0)
        for v, weight, code in zip(x, w, tried):
            sum_l += weight * F(code)
            sum_l2 += weight * F(code) * F(code)
            sum_xl += weight * F(code) * v
        determinant = sum_w * sum_l2 - sum_l * sum_l
        if not determinant > 0:
            continue
        new_scale = (sum_w * sum_xl - sum_x * sum_l) / determinant
        new_low = (sum_l2 * sum_x - sum_l * sum_xl) / determinant
        if new_low > 0:
            new_low, new_scale = F(0), sum_xl / sum_l2
        error = error_of(new_scale, new_low, tried)
        if error < best:
            best, scale, low, codes = error, new_scale, new_low, tried
    return scale, -low, codes


def by_the_rule(block):
    fits = [fit_group(block[32 * j : 32 * j + 32]) for j in range(8)]
    top_scale = max([F(0)] + [f[0] for f in fits])
    top_minimum = max([F(0)] + [f[1] for f in fits])
    scales = [min(63, nearest(F(63) / top_scale * f[0]) & 255) if top_scale > 0 else 0 for f in fits]
    minima = [min(63, nearest(F(63) / top_minimum * f[1]) & 255) if top_minimum > 0 else 0 for f in fits]
    d, dmin = np.float16(top_scale / F(63)), np.float16(top_minimum / F(63))
    packed = [scales[j] | scales[j + 4] >> 4 << 6 for j in range(4)]
    packed += [minima[j] | minima[j + 4] >> 4 << 6 for j in range(4)]
    packed += [(scales[j] & 15) | (minima[j] & 15) << 4 for j in range(4, 8)]
    codes = [f[2] for f in fits]
    for j in range(8):
        scale, minimum = F(d) * F(scales[j]), F(dmin) * F(minima[j])
        if scale != 0:
            codes[j] = [min(15, max(0, nearest((v + minimum) / scale))) for v in block[32 * j : 32 * j + 32]]
    nibbles = [low | high << 4 for j in range(0, 8, 2) for low, high in zip(codes[j], codes[j + 1])]
    return d.tobytes() + dmin.tobytes() + bytes(packed) + bytes(nibbles)


def hand_made():
    yield "zeros", [0.0] * 256
    yield "constant", [0.75] * 256
    yield "negative constant", [-0.3] * 256
    yield "ramp", [float(i - 128) for i in range(256)]
    yield "positive ramp", [float(i) for i in range(256)]
    yield "groups of different sizes", [2.0 ** (i // 32) * math.sin(i) for i in range(256)]
    yield "one group of zeros", [0.0 if 64 <= i < 96 else math.cos(i) for i in range(256)]
    yield "one outlier", [100.0 if i == 77 else 0.01 * math.sin(i) for i in range(256)]
    yield "far from zero", [10.0 + 0.01 * math.sin(i) for i in range(256)]
    yield "scale is subnormal in f16", [2e-5 * math.sin(i) for i in range(256)]
    yield "scale underflows in f16", [1e-8 * math.sin(i) for i in range(256)]


def drawn(generator, count):
    for i in range(count):
        scale = 10.0 ** generator.uniform(-4, 2)
        shift = generator.choice([0, 0, 0, 1, -2]) * scale
        yield f"normal {i}", [generator.gauss(shift, scale) for _ in range(256)]


def main():
    many = int(sys.argv[2]) if sys.argv[1:2] == ["--many"] else 0
    differ = 0
    lines = [f"# Made by tests/reference/q4_k_reference.py with llama-cpp-python {llama_cpp.__version__}"
             f" and gguf {importlib.metadata.version('gguf')}.",
             "# name; then 256 float32, the 144 bytes, and the 256 float32 that they mean; hex, as they lie in memory."]
    cases = drawn(random.Random(1), many) if many else [*hand_made(), *drawn(random.Random(20240607), 14)]
    for name, values in cases:
        block = np.array(values, dtype=F)
        packed = by_library(block)
        differ += packed != by_the_rule(block)
        means = np.asarray(quants.dequantize(np.frombuffer(packed, np.uint8), T.Q4_K), dtype=F)
        lines += [f"block {name}", "values " + block.tobytes().hex(), "q4_k " + packed.hex(),
                  "means " + means.tobytes().hex()]
    print(f"{(len(lines) - 2) // 4} blocks, {differ} where the library and the rule in NumPy differ")
    if not many:
        OUT.write_text("\n".join(lines) + "\n", encoding="ascii")
        print(f"{OUT.name}: {OUT.stat().st_size} bytes")
    sys.exit(differ > 0)


if __name__ == "__main__":
    with np.errstate(all="ignore"):
        main()
