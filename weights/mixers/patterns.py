"""Which earlier tokens a token may see, for attention that leaves some out; each pattern twice.

`seen` is the definition: a list of positions. `mask` is the same as a matrix, for a whole sequence; a test compares
them. What no later token can see need not be kept: that, and not the time, is why windows are interesting here.
"""
from __future__ import annotations

import torch

from mixers.shape import Shape
from mqar import splitmix64


def random_blocks(shape: Shape, block: int) -> list[int]:
    """BigBird's random blocks: for each block of queries some blocks before its window, always the same ones."""
    before = block + 1 - shape.window // shape.block  # this many blocks end before the window begins
    return [splitmix64(block * shape.random_blocks + j + 1) % before for j in range(shape.random_blocks)] if before > 0 else []


def seen(kind: str, shape: Shape, kv_head: int, t: int) -> list[int]:
    """The positions that the token at t sees through this KV head, in order."""
    if kind == "local":
        return list(range(max(0, t - shape.window + 1), t + 1))
    if kind == "strided":  # the newest ones, and every stride-th of all
        return [s for s in range(t + 1) if t - s < shape.stride or (t - s) % shape.stride == 0]
    if kind == "dilated":  # one head looks near, the other in wider steps as far as its window has places
        step = 1 if kv_head == 0 else shape.dilation
        return [s for s in range(t + 1) if (t - s) % step == 0 and t - s < shape.window * step]
    if kind == "bigbird":
        own = t // shape.block
        blocks = {0, *random_blocks(shape, own), *range(own + 1 - shape.window // shape.block, own + 1)}
        return [s for s in range(t + 1) if s // shape.block in blocks]
    return list(range(t + 1))


def mask(kind: str, shape: Shape, length: int, chosen: torch.Tensor, device: torch.device) -> torch.Tensor:
    """The same as booleans, [Hkv or 1, T, T]. chosen: `chosen_blocks`, for bigbird."""
    t = torch.arange(length, device=device)[:, None]
    s = torch.arange(length, device=device)[None]
    past = s <= t
    if kind == "local":
        return (past & (t - s < shape.window))[None]
    if kind == "strided":
        return (past & ((t - s < shape.stride) | ((t - s) % shape.stride == 0)))[None]
    if kind == "dilated":
        far = ((t - s) % shape.dilation == 0) & (t - s < shape.window * shape.dilation)
        return torch.stack([past & (t - s < shape.window), past & far])
    if kind == "bigbird":
        bt, bs = t // shape.block, s // shape.block
        near = bt - bs < shape.window // shape.block
        return (past & (near | (bs == 0) | (bs[..., None] == chosen[bt]).any(-1)))[None]
    return past[None]


def chosen_blocks(shape: Shape) -> torch.Tensor:
    """[blocks of the context, random_blocks]; -1 where there is none."""
    rows = [random_blocks(shape, b) for b in range(-(-shape.context_length // shape.block))]
    return torch.tensor([r or [-1] * shape.random_blocks for r in rows])
