"""Attention: every token leaves a key and a value, a later one asks them all, or those that its pattern shows.

mha, gqa and mqa differ in how many query heads share a KV head. local, strided, dilated and bigbird leave tokens out
(patterns.py). shared has no keys of its own: it asks those of an earlier layer (CLA, YOCO).
"""
from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from mixers.mixer import KeysValues, Mixer, halves, turn, turn_halves
from mixers.patterns import chosen_blocks, mask, seen
from mixers.shape import Shape

DENSE = ("mha", "gqa", "mqa", "shared")


def attend_one(q: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """The definition for one head: q [D], keys [S, D], values [S, Dv] -> the values' mean by softmax(q.k / sqrt(D))."""
    return (keys @ q / q.shape[0] ** 0.5).softmax(0) @ values


class Attention(Mixer):
    def __init__(self, shape: Shape, layer: int, kind: str) -> None:
        super().__init__(shape, layer)
        self.kind = kind
        c, d = self.width, self.size
        self.attn_q = self.matrix(self.heads * d, c)
        if kind != "shared":
            self.attn_k = self.matrix(self.kv_heads * d, c)
            self.attn_v = self.matrix(self.kv_heads * d, c)
        self.attn_output = self.matrix(c, self.heads * d, writes=True)
        self.rope_table(d)
        self.register_buffer("chosen", chosen_blocks(shape), persistent=False)

    def forward(self, x: torch.Tensor, given: KeysValues) -> tuple[torch.Tensor, KeysValues, None]:
        w, (b, t, _), d, hq, hkv = self.tensors(), x.shape, self.size, self.heads, self.kv_heads
        if self.kind == "shared":
            q, kv = (x @ halves(w["attn_q"], hq).T).view(b, t, hq, d), given
        else:
            weight = torch.cat([halves(w["attn_q"], hq), halves(w["attn_k"], hkv), w["attn_v"]])
            q, k, v = (x @ weight.T).view(b, t, -1, d).split([hq, hkv, hkv], 2)
            kv = turn_halves(k, self.cos, self.sin), v.transpose(1, 2)
        q, (k, v) = turn_halves(q, self.cos, self.sin), (y.repeat_interleave(self.group, 1) for y in kv)
        if self.kind in DENSE:
            a = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            visible = mask(self.kind, self.shape, t, self.chosen, x.device)  # [Hkv or 1, T, T]
            visible = visible.repeat_interleave(hq // visible.shape[0], 0)[None] if len(visible) > 1 else visible[None]
            a = F.scaled_dot_product_attention(q, k, v, attn_mask=visible)
        return a.transpose(1, 2).reshape(b, t, -1) @ w["attn_output"].T, kv, None

    def start(self) -> dict[str, Any]:
        return {} if self.kind == "shared" else {"keys": [], "values": []}

    def step(self, x: torch.Tensor, t: int, state: dict[str, Any]) -> torch.Tensor:
        """Of `shared`, the state is the other layer's, to which t's key and value were added already."""
        w, d, base = self.tensors(), self.size, self.shape.rope_freq_base
        if self.kind != "shared":
            state["keys"].append(turn((w["attn_k"] @ x).view(-1, d), t, base))
            state["values"].append((w["attn_v"] @ x).view(-1, d))
        q = turn((w["attn_q"] @ x).view(-1, d), t, base)
        keys, values, out = torch.stack(state["keys"]), torch.stack(state["values"]), []
        for h in range(self.heads):
            s = seen(self.kind, self.shape, h // self.group, t)
            out.append(attend_one(q[h], keys[s, h // self.group], values[s, h // self.group]))
        return w["attn_output"] @ torch.cat(out)
