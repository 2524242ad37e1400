"""Many requests through llama.cpp, as its own server batches them: one batch a step, in it the next token of every client that
generates and as much of the prompts as fits beside them.

llama.cpp's server (tools/server/server-context.cpp, update_slots) does this in C++; the Python server queues its requests one
by one. What is timed is llama_decode, the argmax, and this loop; how much of it is the loop is in the report.
"""
from __future__ import annotations

import time
from dataclasses import dataclass, field

import llama_cpp as llama

from llama_worker import LlamaRace, PAGE
from worker import LONGEST_REQUEST, raced_request, text_of

BATCH = 512  # tokens of a step, at most: n_ubatch, so that a step is one pass over the weights


@dataclass
class Slot:
    """A client: the request that it waits for. Its number is the number of its sequence."""
    number: int
    request: int = -1
    prompt: list[int] = field(default_factory=list)
    fed: int = 0           # tokens of prompt and answer that are in the cache
    answer: list[int] = field(default_factory=list)
    most: int = 0          # tokens of the answer
    row: int = -1          # of this step's batch, whose logits choose the next token; -1: none


class LlamaServing(LlamaRace):
    """All requests wait from the start; a client's next one begins when its last one has ended."""

    def parameters(self, task: dict) -> llama.llama_context_params:
        parameters = super().parameters(task)
        parameters.n_ctx = self.sequences * ((LONGEST_REQUEST + PAGE - 1) // PAGE * PAGE)
        return parameters

    def prepare(self) -> None:
        self.requests = [(text_of(i, prompt, self.vocab), answer) for i, (prompt, answer) in enumerate(map(raced_request, range(self.length)))]
        self.tokens = sum(answer for _, answer in self.requests)

    def seconds(self) -> float:
        llama.llama_memory_clear(self.memory, False)
        slots, self.waiting, self.decoding_seconds = [Slot(i) for i in range(self.sequences)], 0, 0.0
        answers: list[list[int]] = [[] for _ in self.requests]
        start = time.perf_counter()
        while self.next_batch(slots):
            began = time.perf_counter()
            self.decode()
            self.decoding_seconds += time.perf_counter() - began
            for slot in slots:
                if slot.row >= 0:
                    self.choose(slot, answers)
        seconds = time.perf_counter() - start
        self.chosen = answers[0]
        self.written = sum(map(len, answers))
        self.loop_share = 1 - self.decoding_seconds / seconds
        return seconds

    def next_batch(self, slots: list[Slot]) -> bool:
        """Who generates goes first, with one token; then the prompts, in the order of the clients."""
        for slot in slots:
            slot.row = -1
            if slot.request < 0 and self.waiting < len(self.requests):
                prompt, most = self.requests[self.waiting]
                slot.request, slot.prompt, slot.most, slot.fed, slot.answer = self.waiting, prompt, most, 0, []
                self.waiting += 1
        at = 0
        for slot in slots:
            if slot.answer:
                self.put(at, slot.answer[-1], slot.fed, slot.number, True)
                slot.row, slot.fed, at = at, slot.fed + 1, at + 1
        for slot in slots:
            if slot.request < 0 or slot.answer:
                continue
            piece = slot.prompt[slot.fed:slot.fed + BATCH - at]
            for i, token in enumerate(piece):
                last = slot.fed + i == len(slot.prompt) - 1
                self.put(at + i, token, slot.fed + i, slot.number, last)
                slot.row = at + i if last else -1
            slot.fed, at = slot.fed + len(piece), at + len(piece)
        self.batch.n_tokens = at
        return at > 0

    def choose(self, slot: Slot, answers: list[list[int]]) -> None:
        slot.answer.append(self.argmax(slot.row))
        if len(slot.answer) == slot.most:
            answers[slot.request] = slot.answer
            llama.llama_memory_seq_rm(self.memory, slot.number, -1, -1)
            slot.request, slot.answer = -1, []

    def use(self, task: dict, unified: bool) -> None:
        """Another context: one cache for all sequences, or one for each."""
        llama.llama_free(self.ctx)
        parameters = self.parameters(task)
        parameters.kv_unified = unified
        self.ctx = llama.llama_init_from_model(self.model, parameters)
        if not self.ctx:
            raise RuntimeError("llama.cpp makes no context: " + " ".join("".join(self.log[-3:]).split()))
        self.memory, self.views = llama.llama_get_memory(self.ctx), {}

    def describe(self, task: dict) -> dict:
        """With one cache for all, prompts and answers of a step are one pass; with one for each, answers alone are faster. Its server
        has both; here the faster one is raced."""
        times = {}
        for unified in (False, True):
            self.use(task, unified)
            times[unified] = min(self.seconds() for _ in range(2))
            if self.written != self.tokens:
                raise RuntimeError(f"{self.written} tokens were written, {self.tokens} were asked for")
        self.use(task, min(times, key=times.get))
        self.seconds()
        return {**super().describe(task), "kv_unified": times[True] < times[False], "loop_share": self.loop_share}
