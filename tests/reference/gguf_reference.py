#!/usr/bin/env python3
"""Writes tests/data/reference.gguf: a small file with every value type and every tensor type that
kvlab reads, made by the format's own Python package. The tests read it, and write the same bytes.

Needs gguf and numpy (the file in the tree was made with gguf 0.19.0); the tests need only the file.
    python3 tests/reference/gguf_reference.py
"""
import pathlib

import numpy as np
from gguf import GGMLQuantizationType as T
from gguf import GGUFValueType as V
from gguf import GGUFWriter, quants

OUT = pathlib.Path(__file__).resolve().parent.parent / "data" / "reference.gguf"
TYPES = [("f32", T.F32), ("f16", T.F16), ("bf16", T.BF16), ("q8_0", T.Q8_0), ("q4_0", T.Q4_0),
         ("q4_1", T.Q4_1)]


def main():
    writer = GGUFWriter(OUT, "sample")  # writes general.architecture first
    writer.add_uint8("u8", 200)
    writer.add_int8("i8", -100)
    writer.add_uint16("u16", 60000)
    writer.add_int16("i16", -30000)
    writer.add_uint32("u32", 4000000000)
    writer.add_int32("i32", -2000000000)
    writer.add_float32("f32", 1.5)
    writer.add_bool("bool", True)
    writer.add_string("string", "na\u00efve \u2603 \U0001f600")
    writer.add_uint64("u64", 2**64 - 1)
    writer.add_int64("i64", -2**63)
    writer.add_float64("f64", 0.1)
    writer.add_array("strings", ["a", "", "\u0120the"])
    writer.add_array("i32s", [-1, 0, 7])
    writer.add_array("f32s", [0.5, -2.0])
    writer.add_array("bools", [True, False])
    # [3, 64] row-major: row 1 of every tensor is 1, 1.25, 1.5 ... before rounding.
    values = np.array([[row + 0.25 * column for column in range(64)] for row in range(3)],
                      dtype=np.float32)
    for name, kind in TYPES:
        writer.add_tensor(name + ".weight", quants.quantize(values, kind), raw_dtype=kind)
    writer.add_tensor("vector", np.array([1, 2, 3], dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    print(f"{OUT.name}: {OUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
