"""mla, multi-head latent attention (DeepSeek-V2, 2024): a token leaves one short vector c instead of keys and values.

All heads make their keys and values from c, each with matrices of its own. c cannot be rotated before it is expanded,
so a few more numbers, the same for all heads, carry the position.
"""
from __future__ import annotations

from typing import Any

import torch
import torch.nn as nn
import torch.nn.functional as F

from llama import rms_norm
from mixers.attention import attend_one
from mixers.mixer import KeysValues, Mixer, halves, turn, turn_halves
from mixers.shape import Shape


class Latent(Mixer):
    kind = "mla"

    def __init__(self, shape: Shape, layer: int, kind: str) -> None:
        super().__init__(shape, layer)
        c, h, d, r, dr = self.width, self.heads, self.size, shape.kv_rank, shape.rope_rank
        self.attn_q = self.matrix(h * (d + dr), c)  # per head: d numbers without a position, then dr with one
        self.kv_down = self.matrix(r + dr, c)
        self.kv_norm = nn.Parameter(torch.ones(r))
        self.k_up = self.matrix(h * d, r)
        self.v_up = self.matrix(h * d, r)
        self.attn_output = self.matrix(c, h * d, writes=True)
        self.rope_table(dr)

    def forward(self, x: torch.Tensor, given: KeysValues) -> tuple[torch.Tensor, None, None]:
        """Expanded: as many keys and values as heads, for the length of this computation only."""
        w, shape, (b, t, _), h, d = self.tensors(), self.shape, x.shape, self.heads, self.size
        r, dr = shape.kv_rank, shape.rope_rank
        of_q = w["attn_q"].view(h, d + dr, -1)
        q_n = (x @ of_q[:, :d].flatten(0, 1).T).view(b, t, h, d).transpose(1, 2)
        q_r = turn_halves((x @ halves(of_q[:, d:].flatten(0, 1), h).T).view(b, t, h, dr), self.cos, self.sin)
        c = rms_norm(x @ w["kv_down"][:r].T, w["kv_norm"], shape.rms_epsilon)
        k_r = turn_halves((x @ halves(w["kv_down"][r:], 1).T).view(b, t, 1, dr), self.cos, self.sin)
        k_n, v = ((c @ w[up].T).view(b, t, h, d).transpose(1, 2) for up in ("k_up", "v_up"))
        q, k = torch.cat([q_n, q_r], -1), torch.cat([k_n, k_r.expand(-1, h, -1, -1)], -1)
        # The quick kernel wants values as long as keys: zeros are added, and cut off again.
        a = F.scaled_dot_product_attention(q, k, F.pad(v, (0, dr)), is_causal=True)[..., :d]
        return a.transpose(1, 2).reshape(b, t, -1) @ w["attn_output"].T, None, None

    def start(self) -> dict[str, Any]:
        return {"c": [], "k_r": []}

    def step(self, x: torch.Tensor, t: int, state: dict[str, Any]) -> torch.Tensor:
        w, shape, d = self.tensors(), self.shape, self.size
        r, base = shape.kv_rank, shape.rope_freq_base
        down = w["kv_down"] @ x
        state["c"].append(rms_norm(down[:r], w["kv_norm"], shape.rms_epsilon))
        state["k_r"].append(turn(down[r:], t, base))
        c, k_r, q, out = torch.stack(state["c"]), torch.stack(state["k_r"]), (w["attn_q"] @ x).view(self.heads, -1), []
        for h in range(self.heads):
            k_n, v = (c @ w[up][h * d : (h + 1) * d].T for up in ("k_up", "v_up"))
            query = torch.cat([q[h, :d], turn(q[h, d:], t, base)])
            out.append(attend_one(query, torch.cat([k_n, k_r], 1), v))
        return w["attn_output"] @ torch.cat(out)
