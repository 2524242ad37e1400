"""What prose.py knows of words: those that the book does not use, those that are terms only in some company, abbreviations that need no
definition."""
from __future__ import annotations

import re

# What is found in prose, and what to write instead. A use that is right after all has a comment with its reason (prose.py says how).
WORDS = [
    (r"\bbehind\b", "'after' (in time and in order); of places: 'next to', 'below'"),
    (r"\b(?:lm|output|unembedding|logit|vocabulary|language[- ]model(?:ling)?) heads?\b|\blm_head\b|\bhead(?:'s)? matrix\b|\bhead (?=\[V, C\])|\bthe head (?:of|on|over) the (?:vocabulary|model)\b",
     "'output matrix' for [V, C]; a head is a head of attention"),
    (r"\b(?:unembedding|logits?) matri(?:x|ces)\b|\boutput projection (?:to|onto) the vocabulary\b", "'output matrix' for [V, C]"),
    (r"(?<=[.:;] )Who(?:ever)? [^.?!]*[.!]|^Who(?:ever)? [^.?!]*[.!]", "a plain sentence that names who does it: 'A barrier deadlocks unless ...'"),
    (r"\bkey[-/ ]value caches?\b|(?-i:\b(?:KV-|kv-|kv |Kv |Kv-)caches?\b)", "'KV cache'"),
    (r"\bcache (?:entry|entries|cells?)\b", "'slot' for the place, 'row' for the numbers in it"),
    (r"\b(?:time ?steps?)\b", "'step'"),
    (r"\bpre-fill\b", "'prefill'"),
    (r"\btok/s\b|\btokens?/sec\b", "'tokens/s'"),
    (r"\b(?:w\.r\.t\.|resp\.|viz\.|cf\.|i\.e\.|e\.g\.|etc\.)", "the words: 'for example', 'that is', 'compare', 'and so on'"),
    (r"\b(?:obvious(?:ly)?|trivial(?:ly)?|clearly|of course|needless to say|as is well known|it is easy to see)\b",
     "the reason, or nothing: a reader who does not see it feels stupid ('the obvious code' of a chapter: 'the plain code')"),
    (r"\b(?:see|explained|described|shown|defined|as said|mentioned) (?:below|above|later|further (?:down|up))\b|\babove-mentioned\b|\bas mentioned\b",
     "a link to the place, with its name"),
    (r"\b(?:he|him|his)\b", "'they', 'the reader', 'you'"),
    (r"\bcures? the same disease\b|\bthe same disease\b", "what both do: 'both fight large channels'"),
    (r"\band all that it loses\b", "what is meant, said once, as a sentence of its own"),
    (r"\butili[sz]e[sd]?\b|\bleverage[sd]?\b", "'use'"),
    (r"\bditto\b", "the thing itself"),
    (r"\b[Tt]he total \*is\*", "what to do: 'start the total with the first block'"),
]

# Terms that are plain words as well, and when they are the term: the rule about order looks at these uses alone.
# A term that is not here counts wherever it stands. None: too plain to be looked for.
IN_COMPANY = {
    "block": r"\bblocks? of 64\b",
    "key": r"\bkeys? and (?:the )?(?:its |their )?values?\b|\bkey (?:row|vector)s?\b|\battention keys?\b",
    "value": r"\bkeys? and (?:the )?(?:its |their )?values?\b|\bvalue (?:row|vector)s?\b",
    "query": r"\bquer(?:y|ies)\b",
    "head": r"\b(?:attention|query|key|value|kv) heads?\b",
    "mask": r"\b(?:causal|attention) masks?\b",
    "score": r"\battention scores?\b",
    "weight": r"\battention weights?\b",
    "page": r"\bpages? of (?:slots|the cache)\b|\bpaged\b",
    "tile": r"\btiles? of (?:64|slots|keys|the cache)\b",
    "fork": r"\bfork(?:s|ed|ing)? (?:a|the) (?:cache|sequence|store)\b",
    "contract": None, "position": None, "layer": None, "step": None, "order": None, "row": None, "shape": None, "model": None, "parameter": None, "width": None,
    "chain": None, "rank": None, "text": None, "token": None, "table": None, "sum": None,
    "answer": None, "error": None, "line": None, "store": None, "run": None, "work": None, "reading": None, "copy": None, "piece": None, "chunk": None,
    "context": None, "sequence": None, "thread": None, "vector": None, "matrix": None, "column": None, "bit": None, "exponent": None,
    "rounding": None, "float": None, "product": None, "view": None, "slice": None, "index": None, "pair": None, "angle": None, "mean": None,
    "scale": None, "residual": None, "memory": None, "window": None, "sign": None, "significand": None,
    "group": None, "sample": None, "stage": None, "decode": None, "feed": None,
    "language model": None, "weights": None, "copy task": None, "induction": None, "needle": None, "recall": None,
}

# Abbreviations that a C++ programmer knows, names, units; every other one is a term, defined or linked.
KNOWN = set("""CPU CPUS GPU GPUS RAM DRAM PC OS ID IDS OK API APIS URL HTML JSON JSONL SVG PNG CSV PDF UTF ASCII README LICENSE FAQ GNU GCC IEEE ISO ABI CI CD
CLI11 GB MB KB GIB MIB KIB TB HZ KHZ MHZ GHZ FLOP FLOPS GFLOP GFLOPS TFLOP TFLOPS MS US NS NAN INF TODO TASK ARM AMD AMX AVX AVX2 SSE SSE2 AVX512 NEON X86 FMA UB STL IO RNG
CUDA C11 C17 C20 CMAKE XML HTTP HTTPS SDK IDE CLI DOI ACL ICLR ICML NIPS NEURIPS MLSYS MIT BSD II III IV VI L1 L2 L3 PCG PCG32 FNV FNV1 XSH RR NVIDIA IBM INTEL SM
LLM LLMS LORD PASS FAIL PASSED FAILED NOT AND OR DDR4 DDR5 ASAN TSAN UBSAN AWK BASH WSL VS KV""".split())


def use_of(term: str) -> re.Pattern | None:
    """What counts as a use of a term, in singular and plural; None if nothing does."""
    if term.lower() in IN_COMPANY:
        company = IN_COMPANY[term.lower()]
        return re.compile(company, re.I) if company else None
    return re.compile(rf"(?<![\w-]){plural_too(term)}(?![\w-])", re.I)


def plural_too(term: str) -> str:
    """The term and its plural, as a pattern; between its words there may be any space."""
    words = [re.escape(word) for word in term.split()]
    last = term.split()[-1]
    endings = "(?:s|es)?"
    if re.search(r"[^aeiou]y$", last):
        words[-1], endings = re.escape(last[:-1]), "(?:y|ies)"
    elif last.endswith(("ix", "ex")):
        words[-1], endings = re.escape(last[:-2]), f"(?:{last[-2:]}|ices)"
    return r"\s+".join(words) + endings


def self_test() -> list[str]:
    cases = [("query", "queries", True), ("slot", "A slot's row", True), ("slot", "slots", True), ("slot", "slotted", False), ("kv cache", "the KV cache", True),
             ("RoPE", "rope", True), ("matrix product", "Matrix products", True), ("output matrix", "output matrices", True), ("ulp", "pulp", False),
             ("softmax", "online-softmax", False), ("key", "a key of the map", False), ("key", "keys and values", True), ("logit", "logits", True)]
    return [f"use_of {term!r} in {text!r}" for term, text, expected in cases if bool(use_of(term) and use_of(term).search(text)) != expected]
