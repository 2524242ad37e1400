#!/usr/bin/env python3
"""Writes tests/data/tiny_q4_1_by_llama_cpp.gguf: the tiny model, quantised by llama.cpp, and beside it
(.txt) the FNV-1a checksum of every tensor's numbers as llama.cpp's own functions read them back.

llama.cpp writes matrices whose rows are no whole blocks (ffn_down, rows of 172) as F16, where kvlab keeps F32.
Needs llama-cpp-python, gguf and numpy; the tests need only the two files.
    python3 tests/reference/llama_quantized.py
"""
import ctypes
import pathlib

import llama_cpp
import numpy as np
from gguf import GGMLQuantizationType as T
from gguf import GGUFReader

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
OUT = ROOT / "tests" / "data" / "tiny_q4_1_by_llama_cpp.gguf"
LIBRARY = ctypes.CDLL(str(pathlib.Path(llama_cpp.__file__).resolve().parent / "lib" / "libggml-base.so"))
READERS = {T.Q4_1: LIBRARY.dequantize_row_q4_1, T.F16: LIBRARY.ggml_fp16_to_fp32_row}


def numbers_of(tensor):
    count = int(np.prod([int(n) for n in tensor.shape]))
    if tensor.tensor_type == T.F32:
        return np.asarray(tensor.data, dtype=np.float32).ravel()
    out = np.zeros(count, dtype=np.float32)
    data = np.ascontiguousarray(tensor.data)
    READERS[tensor.tensor_type](data.ctypes.data_as(ctypes.c_void_p), out.ctypes.data_as(ctypes.c_void_p),
                                ctypes.c_int64(count))
    return out


def checksum(numbers):
    value = 0xCBF29CE484222325
    for bits in numbers.view(np.uint32).tolist():
        value = (value ^ bits) * 1099511628211 % 2**64
    return value


def main():
    options = llama_cpp.llama_model_quantize_default_params()
    options.ftype, options.pure, options.nthread = llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_1, True, 1
    code = llama_cpp.llama_model_quantize(str(ROOT / "weights" / "tiny.gguf").encode(), str(OUT).encode(),
                                          ctypes.byref(options))
    assert code == 0, code
    lines = [f"# Made by tests/reference/llama_quantized.py with llama-cpp-python {llama_cpp.__version__}."]
    for tensor in GGUFReader(OUT).tensors:
        lines.append(f"{tensor.name} {tensor.tensor_type.name} {checksum(numbers_of(tensor)):016x}")
    OUT.with_suffix(".txt").write_text("\n".join(lines) + "\n", encoding="ascii")
    print(f"{OUT.name}: {OUT.stat().st_size} bytes, {len(lines) - 1} tensors")


if __name__ == "__main__":
    main()
