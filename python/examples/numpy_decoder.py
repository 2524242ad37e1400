#!/usr/bin/env python3
"""A decoder in plain NumPy with a KV cache of its own, checked against itself and against the reference.

    python3 numpy_decoder.py                       with its cache and without, then beside the reference
    python3 numpy_decoder.py --bug positions       the same with a mistake, and the first number that it changes
    python3 numpy_decoder.py --rows many           all rows of a step in one product, as one would write it

Bugs: positions (they restart behind the prompt), late (a token does not see itself), heads (query heads read the
wrong KV head), scale (one over the square root is left out). Options: --model FILE (a llama), --prompt TEXT,
-n STEPS, --tolerance X, --trace FILE (writes the cached run as a trace). Needs: kvlab, numpy.
Exit codes: 0 all as it should be, 1 a difference, 2 usage.
"""
from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

import numpy as np

import kvlab
import kvlab.trace

BUGS = ("positions", "late", "heads", "scale")
Observe = Callable[[str, int, np.ndarray, list[int]], None]  # operator, layer, rows, positions


class Cache:
    """Keys and values of each layer, [S, Hkv, D], and how many tokens they are of."""

    def __init__(self, layers: int, heads: int, width: int) -> None:
        self.k = [np.zeros((0, heads, width), np.float32) for _ in range(layers)]
        self.v = [np.zeros((0, heads, width), np.float32) for _ in range(layers)]
        self.length = 0

    def append(self, layer: int, k: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self.k[layer], self.v[layer] = np.concatenate([self.k[layer], k]), np.concatenate([self.v[layer], v])
        return self.k[layer], self.v[layer]


class Decoder:
    def __init__(self, model: kvlab.Model, bug: str = "", one_row: bool = True) -> None:
        self.c, self.w, self.bug = model.config, model.tensors(), bug
        self.one_row = one_row

    def cache(self) -> Cache:
        return Cache(self.c.layers, self.c.kv_heads, self.c.head_dim)

    def linear(self, x: np.ndarray, name: str) -> np.ndarray:
        """x [T, K] -> [T, N]. A library takes another kernel for many rows than for one, and it rounds otherwise: so
        here each row is a product of its own, unless that is what you want to see (--rows many)."""
        matrix = self.w[name].T
        return np.stack([row @ matrix for row in x]) if self.one_row else x @ matrix

    def norm(self, x: np.ndarray, name: str) -> np.ndarray:
        return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + np.float32(self.c.norm_eps)) * self.w[name]

    def rotate(self, x: np.ndarray, positions: list[int]) -> np.ndarray:
        """RoPE on heads [T, H, D]: neighbours 2i and 2i + 1 are turned by the position times base^(-2i / D)."""
        d = self.c.rope_dim
        angle = np.outer(positions, self.c.rope_base ** (-np.arange(0, d, 2) / d))[:, None, :]
        cos, sin = np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)
        y = x.copy()
        y[..., 0:d:2] = x[..., 0:d:2] * cos - x[..., 1:d:2] * sin
        y[..., 1:d:2] = x[..., 0:d:2] * sin + x[..., 1:d:2] * cos
        return y

    def attend(self, q: np.ndarray, k: np.ndarray, v: np.ndarray, past: int) -> np.ndarray:
        """q [T, Hq, D] over k and v [S, Hkv, D]: query t sees the tokens 0 to past + t."""
        group = self.c.heads // self.c.kv_heads
        out = np.empty_like(q)
        for t in range(len(q)):
            seen = past + t + (0 if self.bug == "late" and past + t > 0 else 1)
            for h in range(self.c.heads):
                kv = h % self.c.kv_heads if self.bug == "heads" else h // group
                scores = k[:seen, kv] @ q[t, h]
                weights = np.exp(scores - scores.max())
                out[t, h] = weights @ v[:seen, kv] / weights.sum()
        return out

    def forward(self, tokens: list[int], cache: Cache, observe: Observe = lambda *_: None) -> np.ndarray:
        """The logits [T, V] of the tokens behind those of the cache. Without a cache: give an empty one and the whole
        text. `observe` is told what each operator produced, under the names that traces have."""
        c, past, T = self.c, cache.length, len(tokens)
        positions = list(range(past, past + T))
        angles = list(range(T)) if self.bug == "positions" else positions
        scale = 1.0 if self.bug == "scale" else 1 / np.sqrt(c.head_dim)

        def seen(op: str, layer: int, rows: np.ndarray) -> np.ndarray:
            observe(op, layer, rows.reshape(T, -1), positions)
            return rows

        x = seen("embedding", -1, self.w["token_embd.weight"][tokens])
        for n in range(c.layers):
            h = seen("attention_norm", n, self.norm(x, f"blk.{n}.attn_norm.weight"))
            q, k, v = (self.linear(h, f"blk.{n}.attn_{name}.weight").reshape(T, -1, c.head_dim) for name in "qkv")
            q, k = self.rotate(q, angles), self.rotate(k, angles)
            # The reference records queries with its scale, which counts in powers of two.
            seen("query", n, q * np.float32(scale * np.log2(np.e)))
            seen("key", n, k), seen("value", n, v)
            keys, values = cache.append(n, k, v)
            mixed = seen("attention", n, self.attend(q * np.float32(scale), keys, values, past))
            branch = seen("attention_out", n, self.linear(mixed.reshape(T, -1), f"blk.{n}.attn_output.weight"))
            x = seen("attention_add", n, x + branch)
            h = seen("ffn_norm", n, self.norm(x, f"blk.{n}.ffn_norm.weight"))
            gate, up = self.linear(h, f"blk.{n}.ffn_gate.weight"), self.linear(h, f"blk.{n}.ffn_up.weight")
            hidden = seen("ffn_hidden", n, gate / (1 + np.exp(-gate)) * up)
            x = seen("ffn_add", n, x + seen("ffn_out", n, self.linear(hidden, f"blk.{n}.ffn_down.weight")))
        cache.length += T
        head = "token_embd.weight" if c.tied_output else "output.weight"
        return seen("logits", -1, self.linear(seen("final_norm", -1, self.norm(x, "output_norm.weight")), head))


