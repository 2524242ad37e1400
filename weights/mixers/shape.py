"""Which models there are: for each name its layers' mixers, and the numbers that they need.

A mixer is what stands in a layer where a llama decoder has attention: the part that brings something of earlier
tokens to a later one. Everything else of the models is the same, and so are the tokens that they learn from.
"""
from __future__ import annotations

from dataclasses import dataclass, replace

from llama import Config


@dataclass(frozen=True)
class Shape(Config):
    """A llama decoder's shape, with a mixer for each layer. The names are those of the file's keys."""

    mixers: tuple[str, ...] = ()  # [L]: kinds of mixers.decoder.KINDS
    kv_layer: tuple[int, ...] = ()  # [L]: the layer whose keys and values are read; empty: everyone their own
    window: int = 64  # local: how many tokens are seen, the newest included
    stride: int = 16
    dilation: int = 8
    block: int = 16
    random_blocks: int = 2
    rounds: int = 4  # lsh: how often a token is hashed
    hash_size: int = 8  # lsh: a round has twice as many buckets
    top_k: int = 64
    index_heads: int = 2
    index_size: int = 8
    kv_rank: int = 24
    rope_rank: int = 8
    state_size: int = 16
    inner: int = 128
    conv: int = 4
    dt_rank: int = 4
    short_conv: int = 0  # taps of a convolution before every mixer: an experiment of MQAR's, which no file can hold


# For each kind of mixer the numbers that are its own; the rest of a Shape is not written into a file.
NUMBERS = {
    "mha": (), "gqa": (), "mqa": (), "shared": (), "linear": (), "rwkv": (),
    "mla": ("kv_rank", "rope_rank"), "local": ("window",), "strided": ("stride",), "dilated": ("window", "dilation"),
    "bigbird": ("block", "window", "random_blocks"), "lsh": ("rounds",),
    "indexed": ("top_k",), "delta": ("conv",), "s4d": ("state_size",),
    "mamba": ("state_size", "inner", "conv", "dt_rank"),
}


def _same(name: str, layers: int = 2, heads: int = 2, **numbers: int) -> Shape:
    return Shape(name, 256, 64, layers, 4, heads, 172, mixers=(numbers.pop("kind", name),) * layers, **numbers)


def _mixed(name: str, *mixers: str, kv_layer: tuple[int, ...] = ()) -> Shape:
    return Shape(name, 256, 64, len(mixers), 4, 2, 172, mixers=mixers, kv_layer=kv_layer)


SHAPES = {s.name: s for s in (
    # attention: every token leaves a key and a value
    _same("mha", heads=4), _same("gqa"), _same("mqa", heads=1), _same("mla", heads=4),
    _same("local"), _same("strided"), _same("dilated", window=32), _same("bigbird", window=48),
    _same("lsh", heads=4), _same("indexed"),
    # recurrent: a state of fixed size
    _same("linear", heads=4), _same("delta", heads=4), _same("s4d"), _same("mamba"), _same("rwkv"),
    # four layers
    _same("gqa4", 4, kind="gqa"),
    _mixed("cla", "gqa", "shared", "gqa", "shared", kv_layer=(0, 0, 2, 2)),
    _mixed("yoco", "local", "local", "gqa", "shared", kv_layer=(0, 1, 2, 2)),
    _mixed("alternating", "local", "gqa", "local", "gqa"),
    _mixed("jamba", "mamba", "mamba", "gqa", "mamba"),
    _mixed("samba", "mamba", "local", "mamba", "local"),
)}


def mqar_shape(name: str, width: int = 64, short_conv: int = 0) -> Shape:
    """The model of that name for MQAR: longer sequences, and perhaps another width, to which the rest is in proportion."""
    shape = SHAPES[name]
    scaled = {n: getattr(shape, n) * width // 64 for n in ("feed_forward_length", "kv_rank", "rope_rank", "inner", "dt_rank")}
    return replace(shape, name=f"mqar-{name}", context_length=1024, embedding_length=width, short_conv=short_conv,
                   **scaled)
