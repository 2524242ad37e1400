"""The schedules: how long the sequences are, how many, and which tasks are mixed into them, stage after stage.

Short sequences come first. A step on them is cheap, and looking something up is learnt there; then the same skill
only has to be stretched over longer distances.
"""
from __future__ import annotations

import random
from dataclasses import dataclass

import torch

from mqar import TRAINED, TRAINING_SEEDS, make_case, splitmix64
from tasks import ANSWER, TASKS, make_sequence


@dataclass(frozen=True)
class Stage:
    length: int  # T: tokens per sequence
    batch: int  # B
    steps: int  # at most this many ...
    min_steps: int  # ... and at least these; between them it ends when recall has jumped
    max_pairs: int
    long_p: float
    lr: float
    warm_up: int
    horizon: int  # the cosine ends here
    mix: tuple[float, ...]  # shares of TASKS
    must_recall: float = 0.0  # the jump has happened when recall is above this; then the stage may end
    cells: tuple[tuple[int, int], ...] = ()  # of MQAR, instead of text: (length, pairs), one of them for each step
    symbols: int = 96  # of MQAR: how many keys there are, and how many values


MIX0 = (0.3, 0.25, 0.25, 0.1, 0.1, 0.0)
MIX1 = (0.35, 0.3, 0.1, 0.1, 0.1, 0.05)
MIX2 = (0.3, 0.3, 0.2, 0.1, 0.1, 0.0)
MIX3 = (0.35, 0.3, 0.1, 0.1, 0.05, 0.1)
MIX4 = (0.3, 0.25, 0.1, 0.05, 0.05, 0.25)
MIX_FEW = (0.25, 0.25, 0.4, 0.03, 0.07, 0.0)
STAGES = {
    "tiny": [
        Stage(64, 128, 800, 800, 4, 0.1, 3e-3, 200, 5800, MIX1),
        Stage(128, 64, 1000, 1000, 6, 0.3, 3e-3, 200, 5800, MIX1),
        Stage(128, 64, 600, 600, 8, 0.3, 3e-3, 50, 1000, MIX2),
        Stage(64, 128, 1500, 300, 3, 0.0, 3e-3, 50, 2000, MIX_FEW, 0.95),  # few pairs, near: here it jumps
        Stage(128, 32, 900, 300, 8, 0.3, 2e-3, 50, 1000, MIX2, 0.95),
        Stage(256, 32, 250, 250, 8, 0.5, 2e-3, 50, 600, MIX3),
        Stage(512, 16, 500, 500, 8, 0.6, 2e-3, 50, 600, MIX3),
    ],
    "deep": [  # small batches: eight layers learn more from a step, and a step costs nine times as much
        Stage(64, 32, 1500, 1500, 4, 0.1, 1.5e-3, 200, 8000, MIX0),  # here it jumps
        Stage(128, 16, 600, 600, 6, 0.3, 1.5e-3, 100, 8000, MIX0),
        Stage(128, 16, 250, 250, 8, 0.3, 1.2e-3, 50, 350, MIX2),
        Stage(128, 16, 200, 200, 8, 0.3, 1.2e-3, 50, 350, MIX2, 0.9),
        Stage(256, 8, 100, 100, 8, 0.5, 8e-4, 10, 400, MIX3),
        Stage(512, 4, 250, 250, 8, 0.6, 8e-4, 10, 250, MIX3),
        Stage(256, 8, 1500, 1500, 8, 0.5, 1.2e-3, 100, 1600, MIX4),  # recall is there; needles are not yet
        Stage(512, 4, 900, 900, 8, 0.6, 8e-4, 50, 900, MIX4),
    ],
}
# One schedule for all models of mixers/, so that they read the same 12.7 million tokens; nothing ends early. Batches are
# small: with 2048 tokens a step gqa learnt pair recall after 6 million tokens; tiny, with 8192, after 22 million (their logs).
MIXER_STAGES = [
    Stage(64, 32, 1600, 1600, 4, 0.1, 3e-3, 200, 8000, MIX1),
    Stage(64, 32, 1000, 1000, 3, 0.0, 3e-3, 50, 6000, MIX_FEW),
    Stage(128, 16, 1600, 1600, 8, 0.3, 2e-3, 50, 2000, MIX2),
    Stage(256, 8, 800, 800, 8, 0.5, 1.5e-3, 50, 1000, MIX3),
    Stage(512, 4, 1200, 1200, 8, 0.6, 1.5e-3, 50, 1200, MIX3),
]
# The same number of tokens in another order (--short-first): pairs are looked up in 32 tokens first. mla learns it so.
SHORT_FIRST_STAGES = [
    Stage(32, 64, 1200, 1200, 2, 0.0, 3e-3, 200, 8000, MIX_FEW),
    Stage(64, 32, 800, 800, 4, 0.1, 3e-3, 50, 8000, MIX1),
    Stage(64, 32, 600, 600, 3, 0.0, 3e-3, 50, 6000, MIX_FEW),
    *MIXER_STAGES[2:],
]
# MQAR, one schedule for all, too: 8.2 million tokens. Looking up is learnt in very short sequences: gqa with all symbols, after
# 1.3 million tokens; delta with few. Where neither came first, they only learnt to guess among the values not asked yet.
SHORT = ((16, 2), (16, 4), (32, 4), (32, 8))
MQAR_STAGES = [
    Stage(64, 32, 1000, 1000, 0, 0.0, 3e-3, 100, 4000, (), cells=SHORT),
    Stage(64, 32, 500, 500, 0, 0.0, 3e-3, 20, 4000, (), cells=SHORT, symbols=16),
    Stage(64, 32, 500, 500, 0, 0.0, 3e-3, 20, 4000, (), cells=SHORT[2:] + TRAINED[:2]),
    Stage(64, 32, 2000, 2000, 0, 0.0, 2e-3, 20, 2000, (), cells=TRAINED),
]
CELLS = tuple(dict.fromkeys(f"{length}/{pairs}" for s in MQAR_STAGES for length, pairs in s.cells))
QUICK = [
    Stage(64, 16, 40, 40, 4, 0.1, 3e-3, 20, 200, MIX1),
    Stage(128, 8, 20, 20, 8, 0.3, 3e-3, 5, 100, MIX2),
    Stage(512, 2, 10, 10, 8, 0.6, 2e-3, 5, 50, MIX3),
]


