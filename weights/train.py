#!/usr/bin/env python3
"""Trains the small models of kvlab on a CPU: `tiny` and `deep`, and those that remember in other ways (mixers/).

All read bytes (V = 256, byte 0 = begin of sequence). `tiny` and `deep` are plain llama decoders, exactly as GGUF's
`llama` architecture defines them; in the others something else stands in attention's place. They learn English from
the King James Bible and, mixed into it, tasks that can only be solved by looking something up in the context. Whoever
forgets the wrong part of it loses those answers: that is what the models are for.

    python3 weights/train.py --model tiny --out /tmp/tiny          # train (10-20 minutes)
    python3 weights/train.py --model deep --out /tmp/deep          # train (1-2 hours)
    python3 weights/train.py --mixer mamba --out /tmp/mamba        # a model of mixers/ (shape.py has their names)
    python3 weights/train.py --mixer mamba --task mqar --out /tmp/m  # the same, for multi-query associative recall (mqar.py)
    python3 weights/train.py --model tiny --out /tmp/t --quick     # does everything run? (a minute)
    python3 weights/export.py /tmp/tiny/checkpoint.pt tiny.gguf    # write the model as GGUF
    python3 weights/evaluate.py tiny.gguf                          # held-out scores

Needs: Debian packages bible-kjv and bible-kjv-text; PyTorch 2 and a C++ compiler (torch.compile).
"""
from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn as nn
import torch.nn.functional as F

from llama import CONFIGS, Llama
from mixers.decoder import Decoder
from mixers.scan import SelectiveScan
from mixers.shape import SHAPES, mqar_shape
from stages import CELLS, MIXER_STAGES, MQAR_STAGES, QUICK, SHORT_FIRST_STAGES, STAGES, Stage, make_batch, mqar_batch
from tasks import ANSWER, NOISE, TASKS, TEXT, load_text, recall_accuracy

ASKED = (*TASKS[1:], *CELLS)  # what has answers, in the order of the log
KIND = ("task", "width", "short_conv", "short_first", "seed")  # options that make another run


def new_model(name: str, task: str, width: int, short_conv: int) -> Llama | Decoder:
    """The model that a checkpoint names, with random weights."""
    if name in CONFIGS:
        return Llama(CONFIGS[name])
    return Decoder(mqar_shape(name, width, short_conv) if task == "mqar" else SHAPES[name])


