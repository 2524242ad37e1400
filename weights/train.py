#!/usr/bin/env python3
"""Trains the two small models of kvlab, `tiny` and `deep`, on a CPU.

Both read bytes (V = 256, byte 0 = begin of sequence) and are plain llama decoders, exactly as GGUF's
`llama` architecture defines them. They learn English from the King James Bible and, mixed into it,
tasks that can only be solved by looking something up in the context. Whoever forgets the wrong part
of a KV cache loses those answers: that is what the models are for.

    python3 weights/train.py --model tiny --out /tmp/tiny          # train (10-20 minutes)
    python3 weights/train.py --model deep --out /tmp/deep          # train (1-2 hours)
    python3 weights/train.py --model tiny --out /tmp/t --quick     # does everything run? (a minute)
    python3 weights/export.py /tmp/tiny/checkpoint.pt tiny.gguf    # write the model as GGUF
    python3 weights/evaluate.py tiny.gguf                          # held-out scores

Needs: Debian packages bible-kjv and bible-kjv-text; PyTorch 2 and a C++ compiler (torch.compile).
"""
from __future__ import annotations

import argparse
import json
import math
import random
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn as nn
import torch.nn.functional as F

HERE = Path(__file__).resolve().parent
LOWER = b"abcdefghijklmnopqrstuvwxyz"
UPPER = LOWER.upper()
VALUES = LOWER + b"0123456789"
BOS = 0
TASKS = ("text", "recall2", "recall1", "copy", "induction", "needle")
TEXT, ANSWER, NOISE = 1, 2, 3  # what a byte is for the loss; NOISE cannot be predicted

# ------------------------------------------------------------------------------------------ model


@dataclass(frozen=True)
class Config:
    """The shape of a llama decoder; the names are GGUF's."""

    name: str
    vocab_size: int
    embedding_length: int
    block_count: int
    head_count: int
    head_count_kv: int
    feed_forward_length: int
    context_length: int = 512
    rope_freq_base: float = 10000.0
    rms_epsilon: float = 1e-5

    @property
    def head_dim(self) -> int:
        return self.embedding_length // self.head_count


CONFIGS = {
    "tiny": Config("tiny", 256, 64, 2, 4, 2, 172),
    "deep": Config("deep", 256, 128, 8, 4, 2, 352),
}


