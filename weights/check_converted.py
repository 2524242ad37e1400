#!/usr/bin/env python3
"""Converts a model with kvlab into every type, and runs the files in llama.cpp.

    python3 weights/check_converted.py [--bin build/release/bin] [--types q4_k ...] [tiny deep ...]

Of each file, two things: that llama.cpp's tensors are, bit by bit, the numbers that kvlab reads (llama.cpp's
own dequantisers against a second file, made by `convert --type f32`), and how far llama.cpp's logits are from
those that it computes from that second file: it rounds the inputs of its products to blocks of 8 bits, so they
differ for quantised types, by what is printed here, and for F32 not at all.
Needs: llama-cpp-python, gguf (PyPI), numpy.
"""
from __future__ import annotations

import argparse
import ctypes
import subprocess
import sys
import tempfile
from pathlib import Path

import llama_cpp
import numpy as np
from gguf import GGMLQuantizationType as T
from gguf import GGUFReader

HERE = Path(__file__).resolve().parent
LIBRARY = ctypes.CDLL(str(Path(llama_cpp.__file__).resolve().parent / "lib" / "libggml-base.so"))
TYPES = ("f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "q4_k")
F32 = 0  # ggml's number for the type


def numbers_of(tensor) -> np.ndarray:
    if tensor.tensor_type == T.F32:
        return np.asarray(tensor.data, dtype=np.float32).ravel()
    name = {T.F16: "ggml_fp16_to_fp32_row", T.BF16: "ggml_bf16_to_fp32_row"}.get(
        tensor.tensor_type, f"dequantize_row_{tensor.tensor_type.name.replace('_K', '_k').lower()}".replace("_k", "_K"))
    count = int(np.prod([int(n) for n in tensor.shape]))
    out, data = np.zeros(count, dtype=np.float32), np.ascontiguousarray(tensor.data)
    getattr(LIBRARY, name)(data.ctypes.data_as(ctypes.c_void_p), out.ctypes.data_as(ctypes.c_void_p), ctypes.c_int64(count))
    return out


def logits_of(path: Path, count: int) -> np.ndarray:
    model = llama_cpp.Llama(str(path), n_ctx=count, logits_all=True, verbose=False, n_threads=1, type_k=F32, type_v=F32,
                            flash_attn=False)
    text = (HERE / "heldout.txt").read_bytes()[: 4 * count]
    model.eval(model.tokenize(text)[:count])
    return model.scores[:count].copy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=["tiny", "deep"])
    parser.add_argument("--bin", type=Path, default=HERE.parent / "build" / "release" / "bin")
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--types", nargs="+", choices=TYPES, default=TYPES)
    args = parser.parse_args()
    failed = 0
    for model in args.models:
        for kind in args.types:
            with tempfile.TemporaryDirectory() as folder:
                made, plain = Path(folder) / f"{kind}.gguf", Path(folder) / "plain.gguf"
                for source, target, wanted in ((model, made, kind), (made, plain, "f32")):
                    subprocess.run([args.bin / "step06_quant", "convert", source, target, "--type", wanted], check=True,
                                   stdout=subprocess.DEVNULL)
                ours = {t.name: t for t in GGUFReader(plain).tensors}
                theirs = GGUFReader(made).tensors
                unequal = sum(not np.array_equal(numbers_of(t).view(np.uint32), numbers_of(ours[t.name]).view(np.uint32))
                              for t in theirs)
                got, expected = logits_of(made, args.tokens), logits_of(plain, args.tokens)
                same = float((got.argmax(1) == expected.argmax(1)).mean())
                failed += unequal > 0 or not np.isfinite(got).all()
                print(f"{model:8} {kind:5} {made.stat().st_size:10} bytes  tensors {len(theirs)}, differ {unequal}  "
                      f"logits off by {float(np.abs(got - expected).max()):.2e}  same token {100 * same:.1f}%", flush=True)
    print("ok" if failed == 0 else "FAILED", f"(llama-cpp-python {llama_cpp.__version__})")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