class Trainer:
    def __init__(self, args: argparse.Namespace) -> None:
        self.args, self.name = args, args.model or args.mixer
        self.mqar = args.task == "mqar"
        of_mixers = MQAR_STAGES if self.mqar else SHORT_FIRST_STAGES if args.short_first else MIXER_STAGES
        self.stages = STAGES[args.model] if args.model else of_mixers
        if args.quick:
            self.stages = [replace(s, steps=10, min_steps=10) for s in MQAR_STAGES] if self.mqar else QUICK
        self.train_text, self.heldout = (b"", b"") if self.mqar else load_text()
        torch.set_num_threads(args.threads)
        torch.manual_seed(args.seed)
        self.model = new_model(self.name, args.task, args.width, args.short_conv).to(args.device)
        # where we are: stage, repetition of that stage, step in it; and what it cost so far
        self.at = {"stage": 0, "attempt": 0, "step": 0, "total": 0, "tokens": 0, "seconds": 0.0, "cpu_seconds": 0.0}
        self.new_optimiser()
        args.out.mkdir(parents=True, exist_ok=True)
        self.checkpoint, self.log_file = args.out / "checkpoint.pt", args.log or args.out / "log.jsonl"
        if args.resume:
            state = self.own_checkpoint()
            self.model.load_state_dict(state["model"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.at = state["at"]
            lines = self.log_file.read_text().splitlines(True)  # what came after the checkpoint was lost
            self.log_file.write_text("".join(x for x in lines if json.loads(x)["step"] <= self.at["total"]))
        else:
            self.log_file.unlink(missing_ok=True)
        self.started = time.monotonic() - self.at["seconds"]
        self.cpu_started = time.process_time() - self.at.setdefault("cpu_seconds", 0.0)
        torch._dynamo.config.recompile_limit = 64
        if not args.no_compile:
            for block in self.model.blk:
                block.compile(dynamic=False)
        SelectiveScan.compiled = not args.no_compile
        self.loss = self._loss if args.no_compile else torch.compile(self._loss, dynamic=False)

    def own_checkpoint(self) -> dict:
        """What --resume goes on from: it has to be of the same model, task and seed, or the log would not be true."""
        if not self.checkpoint.exists():
            sys.exit(f"train.py: {self.checkpoint} is missing: there is nothing to resume; leave out --resume")
        state = torch.load(self.checkpoint, weights_only=True, map_location=self.args.device)
        kind = {"name": self.name, **{key: getattr(self.args, key) for key in KIND}}
        for key, wanted in kind.items():
            if (found := state.get(key, wanted)) != wanted:  # older checkpoints do not have all of them
                sys.exit(f"train.py: {self.checkpoint} has {key} {found}, and the command line says {wanted}")
        return state

    def new_optimiser(self) -> None:
        decays = lambda p: p.ndim == 2 and not getattr(p, "undecayed", False)
        groups = [
            {"params": [p for p in self.model.parameters() if decays(p)], "weight_decay": 0.05},
            {"params": [p for p in self.model.parameters() if not decays(p)], "weight_decay": 0.0},
        ]
        self.optimiser = torch.optim.AdamW(groups, lr=0.0, betas=(0.9, 0.98), fused=True)

    @staticmethod
    def _loss(logits: torch.Tensor, target: torch.Tensor, kind: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Weighted sum of the means per class; and the three means."""
        ce = F.cross_entropy(logits.flatten(0, 1), target.flatten(), reduction="none")
        means = torch.stack([(ce * (m := (kind.flatten() == c).float())).sum() / m.sum().clamp(min=1)
                             for c in (TEXT, ANSWER, NOISE)])
        return means[0] + means[1] + 0.02 * means[2], means

    def measure(self) -> None:
        """The clock, and the time of the processor, which other programs do not stretch (torch.compile's helpers apart)."""
        self.at["seconds"] = time.monotonic() - self.started
        self.at["cpu_seconds"] = time.process_time() - self.cpu_started

    def log(self, **fields: object) -> None:
        self.measure()
        line = {"step": self.at["total"], "tokens": self.at["tokens"], "seconds": round(self.at["seconds"], 1),
                "cpu_seconds": round(self.at["cpu_seconds"], 1), **fields}
        with self.log_file.open("a") as f:
            f.write(json.dumps(line) + "\n")
        print(json.dumps(line), flush=True)

    def save(self) -> None:
        self.measure()
        with tempfile.TemporaryDirectory(dir=self.checkpoint.parent, prefix=".part-") as scratch:
            temporary = Path(scratch, self.checkpoint.name)
            kind = {key: getattr(self.args, key) for key in KIND}
            torch.save({"name": self.name, **kind, "at": self.at, "model": self.model.state_dict(),
                        "optimiser": self.optimiser.state_dict()}, temporary)
            temporary.replace(self.checkpoint)

    def recall(self, distance: int, seed: str) -> float:
        with torch.compiler.set_stance("force_eager"):  # do not compile for every length
            return recall_accuracy(self.model, self.heldout, distance, 50, seed, 1 if self.args.model else 50)

    def jumped(self, note: str, threshold: float) -> bool:
        """Has pair recall been learnt? 4 pairs, distances 16 and 64, 50 cases each; the mean is compared."""
        scores = {d: self.recall(d, f"jump {d}") for d in (16, 64)}
        self.log(event=note, recall={str(d): round(s, 3) for d, s in scores.items()})
        return sum(scores.values()) / 2 > threshold

    def forward_backward(self, data: torch.Tensor, kind: torch.Tensor, share: float) -> tuple[torch.Tensor, torch.Tensor]:
        logits = self.model(data[:, :-1])
        loss, means = self.loss(logits, data[:, 1:], kind[:, 1:])
        extra = getattr(self.model, "extra_loss", None)  # an indexer's own
        (share * (loss if extra is None else loss + extra)).backward()
        return logits.detach(), means.detach()

    def step(self, stage: Stage) -> None:
        at, args = self.at, self.args
        if self.mqar:
            data, kind, tasks = mqar_batch(stage, args.seed, at["total"])
        else:
            seed = f"{args.seed} {at['stage']} {at['attempt']} {at['step']}"
            data, kind, tasks = make_batch(self.train_text, stage, seed)
        sequences, length = len(data), data.shape[1] - 1
        data, kind = data.to(args.device), kind.to(args.device)
        if args.mixer:
            self.model.set_progress(at["tokens"] / sum(s.length * s.batch * s.steps for s in self.stages))
        n = at["step"]
        decay = 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * min(1.0, n / stage.horizon)))
        for group in self.optimiser.param_groups:
            group["lr"] = stage.lr * min(1.0, (n + 1) / stage.warm_up) * decay
        self.optimiser.zero_grad(set_to_none=True)
        rows = max(1, args.micro // length)  # few enough tokens at a time to stay in the processor's cache
        parts = [(d, k, *self.forward_backward(d, k, rows / sequences))
                 for d, k in zip(data.split(rows), kind.split(rows))]
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        at["step"] += 1
        at["total"] += 1
        at["tokens"] += length * sequences
        if at["step"] % args.log_every == 0:
            logits = torch.cat([logits for _, _, logits, _ in parts])
            means = torch.stack([means for *_, means in parts]).mean(0)
            right = (logits.argmax(-1) == data[:, 1:]) & (kind[:, 1:] == ANSWER)
            of_task = lambda t: torch.tensor([x == t for x in tasks], device=args.device)
            share = lambda r: (right[r].sum() / (kind[r, 1:] == ANSWER).sum().clamp(min=1)).item()
            self.log(stage=at["stage"], T=length, lr=round(group["lr"], 6),
                     loss={k: round(v, 4) for k, v in zip(("text", "answer", "noise"), means.tolist())},
                     accuracy={t: round(share(of_task(t)), 3) for t in ASKED if t in tasks})

    def run(self) -> None:
        at = self.at
        while at["stage"] < len(self.stages):
            stage = self.stages[at["stage"]]
            done = False
            while at["step"] < stage.steps and not done:
                self.step(stage)
                if at["step"] % 100 == 0 or at["step"] == stage.steps:
                    may_end = stage.min_steps <= at["step"] < stage.steps
                    done = not self.mqar and self.jumped("recall test", stage.must_recall or 0.95) and may_end
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
        for distance in () if self.mqar else (16, 64, 240, 480):
            self.log(event="end", distance=distance, recall=self.recall(distance, f"end {distance}"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--model", choices=CONFIGS)
    which.add_argument("--mixer", choices=SHAPES, help="a model of mixers/")
    parser.add_argument("--task", choices=("text", "mqar"), default="text", help="what a model of mixers/ reads")
    parser.add_argument("--width", type=int, default=64, help="with --task mqar: numbers per token, 64 in all other models")
    parser.add_argument("--short-conv", type=int, default=0, metavar="TAPS",
                        help="with --task mqar: a convolution before every mixer; such a model cannot be exported")
    parser.add_argument("--short-first", action="store_true", help="with --mixer: the lessons in another order (stages.py)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
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
    args = parser.parse_args()
    if args.task == "mqar" and not args.mixer:
        parser.error("--task mqar is for the models of mixers/: give --mixer")
    if args.short_first and (args.model or args.task == "mqar"):
        parser.error("--short-first is another order of the lessons of --mixer NAME")
    if args.task != "mqar" and (args.width != 64 or args.short_conv):
        parser.error("--width and --short-conv go with --task mqar")
    if args.width < 16 or args.width % 16 or args.short_conv < 0:
        parser.error("--width has to be a multiple of 16, and --short-conv not negative")
    if args.device != "cpu" and not torch.cuda.is_available():
        parser.error(f"--device {args.device}: PyTorch finds no such device here")
    Trainer(args).run()


if __name__ == "__main__":
    main()
