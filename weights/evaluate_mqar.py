#!/usr/bin/env python3
"""Scores of a model on multi-query associative recall (mqar.py): the share of right answers for each length and number of pairs.

    python3 weights/evaluate_mqar.py weights/mixers/mqar/gqa.gguf --json weights/mixers/mqar/gqa_scores.json

A checkpoint of train.py is read as well as a GGUF file. The cases are those of seed 1, which no training sees; the C++
engine measures the same. Lengths above 256 were not trained: there it shows whether a memory that was learnt on short
sequences carries over longer ones.
"""
from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch

from export import read_gguf
from mixers.decoder import Decoder
from mqar import LONGER, TEST_CASES, TEST_SEED, TRAINED, make_case
from train import new_model

TOKENS_AT_ONCE = 16384


@torch.no_grad()
def right_answers(model: Decoder, length: int, pairs: int, cases: int) -> int:
    right, at_once = 0, max(1, TOKENS_AT_ONCE // length)
    for begin in range(0, cases, at_once):
        part = [make_case(TEST_SEED, length, pairs, c) for c in range(begin, min(cases, begin + at_once))]
        data = torch.tensor([tokens for tokens, _ in part])
        best = model(data[:, :-1]).argmax(-1)
        for row, (_, answers) in enumerate(part):
            right += (best[row, answers] == data[row, [j + 1 for j in answers]]).sum().item()
    return right


def read(path: Path) -> Decoder:
    if path.suffix == ".gguf":
        model = read_gguf(path)
    else:
        state = torch.load(path, weights_only=True, map_location="cpu")
        model = new_model(state["name"], state.get("task", "text"), state.get("width", 64), state.get("short_conv", 0))
        model.load_state_dict(state["model"])
    if not isinstance(model, Decoder) or not model.cfg.name.startswith("mqar-"):
        raise SystemExit(f"evaluate_mqar.py: {path}: not a model that was trained with --task mqar")
    return model.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--json", type=Path, help="write the scores to this file")
    parser.add_argument("--cases", type=int, default=TEST_CASES, help=f"of each cell (default: {TEST_CASES})")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    model, rows = read(args.model), []
    for length, pairs in (*TRAINED, *LONGER):
        right, answers = right_answers(model, length, pairs, args.cases), args.cases * pairs
        rows.append({"length": length, "pairs": pairs, "trained": (length, pairs) in TRAINED, "answers": answers,
                     "right": right, "accuracy": round(right / answers, 4)})
    scores = {"model": args.model.name, "family": model.cfg.name.removeprefix("mqar-"), "d": model.cfg.embedding_length,
              "cases": args.cases, "rows": rows, "torch": torch.__version__}
    print(json.dumps(scores, indent=1))
    if args.json:
        args.json.write_text(json.dumps(scores, indent=1) + "\n")


if __name__ == "__main__":
    main()
