"""The two decoders in plain PyTorch, as one would write them for speed without leaving eager mode: weights of one
input in one matrix, a cache that is allocated once, scaled_dot_product_attention, no gradient. Needs: torch.

tokens [B, T] -> logits of the last position [B, V] (or of all, [B, T, V]); the cache grows by T.
"""
from __future__ import annotations

import torch
import torch.nn.functional as F


class Cache:
    """Keys and values [L, B, Hkv, capacity, D]."""

    def __init__(self, layers: int, batch: int, heads: int, capacity: int, width: int) -> None:
        self.k = torch.zeros(layers, batch, heads, capacity, width)
        self.v = torch.zeros_like(self.k)
        self.length = 0

    def append(self, layer: int, k: torch.Tensor, v: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        end = self.length + k.shape[2]
        self.k[layer, :, :, self.length : end] = k
        self.v[layer, :, :, self.length : end] = v
        return self.k[layer, :, :, :end], self.v[layer, :, :, :end]


def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Causal attention of T queries behind k's other tokens: one query sees all, a first prompt is the usual triangle."""
    T, S = q.shape[2], k.shape[2]
    mask = torch.ones(T, S, dtype=torch.bool).tril(S - T) if 1 < T < S else None
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=T == S and T > 1)


class Llama:
    """The architecture of weights/train.py. RoPE turns halves of a head instead of neighbours, with the rows of q and k
    put in that order when the weights are loaded: the same scores, and quicker in PyTorch."""

    def __init__(self, w: dict[str, torch.Tensor], layers: int, heads: int, kv_heads: int, base: float, eps: float,
                 context: int) -> None:
        self.w, self.layers, self.heads, self.kv_heads, self.eps = w, layers, heads, kv_heads, eps
        self.width = w["blk.0.attn_q.weight"].shape[0] // heads
        d = self.width
        order = torch.cat([torch.arange(0, d, 2), torch.arange(1, d, 2)])

        def halves(matrix: torch.Tensor, count: int) -> torch.Tensor:
            return matrix[(torch.arange(count)[:, None] * d + order).flatten()]

        self.blocks = []
        for n in range(layers):
            part = lambda name: w[f"blk.{n}.{name}.weight"]
            qkv = torch.cat([halves(part("attn_q"), heads), halves(part("attn_k"), kv_heads), part("attn_v")])
            self.blocks.append((part("attn_norm"), qkv, part("attn_output"), part("ffn_norm"),
                                torch.cat([part("ffn_gate"), part("ffn_up")]), part("ffn_down")))
        angle = torch.arange(context, dtype=torch.float64)[:, None] * base ** (-2 * torch.arange(d // 2, dtype=torch.float64) / d)
        self.cos = torch.cat([angle.cos(), angle.cos()], -1).float()
        self.sin = torch.cat([-angle.sin(), angle.sin()], -1).float()

    def cache(self, batch: int, capacity: int) -> Cache:
        return Cache(self.layers, batch, self.kv_heads, capacity, self.width)

    def forward(self, tokens: torch.Tensor, cache: Cache, all_logits: bool = False) -> torch.Tensor:
        b, t = tokens.shape
        h, g, d = self.heads, self.kv_heads, self.width
        cos, sin = self.cos[cache.length : cache.length + t], self.sin[cache.length : cache.length + t]
        x = F.embedding(tokens, self.w["token_embd.weight"])
        c = x.shape[-1]
        for layer, (norm1, qkv, out, norm2, gate_up, down) in enumerate(self.blocks):
            heads = F.linear(F.rms_norm(x, (c,), norm1, self.eps), qkv).view(b, t, h + 2 * g, d).transpose(1, 2)
            qk, v = heads[:, : h + g], heads[:, h + g :]
            qk = qk * cos + qk.roll(d // 2, -1) * sin
            k, v = cache.append(layer, qk[:, h:], v)
            if g != h:
                k, v = k.repeat_interleave(h // g, 1), v.repeat_interleave(h // g, 1)
            mixed = attend(qk[:, :h], k, v).transpose(1, 2).reshape(b, t, h * d)
            x = x + F.linear(mixed, out)
            gate, up = F.linear(F.rms_norm(x, (c,), norm2, self.eps), gate_up).chunk(2, -1)
            x = x + F.linear(F.silu(gate) * up, down)
        cache.length += t
        x = F.rms_norm(x if all_logits else x[:, -1], (c,), self.w["output_norm.weight"], self.eps)
        return F.linear(x, self.w.get("output.weight", self.w["token_embd.weight"]))


class Gpt2:
    def __init__(self, w: dict[str, torch.Tensor], layers: int, heads: int, eps: float) -> None:
        self.w, self.layers, self.heads, self.eps = w, layers, heads, eps
        self.width = w["token_embd.weight"].shape[1] // heads
        names = ("attn_norm", "attn_qkv", "attn_output", "ffn_norm", "ffn_up", "ffn_down")
        self.blocks = [[(w[f"blk.{n}.{m}.weight"], w[f"blk.{n}.{m}.bias"]) for m in names] for n in range(layers)]

    def cache(self, batch: int, capacity: int) -> Cache:
        return Cache(self.layers, batch, self.heads, capacity, self.width)

    def forward(self, tokens: torch.Tensor, cache: Cache, all_logits: bool = False) -> torch.Tensor:
        b, t = tokens.shape
        h, d = self.heads, self.width
        c = h * d
        x = F.embedding(tokens, self.w["token_embd.weight"]) + self.w["position_embd.weight"][cache.length : cache.length + t]
        for layer, (norm1, qkv, out, norm2, up, down) in enumerate(self.blocks):
            q, k, v = F.linear(F.layer_norm(x, (c,), *norm1, self.eps), *qkv).view(b, t, 3 * h, d).transpose(1, 2).chunk(3, 1)
            k, v = cache.append(layer, k, v)
            x = x + F.linear(attend(q, k, v).transpose(1, 2).reshape(b, t, c), *out)
            x = x + F.linear(F.gelu(F.linear(F.layer_norm(x, (c,), *norm2, self.eps), *up), approximate="tanh"), *down)
        cache.length += t
        x = F.layer_norm(x if all_logits else x[:, -1], (c,), self.w["output_norm.weight"], self.w["output_norm.bias"], self.eps)
        return F.linear(x, self.w["token_embd.weight"])
