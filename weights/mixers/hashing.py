"""lsh, the attention of Reformer (Kitaev et al. 2020): a token sees only those that a hash puts into its bucket.

Queries and keys are the same vectors u, so that vectors which fit each other fall into the same bucket. The hash of a
round: u times a random matrix; which of the numbers y and -y is the largest? Vectors with a small angle between them
mostly agree. Several rounds, each with a matrix of its own, make up for those that fall apart by chance.
"""
from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from mixers.attention import attend_one
from mixers.mixer import KeysValues, Mixer, Tensors, halves, turn, turn_halves
from mixers.shape import Shape


class Hashing(Mixer):
    kind = "lsh"

    def __init__(self, shape: Shape, layer: int, kind: str) -> None:
        super().__init__(shape, layer)
        c, rows = self.width, self.heads * self.size
        self.attn_qk = self.matrix(rows, c)
        self.attn_v = self.matrix(rows, c)
        self.attn_output = self.matrix(c, rows, writes=True)
        generator = torch.Generator().manual_seed(layer + 1)  # the same for every training seed
        self.register_buffer("hash", torch.randn(shape.rounds, self.size, shape.hash_size, generator=generator))
        self.rope_table(self.size)

    def learnt(self) -> Tensors:
        return {**dict(self.named_parameters()), "hash": self.hash}

    def forward(self, x: torch.Tensor, given: KeysValues) -> tuple[torch.Tensor, None, None]:
        w, (b, t, _), h, d = self.tensors(), x.shape, self.heads, self.size
        u, v = (x @ torch.cat([halves(w["attn_qk"], h), w["attn_v"]]).T).view(b, t, 2 * h, d).split(h, 2)
        with torch.no_grad():
            order = torch.cat([torch.arange(0, d, 2), torch.arange(1, d, 2)]).to(x.device)  # u's numbers are in it, too
            y = torch.einsum("bthd,rde->bhtre", u, w["hash"][:, order])
            bucket = torch.cat([y, -y], -1).argmax(-1)  # [B, H, T, rounds]
            together = (bucket[:, :, :, None] == bucket[:, :, None]).any(-1)  # [B, H, T, T]
            visible = together & torch.ones(t, t, dtype=torch.bool, device=x.device).tril(-1)
            visible = visible | (torch.eye(t, dtype=torch.bool, device=x.device) & ~visible.any(-1, keepdim=True))
        k = u / u.norm(dim=-1, keepdim=True).clamp(min=1e-6)
        a = F.scaled_dot_product_attention(turn_halves(u, self.cos, self.sin), turn_halves(k, self.cos, self.sin),
                                           v.transpose(1, 2), attn_mask=visible)
        return a.transpose(1, 2).reshape(b, t, -1) @ w["attn_output"].T, None, None

    def start(self) -> dict[str, Any]:
        return {"keys": [], "values": [], "buckets": [], "margin": torch.inf}

    def step(self, x: torch.Tensor, t: int, state: dict[str, Any]) -> torch.Tensor:
        w, d, base = self.tensors(), self.size, self.shape.rope_freq_base
        u = (w["attn_qk"] @ x).view(self.heads, d)
        state["keys"].append(turn(u / u.norm(dim=1, keepdim=True).clamp(min=1e-6), t, base))
        state["values"].append((w["attn_v"] @ x).view(self.heads, d))
        y = torch.einsum("hd,rde->hre", u, w["hash"])
        both = torch.cat([y, -y], -1)
        state["buckets"].append(both.argmax(-1))  # [H, rounds]; of equal numbers the first
        best = both.topk(2).values  # how near a rounding came to another bucket: for tests
        state["margin"] = min(state["margin"], (best[..., 0] - best[..., 1]).min().item())
        keys, values, q, out = torch.stack(state["keys"]), torch.stack(state["values"]), turn(u, t, base), []
        for h in range(self.heads):
            shares = lambda s: bool((state["buckets"][s][h] == state["buckets"][t][h]).any())
            s = [s for s in range(t) if shares(s)] or [t]
            out.append(attend_one(q[h], keys[s, h], values[s, h]))
        return w["attn_output"] @ torch.cat(out)
