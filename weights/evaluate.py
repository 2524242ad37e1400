#!/usr/bin/env python3
"""Held-out scores of a model: bits per byte, recall by distance, the other tasks, mass on position 0.

    python3 weights/evaluate.py weights/tiny.gguf --json weights/logs/tiny_scores.json
    python3 weights/evaluate.py --write-data     # make heldout.txt and recall_cases.jsonl again

The definitions (the C++ engine measures the same and has to agree):

bits per byte   heldout.txt is cut into windows of W = 512 bytes, one after the other, no overlap; the rest that
                does not fill a window is dropped. Each window is a sequence of its own: input BOS, then the first
                W - 1 bytes (512 tokens, positions 0 ... 511); all W bytes are scored, each by the logits of the
                token before it. The score is the mean of -log2 p(byte) over all bytes of all windows.
accuracy        recall_cases.jsonl has one case per line: {"kind", "distance", "text", "answer"}. The input is BOS,
                then the bytes of "text" (ASCII). "answer" lists indices i into "text": byte text[i] counts as right
                if it has the largest logit (of equal ones, the lowest byte) after BOS and text[0 .. i-1], that is in
                row i of the logits. Accuracy = right answers / answers, over all cases of that kind and distance.
                Earlier answers of the same case are part of the input, right or not.
  recall        8 bytes of filler, 4 pairs `qz=7;` (2-byte keys), filler, `qz?`: the value. "distance" = position
                of `?` minus position of the value. Which pair is asked is random among those for which that fits.
  first         `q=7;` directly after the BOS, filler, `q?`: a pair in the very first positions.
  recall1       as recall, but 1-byte keys.    needle, copy, induction: as in training, once per case.
sink mass       over the first 16 windows of bits per byte: the attention weight on position 0 (the BOS), mean over
                heads and over the query positions 64 ... 511; one figure per layer. Even attention would give
                the mean of 1 / (position + 1) over these positions: 0.0046. Of llama decoders only.
"""
from __future__ import annotations

import argparse
import json
import random
from pathlib import Path

import torch
import torch.nn.functional as F

from export import Model, read_gguf
from llama import Llama
from reference_logits import forward
from tasks import ANSWER, BOS, LOWER, NOISE, VALUES, Builder, copy, induction, load_text, needle, recall_case

HERE = Path(__file__).resolve().parent
WINDOW, SINK_WINDOWS, SINK_FROM = 512, 16, 64
RECALL_DISTANCES = (16, 32, 64, 96, 128, 192, 240, 272, 320, 400, 480)
FIRST_DISTANCES = (48, 128, 300, 480)
HELDOUT, CASES = HERE / "heldout.txt", HERE / "recall_cases.jsonl"


def one_of(rnd: random.Random, text: bytes, task: str) -> tuple[bytes, list[int]]:
    """A case of `task` from the training's own generator, cut after its last answer."""
    s = Builder(rnd, text)
    if task == "copy":
        copy(s, 2)  # once: it stops when the room is filled
    elif task == "induction":
        induction(s, 128, 8, 1.0)
    else:
        needle(s, 440)
    answer = [i - 1 for i, kind in enumerate(s.kind) if kind == ANSWER]
    return bytes(s.data[1 : answer[-1] + 2]), answer


def recall1_case(rnd: random.Random, text: bytes, distance: int) -> bytes:
    s = Builder(rnd, text)
    s.filler(8)
    keys = [bytes([c]) for c in rnd.sample(LOWER, 4)]
    i, values = rnd.randrange(4), s.letters(VALUES, 4)
    for key, value in zip(keys, values):
        s.add(key + b"=" + bytes([value]) + b";", NOISE)
    s.filler(distance - 15 + 4 * i)
    s.add(keys[i] + b"?" + values[i : i + 1], ANSWER)
    return bytes(s.data[1:])


def first_case(rnd: random.Random, text: bytes, distance: int) -> bytes:
    s = Builder(rnd, text)
    key, value = s.letters(LOWER, 1), s.letters(VALUES, 1)
    s.add(key + b"=" + value + b";", NOISE)
    s.filler(distance - 3)
    s.add(key + b"?" + value, ANSWER)
    return bytes(s.data[1:])


