#!/usr/bin/env python3
"""A PyTorch decoder that hands its cache round as past_key_values, checked against itself and the reference.

    python3 torch_past_key_values.py                     a decoder in plain PyTorch, 50 lines of it
    python3 torch_past_key_values.py --bug positions     the same with a mistake, and the first number that it changes
    python3 torch_past_key_values.py --transformers      LlamaForCausalLM of the library transformers, with these weights

Nothing is hooked into the model: its logits are recorded, and the keys and values that past_key_values hold for
the newest tokens. That is enough for any model with this convention.
Bugs: positions (position ids restart in every call), mask (a prompt sees its future), window (only the last eight
keys are kept), stale (the newest token's key and value are not kept). Options: --model FILE (a llama), --prompt
TEXT, -n STEPS, --tolerance X. Needs: kvlab, numpy, torch (the build for CPUs will do); for --transformers that, too.
Exit codes: 0 all as it should be, 1 a difference, 2 usage, 77 torch or transformers is not installed.
"""
from __future__ import annotations

import argparse
import inspect
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

import kvlab
from numpy_decoder import greedy, record_reference, tell

try:
    import torch
    import torch.nn.functional as F
except ImportError:
    print("torch_past_key_values: torch is not installed", file=sys.stderr)
    sys.exit(77)

BUGS = ("positions", "mask", "window", "stale")
WINDOW = 8
Past = Any  # None, or for each layer its keys and values [1, Hkv, S, D]
Forward = Callable[[torch.Tensor, Past], tuple[torch.Tensor, Past]]  # tokens [1, T], past -> logits [1, T, V], past


