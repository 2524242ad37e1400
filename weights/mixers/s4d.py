"""s4d, a diagonal state space model (Gu et al. 2022): every channel is remembered by sixteen fading oscillations.

A state s_n turns and shrinks by the same complex number a_n with every token, whatever the token is. So the output is a
fixed weighted sum of all earlier inputs, a convolution, and training computes it as one.
"""
from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn as nn
import torch.nn.functional as F

from mixers.mixer import KeysValues, Mixer, Tensors, undecayed
from mixers.shape import Shape


class S4d(Mixer):
    kind = "s4d"

    def __init__(self, shape: Shape, layer: int, kind: str) -> None:
        super().__init__(shape, layer)
        c, n = self.width, shape.state_size
        self.log_step = nn.Parameter(torch.empty(c).uniform_(math.log(1e-3), math.log(0.1)))
        self.log_shrink = undecayed(nn.Parameter(torch.full((c, n), math.log(0.5))))  # S4D-Lin: -1/2 + i pi n
        self.turns = undecayed(nn.Parameter(math.pi * torch.arange(n).float().repeat(c, 1)))
        self.out_re = undecayed(nn.Parameter(torch.randn(c, n) * 0.5**0.5))
        self.out_im = undecayed(nn.Parameter(torch.randn(c, n) * 0.5**0.5))
        self.skip = nn.Parameter(torch.randn(c))
        self.glu_w = self.matrix(2 * c, c, writes=True)

    def learnt(self) -> Tensors:
        """Discretised: the differential equation s' = A s + u, held for one step: a = exp(step A), and c takes the
        input's factor (a - 1) / A along. Real arithmetic: (x + iy) / (p + iq) = (x + iy) (p - iq) / (p^2 + q^2)."""
        step = self.log_step.exp()[:, None]
        p, q = -self.log_shrink.exp(), self.turns
        size = (step * p).exp()
        a_re, a_im = size * (step * q).cos(), size * (step * q).sin()
        b_re = ((a_re - 1) * p + a_im * q) / (p * p + q * q)
        b_im = (a_im * p - (a_re - 1) * q) / (p * p + q * q)
        return {"a_re": a_re, "a_im": a_im, "c_re": self.out_re * b_re - self.out_im * b_im,
                "c_im": self.out_re * b_im + self.out_im * b_re, "skip": self.skip, "glu_w": self.glu_w}

    def kernel(self, length: int) -> torch.Tensor:
        """[C, T]: what an input adds to the output so many tokens later, 2 Re(sum_n c_n a_n^distance)."""
        w = self.tensors()
        log_size = 0.5 * (w["a_re"].square() + w["a_im"].square()).log()
        angle = torch.atan2(w["a_im"], w["a_re"])
        distance = torch.arange(length, dtype=angle.dtype, device=angle.device)[:, None, None]
        size, turned = (log_size * distance).exp(), angle * distance  # [T, C, N]
        return 2 * (size * (w["c_re"] * turned.cos() - w["c_im"] * turned.sin())).sum(-1).T

    def forward(self, x: torch.Tensor, given: KeysValues) -> tuple[torch.Tensor, None, None]:
        w, t = self.tensors(), x.shape[1]
        # A convolution is a product of spectra; twice the length, so that the end does not reach round to the beginning.
        spectrum = torch.fft.rfft(x.transpose(1, 2), 2 * t) * torch.fft.rfft(self.kernel(t), 2 * t)
        y = torch.fft.irfft(spectrum, 2 * t)[..., :t].transpose(1, 2) + w["skip"] * x
        first, second = (F.gelu(y, approximate="tanh") @ w["glu_w"].T).chunk(2, -1)
        return first * second.sigmoid(), None, None

    def start(self) -> dict[str, Any]:
        zero = self.tensors()["a_re"].new_zeros
        return {"re": zero(self.width, self.shape.state_size), "im": zero(self.width, self.shape.state_size)}

    def step(self, x: torch.Tensor, t: int, state: dict[str, Any]) -> torch.Tensor:
        w, re, im = self.tensors(), state["re"], state["im"]
        state["re"] = w["a_re"] * re - w["a_im"] * im + x[:, None]
        state["im"] = w["a_re"] * im + w["a_im"] * re
        y = 2 * (w["c_re"] * state["re"] - w["c_im"] * state["im"]).sum(1) + w["skip"] * x
        first, second = (w["glu_w"] @ F.gelu(y, approximate="tanh")).chunk(2)
        return first * second.sigmoid()