def record(decoder: Decoder, prompt: list[int], text: list[int], cached: bool) -> kvlab.Recording:
    """The prompt as one step, then a step for each further token of the text."""
    recording, cache = kvlab.Recording(decoder.c.head_dim), decoder.cache()
    for end in range(len(prompt), len(text) + 1):
        if not cached:
            cache = decoder.cache()
        decoder.forward(text[cache.length:end], cache,
                        lambda op, layer, rows, positions: recording.add(op, rows, layer, positions))
        recording.end_step()
    return recording


def record_reference(model: kvlab.Model, prompt: list[int], text: list[int]) -> kvlab.Recording:
    recording, cache = kvlab.Recording(model.config.head_dim), model.cache(len(text))
    for end in range(len(prompt), len(text) + 1):
        cache.decode(text[len(cache):end], record=recording)
    return recording


def greedy(model: kvlab.Model, prompt: list[int], steps: int) -> list[int]:
    """The prompt and what the reference goes on with: every run below is fed this text."""
    text, cache = list(prompt), model.cache(len(prompt) + steps)
    for _ in range(steps - 1):
        text.append(int(cache.decode(text[len(cache):], last=True).argmax()))
    return text


def write_trace(path: str, decoder: Decoder, prompt: list[int], text: list[int]) -> None:
    """The cached run as a file, for step03_kvcache diverge --traces."""
    cache = decoder.cache()
    with kvlab.trace.Writer(path, model=decoder.c.name, engine="numpy", head_dim=decoder.c.head_dim, prompt=prompt) as trace:
        for end in range(len(prompt), len(text) + 1):
            rows = decoder.forward(text[cache.length:end], cache,
                                   lambda op, layer, rows, positions: trace.operator(op, rows, positions, layer))
            trace.end_step(int(rows[-1].argmax()))


def tell(what: str, a: kvlab.Recording, b: kvlab.Recording, tolerance: float) -> bool:
    """Prints the first difference of two recordings; True if there is none."""
    found = kvlab.first_difference(a, b, tolerance)
    bound = f"to {tolerance:g}" if tolerance else "every bit"
    if found is None:
        print(f"{what}, {bound}: no difference")
        return True
    print(f"{what}, {bound}: {found.differ} of {found.floats} floats differ\n    first: {found}\n    likely: {found.likely}")
    return False


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=str(kvlab.tiny_model()))
    parser.add_argument("--prompt", default="In the beginning")
    parser.add_argument("-n", "--steps", type=int, default=12)
    parser.add_argument("--bug", choices=BUGS, default="")
    parser.add_argument("--rows", choices=("one", "many"), default="one")
    parser.add_argument("--tolerance", type=float, default=1e-4)
    parser.add_argument("--trace")
    args = parser.parse_args()
    if args.steps < 1 or not args.tolerance >= 0:
        parser.error("--steps: at least 1; --tolerance: 0 or more")
    try:
        model = kvlab.Model(args.model)
        if model.config.architecture != "llama":
            raise ValueError(f"{args.model}: expected a llama, found {model.config.architecture}")
        decoder, prompt = Decoder(model, args.bug, args.rows == "one"), model.encode(args.prompt)
        text = greedy(model, prompt, args.steps)
        cached, uncached = record(decoder, prompt, text, True), record(decoder, prompt, text, False)
        ok = tell("cached and uncached, both NumPy", uncached, cached, args.tolerance)
        ok = tell("the reference and NumPy, cached", record_reference(model, prompt, text), cached, args.tolerance) and ok
        tell("for information: cached and uncached", uncached, cached, 0)
        if args.trace:
            write_trace(args.trace, decoder, prompt, text)
    except (kvlab.Error, ValueError, OSError) as error:
        print(f"numpy_decoder: {error}", file=sys.stderr)
        return 1
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
