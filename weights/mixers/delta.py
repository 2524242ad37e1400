"""delta, the gated delta rule (Yang et al. 2024): a matrix that is asked before it is written to.

Linear attention only adds, and what was stored under a similar key stays in the way. Here the state first fades a
little (exp(g)); then the token looks up what the state answers to its key, S^T k, and writes the difference: afterwards
the answer is nearer to its own value. beta says how near.
"""
from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn as nn
import torch.nn.functional as F

from llama import rms_norm
from mixers.mixer import KeysValues, Mixer, Tensors, causal_conv, conv_step, undecayed
from mixers.shape import Shape

CHUNK = 32


def unit(x: torch.Tensor) -> torch.Tensor:
    return x * torch.rsqrt(x.square().sum(-1, keepdim=True) + 1e-6)


def delta_rule(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, beta: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
    """q, k, v [B, H, T, D], beta, g [B, H, T] -> o [B, H, T, D], in chunks of tokens.

    Within a chunk each token's difference depends on those before it: d = beta (v - S^T k) with the S that they left.
    That is a triangular system of equations, (1 + A) d = beta (v - fade k S), A the fading scores of key against key,
    and it is solved at once. Between chunks the state is handed on."""
    b, h, length, width = q.shape
    missing = -length % CHUNK  # the last chunk is filled up with tokens that write nothing
    q, k, v = (F.pad(y, (0, 0, 0, missing)).view(b, h, -1, CHUNK, width) for y in (q, k, v))
    beta, g = (F.pad(y, (0, missing)).view(b, h, -1, CHUNK) for y in (beta, g))
    beta, fade = beta[..., None], g.cumsum(-1)  # fade: since the chunk began
    between = (fade[..., :, None] - fade[..., None, :]).tril().exp().tril()  # [.., i, j]: from j to i
    a = (beta * (k @ k.transpose(-1, -2)) * between).tril(-1)  # the diagonal, 1, is taken as given
    fade = fade[..., None]
    # One solution for beta v, one for what the state at the chunk's beginning takes away from it.
    solved = torch.linalg.solve_triangular(a, torch.cat([beta * v, beta * fade.exp() * k], -1), upper=False, unitriangular=True)
    of_v, of_k = solved.split(width, -1)
    scores = q @ k.transpose(-1, -2) * between
    q, k_late = q * fade.exp(), k * (fade[..., -1:, :] - fade).exp()
    kept = fade[..., -1:, :].exp()
    state, out = None, []
    for n in range(q.shape[2]):
        d = of_v[:, :, n] if state is None else of_v[:, :, n] - of_k[:, :, n] @ state
        o = scores[:, :, n] @ d
        out.append(o if state is None else o + q[:, :, n] @ state)
        new = k_late[:, :, n].transpose(-1, -2) @ d
        state = new if state is None else kept[:, :, n] * state + new
    return torch.cat(out, 2)[:, :, :length]


class Delta(Mixer):
    kind = "delta"

    def __init__(self, shape: Shape, layer: int, kind: str) -> None:
        super().__init__(shape, layer)
        c, h, rows = self.width, self.heads, self.heads * self.size
        for name in ("attn_q", "attn_k", "attn_v"):
            setattr(self, name, self.matrix(rows, c))
        for name in ("conv_q", "conv_k", "conv_v"):
            setattr(self, name, undecayed(nn.Parameter(torch.empty(rows, shape.conv).uniform_(-0.5, 0.5))))
        self.beta_w = self.matrix(h, c)
        self.decay_w = self.matrix(h, c)
        step = torch.exp(torch.empty(h).uniform_(math.log(1e-3), math.log(0.1)))
        self.decay_b = nn.Parameter(torch.log(torch.expm1(step)))  # softplus of it is step
        self.log_decay = nn.Parameter(torch.empty(h).uniform_(1, 16).log())
        self.out_norm = nn.Parameter(torch.ones(self.size))
        self.gate_w = self.matrix(rows, c)
        self.attn_output = self.matrix(c, rows, writes=True)

    def learnt(self) -> Tensors:
        w = dict(self.named_parameters())
        log_decay = w.pop("log_decay")
        return {**w, "decay_a": log_decay.exp()}

    def forward(self, x: torch.Tensor, given: KeysValues) -> tuple[torch.Tensor, None, None]:
        w, (b, t, _), h, d = self.tensors(), x.shape, self.heads, self.size
        weight = torch.cat([w[n] for n in ("attn_q", "attn_k", "attn_v", "gate_w", "beta_w", "decay_w")])
        qkv, gate, beta, decay = (x @ weight.T).split([3 * h * d, h * d, h, h], -1)
        qkv = F.silu(causal_conv(qkv, torch.cat([w["conv_q"], w["conv_k"], w["conv_v"]])))
        q, k, v = qkv.view(b, t, 3, h, d).permute(2, 0, 3, 1, 4)
        g = -w["decay_a"] * F.softplus(decay + w["decay_b"])
        o = delta_rule(unit(q) * d**-0.5, unit(k), v, beta.sigmoid().transpose(1, 2), g.transpose(1, 2))
        o = rms_norm(o.transpose(1, 2), w["out_norm"], self.shape.rms_epsilon) * F.silu(gate.view(b, t, h, d))
        return o.reshape(b, t, -1) @ w["attn_output"].T, None, None

    def start(self) -> dict[str, Any]:
        return {"S": self.tensors()["attn_q"].new_zeros(self.heads, self.size, self.size)}

    def step(self, x: torch.Tensor, t: int, state: dict[str, Any]) -> torch.Tensor:
        w, d = self.tensors(), self.size
        q, k, v = (F.silu(conv_step(w[f"attn_{n}"] @ x, w[f"conv_{n}"], state, n)).view(-1, d) for n in "qkv")
        q, k = unit(q) * d**-0.5, unit(k)
        beta = (w["beta_w"] @ x).sigmoid()
        g = -w["decay_a"] * F.softplus(w["decay_w"] @ x + w["decay_b"])
        gate, out = F.silu(w["gate_w"] @ x).view(-1, d), []
        for h in range(self.heads):
            s = state["S"][h] * g[h].exp()
            s = s + torch.outer(k[h], beta[h] * (v[h] - s.T @ k[h]))
            state["S"][h] = s
            out.append(rms_norm(s.T @ q[h], w["out_norm"], self.shape.rms_epsilon) * gate[h])
        return w["attn_output"] @ torch.cat(out)
