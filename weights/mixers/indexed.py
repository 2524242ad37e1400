"""indexed, the sparse attention of DeepSeek-V3.2 (2025): a small indexer says which tokens are worth a look.

Its score of token s for token t is I(t, s) = sum_j w_tj * relu(q_tj . k_s), with few and short heads j. Attention sees
the top_k tokens of the largest I. The indexer learns from attention: its softmax over I shall be like the mean over
heads of attention's own. For the first third of the training attention sees everything, so that there is something to
learn from.
"""
from __future__ import annotations

from typing import Any

import torch

from mixers.attention import Attention, attend_one
from mixers.mixer import KeysValues, halves, turn, turn_halves
from mixers.shape import Shape


class Indexed(Attention):
    def __init__(self, shape: Shape, layer: int, kind: str) -> None:
        super().__init__(shape, layer, kind)
        c, j, e = self.width, shape.index_heads, shape.index_size
        self.index_q = self.matrix(j * e, c)
        self.index_k = self.matrix(e, c)
        self.index_w = self.matrix(j, c)
        self.dense = False  # True while the indexer has not learnt enough

    def forward(self, x: torch.Tensor, given: KeysValues) -> tuple[torch.Tensor, None, torch.Tensor]:
        w, (b, t, _), d, hq, hkv = self.tensors(), x.shape, self.size, self.heads, self.kv_heads
        past = torch.ones(t, t, dtype=torch.bool, device=x.device).tril()
        z = x.detach()  # the indexer's loss is no concern of the layers before it
        index_q = (z @ w["index_q"].T).view(b, t, self.shape.index_heads, -1).transpose(1, 2)  # [B, J, T, E]
        relevance = (index_q @ (z @ w["index_k"].T)[:, None].transpose(2, 3)).relu()  # [B, J, T, T]
        index = (relevance * (z @ w["index_w"].T).transpose(1, 2)[..., None]).sum(1)  # [B, T, T]
        visible = past
        if t > self.shape.top_k and not self.dense:
            best = index.detach().masked_fill(~past, -torch.inf).sort(dim=-1, descending=True, stable=True).indices
            visible = past & torch.zeros_like(index, dtype=torch.bool).scatter(-1, best[..., : self.shape.top_k], True)
        weight = torch.cat([halves(w["attn_q"], hq), halves(w["attn_k"], hkv), w["attn_v"]])
        q, k, v = (x @ weight.T).view(b, t, -1, d).split([hq, hkv, hkv], 2)
        q, k = turn_halves(q, self.cos, self.sin), turn_halves(k, self.cos, self.sin).repeat_interleave(self.group, 1)
        seen = visible.expand(b, t, t)
        p = (q @ k.transpose(2, 3) * d**-0.5).masked_fill(~seen[:, None], -torch.inf).softmax(-1)  # [B, H, T, T]
        a = p @ v.transpose(1, 2).repeat_interleave(self.group, 1)
        target = p.detach().mean(1)
        log_index = index.masked_fill(~seen, -torch.inf).log_softmax(-1).masked_fill(~seen, 0.0)
        kl = (torch.special.xlogy(target, target) - target * log_index).sum(-1).mean()
        return a.transpose(1, 2).reshape(b, t, -1) @ w["attn_output"].T, None, kl

    def start(self) -> dict[str, Any]:
        return {"keys": [], "values": [], "index_keys": [], "margin": torch.inf}

    def step(self, x: torch.Tensor, t: int, state: dict[str, Any]) -> torch.Tensor:
        w, d, base, top_k = self.tensors(), self.size, self.shape.rope_freq_base, self.shape.top_k
        state["keys"].append(turn((w["attn_k"] @ x).view(-1, d), t, base))
        state["values"].append((w["attn_v"] @ x).view(-1, d))
        state["index_keys"].append(w["index_k"] @ x)
        index_q = (w["index_q"] @ x).view(self.shape.index_heads, -1)
        index = (w["index_w"] @ x) @ (index_q @ torch.stack(state["index_keys"]).T).relu()  # [t + 1]
        order = index.sort(descending=True, stable=True)  # stable: of equal ones the earlier token
        s = order.indices[:top_k].sort().values
        gap = (order.values[top_k - 1] - order.values[top_k]).item() if t >= top_k else 0.0
        if gap > 0:  # how near a rounding came to another choice: for tests
            state["margin"] = min(state["margin"], gap)
        q, out = turn((w["attn_q"] @ x).view(-1, d), t, base), []
        keys, values = torch.stack(state["keys"])[s], torch.stack(state["values"])[s]
        for h in range(self.heads):
            out.append(attend_one(q[h], keys[:, h // self.group], values[:, h // self.group]))
        return w["attn_output"] @ torch.cat(out)