class Decoder:
    def __init__(self, model: kvlab.Model, bug: str = "") -> None:
        self.c, self.bug = model.config, bug
        self.w = {name: torch.from_numpy(values) for name, values in model.tensors().items()}

    def rotate(self, x: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """RoPE on [1, H, T, D], neighbours 2i and 2i + 1."""
        d = self.c.rope_dim
        angle = positions.double()[:, None] * self.c.rope_base ** (-torch.arange(0, d, 2).double() / d)
        cos, sin, y = angle.cos().float(), angle.sin().float(), x.clone()
        y[..., 0:d:2] = x[..., 0:d:2] * cos - x[..., 1:d:2] * sin
        y[..., 1:d:2] = x[..., 0:d:2] * sin + x[..., 1:d:2] * cos
        return y

    def attention(self, n: int, h: torch.Tensor, past: Past) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
        T, length = h.shape[1], 0 if past is None else past[n][0].shape[2]
        q, k, v = (F.linear(h, self.w[f"blk.{n}.attn_{name}.weight"]).view(1, T, -1, self.c.head_dim).transpose(1, 2)
                   for name in "qkv")
        positions = torch.arange(T) + (0 if self.bug == "positions" else length)
        q, k = self.rotate(q, positions), self.rotate(k, positions)
        if past is not None:
            k, v = torch.cat([past[n][0], k], dim=2), torch.cat([past[n][1], v], dim=2)
        group, S = self.c.heads // self.c.kv_heads, k.shape[2]
        mask = torch.ones(T, S, dtype=torch.bool)
        if self.bug != "mask":
            mask = mask.tril(S - T)
        mixed = F.scaled_dot_product_attention(q, k.repeat_interleave(group, 1), v.repeat_interleave(group, 1), mask)
        kept = slice(-WINDOW, None) if self.bug == "window" else slice(0, S - (self.bug == "stale" and past is not None))
        out = F.linear(mixed.transpose(1, 2).reshape(1, T, -1), self.w[f"blk.{n}.attn_output.weight"])
        return out, (k[:, :, kept], v[:, :, kept])

    def __call__(self, tokens: torch.Tensor, past: Past = None) -> tuple[torch.Tensor, Past]:
        def norm(x: torch.Tensor, name: str) -> torch.Tensor:
            return F.rms_norm(x, (self.c.dim,), self.w[name], self.c.norm_eps)

        x, present = F.embedding(tokens, self.w["token_embd.weight"]), []
        for n in range(self.c.layers):
            branch, kept = self.attention(n, norm(x, f"blk.{n}.attn_norm.weight"), past)
            present.append(kept)
            x = x + branch
            h = norm(x, f"blk.{n}.ffn_norm.weight")
            hidden = F.silu(F.linear(h, self.w[f"blk.{n}.ffn_gate.weight"])) * F.linear(h, self.w[f"blk.{n}.ffn_up.weight"])
            x = x + F.linear(hidden, self.w[f"blk.{n}.ffn_down.weight"])
        head = "token_embd.weight" if self.c.tied_output else "output.weight"
        return F.linear(norm(x, "output_norm.weight"), self.w[head]), tuple(present)


def halves(heads: int, width: int) -> torch.Tensor:
    """transformers turns halves of a head, GGUF neighbours: row i of a head comes from here."""
    order = torch.cat([torch.arange(0, width, 2), torch.arange(1, width, 2)])
    return (torch.arange(heads)[:, None] * width + order).flatten()


def of_transformers(model: kvlab.Model) -> Forward:
    """LlamaForCausalLM with the weights of the file."""
    from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM
    c = model.config
    llama = LlamaForCausalLM(LlamaConfig(
        vocab_size=c.vocab, hidden_size=c.dim, intermediate_size=c.ffn, num_hidden_layers=c.layers, num_attention_heads=c.heads,
        num_key_value_heads=c.kv_heads, head_dim=c.head_dim, max_position_embeddings=c.context, rms_norm_eps=c.norm_eps,
        rope_theta=c.rope_base, tie_word_embeddings=c.tied_output)).eval()
    names = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
    inside = {"attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
              "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj", "ffn_norm": "post_attention_layernorm",
              "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}
    state = {}
    for name, values in model.tensors().items():
        _, n, part = ("", "", name.split(".")[0]) if not name.startswith("blk.") else name.split(".")[:3]
        values = torch.from_numpy(values)
        if part in ("attn_q", "attn_k"):
            values = values[halves(c.heads if part == "attn_q" else c.kv_heads, c.head_dim)]
        state[f"model.layers.{n}.{inside[part]}.weight" if n else f"{names[part]}.weight"] = values
    if c.tied_output:
        state["lm_head.weight"] = state["model.embed_tokens.weight"]
    llama.load_state_dict(state)
    back = torch.argsort(halves(1, c.head_dim))
    # Its newer versions call the argument otherwise.
    argument = "cache" if "cache" in inspect.signature(llama.forward).parameters else "past_key_values"

    def forward(tokens: torch.Tensor, past: Past = None) -> tuple[torch.Tensor, Past]:
        cache = past[0] if past is not None else DynamicCache(config=llama.config)
        out = llama(input_ids=tokens, use_cache=True, **{argument: cache})
        kept = [(layer.keys[..., back], layer.values) for layer in cache.layers]
        return out.logits, (cache, *kept)  # the library's own, then keys and values as in the file

    return forward


def record(forward: Forward, c: kvlab.Config, prompt: list[int], text: list[int], cached: bool) -> kvlab.Recording:
    """The prompt as one step, then a step for each further token: its logits, and the newest keys and values."""
    recording, past, fed = kvlab.Recording(c.head_dim), None, 0
    for end in range(len(prompt), len(text) + 1):
        if not cached:
            past, fed = None, 0
        with torch.no_grad():
            logits, past = forward(torch.tensor([text[fed:end]]), past)
        positions = list(range(fed, end))
        for n, (k, v) in enumerate(past[-c.layers:]):
            for op, rows in (("key", k), ("value", v)):
                newest = rows[0, :, -len(positions):].transpose(0, 1)  # [T, Hkv, D], or fewer if not all were kept
                recording.add(op, np.ascontiguousarray(newest.reshape(len(newest), -1).numpy()), n, positions[-len(newest):])
        recording.add("logits", logits[0].contiguous().numpy(), positions=positions)
        recording.end_step()
        fed = end
    return recording


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=str(kvlab.tiny_model()))
    parser.add_argument("--prompt", default="In the beginning")
    parser.add_argument("-n", "--steps", type=int, default=12)
    parser.add_argument("--bug", choices=BUGS, default="")
    parser.add_argument("--transformers", action="store_true")
    parser.add_argument("--tolerance", type=float, default=1e-4)
    args = parser.parse_args()
    if args.steps < 1 or not args.tolerance >= 0 or (args.bug and args.transformers):
        parser.error("--steps: at least 1; --tolerance: 0 or more; --bug: of the decoder here, not of transformers")
    try:
        model = kvlab.Model(args.model)
        if model.config.architecture != "llama":
            raise ValueError(f"{args.model}: expected a llama, found {model.config.architecture}")
        forward = of_transformers(model) if args.transformers else Decoder(model, args.bug)
        prompt = model.encode(args.prompt)
        text = greedy(model, prompt, args.steps)
        cached, uncached = (record(forward, model.config, prompt, text, way) for way in (True, False))
    except ModuleNotFoundError as error:
        print(f"torch_past_key_values: {error}", file=sys.stderr)
        return 77
    except (kvlab.Error, ValueError, OSError) as error:
        print(f"torch_past_key_values: {error}", file=sys.stderr)
        return 1
    ok = tell("cached and uncached, both PyTorch", uncached, cached, args.tolerance)
    ok = tell("the reference and PyTorch, cached", record_reference(model, prompt, text), cached, args.tolerance) and ok
    tell("for information: cached and uncached", uncached, cached, 0)
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
