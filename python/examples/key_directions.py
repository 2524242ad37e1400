#!/usr/bin/env python3
"""Do keys share fewer directions after RoPE than before it? The question of chapter 6's latents, asked of a model's own keys.

    python3 key_directions.py weights/deep.gguf weights/heldout.txt --skip 8193

Runs windows of the text through numpy_decoder's forward pass, collects the keys of all heads of a layer before RoPE and after it, and
prints how many directions hold 90 % and 99 % of their energy (the sum of the squared singular values), and how much half of the directions
hold. --skip N: tokens of the text that are left out, --windows N (8), --window N (512), --json FILE. Needs: kvlab, numpy.
"""
from __future__ import annotations

import argparse
import json
import pathlib

import numpy as np

import kvlab
from numpy_decoder import Decoder

SHARES = (0.9, 0.99)


class Watched(Decoder):
    """Adds up the products of keys with themselves, [N, N] for each layer, before RoPE and after it."""

    def __init__(self, model: kvlab.Model) -> None:
        super().__init__(model, one_row=False)
        n = self.c.kv_heads * self.c.head_dim
        self.products = np.zeros((2, self.c.layers, n, n))
        self.before = np.zeros((0, n))

    def rotate(self, x: np.ndarray, positions: list[int]) -> np.ndarray:
        self.before = x.reshape(len(x), -1)  # the keys are rotated last
        return super().rotate(x, positions)

    def attend(self, q: np.ndarray, k: np.ndarray, v: np.ndarray, past: int) -> np.ndarray:
        """As Decoder.attend, all rows at once."""
        group, out = self.c.heads // self.c.kv_heads, np.empty_like(q)
        later = np.triu(np.full((len(q), len(k)), -np.inf, np.float32), past + 1)
        for h in range(self.c.heads):
            scores = q[:, h] @ k[:, h // group].T + later
            weights = np.exp(scores - scores.max(axis=1, keepdims=True))
            out[:, h] = weights @ v[:, h // group] / weights.sum(axis=1, keepdims=True)
        return out

    def see(self, op: str, layer: int, rows: np.ndarray, positions: list[int]) -> None:
        if op == "key":
            for side, keys in enumerate((self.before, rows)):
                self.products[side, layer] += keys.astype(float).T @ keys.astype(float)


def energies(products: np.ndarray) -> np.ndarray:
    """Of the first r directions, for r = 1 to N: their share of all squared singular values."""
    squares = np.linalg.eigvalsh(products)[::-1]
    return np.cumsum(squares) / squares.sum()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("text")
    parser.add_argument("--skip", type=int, default=0)
    parser.add_argument("--windows", type=int, default=8)
    parser.add_argument("--window", type=int, default=512)
    parser.add_argument("--json")
    args = parser.parse_args()
    model = kvlab.Model(args.model)
    watched = Watched(model)
    first, *tokens = model.encode(pathlib.Path(args.text).read_text(encoding="utf-8"))  # the first begins every text
    for w in range(args.windows):
        at = args.skip + w * args.window
        watched.forward([first, *tokens[at:at + args.window - 1]], watched.cache(), watched.see)
    n = watched.products.shape[-1]
    print(f"{model.config.name}: keys of {args.windows} windows of {args.window} tokens; directions, of {n}, that hold 90 % and 99 % of their energy\n"
          f"  {'layer':<7}{'before RoPE':>13}{'after RoPE':>13}{'half of them hold':>20}{'after RoPE':>13}")
    rows = []
    for layer in range(model.config.layers):
        row: dict[str, object] = {"row": f"layer {layer}"}
        for side, name in enumerate(("before", "after")):
            held = energies(watched.products[side, layer])
            for share in SHARES:
                row[f"{name}_{share * 100:.0f}"] = int(np.searchsorted(held, share - 1e-12)) + 1
            row[f"{name}_half"] = float(held[n // 2 - 1])
        rows.append(row)
        print(f"  {layer:<7}" + "".join(f"{row[f'{name}_90']:>9}{row[f'{name}_99']:>4}" for name in ("before", "after"))
              + f"{row['before_half']:>19.2%} {row['after_half']:>12.2%}")
    if args.json:
        report = {"experiment": "key_directions.py", "model": model.config.name, "windows": args.windows, "window": args.window, "size": n, "rows": rows}
        pathlib.Path(args.json).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
