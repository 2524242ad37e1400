#!/usr/bin/env python3
"""Writes logits of the models, computed by their definitions (step by step), for the tests of other implementations.

    python3 weights/mixers/reference.py weights/mixers/gqa.gguf ...     # -> weights/mixers/reference/gqa.json ...

The input is BOS and then the first 199 bytes of TEXT: pairs, English, and the questions. A file holds

    {"model", "text", "arithmetic", "best": [the token with the largest logit, for each of the 200 rows],
     "tokens": [eight tokens], "rows": {row: [their logits]}, "last": [all logits of the last row],
     "float64_max_abs_error": how far the same steps in float64 come out, a measure of what rounding does,
     "margin": where a mixer chooses (buckets, top k), by how little it chose; null where none does}

Where the margin is not much larger than the error, another order of summation may choose otherwise, and then compute
something else.
Needs: PyTorch, gguf.
"""
from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import torch

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from export import read_gguf  # noqa: E402
from mixers.decoder import Decoder  # noqa: E402
from tasks import BOS  # noqa: E402

TEXT = (b"qz=7;ab=k;xy=3;mm=p;And the evening and the morning were the third day, and there was light upon the waters of the "
        b"earth, as it is written in the book of the generations; ab?k;qz?7;mm?p;xy?3;and they went")
TOKENS = (0, 32, 51, 55, 97, 101, 107, 112)


def run(model: Decoder, tokens: list[int]) -> tuple[torch.Tensor, float | None]:
    """Logits [T, V], and the smallest margin of all choices."""
    states = model.start()
    logits = torch.stack([model.step(token, t, states) for t, token in enumerate(tokens)])
    margins = [state["margin"] for state in states if "margin" in state]
    return logits, min(margins, default=None)


def reference(path: Path) -> dict:
    model, tokens = read_gguf(path), [BOS, *TEXT[:199]]
    assert isinstance(model, Decoder) and len(tokens) == 200
    single, margin = run(model, tokens)
    double, _ = run(model.double(), tokens)
    rounded = lambda row: [float(f"{x:.8g}") for x in row.tolist()]
    return {"model": path.name, "text": TEXT[:199].decode(), "arithmetic": f"PyTorch {torch.__version__}, float32, step by step",
            "best": single.argmax(-1).tolist(), "tokens": list(TOKENS),
            "rows": {str(t): rounded(single[t, list(TOKENS)]) for t in range(0, 200, 8)}, "last": rounded(single[-1]),
            "float64_max_abs_error": (single.double() - double).abs().max().item(), "margin": margin}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, default=HERE / "reference")
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    for path in args.models:
        result = reference(path)
        (args.out / f"{path.stem}.json").write_text(json.dumps(result) + "\n")
        print(f"{path.stem}: float64 differs by at most {result['float64_max_abs_error']:.2e}, margin {result['margin']}")


if __name__ == "__main__":
    main()