def make_batch(text: bytes, stage: Stage, seed: str) -> tuple[torch.Tensor, torch.Tensor, list[str]]:
    """Bytes and classes, each [B, T + 1], and the task of every row. The seed alone decides."""
    rnd = random.Random(seed)
    tasks = rnd.choices(TASKS, stage.mix, k=stage.batch)
    rows = [make_sequence(rnd, text, t, stage.length, stage.max_pairs, stage.long_p) for t in tasks]
    data, kind = (torch.frombuffer(bytearray().join(r), dtype=torch.uint8).view(stage.batch, -1).long()
                  for r in ([s.data for s in rows], [s.kind for s in rows]))
    return data, kind, tasks


def mqar_batch(stage: Stage, seed: int, total: int) -> tuple[torch.Tensor, torch.Tensor, list[str]]:
    """The same for MQAR, where only answers have a class. `total` counts the steps from the beginning: no case comes twice."""
    length, pairs = stage.cells[splitmix64(total) % len(stage.cells)]
    batch = stage.length * stage.batch // length
    data, kind = torch.empty(batch, length + 1, dtype=torch.long), torch.zeros(batch, length + 1, dtype=torch.long)
    for row in range(batch):
        tokens, answers = make_case(TRAINING_SEEDS + seed, length, pairs, 1024 * total + row, stage.symbols)
        data[row] = torch.tensor(tokens)
        kind[row, [j + 1 for j in answers]] = ANSWER
    return data, kind, [f"{length}/{pairs}"] * batch
