"""rwkv, the time mixing of RWKV-4 (Peng et al. 2023): one weighted mean per channel, its weights fading with distance.

A token has the weight exp(k) in the mean, times exp(-decay) for every token that came after it; the newest one has a
bonus instead. Numerator and denominator are sums that fade, so two numbers per channel are all that is kept, and a third,
the largest exponent so far, lest exp overflows.
"""
from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn as nn
import torch.nn.functional as F

from mixers.mixer import KeysValues, Mixer, Tensors
from mixers.shape import Shape


def fading_sums(k: torch.Tensor, v: torch.Tensor, decay: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """k, v [B, T, C] -> a, b, p with sum_{s<=t} exp(k_s - (t - s) decay) v_s = a exp(p), and the same without v = b exp(p).

    By doubling: first every sum covers its own token only, then 2, then 4, ... A sum over twice as many tokens is
    the one that ends here, plus the one that ended so many tokens ago, faded. p is only a scale (the largest exponent), so
    no gradient goes through it."""
    p = k.detach()
    b = (k - p).exp()
    a, covers = b * v, 1
    while covers < k.shape[1]:
        shift = lambda y, empty: F.pad(y[:, :-covers], (0, 0, covers, 0), value=empty)
        faded = shift(p, -1e30) - covers * decay
        new = torch.maximum(p, faded.detach())
        here, there = (p - new).exp(), (faded - new).exp()
        a, b, p = here * a + there * shift(a, 0.0), here * b + there * shift(b, 0.0), new
        covers *= 2
    return a, b, p


class Rwkv(Mixer):
    kind = "rwkv"

    def __init__(self, shape: Shape, layer: int, kind: str) -> None:
        super().__init__(shape, layer)
        c = self.width
        self.attn_k = self.matrix(c, c)
        self.attn_v = self.matrix(c, c)
        self.attn_r = self.matrix(c, c)
        self.attn_output = self.matrix(c, c, writes=True)
        # As the authors begin: channels mix in the token before differently, and fade at different paces.
        place, depth = torch.arange(c) / c, layer / max(1, shape.block_count - 1)
        mix = place ** (1 - layer / shape.block_count)
        self.mu_k = nn.Parameter(mix.clone())
        self.mu_v = nn.Parameter(mix + 0.3 * depth)
        self.mu_r = nn.Parameter(place ** (0.5 * (1 - layer / shape.block_count)))
        self.log_decay = nn.Parameter(-5 + 8 * (torch.arange(c) / (c - 1)) ** (0.7 + 1.3 * depth))
        self.bonus = nn.Parameter(math.log(0.3) + 0.5 * ((torch.arange(c) + 1) % 3 - 1.0))

    def learnt(self) -> Tensors:
        w = dict(self.named_parameters())
        log_decay = w.pop("log_decay")
        return {**w, "decay": log_decay.exp()}

    def forward(self, x: torch.Tensor, given: KeysValues) -> tuple[torch.Tensor, None, None]:
        w = self.tensors()
        last = F.pad(x[:, :-1], (0, 0, 1, 0))
        mix = lambda j: (last + w[f"mu_{j}"] * (x - last)) @ w[f"attn_{j}"].T
        k, v, r = mix("k"), mix("v"), mix("r").sigmoid()
        a, b, p = (y[:, :-1] for y in fading_sums(k, v, w["decay"]))
        a, b = (F.pad(y, (0, 0, 1, 0)) for y in (a, b))  # those of the tokens before
        p = F.pad(p, (0, 0, 1, 0), value=-1e30)
        now = w["bonus"] + k
        top = torch.maximum(p, now.detach())
        before, own = (p - top).exp(), (now - top).exp()
        return (r * (before * a + own * v) / (before * b + own)) @ w["attn_output"].T, None, None

    def start(self) -> dict[str, Any]:
        zero = self.tensors()["decay"].new_zeros(self.width)
        return {"last": zero, "a": zero, "b": zero, "p": zero - 1e30}

    def step(self, x: torch.Tensor, t: int, state: dict[str, Any]) -> torch.Tensor:
        w, a, b, p = self.tensors(), state["a"], state["b"], state["p"]
        mix = lambda j: w[f"attn_{j}"] @ (w[f"mu_{j}"] * x + (1 - w[f"mu_{j}"]) * state["last"])
        k, v, r = mix("k"), mix("v"), mix("r").sigmoid()
        top = torch.maximum(p, w["bonus"] + k)
        before, own = (p - top).exp(), (w["bonus"] + k - top).exp()
        wkv = (before * a + own * v) / (before * b + own)
        top = torch.maximum(p - w["decay"], k)
        before, own = (p - w["decay"] - top).exp(), (k - top).exp()
        state |= {"last": x, "a": before * a + own * v, "b": before * b + own, "p": top}
        return w["attn_output"] @ (r * wkv)
