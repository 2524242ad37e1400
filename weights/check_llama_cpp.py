#!/usr/bin/env python3
"""Runs the committed models in llama.cpp: tokenizer and logits.

    python3 weights/check_llama_cpp.py [tiny deep]

Tokenizer: a string becomes its bytes, with the BOS 0 in front when it is asked for, and comes back unchanged.
That holds for all valid UTF-8 but U+2581, SentencePiece's sign for a space (a string that holds it is left out
here), and for every single byte; in INVALID UTF-8, llama.cpp spoils a space that stands inside an unfinished
character (so the random bytes here are without spaces). Logits: an F32 cache and no flash attention, against tests/data/reference/ (float64), within 5e-4.
Needs: llama-cpp-python (PyPI), numpy.
"""
from __future__ import annotations

import json
import random
import sys
from pathlib import Path

import llama_cpp
import numpy as np

HERE = Path(__file__).resolve().parent
REFERENCE = HERE.parent / "tests" / "data" / "reference"
F32 = 0  # ggml's number for the type
SPACE_MARK = "\u2581".encode()


def strings() -> list[bytes]:
    rnd = random.Random(7)
    result = [bytes([b]) for b in range(256)] + [bytes(range(256)), b"  two  spaces ", b"<0x41>", "grün 漢字 🙂".encode()]
    for n in (2, 3, 7, 40, 300):
        result += [rnd.randbytes(n).replace(b" ", b"_") for _ in range(100)]
        result += ["".join(chr(rnd.choice((32, 10, rnd.randrange(1, 0x500), rnd.randrange(0xE000, 0x20000))))
                           for _ in range(n)).encode() for _ in range(100)]
    text = (HERE / "heldout.txt").read_bytes()
    result += [text[o : o + 200] for o in range(0, 20000, 200)]
    return [s for s in result if SPACE_MARK not in s]


def main() -> None:
    failed = 0
    for name in sys.argv[1:] or ["tiny", "deep"]:
        model = llama_cpp.Llama(str(HERE / f"{name}.gguf"), n_ctx=512, logits_all=True, verbose=False, n_threads=1,
                                type_k=F32, type_v=F32, flash_attn=False)
        wrong = sum(model.tokenize(s, add_bos=False, special=False) != list(s)
                    or model.tokenize(s, add_bos=True, special=False) != [0, *s]
                    or model.detokenize([*s]) != s for s in strings())
        reference = json.loads((REFERENCE / f"{name}_logits.json").read_text())
        expected = np.fromfile(REFERENCE / f"{name}_logits.f32", "<f4")
        worst = 0.0
        for p in reference["prompts"]:
            model.reset()
            model.eval(p["tokens"])
            got = model.scores[: len(p["tokens"])].ravel()
            worst = max(worst, float(np.abs(got - expected[p["offset"] : p["offset"] + p["count"]]).max()))
        ok = wrong == 0 and worst <= 5e-4
        failed += not ok
        print(f"{name}: {len(strings())} strings, {wrong} wrong; largest difference of a logit {worst:.1e} "
              f"{'ok' if ok else 'FAILED'} (llama-cpp-python {llama_cpp.__version__})")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
