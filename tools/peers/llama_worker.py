"""llama.cpp, asked through its C interface for exactly what is timed: llama_decode and an argmax.

Everything that is not named here has llama.cpp's own default: F16 cache, flash attention where it can ("auto"; "on" in races of caches),
weights memory-mapped and laid out anew ("repack") where its kernels want that, a batch of 2048 cut into 512.
Needs: llama-cpp-python, numpy (see install.py).
"""
from __future__ import annotations

import ctypes
import time

import llama_cpp as llama
import numpy as np

from worker import serve, text_of

GGML_TYPES = {"f32": 0, "f16": 1, "q4_0": 2, "q8_0": 8}
PAGE = 256  # llama.cpp rounds a context up to this many cells
FILL = 512  # tokens of a context that is filled before the clock runs

# By address instead of by ctypes pointer: taking the argmax must not cost more than the argmax.
logits_at = llama.llama_cpp._lib.llama_get_logits_ith
logits_at = type(logits_at)(("llama_get_logits_ith", llama.llama_cpp._lib))
logits_at.argtypes, logits_at.restype = [ctypes.c_void_p, ctypes.c_int32], ctypes.c_void_p


class LlamaRace:
    def __init__(self, task: dict) -> None:
        self.log: list[str] = []
        self.keep = llama.llama_log_callback(lambda level, text, data: self.log.append(text.decode("utf-8", "replace")))
        llama.llama_log_set(self.keep, None)
        llama.llama_backend_init()
        self.decoding = task["kind"] == "decode"
        self.length, self.context, self.sequences = task["tokens"], task["context"], 1 if task["kind"] == "prefill" else task["batch"]
        self.all_logits = bool(task["all_logits"])
        self.tokens = self.length * self.sequences
        self.chosen: list[int] = []
        start = time.perf_counter()
        self.model = llama.llama_model_load_from_file(task["model"].encode(), llama.llama_model_default_params())
        if not self.model:
            raise RuntimeError("llama.cpp does not load the model: " + " ".join("".join(self.log[-3:]).split()))
        self.load_seconds = time.perf_counter() - start
        self.vocab = llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(self.model))
        self.ctx = llama.llama_init_from_model(self.model, self.parameters(task))
        if not self.ctx:
            raise RuntimeError("llama.cpp makes no context: " + " ".join("".join(self.log[-3:]).split()))
        self.memory = llama.llama_get_memory(self.ctx)
        self.batch = llama.llama_batch_init(max(self.length, FILL, self.sequences), 0, 1)
        self.views: dict[int, np.ndarray] = {}
        self.prepare()
        self.about = self.describe(task)

    def parameters(self, task: dict) -> llama.llama_context_params:
        parameters = llama.llama_context_default_params()
        cells = self.context + self.length
        parameters.n_ctx = self.sequences * ((cells + PAGE - 1) // PAGE * PAGE)
        parameters.n_seq_max = self.sequences
        parameters.n_threads = parameters.n_threads_batch = task["threads"]
        parameters.type_k = parameters.type_v = GGML_TYPES[task.get("kv", "f16")]
        if task["cache"]:  # quantised values need it, and rows of one table should be computed alike
            parameters.flash_attn_type = llama.LLAMA_FLASH_ATTN_TYPE_ENABLED
        return parameters

    def put(self, at: int, token: int, position: int, sequence: int, wanted: bool) -> None:
        self.batch.token[at], self.batch.pos[at], self.batch.logits[at] = token, position, wanted
        self.batch.n_seq_id[at], self.batch.seq_id[at][0] = 1, sequence

    def decode(self) -> None:
        if llama.llama_decode(self.ctx, self.batch) != 0:
            raise RuntimeError("llama_decode failed: " + " ".join("".join(self.log[-3:]).split()))

    def prepare(self) -> None:
        """Fills the contexts; for a prompt, writes the one batch that is then run again and again."""
        if not self.decoding:
            text = text_of(0, self.length, self.vocab)
            for i, token in enumerate(text):
                self.put(i, token, i, 0, self.all_logits or i == self.length - 1)
            self.batch.n_tokens = self.length
            return
        self.first = []
        for s in range(self.sequences):
            text = text_of(s, self.context + 1, self.vocab)
            for begin in range(0, self.context, FILL):
                piece = text[begin : min(begin + FILL, self.context)]
                for i, token in enumerate(piece):
                    self.put(i, token, begin + i, s, i == len(piece) - 1)
                self.batch.n_tokens = len(piece)
                self.decode()
            self.first.append(text[-1])
        for s in range(self.sequences):  # what a step changes is the token and the position
            self.put(s, 0, 0, s, True)
        self.batch.n_tokens = self.sequences
        # A batch's arrays as numpy sees them: one assignment a step instead of one a sequence.
        self.step_tokens = np.ctypeslib.as_array(self.batch.token, (self.sequences,))
        self.step_positions = np.ctypeslib.as_array(self.batch.pos, (self.sequences,))

    def argmax(self, row: int) -> int:
        address = logits_at(self.ctx, row)
        view = self.views.get(address)
        if view is None:
            view = np.ctypeslib.as_array(ctypes.cast(address, ctypes.POINTER(ctypes.c_float)), (self.vocab,))
            self.views[address] = view
        return int(view.argmax())

    def seconds(self) -> float:
        return self.decode_seconds() if self.decoding else self.prefill_seconds()

    def prefill_seconds(self) -> float:
        llama.llama_memory_clear(self.memory, False)
        start = time.perf_counter()
        self.decode()
        token = self.argmax(self.length - 1)
        seconds = time.perf_counter() - start
        self.chosen = [token]
        return seconds

    def decode_seconds(self) -> float:
        for s in range(self.sequences):
            llama.llama_memory_seq_rm(self.memory, s, self.context, -1)
        self.step_tokens[:] = self.first
        chosen: list[int] = []
        rows = range(self.sequences)
        start = time.perf_counter()
        for step in range(self.length):
            self.step_positions[:] = self.context + step
            self.decode()
            next_tokens = [self.argmax(row) for row in rows]
            self.step_tokens[:] = next_tokens
            chosen.append(next_tokens[0])
        seconds = time.perf_counter() - start
        self.chosen = chosen
        return seconds

    def harness_microseconds(self) -> float:
        """What this script itself costs a step: the loop with a call that does nothing in llama_decode's place."""
        real = llama.llama_decode
        llama.llama_decode = lambda ctx, batch: 0 * llama.llama_n_ctx(ctx)
        try:
            self.decode_seconds()
            return 1e6 * min(self.decode_seconds() for _ in range(5)) / self.length
        finally:
            llama.llama_decode = real

    def describe(self, task: dict) -> dict:
        about = {"peer": "llama.cpp", "package": f"llama-cpp-python {llama.__version__}",
                 "build": llama.llama_print_system_info().decode().strip(), "load_seconds": self.load_seconds,
                 "kv": task.get("kv", "f16"), "flash_attention": "on" if task["cache"] else "auto"}
        said = [line.split(":", 1)[-1].strip() for line in "".join(self.log).splitlines() if "Flash Attention" in line]
        if said:
            about["flash_attention"] = said[-1]
        about["buffers"] = sorted({line.split("load_tensors:")[-1].strip() for line in "".join(self.log).splitlines()
                                   if "model buffer size" in line})
        # With quantised caches it multiplies keys and values by a Hadamard matrix, unless told not to.
        about["rotated"] = any(f"attn_rot_{side} = 1" in line for line in "".join(self.log).splitlines() for side in "kv")
        if self.decoding:
            self.decode_seconds()  # a row of logits must exist before the harness can read one
            about["harness_microseconds_per_step"] = self.harness_microseconds()
        return about


def make_race(task: dict) -> LlamaRace:
    if task["kind"] != "serve":
        return LlamaRace(task)
    from llama_serving import LlamaServing  # it is built upon this file
    return LlamaServing(task)


if __name__ == "__main__":
    serve(make_race)
