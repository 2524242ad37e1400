"""Writes a GGUF of distilgpt2's shape with random weights: for its speed, not for its sense.

    python gpt2_shape.py FILE          (needs: gguf, numpy)

The vocabulary is 256 letters for the bytes, one merge (llama.cpp wants to see some), and names that no text holds.
"""
from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import gguf
import numpy as np

VOCAB, WIDTH, LAYERS, HEADS, FFN, CONTEXT, SEED = 50257, 768, 6, 12, 3072, 1024, 42


def letters() -> list[str]:
    """GPT-2's character for each byte: itself if it prints, else one from U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(256) if b not in printable]
    return [chr(b) if b in printable else chr(0x100 + others.index(b)) for b in range(256)]


def add_vocabulary(w: gguf.GGUFWriter) -> None:
    tokens = [*letters(), "th"]
    tokens += [f"<unused{i}>" for i in range(len(tokens), VOCAB - 1)] + ["<|endoftext|>"]
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("gpt-2")
    w.add_token_list(tokens)
    w.add_token_types([int(gguf.TokenType.NORMAL)] * (VOCAB - 1) + [int(gguf.TokenType.CONTROL)])
    w.add_token_merges(["t h"])
    w.add_bos_token_id(VOCAB - 1)
    w.add_eos_token_id(VOCAB - 1)


def add_weights(w: gguf.GGUFWriter) -> None:
    rng = np.random.default_rng(SEED)

    def normal(name: str, shape: tuple[int, ...], deviation: float, mean: float = 0.0) -> None:
        w.add_tensor(name, rng.standard_normal(shape, dtype=np.float32) * np.float32(deviation) + np.float32(mean))

    def linear(name: str, outputs: int, inputs: int) -> None:
        normal(f"{name}.weight", (outputs, inputs), inputs**-0.5)
        normal(f"{name}.bias", (outputs,), 0.1)

    def norm(name: str) -> None:
        normal(f"{name}.weight", (WIDTH,), 0.1, 1.0)
        normal(f"{name}.bias", (WIDTH,), 0.1)

    normal("token_embd.weight", (VOCAB, WIDTH), 0.05)  # small, or each token chooses itself again
    normal("position_embd.weight", (CONTEXT, WIDTH), 0.05)
    for n in range(LAYERS):
        norm(f"blk.{n}.attn_norm")
        linear(f"blk.{n}.attn_qkv", 3 * WIDTH, WIDTH)
        linear(f"blk.{n}.attn_output", WIDTH, WIDTH)
        norm(f"blk.{n}.ffn_norm")
        linear(f"blk.{n}.ffn_up", FFN, WIDTH)
        linear(f"blk.{n}.ffn_down", WIDTH, FFN)
    norm("output_norm")


def main() -> None:
    path = Path(sys.argv[1])
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".part-") as scratch:
        temporary = Path(scratch, path.name)
        write(temporary)
        temporary.replace(path)


def write(temporary: Path) -> None:
    w = gguf.GGUFWriter(temporary, "gpt2")
    w.add_name("distilgpt2 shape, random weights")
    w.add_context_length(CONTEXT)
    w.add_embedding_length(WIDTH)
    w.add_block_count(LAYERS)
    w.add_feed_forward_length(FFN)
    w.add_head_count(HEADS)
    w.add_layer_norm_eps(1e-5)
    w.add_file_type(gguf.LlamaFileType.ALL_F32)
    add_vocabulary(w)
    add_weights(w)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


if __name__ == "__main__":
    main()
