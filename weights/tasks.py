"""What the small models read: English, and mixed into it tasks that can only be solved by looking something up.

A sequence is a string of bytes, and each byte has a class for the loss: TEXT, ANSWER (it can be looked up in the
sequence), or NOISE (nobody can predict it: keys, first values).
"""
from __future__ import annotations

import random
import shutil
import subprocess
import sys

import torch
import torch.nn as nn

LOWER = b"abcdefghijklmnopqrstuvwxyz"
UPPER = LOWER.upper()
VALUES = LOWER + b"0123456789"
BOS = 0
TASKS = ("text", "recall2", "recall1", "copy", "induction", "needle")
TEXT, ANSWER, NOISE = 1, 2, 3  # what a byte is for the loss; NOISE cannot be predicted


def load_text() -> tuple[bytes, bytes]:
    """The King James text as (training, held out); the last 5 % of the bytes are held out."""
    if shutil.which("bible") is None:
        sys.exit("train.py: the command 'bible' is missing; install it with: apt-get install bible-kjv bible-kjv-text")
    text = subprocess.run(["bible", "-f", "gen1:1-rev22:21"], check=True, capture_output=True).stdout
    if len(text) != 4404412 or 0 in text:
        sys.exit(f"train.py: expected 4404412 bytes of text without byte 0, found {len(text)}")
    cut = len(text) - len(text) // 20
    return text[:cut], text[cut:]


class Builder:
    """A sequence of bytes, each with its class for the loss."""

    def __init__(self, rnd: random.Random, text: bytes) -> None:
        self.rnd, self.text = rnd, text
        self.data, self.kind = bytearray([BOS]), bytearray([NOISE])

    def add(self, data: bytes, kind: int) -> None:
        self.data += data
        self.kind += bytes([kind]) * len(data)

    def filler(self, n: int) -> None:
        start = self.rnd.randrange(len(self.text) - n)
        self.add(self.text[start : start + n], TEXT)

    def letters(self, alphabet: bytes, n: int) -> bytes:
        return bytes(self.rnd.choices(alphabet, k=n))


def recall(s: Builder, room: int, width: int, max_pairs: int, long_p: float) -> None:
    """Rounds of `qz=7;` ... filler ... `qz?7;`: every key is defined once and asked once."""
    rnd = s.rnd
    letters = [bytes([c]) for c in LOWER]
    keys = letters if width == 1 else [a + b for a in letters for b in letters]
    unused = rnd.sample(keys, len(keys)) if width == 1 else rnd.sample(keys, min(len(keys), room // 4))
    while len(s.data) < room and unused:
        pairs = [(k, s.letters(VALUES, 1)) for k in unused[: rnd.randint(1, max_pairs)]]
        unused = unused[len(pairs) :]
        spread = rnd.random() < 0.3
        for key, value in pairs:
            if spread:
                s.filler(rnd.randint(1, 39))
            s.add(key + b"=" + value + b";", NOISE)
        s.filler(rnd.randint(0, room if rnd.random() < long_p else 23))
        for key, value in rnd.sample(pairs, len(pairs)):
            s.add(key + b"?", NOISE)
            s.add(value, ANSWER)
            s.add(b";", NOISE)


def needle(s: Builder, room: int) -> None:
    """filler `<qz=abcd>` filler `<qz?abcd>`."""
    key, value = s.letters(LOWER, 2), s.letters(LOWER, 4)
    a, b = sorted(s.rnd.randint(0, max(0, room - 18)) for _ in range(2))
    s.filler(a)
    s.add(b"<" + key + b"=" + value + b">", NOISE)
    s.filler(b - a)
    s.add(b"<" + key + b"?", NOISE)
    s.add(value, ANSWER)
    s.add(b">", NOISE)


def copy(s: Builder, room: int) -> None:
    """`[S|S]`, again and again."""
    while len(s.data) < room:
        word = s.letters(VALUES, s.rnd.randint(4, 64))
        s.add(b"[" + word + b"|", NOISE)
        s.add(word, ANSWER)
        s.add(b"]", NOISE)


def induction(s: Builder, room: int, max_pairs: int, long_p: float) -> None:
    """Pairs A B (upper case, then a value), filler, the same pairs in another order."""
    rnd = s.rnd
    pairs = [(bytes([k]), s.letters(VALUES, 1)) for k in rnd.sample(UPPER, rnd.randint(2, 2 * max_pairs))]
    for key, value in pairs:
        s.add(key + value, NOISE)
    s.filler(rnd.randint(0, room if rnd.random() < long_p else 23))
    for key, value in rnd.sample(pairs, len(pairs)):
        s.add(key, NOISE)
        s.add(value, ANSWER)


def make_sequence(rnd: random.Random, text: bytes, task: str, length: int, max_pairs: int, long_p: float) -> Builder:
    """`length` + 1 bytes: BOS, the task, and text after it if it ends early."""
    s = Builder(rnd, text)
    if task.startswith("recall"):
        recall(s, length, int(task[-1]), max_pairs, long_p)
    elif task == "needle":
        needle(s, length)
    elif task == "copy":
        copy(s, length)
    elif task == "induction":
        induction(s, length, max_pairs, long_p)
    if len(s.data) <= length:
        s.filler(length + 1 - len(s.data))
    del s.data[length + 1 :], s.kind[length + 1 :]
    return s


def recall_case(rnd: random.Random, text: bytes, distance: int) -> bytes:
    """8 bytes of filler, 4 pairs, filler, one query and its answer, WITHOUT the BOS. The query's `?` stands
    `distance` bytes behind the value that it asks for. Which pair is asked is random among those that fit."""
    s = Builder(rnd, text)
    s.filler(8)
    keys = [bytes(k) for k in rnd.sample([(a, b) for a in LOWER for b in LOWER], 4)]
    pairs = [(k, s.letters(VALUES, 1)) for k in keys]
    for key, value in pairs:
        s.add(key + b"=" + value + b";", NOISE)
    gap = [distance - 19 + 5 * i for i in range(4)]  # filler needed when pair i is asked
    i = rnd.choice([i for i in range(4) if gap[i] >= 0])
    s.filler(gap[i])
    s.add(pairs[i][0] + b"?" + pairs[i][1], ANSWER)
    return bytes(s.data[1:])


@torch.no_grad()
def recall_accuracy(model: nn.Module, text: bytes, distance: int, cases: int, seed: str, at_once: int = 1) -> float:
    """Share of queries whose answer has the largest logit. at_once: cases that the model reads side by side."""
    rnd, device = random.Random(seed), next(model.parameters()).device
    rows, right = [[BOS, *recall_case(rnd, text, distance)] for _ in range(cases)], 0
    for begin in range(0, cases, at_once):
        part = rows[begin : begin + at_once]
        longest = max(map(len, part)) - 1
        tokens = torch.tensor([(r[:-1] + [BOS] * longest)[:longest] for r in part], device=device)
        best = model(tokens).argmax(-1)  # causal: what fills a row up changes nothing before it
        right += sum(b[len(r) - 2].item() == r[-1] for r, b in zip(part, best))
    return right / cases
