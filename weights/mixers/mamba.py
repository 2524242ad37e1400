"""mamba (Gu and Dao 2023): a state space model that decides, token by token, what to keep.

Each of 128 inner channels has sixteen fading sums. How fast they fade (dt), what is written (B) and what is read (C) are
made from the token itself: dt near 0 passes a token over, a large dt forgets everything before it.
"""
from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn as nn
import torch.nn.functional as F

from mixers.mixer import KeysValues, Mixer, Tensors, causal_conv, conv_step, undecayed
from mixers.scan import selective_scan
from mixers.shape import Shape


class Mamba(Mixer):
    kind = "mamba"

    def __init__(self, shape: Shape, layer: int, kind: str) -> None:
        super().__init__(shape, layer)
        c, i, n, r = self.width, shape.inner, shape.state_size, shape.dt_rank
        self.in_proj = self.matrix(2 * i, c)
        self.conv_w = undecayed(nn.Parameter(torch.empty(i, shape.conv).uniform_(-0.5, 0.5)))
        self.conv_b = nn.Parameter(torch.zeros(i))
        self.x_proj = self.matrix(r + 2 * n, i)
        self.dt_w = undecayed(nn.Parameter(torch.empty(i, r).uniform_(-(r**-0.5), r**-0.5)))
        step = torch.exp(torch.empty(i).uniform_(math.log(1e-3), math.log(0.1)))
        self.dt_b = nn.Parameter(torch.log(torch.expm1(step)))  # softplus of it is step
        self.log_a = undecayed(nn.Parameter(torch.arange(1, n + 1).float().log().repeat(i, 1)))
        self.skip = nn.Parameter(torch.ones(i))
        self.out_proj = self.matrix(c, i, writes=True)

    def learnt(self) -> Tensors:
        w = dict(self.named_parameters())
        log_a = w.pop("log_a")
        return {**w, "ssm_a": -log_a.exp()}

    def forward(self, x: torch.Tensor, given: KeysValues) -> tuple[torch.Tensor, None, None]:
        w, shape = self.tensors(), self.shape
        u, z = (x @ w["in_proj"].T).chunk(2, -1)
        u = F.silu(causal_conv(u, w["conv_w"]) + w["conv_b"])
        dt, b, c = (u @ w["x_proj"].T).split([shape.dt_rank, shape.state_size, shape.state_size], -1)
        dt = F.softplus(dt @ w["dt_w"].T + w["dt_b"])
        y = selective_scan(dt, w["ssm_a"], u, b, c) + w["skip"] * u
        return (y * F.silu(z)) @ w["out_proj"].T, None, None

    def start(self) -> dict[str, Any]:
        return {"s": self.tensors()["ssm_a"].new_zeros(self.shape.inner, self.shape.state_size)}

    def step(self, x: torch.Tensor, t: int, state: dict[str, Any]) -> torch.Tensor:
        w, shape = self.tensors(), self.shape
        u, z = (w["in_proj"] @ x).chunk(2)
        u = F.silu(conv_step(u, w["conv_w"], state, "u") + w["conv_b"])
        dt, b, c = (w["x_proj"] @ u).split([shape.dt_rank, shape.state_size, shape.state_size])
        dt = F.softplus(w["dt_w"] @ dt + w["dt_b"])
        state["s"] = (dt[:, None] * w["ssm_a"]).exp() * state["s"] + (dt * u)[:, None] * b
        y = state["s"] @ c + w["skip"] * u
        return w["out_proj"] @ (y * F.silu(z))
