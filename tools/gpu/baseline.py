#!/usr/bin/env python3
"""What PyTorch (cuBLAS, its fused attention, CUDA graphs) makes of the shapes that kvlab_gpu_bench times.

    baseline.py [--small] FILE     one JSON object a line, with the bench's names of operations and shapes

In FP32 without TF32, as the project's kernels: sums of tensor cores are another thing. `us` is with an empty second-level cache, as
the bench measures it; `warm_us` is one of many calls in a CUDA graph, without the host. --small: little sizes, and the CPU where
there is no GPU. Exit code 77 where there is no PyTorch, or none that has a GPU. Nothing but PyTorch and the standard library.
"""
from __future__ import annotations

import argparse
import json
import statistics
import sys
import time

WIDTH, HEADS, KV_HEADS, HEAD_DIM, FFN, VOCAB, LAYERS = 576, 9, 3, 64, 1536, 49152, 30  # SmolLM2-135M
KEPT = 2048  # slots of the decoder's cache

try:
    import torch
    from torch.nn.functional import rms_norm, scaled_dot_product_attention, silu
except ImportError as error:
    print(f"there is no PyTorch: {error}")
    sys.exit(77)


class Clock:
    def __init__(self, device: str, small: bool):
        self.gpu = device == "cuda"
        self.rounds = 1 if small else 15
        level = torch.cuda.get_device_properties(0).L2_cache_size if self.gpu else 1 << 10
        self.flushed = [torch.zeros(level // 2, device=device) for _ in range(2)]  # each twice the cache's bytes

    def cold(self, call) -> float:
        """Seconds of a call whose operands are in DRAM: the median; filling the cache runs on while the events are launched."""
        call()
        samples = []
        for _ in range(self.rounds):
            self.flushed[1].add_(self.flushed[0])
            samples.append(self.events(call))
        return statistics.median(samples)

    def warm(self, call, calls: int = 20) -> float:
        if not self.gpu:
            return self.events(call)
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            call()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            for _ in range(calls):
                call()
        graph.replay()
        return statistics.median(self.events(graph.replay) for _ in range(5)) / calls

    def events(self, call) -> float:
        if not self.gpu:
            begin = time.perf_counter()
            call()
            return time.perf_counter() - begin
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        call()
        end.record()
        torch.cuda.synchronize()
        return begin.elapsed_time(end) / 1e3


class Baseline:
    def __init__(self, file, small: bool):
        self.file, self.small = file, small
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.clock = Clock(self.device, small)

    def add(self, op: str, shape: str, moved: int, call, calls: int = 20, rung: str = "pytorch") -> None:
        cold = self.clock.cold(call)
        row = {"op": op, "shape": shape, "rung": rung, "us": cold * 1e6, "bytes": moved, "gb_per_s": moved / cold / 1e9}
        try:
            row["warm_us"] = self.clock.warm(call, calls) * 1e6
        except RuntimeError as error:  # what a graph cannot hold
            row["no_graph"] = str(error)[:200]
        print(json.dumps(row), file=self.file, flush=True)

    def random(self, *shape: int, dtype=torch.float32):
        return torch.randn(*shape, device=self.device, dtype=dtype) * 0.04

    def linear(self, rows: int, outputs: int, depth: int) -> None:
        w, x = self.random(outputs, depth), self.random(rows, depth)
        moved = 4 * (outputs * depth + rows * (depth + outputs))
        call = (lambda: torch.mv(w, x[0])) if rows == 1 else (lambda: torch.mm(x, w.T))
        self.add("linear", f"R{rows} N{outputs} K{depth} F32", moved, call)

    def attention(self, tokens: int, slots: int) -> None:
        q = self.random(1, HEADS, tokens, HEAD_DIM)
        k, v = self.random(1, KV_HEADS, slots, HEAD_DIM), self.random(1, KV_HEADS, slots, HEAD_DIM)
        moved = 4 * 2 * (KV_HEADS * slots + HEADS * tokens) * HEAD_DIM
        self.add("attention", f"T{tokens} slots{slots}", moved,
                 lambda: scaled_dot_product_attention(q, k, v, is_causal=tokens > 1, enable_gqa=True))

    def token(self, past: int, dtype) -> None:
        """A token of a decoder in plain PyTorch, with the next token chosen on the device."""
        layers, vocab = (2, 512) if self.small else (LAYERS, VOCAB)
        new = lambda *shape: self.random(*shape, dtype=dtype)
        width_qkv = (HEADS + 2 * KV_HEADS) * HEAD_DIM
        weights = [(new(WIDTH), new(width_qkv, WIDTH), new(WIDTH, WIDTH), new(WIDTH), new(2 * FFN, WIDTH), new(WIDTH, FFN),
                    new(1, KV_HEADS, KEPT, HEAD_DIM), new(1, KV_HEADS, KEPT, HEAD_DIM)) for _ in range(layers)]
        embedding, last, cos, sin = new(vocab, WIDTH), new(WIDTH), new(HEAD_DIM), new(HEAD_DIM)
        one, position = torch.zeros(1, dtype=torch.long, device=self.device), torch.tensor([past], device=self.device)
        seen = (torch.arange(KEPT, device=self.device) <= past)[None, None, None]

        def turned(x):
            low, high = x.chunk(2, -1)
            return x * cos + torch.cat((-high, low), -1) * sin

        def step() -> object:
            x = embedding[one]
            for before, qkv, output, behind, gate_up, down, keys, values in weights:
                q, k, v = (rms_norm(x, (WIDTH,), before) @ qkv.T).view(1, -1, 1, HEAD_DIM).split((HEADS, KV_HEADS, KV_HEADS), 1)
                keys.index_copy_(2, position, turned(k))
                values.index_copy_(2, position, v)
                read = scaled_dot_product_attention(turned(q), keys, values, attn_mask=seen, enable_gqa=True)
                x = x + read.reshape(1, WIDTH) @ output.T
                gate, up = (rms_norm(x, (WIDTH,), behind) @ gate_up.T).chunk(2, 1)
                x = x + (silu(gate) * up) @ down.T
            return (rms_norm(x, (WIDTH,), last) @ embedding.T).argmax(1)

        moved = sum(part.numel() * part.element_size() for layer in weights for part in layer[:6])
        moved += embedding.numel() * embedding.element_size() + 2 * layers * KV_HEADS * past * HEAD_DIM * last.element_size()
        with torch.no_grad():
            self.add("token", f"past{past}", moved, step, calls=1, rung=f"pytorch {str(dtype).removeprefix('torch.')}")


def measure(baseline: Baseline) -> None:
    small = baseline.small
    for outputs, depth in ((64, 64),) if small else ((960, WIDTH), (WIDTH, WIDTH), (3072, WIDTH), (WIDTH, FFN), (VOCAB, WIDTH)):
        baseline.linear(1, outputs, depth)
    baseline.linear(*((8, 64, 64) if small else (512, 3072, WIDTH)))
    for slots in (64,) if small else (64, 256, 512, 2048, 8192):
        baseline.attention(1, slots)
    baseline.attention(*((8, 8) if small else (512, 512)))
    for past in (4,) if small else (4, 500):
        baseline.token(past, torch.float32)
    if not small:
        baseline.token(500, torch.float16)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", metavar="FILE")
    parser.add_argument("--small", action="store_true")
    options = parser.parse_args()
    if not torch.cuda.is_available() and not options.small:
        print("this PyTorch finds no GPU")
        return 77
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.manual_seed(7)
    with open(options.file, "w", encoding="utf-8") as file:
        measure(Baseline(file, options.small))
    print(f"RESULT pytorch={torch.__version__}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
