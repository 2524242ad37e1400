"""linear attention (Katharopoulos et al. 2020): keys and values are added up in one matrix, and the tokens forgotten.

Where attention has exp(q.k), this has f(q).f(k), and a sum over tokens of f(q).f(k) v is f(q) times the sum of
f(k) v^T: the sum can be kept, and what it is made of need not be.
"""
from __future__ import annotations

from typing import Any

import torch

from mixers.mixer import KeysValues, Mixer
from mixers.shape import Shape

CHUNK = 64


def positive(x: torch.Tensor) -> torch.Tensor:
    """elu(x) + 1: no weight may be negative, or the sum of weights could come to 0."""
    return torch.where(x > 0, x + 1, x.clamp(max=0).exp())


class Linear(Mixer):
    kind = "linear"

    def __init__(self, shape: Shape, layer: int, kind: str) -> None:
        super().__init__(shape, layer)
        c, rows = self.width, self.heads * self.size
        self.attn_q = self.matrix(rows, c)
        self.attn_k = self.matrix(rows, c)
        self.attn_v = self.matrix(rows, c)
        self.attn_output = self.matrix(c, rows, writes=True)

    def forward(self, x: torch.Tensor, given: KeysValues) -> tuple[torch.Tensor, None, None]:
        """In chunks: among the tokens of a chunk the scores as a matrix, like attention; the earlier ones as a state."""
        w, (b, t, _), h = self.tensors(), x.shape, self.heads
        qkv = (x @ torch.cat([w["attn_q"], w["attn_k"], w["attn_v"]]).T).view(b, t, 3, h, -1).permute(2, 0, 3, 1, 4)
        q, k, v = positive(qkv[0]), positive(qkv[1]), qkv[2]  # [B, H, T, D]
        v = torch.cat([v, torch.ones_like(v[..., :1])], -1)  # one more value, always 1, adds up the weights
        state, out = 0.0, []
        for begin in range(0, t, CHUNK):
            qc, kc, vc = (y[:, :, begin : begin + CHUNK] for y in (q, k, v))
            part = (qc @ kc.transpose(2, 3)).tril() @ vc
            out.append(part if begin == 0 else part + qc @ state)
            state = state + kc.transpose(2, 3) @ vc
        o = torch.cat(out, 2)
        o = o[..., :-1] / o[..., -1:]
        return o.transpose(1, 2).reshape(b, t, -1) @ w["attn_output"].T, None, None

    def start(self) -> dict[str, Any]:
        zero = self.tensors()["attn_q"].new_zeros
        return {"S": zero(self.heads, self.size, self.size), "z": zero(self.heads, self.size)}

    def step(self, x: torch.Tensor, t: int, state: dict[str, Any]) -> torch.Tensor:
        w = self.tensors()
        q, k, v = ((w[name] @ x).view(self.heads, -1) for name in ("attn_q", "attn_k", "attn_v"))
        q, k, out = positive(q), positive(k), []
        for h in range(self.heads):
            state["S"][h] += torch.outer(k[h], v[h])
            state["z"][h] += k[h]
            out.append(state["S"][h].T @ q[h] / (q[h] @ state["z"][h]))
        return w["attn_output"] @ torch.cat(out)
