"""What all mixers have in common: their two forms, and a few small operations.

Every mixer is written twice:

    step      the definition. One token after the other, with a state that holds what is left of the earlier ones.
              It is read by people, and by the tests.
    forward   the same mathematics for all tokens of many sequences at once: for training.

Both take their weights from `tensors()`: names and numbers as they stand in the file. Some mixers learn them in
another form (a decay that has to be positive is learnt as its logarithm); a model that comes out of a file has
the tensors themselves.
"""
from __future__ import annotations

from typing import Any

import torch
import torch.nn as nn
import torch.nn.functional as F

from mixers.shape import Shape

Tensors = dict[str, torch.Tensor]
KeysValues = tuple[torch.Tensor, torch.Tensor] | None


class Mixer(nn.Module):
    kind = ""

    def __init__(self, shape: Shape, layer: int) -> None:
        super().__init__()
        self.shape, self.layer = shape, layer
        self.loaded: Tensors | None = None  # of a file: instead of what was learnt
        c, self.heads, self.kv_heads = shape.embedding_length, shape.head_count, shape.head_count_kv
        self.width, self.size, self.group = c, shape.head_dim, shape.head_count // shape.head_count_kv

    # -- weights ------------------------------------------------------------------------------------------------

    def matrix(self, outputs: int, inputs: int, writes: bool = False) -> nn.Parameter:
        """[outputs, inputs], N(0, 1/sqrt(inputs)); those that write into the residual stream begin smaller."""
        std = inputs**-0.5 / ((2 * self.shape.block_count) ** 0.5 if writes else 1.0)
        return nn.Parameter(torch.randn(outputs, inputs) * std)

    def rope_table(self, size: int) -> None:
        """Cosine and sine of position * base^(-2i/size) for the pairs i of `size` numbers, each [context, size/2]."""
        i = torch.arange(size // 2, dtype=torch.float64)
        angle = torch.arange(self.shape.context_length).double()[:, None] * self.shape.rope_freq_base ** (-2 * i / size)
        self.register_buffer("cos", angle.cos(), persistent=False)
        self.register_buffer("sin", angle.sin(), persistent=False)

    def learnt(self) -> Tensors:
        """The file's tensors, made from the parameters: here, the parameters themselves."""
        return dict(self.named_parameters())

    def tensors(self) -> Tensors:
        return self.learnt() if self.loaded is None else self.loaded

    def _apply(self, fn: Any, recurse: bool = True) -> "Mixer":
        """to(), double() and so on: of the tensors of a file, too."""
        super()._apply(fn, recurse)
        self.loaded = self.loaded and {name: fn(x) for name, x in self.loaded.items()}
        return self

    # -- the two forms ------------------------------------------------------------------------------------------

    def forward(self, x: torch.Tensor, given: KeysValues) -> tuple[torch.Tensor, KeysValues, torch.Tensor | None]:
        """x [B, T, C] -> y [B, T, C]; keys and values, if other layers may read them; and what is added to the loss.
        `given`: the keys and values of the layer that this one reads, if that is another one."""
        raise NotImplementedError

    def start(self) -> dict[str, Any]:
        """The state before the first token."""
        return {}

    def step(self, x: torch.Tensor, t: int, state: dict[str, Any]) -> torch.Tensor:
        """x [C], the token at position t -> y [C]. Changes the state."""
        raise NotImplementedError


def undecayed(p: nn.Parameter) -> nn.Parameter:
    """Marks a matrix that weight decay would only disturb: there, 0 is nothing special."""
    p.undecayed = True
    return p


def halves(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """Rows 0, 2, 4, ... of each head, then 1, 3, 5, ...: RoPE turns the ADJACENT pairs (2i, 2i + 1), and halves are
    quicker to turn. Scores q.k do not notice, as long as q and k are both in this order."""
    rows, inputs = weight.shape
    return weight.view(heads, rows // heads // 2, 2, inputs).transpose(1, 2).reshape(rows, inputs)


def turn_halves(y: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """RoPE of [B, T, heads, size], rows in the order of `halves` -> [B, heads, T, size]."""
    y0, y1 = y.chunk(2, -1)
    co, si = (table[: y.shape[1], None].to(y.dtype) for table in (cos, sin))
    return torch.cat([y0 * co - y1 * si, y0 * si + y1 * co], -1).transpose(1, 2)


def turn(y: torch.Tensor, t: int, base: float) -> torch.Tensor:
    """RoPE as it is defined: adjacent pairs of [..., size], a token at position t."""
    size = y.shape[-1]
    angle = t * base ** (-torch.arange(0, size, 2, dtype=torch.float64, device=y.device) / size)
    co, si = angle.cos().to(y.dtype), angle.sin().to(y.dtype)
    out = torch.empty_like(y)
    out[..., 0::2] = y[..., 0::2] * co - y[..., 1::2] * si
    out[..., 1::2] = y[..., 0::2] * si + y[..., 1::2] * co
    return out


def causal_conv(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    """x [B, T, C], w [C, taps]: each channel is the weighted sum of its last values; before the beginning there are 0."""
    taps = w.shape[1]
    padded = F.pad(x, (0, 0, taps - 1, 0))
    return sum(w[:, j] * padded[:, j : j + x.shape[1]] for j in range(taps))


def conv_step(x: torch.Tensor, w: torch.Tensor, state: dict[str, Any], name: str) -> torch.Tensor:
    """The same for one token x [C]. state[name] [taps - 1, C] holds the last values before it."""
    if name not in state:
        state[name] = x.new_zeros(w.shape[1] - 1, x.shape[0])
    rows = torch.cat([state[name], x[None]])
    state[name] = rows[1:]
    return (w.T * rows).sum(0)
