"""The skeleton that all mixers share: a llama decoder with something else where attention stands.

    x = E[token];  for each layer:  x += mixer(norm(x));  x += feed_forward(norm(x));  logits = output * norm(x)
"""
from __future__ import annotations

import torch
import torch.nn as nn
import torch.nn.functional as F

from llama import rms_norm
from mixers.attention import Attention
from mixers.delta import Delta
from mixers.hashing import Hashing
from mixers.indexed import Indexed
from mixers.latent import Latent
from mixers.linear import Linear
from mixers.mamba import Mamba
from mixers.mixer import KeysValues, Mixer, causal_conv, conv_step, undecayed
from mixers.rwkv import Rwkv
from mixers.s4d import S4d
from mixers.shape import Shape

KINDS: dict[str, type[Mixer]] = {
    **dict.fromkeys(("mha", "gqa", "mqa", "local", "strided", "dilated", "bigbird", "shared"), Attention),
    "mla": Latent, "lsh": Hashing, "indexed": Indexed, "linear": Linear, "delta": Delta, "s4d": S4d, "mamba": Mamba,
    "rwkv": Rwkv,
}


class Layer(nn.Module):
    def __init__(self, shape: Shape, n: int) -> None:
        super().__init__()
        c, f, kind = shape.embedding_length, shape.feed_forward_length, shape.mixers[n]
        self.eps = shape.rms_epsilon
        self.attn_norm = nn.Parameter(torch.ones(c))
        self.mixer, self.n = KINDS[kind](shape, n, kind), n
        self.short_conv = None
        if shape.short_conv:
            self.short_conv = undecayed(nn.Parameter(torch.empty(c, shape.short_conv).uniform_(-0.5, 0.5)))
        self.ffn_norm = nn.Parameter(torch.ones(c))
        self.ffn_gate = self.mixer.matrix(f, c)
        self.ffn_up = self.mixer.matrix(f, c)
        self.ffn_down = self.mixer.matrix(c, f, writes=True)

    def feed_forward(self, x: torch.Tensor) -> torch.Tensor:
        h = rms_norm(x, self.ffn_norm, self.eps)
        gate, up = (h @ torch.cat([self.ffn_gate, self.ffn_up]).T).chunk(2, -1)
        return (F.silu(gate) * up) @ self.ffn_down.T

    def forward(self, x: torch.Tensor, given: KeysValues) -> tuple[torch.Tensor, KeysValues, torch.Tensor | None]:
        h = rms_norm(x, self.attn_norm, self.eps)
        y, kv, extra_loss = self.mixer(h if self.short_conv is None else causal_conv(h, self.short_conv), given)
        x = x + y
        return x + self.feed_forward(x), kv, extra_loss


class Decoder(nn.Module):
    """tokens [B, T] -> logits [B, T, V]."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.cfg = shape
        c, v = shape.embedding_length, shape.vocab_size
        self.token_embd = nn.Parameter(torch.randn(v, c) * 0.5)
        self.blk = nn.ModuleList(Layer(shape, n) for n in range(shape.block_count))
        self.output_norm = nn.Parameter(torch.ones(c))
        self.output = nn.Parameter(torch.randn(v, c) * 0.5 * c**-0.5)
        self.extra_loss: torch.Tensor | None = None  # of the last forward

    def file_tensors(self) -> dict[str, torch.Tensor]:
        """Everything by its name in a file, in the file's order."""
        out = {"token_embd": self.token_embd}
        for n, layer in enumerate(self.blk):
            parts = {"attn_norm": layer.attn_norm, **layer.mixer.tensors(), "ffn_norm": layer.ffn_norm,
                     "ffn_gate": layer.ffn_gate, "ffn_up": layer.ffn_up, "ffn_down": layer.ffn_down}
            out |= {f"blk.{n}.{name}": x for name, x in parts.items()}
        out |= {"output_norm": self.output_norm, "output": self.output}
        return {f"{name}.weight": x.detach() for name, x in out.items()}

    def take(self, tensors: dict[str, torch.Tensor]) -> None:
        """The reverse."""
        names = self.file_tensors().keys()
        if tensors.keys() != names:
            raise ValueError(f"{self.cfg.name}: tensors that are missing or not known: {sorted(tensors.keys() ^ names)}")
        own = dict(self.named_parameters())
        with torch.no_grad():
            for name, x in tensors.items():
                name = name.removesuffix(".weight")
                if name in own:
                    own[name].copy_(x)
                else:
                    _, n, part = name.split(".")
                    mixer = self.blk[int(n)].mixer
                    mixer.loaded = {**(mixer.loaded or {}), part: x}

    def reads(self, n: int) -> int:
        """The layer whose keys and values layer n reads."""
        return self.cfg.kv_layer[n] if self.cfg.kv_layer else n

    def set_progress(self, share: float) -> None:
        """How much of the training is over, 0 to 1: an indexer is only watched for the first third."""
        for layer in self.blk:
            if isinstance(layer.mixer, Indexed):
                layer.mixer.dense = share < 1 / 3

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x, kept, self.extra_loss = self.token_embd[tokens], {}, None
        for n, layer in enumerate(self.blk):
            x, kv, extra = layer(x, kept.get(self.reads(n)))
            if n in self.cfg.kv_layer:
                kept[n] = kv
            if extra is not None:
                self.extra_loss = extra if self.extra_loss is None else self.extra_loss + extra
        return rms_norm(x, self.output_norm, self.cfg.rms_epsilon) @ self.output.T

    def start(self) -> list[dict]:
        """The state before the first token: one for each layer. Layers that share keys and values share a state."""
        states = [layer.mixer.start() for layer in self.blk]
        return [states[self.reads(n)] for n in range(len(states))]

    @torch.no_grad()
    def step(self, token: int, t: int, states: list[dict]) -> torch.Tensor:
        """The definition: the token at position t -> logits [V]."""
        x = self.token_embd[token]
        for layer, state in zip(self.blk, states):
            h = rms_norm(x, layer.attn_norm, layer.eps)
            if layer.short_conv is not None:
                h = conv_step(h, layer.short_conv, state, f"before {layer.n}")
            x = x + layer.mixer.step(h, t, state)
            x = x + layer.feed_forward(x)
        return self.output @ rms_norm(x, self.output_norm, self.cfg.rms_epsilon)

    def by_definition(self, tokens: list[int]) -> torch.Tensor:
        """[T] -> logits [T, V], one token after the other."""
        states = self.start()
        return torch.stack([self.step(token, t, states) for t, token in enumerate(tokens)])
