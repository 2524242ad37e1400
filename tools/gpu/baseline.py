#!/usr/bin/env python3
"""What PyTorch (cuBLAS, its fused attention, CUDA graphs, its compiler) makes of the shapes that `step04_cuda bench` times.

    baseline.py [--small] FILE     one JSON object a line, with the bench's names of operations and shapes

In FP32 without TF32, as the project's kernels: sums of tensor cores are another thing. `us` is with an empty second-level cache, as
the bench measures it; `warm_us` is one of many calls in a CUDA graph, without the host: both the median with its quartiles. Rows come
from the most to the least important; what is compiled comes last, since it may take longer than there is time for. --small: little
sizes, and the CPU where there is no GPU. Exit code 77 where there is no PyTorch, or none that has a GPU. Nothing but PyTorch and the standard library.
"""
from __future__ import annotations

import argparse
import json
import statistics
import sys
import time

WIDTH, HEADS, KV_HEADS, HEAD_DIM, FFN, VOCAB, LAYERS = 576, 9, 3, 64, 1536, 49152, 30  # SmolLM2-135M
ROOM = 64  # slots of the decoder's cache beyond those that are filled

try:
    import torch
    from torch.nn.functional import rms_norm, scaled_dot_product_attention, silu
except ImportError as error:
    print(f"there is no PyTorch: {error}")
    sys.exit(77)

NAMES = {torch.float32: "F32", torch.float16: "F16"}  # as the bench names types


