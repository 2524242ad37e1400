#!/usr/bin/env python3
"""How much the scores of chapter 8's models depend on the seed of their training: a table, and with --json a report.

    python3 tools/seeds.py [--json FILE] [--models FOLDER]

Reads weights/mixers/NAME_scores.json, seed 1, and weights/mixers/seeds/NAME_N_scores.json, which weights/evaluate.py wrote. Standard
library only. Exit code 0: done. 1: there is no score, or a file that is none. 2: wrong usage.
"""
from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def read(path: Path, seed: int) -> dict:
    try:
        scores = json.loads(path.read_text(encoding="utf-8"))
        return {"seed": seed, "recall_mean": scores["recall_mean"], "bits_per_byte": scores["bits_per_byte"], "recall": scores["accuracy"]["recall"]}
    except (OSError, ValueError, KeyError, TypeError) as problem:
        sys.exit(f"seeds.py: {path}: no scores of weights/evaluate.py: {problem}")


def models_of(folder: Path) -> list[dict]:
    """All models that have a score, by name, each with its seeds in order."""
    found: dict[str, list[dict]] = {}
    paths = [(path.stem.removesuffix("_scores"), 1, path) for path in folder.glob("*_scores.json")]
    for path in folder.glob("seeds/*_scores.json"):
        name = re.fullmatch(r"(\w+)_(\d+)_scores", path.stem)
        if name:
            paths.append((name[1], int(name[2]), path))
    for name, seed, path in sorted(paths):
        found.setdefault(name, []).append(read(path, seed))
    return [{"model": name, "seeds": seeds} for name, seeds in found.items()]


def spread(values: list[float]) -> str:
    """Mean, least and most."""
    return f"{statistics.mean(values):8.4f} {min(values):8.4f} {max(values):8.4f}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, default=ROOT / "weights" / "mixers", help="folder of the models (default: weights/mixers)")
    parser.add_argument("--json", type=Path, help="write the report to this file")
    args = parser.parse_args()
    models = models_of(args.models)
    if not models:
        sys.exit(f"seeds.py: {args.models}: no *_scores.json is there")
    several = [model for model in models if len(model["seeds"]) > 1]
    print("  model        seeds   recall: mean    least     most   bits/byte: mean    least     most")
    for model in several:
        recall, bits = ([seed[key] for seed in model["seeds"]] for key in ("recall_mean", "bits_per_byte"))
        print(f"  {model['model']:<12} {len(recall):5}       {spread(recall)}          {spread(bits)}")
    alone = [model["model"] for model in models if len(model["seeds"]) == 1]
    if alone:
        print("  from one seed alone: " + ", ".join(alone))
    if args.json:
        args.json.write_text(json.dumps({"schema": 1, "experiment": "seeds", "models": models}, indent=1) + "\n", encoding="utf-8")
    print(f"RESULT models={len(models)} with_seeds={len(several)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
