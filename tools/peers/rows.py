"""What is raced: every row of the table, and against whom."""
from __future__ import annotations

from dataclasses import dataclass

GROUPS = ("tiny", "decode", "prefill", "batch", "gpt2", "kv", "serve")
FORMATS = ("f32", "f16", "q8_0", "q4_1")
CACHES = ("f16", "q8_0", "q4_0")  # of keys and values, the same on both sides


@dataclass(frozen=True)
class Row:
    group: str
    model: str  # tiny, smollm2 or gpt2
    format: str
    threads: int
    kind: str  # prefill, decode or serve
    tokens: int  # of serve: requests
    context: int = 0
    batch: int = 1  # of serve: clients
    all_logits: bool = False
    cache: str = ""  # the format of keys and values on both sides; "": ours f32, the peer's by --kv
    peers: tuple[str, ...] = ("llama.cpp",)

    @property
    def name(self) -> str:
        if self.kind == "prefill":
            return f"{self.model} {self.format} prefill {self.tokens}" + (" all logits" if self.all_logits else "")
        if self.kind == "serve":
            return f"{self.model} {self.format} serve {self.tokens} requests of {self.batch} client{'s' if self.batch > 1 else ''}"
        text = f"{self.model} {self.format} decode {self.tokens}"
        text += f" at {self.context}" if self.context else ""
        text += f" cache {self.cache}" if self.cache else ""
        return text + (f" batch {self.batch}" if self.group == "batch" else "")

    @property
    def program(self) -> str:
        """Who of ours runs it: caches in other formats come with chapter 6, the scheduler with chapter 7."""
        if self.kind == "serve":
            return "step07_serving"
        return "step06_quant" if self.cache else "step03_kvcache"

    def task(self, path: str, seconds: float, warm_up: int) -> dict:
        """The race as a worker reads it."""
        return {"model": path, "kind": self.kind, "tokens": self.tokens, "context": self.context, "batch": self.batch,
                "all_logits": self.all_logits, "cache": self.cache, "threads": self.threads, "seconds": seconds, "warm_up": warm_up}


def rows(groups: list[str], formats: list[str], threads: list[int], quick: bool) -> list[Row]:
    """In the order of the table. `quick`: the same kinds of rows with few tokens, to see that all works."""
    ours = ("llama.cpp", "PyTorch")
    few = lambda tokens: min(tokens, 8) if quick else tokens
    result: list[Row] = []
    for t in threads:
        if "tiny" in groups:
            result.append(Row("tiny", "tiny", "f32", t, "decode", 32 if quick else 256, peers=ours))
            result.append(Row("tiny", "tiny", "f32", t, "prefill", 32 if quick else 256, peers=ours))
        for f in formats:
            if "decode" in groups:
                result += [Row("decode", "smollm2", f, t, "decode", few(128), context)
                           for context in ((0, 64) if quick else (0, 512, 2048))]
            if "prefill" in groups:
                result += [Row("prefill", "smollm2", f, t, "prefill", tokens) for tokens in ((32,) if quick else (128, 512))]
            if "batch" in groups:
                # Few steps: from an empty context, 32 of them say what 128 say.
                result += [Row("batch", "smollm2", f, t, "decode", few(32), batch=b) for b in (1, 4, 16)]
                result.append(Row("batch", "smollm2", f, t, "prefill", 32 if quick else 128, all_logits=True))
            if "serve" in groups and f != "q4_1":
                result += [Row("serve", "smollm2", f, t, "serve", clients if quick else max(8, 2 * clients), batch=clients) for clients in (1, 4, 16)]
        if "gpt2" in groups:
            everyone = (*ours, "transformers")
            result.append(Row("gpt2", "gpt2", "f32", t, "decode", few(128), peers=everyone))
            result.append(Row("gpt2", "gpt2", "f32", t, "prefill", 32 if quick else 128, peers=everyone))
        if "kv" in groups:  # one file for all: what differs is the cache
            result += [Row("kv", "smollm2", "q4_1", t, "decode", few(32), context, cache=cache)
                       for context in ((64,) if quick else (2048, 4096)) for cache in CACHES]
    return result
