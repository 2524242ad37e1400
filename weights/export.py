#!/usr/bin/env python3
"""Writes a checkpoint of train.py as GGUF (F32), with a tokenizer that llama.cpp accepts; and reads it back.

    python3 weights/export.py /tmp/tiny/checkpoint.pt weights/tiny.gguf

A llama decoder is written as GGUF's `llama`; a model of mixers/ as `kvlab`, the same keys with that prefix, and besides
`kvlab.mixers` (the mixer of each layer), `kvlab.kv_layer` (whose keys and values a layer reads, where some share) and the
numbers of its mixers (mixers/shape.py).

The tokenizer: token b is byte b. In GGUF's terms it is of the kind "llama" (SentencePiece) with 256 tokens
`<0x00>` ... `<0xFF>` of type BYTE: text has no pieces there, so it falls apart into its bytes. One exception:
SentencePiece writes a space as U+2581 before it looks for pieces, so token 32 is that character, type NORMAL.
(The price, paid by every model of this kind in llama.cpp: U+2581 itself reads as a space there.)
Byte 0 never occurs in text; it is the BOS, and the EOS that llama.cpp wants to see named.
Needs: PyTorch, and gguf (PyPI).
"""
from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import gguf
import numpy as np
import torch

from llama import CONFIGS, Config, Llama
from mixers.decoder import Decoder
from mixers.shape import NUMBERS, SHAPES, Shape, mqar_shape
from tasks import BOS

Model = Llama | Decoder
LAYER = ("attn_norm", "attn_q", "attn_k", "attn_v", "attn_output", "ffn_norm", "ffn_gate", "ffn_up", "ffn_down")


def tensor_names(cfg: Config) -> dict[str, str]:
    """GGUF name -> name in train.Llama, in the order of the file."""
    names = {"token_embd.weight": "token_embd"}
    for n in range(cfg.block_count):
        names |= {f"blk.{n}.{t}.weight": f"blk.{n}.{t}" for t in LAYER}
    return names | {"output_norm.weight": "output_norm", "output.weight": "output"}


def file_tensors(cfg: Config, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """GGUF name -> tensor, from a checkpoint's parameters; some mixers learn them in another form."""
    if not isinstance(cfg, Shape):
        return {name: state[source] for name, source in tensor_names(cfg).items()}
    model = Decoder(cfg)
    model.load_state_dict(state)
    return model.file_tensors()


def write_gguf(path: Path, cfg: Config, state: dict[str, torch.Tensor]) -> None:
    """Writes into a folder of its own first: a file is complete or not there, and no link of another is followed."""
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".part-") as scratch:
        temporary = Path(scratch, path.name)
        fill_gguf(temporary, cfg, state)
        temporary.replace(path)


def fill_gguf(temporary: Path, cfg: Config, state: dict[str, torch.Tensor]) -> None:
    w = gguf.GGUFWriter(temporary, "kvlab" if isinstance(cfg, Shape) else "llama")
    w.add_name(f"kvlab-{cfg.name}")
    w.add_context_length(cfg.context_length)
    w.add_embedding_length(cfg.embedding_length)
    w.add_block_count(cfg.block_count)
    w.add_feed_forward_length(cfg.feed_forward_length)
    w.add_head_count(cfg.head_count)
    w.add_head_count_kv(cfg.head_count_kv)
    w.add_layer_norm_rms_eps(cfg.rms_epsilon)
    w.add_rope_dimension_count(cfg.head_dim)
    w.add_rope_freq_base(cfg.rope_freq_base)
    w.add_vocab_size(cfg.vocab_size)
    w.add_file_type(gguf.LlamaFileType.ALL_F32)
    if isinstance(cfg, Shape):
        w.add_array("kvlab.mixers", list(cfg.mixers))
        if cfg.kv_layer:
            w.add_array("kvlab.kv_layer", list(cfg.kv_layer))
        for number in sorted({n for kind in cfg.mixers for n in NUMBERS[kind]}):
            w.add_uint32(f"kvlab.{number}", getattr(cfg, number))
    w.add_tokenizer_model("llama")
    byte = int(gguf.TokenType.BYTE)
    w.add_token_list(["\u2581" if b == 32 else f"<0x{b:02X}>" for b in range(256)])
    w.add_token_scores([0.0] * 256)
    w.add_token_types([int(gguf.TokenType.NORMAL) if b == 32 else byte for b in range(256)])
    w.add_bos_token_id(BOS)
    w.add_eos_token_id(BOS)
    w.add_unk_token_id(BOS)
    w.add_add_bos_token(True)
    w.add_add_eos_token(False)
    w.add_add_space_prefix(False)
    for name, tensor in file_tensors(cfg, state).items():
        w.add_tensor(name, np.ascontiguousarray(tensor.float().numpy()))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def read_gguf(path: Path) -> Model:
    """The model in the file, F32, ready to run; the configuration comes from the file alone."""
    r = gguf.GGUFReader(path)
    field = lambda key: r.fields[key].contents()
    arch = field("general.architecture")
    cfg = Config(
        field("general.name").removeprefix("kvlab-"), field(f"{arch}.vocab_size"), field(f"{arch}.embedding_length"),
        field(f"{arch}.block_count"), field(f"{arch}.attention.head_count"), field(f"{arch}.attention.head_count_kv"),
        field(f"{arch}.feed_forward_length"), field(f"{arch}.context_length"), field(f"{arch}.rope.freq_base"),
        field(f"{arch}.attention.layer_norm_rms_epsilon"))
    tensors = {t.name: torch.from_numpy(np.array(t.data, dtype=np.float32)) for t in r.tensors}
    if arch == "kvlab":
        mixers = tuple(field("kvlab.mixers"))
        numbers = {n: field(f"kvlab.{n}") for kind in mixers for n in NUMBERS[kind]}
        kv_layer = tuple(field("kvlab.kv_layer")) if "kvlab.kv_layer" in r.fields else ()
        decoder = Decoder(Shape(**vars(cfg), mixers=mixers, kv_layer=kv_layer, **numbers))
        decoder.take(tensors)
        return decoder.eval()
    model = Llama(cfg)
    model.load_state_dict({source: tensors[name] for name, source in tensor_names(cfg).items()})
    return model.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("gguf", type=Path)
    args = parser.parse_args()
    state = torch.load(args.checkpoint, weights_only=True, map_location="cpu")
    name, mqar = state["name"], state.get("task") == "mqar"  # checkpoints of text may be older than that word
    if state.get("short_conv"):
        raise SystemExit(f"export.py: {args.checkpoint}: a convolution before every mixer has no place in the file")
    cfg = mqar_shape(name, state["width"]) if mqar else {**CONFIGS, **SHAPES}[name]
    write_gguf(args.gguf, cfg, state["model"])
    print(f"{args.gguf}: {args.gguf.stat().st_size} bytes, seed {state['seed']}, {state['at']}")


if __name__ == "__main__":
    main()