def rope_table(cfg: Config, length: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosine and sine of position * base^(-2i/head_dim), each [length, head_dim/2]."""
    i = torch.arange(cfg.head_dim // 2, dtype=torch.float64)
    angle = torch.arange(length, dtype=torch.float64)[:, None] * cfg.rope_freq_base ** (-2 * i / cfg.head_dim)
    return angle.cos().float(), angle.sin().float()


def rms_norm(x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps) * weight


class Block(nn.Module):
    """One layer: x += attention(norm(x)); x += feed_forward(norm(x))."""

    def __init__(self, cfg: Config) -> None:
        super().__init__()
        c, f, d = cfg.embedding_length, cfg.feed_forward_length, cfg.head_dim
        self.cfg = cfg
        self.attn_norm = nn.Parameter(torch.ones(c))
        self.attn_q = nn.Parameter(torch.empty(cfg.head_count * d, c))
        self.attn_k = nn.Parameter(torch.empty(cfg.head_count_kv * d, c))
        self.attn_v = nn.Parameter(torch.empty(cfg.head_count_kv * d, c))
        self.attn_output = nn.Parameter(torch.empty(c, cfg.head_count * d))
        self.ffn_norm = nn.Parameter(torch.ones(c))
        self.ffn_gate = nn.Parameter(torch.empty(f, c))
        self.ffn_up = nn.Parameter(torch.empty(f, c))
        self.ffn_down = nn.Parameter(torch.empty(c, f))
        # RoPE turns the ADJACENT pairs (2i, 2i+1) of a head. Halves are quicker to turn, so the rows of
        # q and k are taken in the order 0, 2, 4, ..., 1, 3, 5, ...: q.k does not notice, the weights stay
        # in GGUF's order.
        order = torch.cat([torch.arange(0, d, 2), torch.arange(1, d, 2)])
        rows = lambda heads: (torch.arange(heads)[:, None] * d + order).flatten()
        self.register_buffer("q_rows", rows(cfg.head_count), persistent=False)
        self.register_buffer("k_rows", rows(cfg.head_count_kv), persistent=False)

    def forward(self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        cfg, (b, t, c) = self.cfg, x.shape
        d, group = cfg.head_dim, cfg.head_count // cfg.head_count_kv
        h = rms_norm(x, self.attn_norm, cfg.rms_epsilon)
        weight = torch.cat([self.attn_q[self.q_rows], self.attn_k[self.k_rows], self.attn_v])
        q, k, v = (h @ weight.T).view(b, t, -1, d).split([cfg.head_count, cfg.head_count_kv, cfg.head_count_kv], 2)

        def rope(y: torch.Tensor) -> torch.Tensor:
            y0, y1 = y.chunk(2, -1)
            co, si = cos[:t, None], sin[:t, None]
            return torch.cat([y0 * co - y1 * si, y0 * si + y1 * co], -1).transpose(1, 2)

        k, v = rope(k).repeat_interleave(group, 1), v.transpose(1, 2).repeat_interleave(group, 1)
        a = F.scaled_dot_product_attention(rope(q), k, v, is_causal=True)
        x = x + a.transpose(1, 2).reshape(b, t, c) @ self.attn_output.T
        h = rms_norm(x, self.ffn_norm, cfg.rms_epsilon)
        gate, up = (h @ torch.cat([self.ffn_gate, self.ffn_up]).T).chunk(2, -1)
        return x + (F.silu(gate) * up) @ self.ffn_down.T


class Llama(nn.Module):
    """tokens [B, T] -> logits [B, T, V]."""

    def __init__(self, cfg: Config) -> None:
        super().__init__()
        self.cfg = cfg
        self.token_embd = nn.Parameter(torch.empty(cfg.vocab_size, cfg.embedding_length))
        self.blk = nn.ModuleList(Block(cfg) for _ in range(cfg.block_count))
        self.output_norm = nn.Parameter(torch.ones(cfg.embedding_length))
        self.output = nn.Parameter(torch.empty(cfg.vocab_size, cfg.embedding_length))
        cos, sin = rope_table(cfg, cfg.context_length)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        for name, p in self.named_parameters():
            if p.ndim == 2:
                std = p.shape[1] ** -0.5
                if name.endswith(("attn_output", "ffn_down")):
                    std /= math.sqrt(2 * cfg.block_count)
                std = {"token_embd": 0.5, "output": 0.5 * std}.get(name, std)
                nn.init.normal_(p, 0.0, std)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.token_embd[tokens]
        for block in self.blk:
            x = block(x, self.cos, self.sin)
        return rms_norm(x, self.output_norm, self.cfg.rms_epsilon) @ self.output.T


# ------------------------------------------------------------------------------------------- data


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
def recall_accuracy(model: Llama, text: bytes, distance: int, cases: int, seed: str) -> float:
    """Share of queries whose answer has the largest logit."""
    rnd = random.Random(seed)
    right = 0
    for _ in range(cases):
        case = recall_case(rnd, text, distance)
        tokens = torch.tensor([[BOS, *case[:-1]]])
        right += int(model(tokens)[0, -1].argmax() == case[-1])
    return right / cases


# --------------------------------------------------------------------------------------- training


class Trainer:
    def __init__(self, args: argparse.Namespace) -> None:
        self.args, self.cfg = args, CONFIGS[args.model]
        self.stages = QUICK if args.quick else STAGES[args.model]
        self.train_text, self.heldout = load_text()
        torch.set_num_threads(args.threads)
        torch.manual_seed(args.seed)
        self.model = Llama(self.cfg)
        # where we are: stage, repetition of that stage, step in it; and what it cost so far
        self.at = {"stage": 0, "attempt": 0, "step": 0, "total": 0, "tokens": 0, "seconds": 0.0}
        self.new_optimiser()
        args.out.mkdir(parents=True, exist_ok=True)
        self.checkpoint, self.log_file = args.out / "checkpoint.pt", args.log or args.out / "log.jsonl"
        if args.resume:
            state = torch.load(self.checkpoint, weights_only=True)
            self.model.load_state_dict(state["model"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.at = state["at"]
            lines = self.log_file.read_text().splitlines(True)  # what came after the checkpoint was lost
            self.log_file.write_text("".join(x for x in lines if json.loads(x)["step"] <= self.at["total"]))
        else:
            self.log_file.unlink(missing_ok=True)
        self.started = time.monotonic() - self.at["seconds"]
        torch._dynamo.config.recompile_limit = 64
        if not args.no_compile:
            for block in self.model.blk:
                block.compile(dynamic=False)
        self.loss = self._loss if args.no_compile else torch.compile(self._loss, dynamic=False)

    def new_optimiser(self) -> None:
        groups = [
            {"params": [p for p in self.model.parameters() if p.ndim == 2], "weight_decay": 0.05},
            {"params": [p for p in self.model.parameters() if p.ndim == 1], "weight_decay": 0.0},
        ]
        self.optimiser = torch.optim.AdamW(groups, lr=0.0, betas=(0.9, 0.98), fused=True)

    @staticmethod
    def _loss(logits: torch.Tensor, target: torch.Tensor, kind: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Weighted sum of the means per class; and the three means."""
        ce = F.cross_entropy(logits.flatten(0, 1), target.flatten(), reduction="none")
        means = torch.stack([(ce * (m := (kind.flatten() == c).float())).sum() / m.sum().clamp(min=1)
                             for c in (TEXT, ANSWER, NOISE)])
        return means[0] + means[1] + 0.02 * means[2], means

    def log(self, **fields: object) -> None:
        self.at["seconds"] = time.monotonic() - self.started
        line = {"step": self.at["total"], "tokens": self.at["tokens"], "seconds": round(self.at["seconds"], 1), **fields}
        with self.log_file.open("a") as f:
            f.write(json.dumps(line) + "\n")
        print(json.dumps(line), flush=True)

    def save(self) -> None:
        self.at["seconds"] = time.monotonic() - self.started
        with tempfile.TemporaryDirectory(dir=self.checkpoint.parent, prefix=".part-") as scratch:
            temporary = Path(scratch, self.checkpoint.name)
            torch.save({"name": self.args.model, "seed": self.args.seed, "at": self.at, "model": self.model.state_dict(),
                        "optimiser": self.optimiser.state_dict()}, temporary)
            temporary.replace(self.checkpoint)

    def recall(self, distance: int, seed: str) -> float:
        with torch.compiler.set_stance("force_eager"):  # do not compile for every length
            return recall_accuracy(self.model, self.heldout, distance, 50, seed)

    def jumped(self, note: str, threshold: float) -> bool:
        """Has pair recall been learnt? 4 pairs, distances 16 and 64, 50 cases each; the mean is compared."""
        scores = {d: self.recall(d, f"jump {d}") for d in (16, 64)}
        self.log(event=note, recall={str(d): round(s, 3) for d, s in scores.items()})
        return sum(scores.values()) / 2 > threshold

    def forward_backward(self, data: torch.Tensor, kind: torch.Tensor, share: float) -> tuple[torch.Tensor, torch.Tensor]:
        logits = self.model(data[:, :-1])
        loss, means = self.loss(logits, data[:, 1:], kind[:, 1:])
        (share * loss).backward()
        return logits.detach(), means.detach()

    def step(self, stage: Stage) -> None:
        at, args = self.at, self.args
        seed = f"{args.seed} {at['stage']} {at['attempt']} {at['step']}"
        data, kind, tasks = make_batch(self.train_text, stage, seed)
        n = at["step"]
        decay = 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * min(1.0, n / stage.horizon)))
        for group in self.optimiser.param_groups:
            group["lr"] = stage.lr * min(1.0, (n + 1) / stage.warm_up) * decay
        self.optimiser.zero_grad(set_to_none=True)
        rows = max(1, args.micro // stage.length)  # few enough tokens at a time to stay in the processor's cache
        parts = [(d, k, *self.forward_backward(d, k, rows / stage.batch))
                 for d, k in zip(data.split(rows), kind.split(rows))]
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        at["step"] += 1
        at["total"] += 1
        at["tokens"] += stage.length * stage.batch
        if at["step"] % args.log_every == 0:
            logits = torch.cat([logits for _, _, logits, _ in parts])
            means = torch.stack([means for *_, means in parts]).mean(0)
            right = (logits.argmax(-1) == data[:, 1:]) & (kind[:, 1:] == ANSWER)
            of_task = lambda t: torch.tensor([x == t for x in tasks])
            share = lambda r: (right[r].sum() / (kind[r, 1:] == ANSWER).sum().clamp(min=1)).item()
            self.log(stage=at["stage"], T=stage.length, lr=round(group["lr"], 6),
                     loss={k: round(v, 4) for k, v in zip(("text", "answer", "noise"), means.tolist())},
                     accuracy={t: round(share(of_task(t)), 3) for t in TASKS[1:] if t in tasks})

    def run(self) -> None:
        at = self.at
        while at["stage"] < len(self.stages):
            stage = self.stages[at["stage"]]
            done = False
            while at["step"] < stage.steps and not done:
                self.step(stage)
                if at["step"] % 100 == 0 or at["step"] == stage.steps:
                    may_end = stage.min_steps <= at["step"] < stage.steps
                    done = self.jumped("recall test", stage.must_recall or 0.95) and may_end
                    self.save()
            if stage.must_recall and not self.jumped("may T grow?", stage.must_recall):
                # Never let T grow before the jump: the same stage again, with another data seed.
                at["attempt"] += 1
                if at["attempt"] >= self.args.attempts:
                    sys.exit("train.py: pair recall was not learnt; the checkpoint is the best there is")
                self.log(event="repeating the stage with another data seed")
            else:
                at["stage"] += 1
                at["attempt"] = 0
            at["step"] = 0
            self.new_optimiser()
            self.save()
        for distance in (16, 64, 240, 480):
            self.log(event="end", distance=distance, recall=self.recall(distance, f"end {distance}"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=CONFIGS, required=True)
    parser.add_argument("--out", type=Path, required=True, help="folder of the checkpoint")
    parser.add_argument("--log", type=Path, help="log as JSON lines (default: OUT/log.jsonl)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--attempts", type=int, default=4, help="how often the stage of the jump may run")
    parser.add_argument("--micro", type=int, default=2048, help="tokens at a time; gradients are added up")
    parser.add_argument("--log-every", type=int, default=50)
    parser.add_argument("--resume", action="store_true", help="go on from OUT/checkpoint.pt")
    parser.add_argument("--no-compile", action="store_true", help="without torch.compile (slower)")
    parser.add_argument("--quick", action="store_true", help="a run of a minute that learns nothing")
    Trainer(parser.parse_args()).run()


if __name__ == "__main__":
    main()
