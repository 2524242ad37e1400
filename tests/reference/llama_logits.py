#!/usr/bin/env python3
"""Logits of SmolLM2 by llama.cpp in float32, as reference data for the C++ tests.

    python3 tests/reference/llama_logits.py SmolLM2-135M-Instruct-Q4_1.gguf

The file's weights are turned into F32 first (by the gguf package, not by ours: so the test covers our reader of
quantised data too). A Q4_1 file is no reference as it is, because llama.cpp quantises the activations for it.
Then llama.cpp runs with F32 keys and values and without flash attention.

Writes to tests/data/reference/:
  smollm2_logits.json   {"model", "model_sha256", "vocab", "samples": [S token ids], "prompts": [{"tokens": [T ids],
                        "offset": first float, "top": [T][K token ids, best first]}, ...]}
  smollm2_logits.f32    little-endian float32: for each prompt from its offset on, for each of its T rows, the K
                        logits of "top", then the S logits of "samples"
Expected agreement of a float32 engine that adds in another order: 5e-4.
Needs: llama-cpp-python, gguf, numpy (PyPI).
"""
from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
from pathlib import Path

import gguf
import llama_cpp
import numpy as np

from llama_tokenizer import OUTPUT, Vocabulary

TOP, SAMPLES, SEED = 64, 2000, 20240607
SHORT = [504, 3575, 282, 4649, 314]
LONG = ("In 1687, Isaac Newton's \"Principia\" stated three laws of motion; the second one says that a force of "
        "12 newtons gives a body of 3 kilograms an acceleration of")


def write_f32(source: Path, target: Path) -> None:
    """The same model with every tensor as F32."""
    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(target, reader.fields["general.architecture"].contents())
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name in ("general.architecture", "general.file_type"):
            continue
        element = field.types[-1] if len(field.types) > 1 else None
        writer.add_key_value(name, field.contents(), field.types[0], element)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    for tensor in reader.tensors:
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        writer.add_tensor(tensor.name, np.ascontiguousarray(values, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


class Model:
    def __init__(self, path: Path):
        params = llama_cpp.llama_model_default_params()
        params.n_gpu_layers = 0
        self.model = llama_cpp.llama_model_load_from_file(str(path).encode(), params)
        assert self.model, f"llama.cpp cannot load {path}"
        self.vocab_size = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(self.model))

    def logits(self, tokens: list[int]) -> np.ndarray:
        """[T, V], the whole prompt in one batch."""
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = params.n_batch = params.n_ubatch = 256
        params.n_threads = params.n_threads_batch = 2
        params.type_k = params.type_v = int(llama_cpp.GGML_TYPE_F32)
        params.flash_attn_type = 0  # LLAMA_FLASH_ATTN_TYPE_DISABLED
        context = llama_cpp.llama_init_from_model(self.model, params)
        batch = llama_cpp.llama_batch_init(len(tokens), 0, 1)
        for i, token in enumerate(tokens):
            batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.logits[i] = token, i, 1, 1
            batch.seq_id[i][0] = 0
        batch.n_tokens = len(tokens)
        assert llama_cpp.llama_decode(context, batch) == 0
        rows = [np.ctypeslib.as_array(llama_cpp.llama_get_logits_ith(context, i), (self.vocab_size,)).copy()
                for i in range(len(tokens))]
        llama_cpp.llama_batch_free(batch)
        llama_cpp.llama_free(context)
        return np.stack(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--all", type=Path, help="also write all logits, [T, V] per prompt, to this .npz")
    args = parser.parse_args()
    long_prompt = Vocabulary(args.model).encode(LONG.encode(), False)
    with tempfile.TemporaryDirectory() as folder:
        f32 = Path(folder) / "f32.gguf"
        write_f32(args.model, f32)
        model = Model(f32)
    samples = np.sort(np.random.default_rng(SEED).choice(model.vocab_size, SAMPLES, replace=False))
    prompts, floats, every = [], [], []
    for tokens in (SHORT, long_prompt):
        logits = model.logits(tokens)
        every.append(logits)
        top = np.argsort(-logits, axis=1, kind="stable")[:, :TOP]
        prompts.append({"tokens": tokens, "offset": sum(map(len, floats)), "top": top.tolist()})
        rows = np.concatenate([np.take_along_axis(logits, top, axis=1), logits[:, samples]], axis=1)
        floats.append(rows.astype("<f4").ravel())
        print(f"{len(tokens)} tokens: argmax of the last row {top[-1, 0]}, "
              f"logits {logits.min():.3f} ... {logits.max():.3f}")
    sidecar = {"model": "SmolLM2-135M-Instruct-Q4_1.gguf",
               "model_sha256": hashlib.sha256(args.model.read_bytes()).hexdigest(),
               "llama_cpp_python": llama_cpp.__version__,
               "arithmetic": "float32 weights, keys and values; no flash attention",
               "vocab": model.vocab_size, "samples": samples.tolist(), "prompts": prompts}
    (OUTPUT / "smollm2_logits.json").write_text(json.dumps(sidecar, separators=(",", ":")) + "\n")
    np.concatenate(floats).tofile(OUTPUT / "smollm2_logits.f32")
    if args.all:
        np.savez(args.all, *every)


if __name__ == "__main__":
    main()