class Clock:
    def __init__(self, device: str, small: bool):
        self.gpu = device == "cuda"
        self.rounds = 1 if small else 15
        level = torch.cuda.get_device_properties(0).L2_cache_size if self.gpu else 1 << 10
        self.flushed = [torch.zeros(level // 2, device=device) for _ in range(2)]  # each twice the cache's bytes

    def cold(self, call) -> list[float]:
        """Seconds of calls whose operands are in DRAM; filling the cache runs on while the events are launched."""
        call()
        samples = []
        for _ in range(self.rounds):
            self.flushed[1].add_(self.flushed[0])
            samples.append(self.events(call))
        return samples

    def warm(self, call, calls: int = 20) -> list[float]:
        if not self.gpu:
            return [self.events(call)]
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
        return [self.events(graph.replay) / calls for _ in range(self.rounds)]

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


def microseconds(seconds: list[float]) -> dict:
    """As the bench's rows have them."""
    low, median, high = statistics.quantiles(seconds, n=4, method="inclusive") if len(seconds) > 1 else seconds * 3
    return {"smallest": min(seconds) * 1e6, "low": low * 1e6, "median": median * 1e6, "high": high * 1e6, "largest": max(seconds) * 1e6,
            "samples": len(seconds)}


class Baseline:
    def __init__(self, file, small: bool):
        self.file, self.small = file, small
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.clock = Clock(self.device, small)

    def add(self, op: str, shape: str, moved: int, call, calls: int = 20, rung: str = "pytorch") -> None:
        cold = microseconds(self.clock.cold(call))
        row = {"op": op, "shape": shape, "rung": rung, "us": cold, "bytes": moved, "gb_per_s": moved / cold["median"] / 1e3}
        try:
            row["warm_us"] = microseconds(self.clock.warm(call, calls))
        except RuntimeError as error:  # what a graph cannot hold
            row["no_graph"] = str(error)[:200]
        print(json.dumps(row), file=self.file, flush=True)

    def random(self, *shape: int, dtype=torch.float32):
        return torch.randn(*shape, device=self.device, dtype=dtype) * 0.04

    def linear(self, rows: int, outputs: int, depth: int, dtype=torch.float32) -> None:
        """In half precision the weights' alone is the bench's: PyTorch wants x in it, too."""
        w, x = self.random(outputs, depth, dtype=dtype), self.random(rows, depth, dtype=dtype)
        moved = w.element_size() * (outputs * depth + rows * (depth + outputs))
        call = (lambda: torch.mv(w, x[0])) if rows == 1 else (lambda: torch.mm(x, w.T))
        self.add("linear", f"R{rows} N{outputs} K{depth} {NAMES[dtype]}", moved, call)

    def attention(self, tokens: int, slots: int, heads: int = HEADS, kv_heads: int = KV_HEADS, width: int = HEAD_DIM) -> None:
        q = self.random(1, heads, tokens, width)
        k, v = self.random(1, kv_heads, slots, width), self.random(1, kv_heads, slots, width)
        moved = 4 * 2 * (kv_heads * slots + heads * tokens) * width
        others = "" if (heads, kv_heads, width) == (HEADS, KV_HEADS, HEAD_DIM) else f" heads{heads}/{kv_heads}x{width}"
        self.add("attention", f"T{tokens} slots{slots}{others}", moved,
                 lambda: scaled_dot_product_attention(q, k, v, is_causal=tokens > 1, enable_gqa=heads != kv_heads))

    def token(self, past: int, dtype, compiled: bool = False) -> None:
        """A token of a decoder in plain PyTorch, with the next token chosen on the device."""
        kept = past + ROOM
        layers, vocab = (2, 512) if self.small else (LAYERS, VOCAB)
        new = lambda *shape: self.random(*shape, dtype=dtype)
        width_qkv = (HEADS + 2 * KV_HEADS) * HEAD_DIM
        weights = [(new(WIDTH), new(width_qkv, WIDTH), new(WIDTH, WIDTH), new(WIDTH), new(2 * FFN, WIDTH), new(WIDTH, FFN),
                    new(1, KV_HEADS, kept, HEAD_DIM), new(1, KV_HEADS, kept, HEAD_DIM)) for _ in range(layers)]
        embedding, last, cos, sin = new(vocab, WIDTH), new(WIDTH), new(HEAD_DIM), new(HEAD_DIM)
        one, position = torch.zeros(1, dtype=torch.long, device=self.device), torch.tensor([past], device=self.device)
        seen = (torch.arange(kept, device=self.device) <= past)[None, None, None]

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
            self.add("token", f"past{past} {NAMES[dtype]}", moved, torch.compile(step) if compiled else step, calls=1,
                     rung="pytorch compiled" if compiled else "pytorch")


def measure_small(baseline: Baseline) -> None:
    baseline.linear(1, 64, 64)
    baseline.linear(8, 64, 64)
    baseline.attention(1, 64)
    baseline.attention(8, 8)
    baseline.token(4, torch.float32)


def measure(baseline: Baseline) -> None:
    """The bench's shapes; first those that a goal is about."""
    for dtype in (torch.float32, torch.float16):
        for outputs in (4096, 22016):
            baseline.linear(1, outputs, 4096, dtype)
    for rows, outputs, depth in ((512, 3072, WIDTH), (512, 4096, 4096)):
        baseline.linear(rows, outputs, depth)
    baseline.attention(1, 8192)
    baseline.attention(1, 8192, 32, 32, 128)
    baseline.token(512, torch.float32)
    for outputs, depth in ((960, WIDTH), (WIDTH, WIDTH), (3072, WIDTH), (WIDTH, FFN), (VOCAB, WIDTH)):
        baseline.linear(1, outputs, depth)
    for rows in (4, 16, 64):
        baseline.linear(rows, 3072, WIDTH)
    for tokens, slots in ((1, 512), (1, 2048), (128, 128), (512, 512)):
        baseline.attention(tokens, slots)
    for past, dtype in ((0, torch.float32), (2048, torch.float32), (512, torch.float16)):
        baseline.token(past, dtype)
    try:
        baseline.token(512, torch.float32, compiled=True)
    except Exception as error:  # a compiler that is not there, or breaks: one row less
        print(f"torch.compile: {type(error).__name__}: {str(error)[:200]}")


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
        (measure_small if options.small else measure)(Baseline(file, options.small))
    print(f"RESULT pytorch={torch.__version__}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