def write_data() -> None:
    """The held-out text, and the cases made from it."""
    text = load_text()[1]
    HELDOUT.write_bytes(text)
    rnd = random.Random("recall cases")
    cases = [("recall", d, recall_case(rnd, text, d)) for d in RECALL_DISTANCES for _ in range(200)]
    cases += [("first", d, first_case(rnd, text, d)) for d in FIRST_DISTANCES for _ in range(100)]
    cases += [("recall1", d, recall1_case(rnd, text, d)) for d in (64, 240) for _ in range(100)]
    rows = [(kind, d, c, [len(c) - 1]) for kind, d, c in cases]
    for task in ("needle", "copy", "induction"):
        rows += [(task, 0, *one_of(rnd, text, task)) for _ in range(100)]
    with CASES.open("w") as f:
        for kind, distance, c, answer in rows:
            case = {"kind": kind, "distance": distance, "text": c.decode("ascii"), "answer": answer}
            f.write(json.dumps(case, separators=(",", ":")) + "\n")
    print(f"{HELDOUT.name}: {len(text)} bytes; {CASES.name}: {len(rows)} cases, {CASES.stat().st_size} bytes")


def windows(text: bytes) -> torch.Tensor:
    """[windows, W + 1]: BOS and W bytes."""
    n = len(text) // WINDOW
    data = torch.tensor(list(text[: n * WINDOW])).view(n, WINDOW)
    return F.pad(data, (1, 0), value=BOS)


@torch.no_grad()
def bits_per_byte(model: Model, text: bytes) -> float:
    total, data = 0.0, windows(text)
    for part in data.split(16):
        ce = F.cross_entropy(model(part[:, :-1]).flatten(0, 1).double(), part[:, 1:].flatten(), reduction="sum")
        total += ce.item()
    return total / data[:, 1:].numel() / torch.log(torch.tensor(2.0, dtype=torch.float64)).item()


@torch.no_grad()
def accuracy(model: Model) -> dict[str, dict[str, float]]:
    """kind -> distance -> share of right answers."""
    right: dict[tuple[str, int], list[bool]] = {}
    cases = [json.loads(line) for line in CASES.open()]
    for start in range(0, len(cases), 32):
        part = cases[start : start + 32]
        rows = [[BOS, *c["text"].encode()] for c in part]
        longest = max(map(len, rows)) - 1
        data = torch.tensor([(r + [BOS] * longest)[:longest] for r in rows])  # causal: what is behind changes nothing
        best = model(data).argmax(-1)
        for c, row, b in zip(part, rows, best):
            right.setdefault((c["kind"], c["distance"]), []).extend(b[i].item() == row[i + 1] for i in c["answer"])
    result: dict[str, dict[str, float]] = {}
    for (kind, distance), r in right.items():
        result.setdefault(kind, {})[str(distance)] = round(sum(r) / len(r), 4)
    return result


def sink_mass(model: Llama, text: bytes) -> list[float]:
    mass = torch.zeros(model.cfg.block_count, dtype=torch.float64)
    for row in windows(text)[:SINK_WINDOWS, :-1].tolist():
        mass += torch.stack([w[:, SINK_FROM:, 0].double().mean() for w in forward(model, row, torch.float32)[1]])
    return [round(m, 6) for m in (mass / SINK_WINDOWS).tolist()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, nargs="?")
    parser.add_argument("--json", type=Path, help="write the scores to this file")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--write-data", action="store_true", help="make heldout.txt and recall_cases.jsonl again")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.write_data:
        write_data()
    if args.model:
        model, text = read_gguf(args.model), HELDOUT.read_bytes()
        scores = {"model": args.model.name, "bits_per_byte": round(bits_per_byte(model, text), 5),
                  "accuracy": accuracy(model), "torch": torch.__version__}
        if isinstance(model, Llama):
            scores["sink_mass"] = sink_mass(model, text)
        recall = scores["accuracy"]["recall"].values()
        scores["recall_mean"] = round(sum(recall) / len(recall), 4)
        scores["judges_by_recall"] = scores["recall_mean"] >= 0.95 and min(recall) >= 0.9
        print(json.dumps(scores, indent=1))
        if args.json:
            args.json.write_text(json.dumps(scores, indent=1) + "\n")


if __name__ == "__main__":
    main()
