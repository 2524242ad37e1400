"""A llama decoder in PyTorch, exactly as GGUF's `llama` architecture defines it: the model of train.py.

It is written for training: all positions of a sequence at once, and nothing is cached.
"""
from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn as nn
import torch.nn.functional as F


@dataclass(frozen=True)
class Config:
    """The shape of a llama decoder; the names are GGUF's."""

    name: str
    vocab_size: int
    embedding_length: int
    block_count: int
    head_count: int
    head_count_kv: int
    feed_forward_length: int
    context_length: int = 512
    rope_freq_base: float = 10000.0
    rms_epsilon: float = 1e-5

    @property
    def head_dim(self) -> int:
        return self.embedding_length // self.head_count


CONFIGS = {
    "tiny": Config("tiny", 256, 64, 2, 4, 2, 172),
    "deep": Config("deep", 256, 128, 8, 4, 2, 352),
}


def rope_table(cfg: Config, length: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosine and sine of position * base^(-2i/head_dim), each [length, head_dim/2]."""
    i = torch.arange(cfg.head_dim // 2, dtype=torch.float64)
    angle = torch.arange(length, dtype=torch.float64)[:, None] * cfg.rope_freq_base ** (-2 * i / cfg.head_dim)
    return angle.cos().float(), angle.sin().float()


def rms_norm(x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps) * weight


class Block(nn.Module):
    """One layer: x += attention(norm(x)); x += feed_forward(norm(x))."""

    def __init__(self, cfg: Config) -> None:
        super().__init__()
        c, f, d = cfg.embedding_length, cfg.feed_forward_length, cfg.head_dim
        self.cfg = cfg
        self.attn_norm = nn.Parameter(torch.ones(c))
        self.attn_q = nn.Parameter(torch.empty(cfg.head_count * d, c))
        self.attn_k = nn.Parameter(torch.empty(cfg.head_count_kv * d, c))
        self.attn_v = nn.Parameter(torch.empty(cfg.head_count_kv * d, c))
        self.attn_output = nn.Parameter(torch.empty(c, cfg.head_count * d))
        self.ffn_norm = nn.Parameter(torch.ones(c))
        self.ffn_gate = nn.Parameter(torch.empty(f, c))
        self.ffn_up = nn.Parameter(torch.empty(f, c))
        self.ffn_down = nn.Parameter(torch.empty(c, f))
        # RoPE turns the ADJACENT pairs (2i, 2i+1) of a head. Halves are quicker to turn, so the rows of
        # q and k are taken in the order 0, 2, 4, ..., 1, 3, 5, ...: q.k does not notice, the weights stay
        # in GGUF's order.
        order = torch.cat([torch.arange(0, d, 2), torch.arange(1, d, 2)])
        rows = lambda heads: (torch.arange(heads)[:, None] * d + order).flatten()
        self.register_buffer("q_rows", rows(cfg.head_count), persistent=False)
        self.register_buffer("k_rows", rows(cfg.head_count_kv), persistent=False)

    def forward(self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        cfg, (b, t, c) = self.cfg, x.shape
        d, group = cfg.head_dim, cfg.head_count // cfg.head_count_kv
        h = rms_norm(x, self.attn_norm, cfg.rms_epsilon)
        weight = torch.cat([self.attn_q[self.q_rows], self.attn_k[self.k_rows], self.attn_v])
        q, k, v = (h @ weight.T).view(b, t, -1, d).split([cfg.head_count, cfg.head_count_kv, cfg.head_count_kv], 2)

        def rope(y: torch.Tensor) -> torch.Tensor:
            y0, y1 = y.chunk(2, -1)
            co, si = cos[:t, None], sin[:t, None]
            return torch.cat([y0 * co - y1 * si, y0 * si + y1 * co], -1).transpose(1, 2)

        k, v = rope(k).repeat_interleave(group, 1), v.transpose(1, 2).repeat_interleave(group, 1)
        a = F.scaled_dot_product_attention(rope(q), k, v, is_causal=True)
        x = x + a.transpose(1, 2).reshape(b, t, c) @ self.attn_output.T
        h = rms_norm(x, self.ffn_norm, cfg.rms_epsilon)
        gate, up = (h @ torch.cat([self.ffn_gate, self.ffn_up]).T).chunk(2, -1)
        return x + (F.silu(gate) * up) @ self.ffn_down.T


class Llama(nn.Module):
    """tokens [B, T] -> logits [B, T, V]."""

    def __init__(self, cfg: Config) -> None:
        super().__init__()
        self.cfg = cfg
        self.token_embd = nn.Parameter(torch.empty(cfg.vocab_size, cfg.embedding_length))
        self.blk = nn.ModuleList(Block(cfg) for _ in range(cfg.block_count))
        self.output_norm = nn.Parameter(torch.ones(cfg.embedding_length))
        self.output = nn.Parameter(torch.empty(cfg.vocab_size, cfg.embedding_length))
        cos, sin = rope_table(cfg, cfg.context_length)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        for name, p in self.named_parameters():
            if p.ndim == 2:
                std = p.shape[1] ** -0.5
                if name.endswith(("attn_output", "ffn_down")):
                    std /= math.sqrt(2 * cfg.block_count)
                std = {"token_embd": 0.5, "output": 0.5 * std}.get(name, std)
                nn.init.normal_(p, 0.0, std)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.token_embd[tokens]
        for block in self.blk:
            x = block(x, self.cos, self.sin)
        return rms_norm(x, self.output_norm, self.cfg.rms_epsilon) @ self.output.T
