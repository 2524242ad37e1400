#!/usr/bin/env python3
"""The tables of MODELS.md: what the models of mixers/ score, taken from their files of scores, logs and weights.

    python3 weights/models_table.py            # do the tables say what the files say?
    python3 weights/models_table.py --write    # write them again, with all models that are there by now

A table stands between the lines `<!-- table: NAME -->` and `<!-- end of table -->`. Without --write, each of its rows has to
be what the files say; a model that the table does not have yet is no fault. Needs nothing but Python.
"""
from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from mqar import LONGER, TRAINED

HERE = Path(__file__).resolve().parent
PAGE, MIXERS = HERE / "MODELS.md", HERE / "mixers"
# The names of mixers/shape.py, which cannot be read without PyTorch; mixers_test.py compares.
ORDER = ("mha gqa mqa mla local strided dilated bigbird lsh indexed linear delta s4d mamba rwkv gqa4 cla yoco alternating jamba "
         "samba").split()
JUMP = 0.8  # pair recall has jumped when a test of the log, at distance 16, is above this
TABLE = re.compile(r"(<!-- table: (\w+) -->\n)(.*?)(<!-- end of table -->)", re.S)


def load(path: Path) -> dict:
    return json.loads(path.read_text())


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def percent(share: float) -> str:
    return f"{100 * share:.1f}"


def jump(log: list[dict]) -> str:
    """Millions of tokens until pair recall was there, by the tests of every 100 steps."""
    tests = ((x["tokens"], x["recall"]["16"]) for x in log if x.get("event") == "recall test")
    return next((f"{tokens / 1e6:.1f}" for tokens, near in tests if near > JUMP), "none")


def text_rows() -> Iterator[tuple[str, ...]]:
    yield ("model", "bytes of the file", "CPU minutes", "bits per byte", "recall, mean of 11 distances", "at 16", "at 480",
           "needle", "copy", "induction", "recall jumped after, million tokens")
    for name in ORDER:
        if not (MIXERS / f"{name}_scores.json").exists():
            continue
        scores, log = load(MIXERS / f"{name}_scores.json"), lines(MIXERS / f"{name}.jsonl")
        a, recall = scores["accuracy"], scores["accuracy"]["recall"]
        yield (name, str((MIXERS / f"{name}.gguf").stat().st_size), f"{log[-1]['cpu_seconds'] / 60:.1f}",
               f"{scores['bits_per_byte']:.3f}", percent(scores["recall_mean"]), percent(recall["16"]), percent(recall["480"]),
               *(percent(a[task]["0"]) for task in ("needle", "copy", "induction")), jump(log))


def seed_rows() -> Iterator[tuple[str, ...]]:
    yield "model", "bits per byte, seed 1", "2", "3", "recall, seed 1", "2", "3"
    for name in ORDER:
        paths = [MIXERS / f"{name}_scores.json", *(MIXERS / "seeds" / f"{name}_{n}_scores.json" for n in (2, 3))]
        if all(path.exists() for path in paths):
            scores = [load(path) for path in paths]
            yield name, *(f"{s['bits_per_byte']:.3f}" for s in scores), *(percent(s["recall_mean"]) for s in scores)


def short_rows() -> Iterator[tuple[str, ...]]:
    yield ("model", "bits per byte", "with --short-first", "recall", "with --short-first",
           "recall jumped after, million tokens", "with --short-first")
    for name in ORDER:
        if (MIXERS / "short_first" / f"{name}_scores.json").exists() and (MIXERS / f"{name}_scores.json").exists():
            folders = (MIXERS, MIXERS / "short_first")
            scores = [load(folder / f"{name}_scores.json") for folder in folders]
            logs = [lines(folder / f"{name}.jsonl") for folder in folders]
            yield (name, *(f"{s['bits_per_byte']:.3f}" for s in scores), *(percent(s["recall_mean"]) for s in scores),
                   *map(jump, logs))


def mqar_rows() -> Iterator[tuple[str, ...]]:
    found = {path.name.removesuffix("_scores.json"): load(path) for path in (MIXERS / "mqar").glob("*_scores.json")}
    yield "model", "d", *(f"{length}/{pairs}" for length, pairs in (*TRAINED, *LONGER))
    for name, scores in sorted(found.items(), key=lambda x: (ORDER.index(x[1]["family"]), "conv" in x[0], -x[1]["d"])):
        yield (name, str(scores["d"]), *(percent(row["accuracy"]) for row in scores["rows"]))


def markdown(rows: Iterator[tuple[str, ...]]) -> list[str]:
    head, *rest = rows
    return [f"| {' | '.join(row)} |" for row in (head, ("---",) + ("--:",) * (len(head) - 1), *rest)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write the tables")
    args = parser.parse_args()
    tables = {"text": text_rows, "short": short_rows, "seeds": seed_rows, "mqar": mqar_rows}
    made = {name: markdown(rows()) for name, rows in tables.items()}
    page = PAGE.read_text()
    if args.write:
        PAGE.write_text(TABLE.sub(lambda m: m[1] + "\n".join(made[m[2]]) + "\n" + m[4], page))
        return
    found = {m[2]: m[3].splitlines() for m in TABLE.finditer(page)}
    wrong = [f"{name}: {row}" for name, rows in found.items() for row in rows if row not in made[name]]
    wrong += [f"{name}: no such table" for name in made.keys() - found.keys()]
    for what in wrong:
        print(f"MODELS.md, table {what}\n    not what the files of weights/mixers/ say; python3 weights/models_table.py --write")
    print(f"{sum(map(len, found.values()))} rows, {len(wrong)} wrong")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
