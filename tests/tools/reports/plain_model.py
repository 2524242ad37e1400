"""A decoder in plain Python and double precision, from the book's formulas alone: a second way to every figure of
quality. Beside it small models to run it on, made here, so that heads, blocks and tokens can be chosen."""
from __future__ import annotations

import functools
import math
import random
from operator import mul
from pathlib import Path

from reports import formats, turbo
from reports.formats import Gguf, f32

WEIGHTS = Path(__file__).resolve().parents[3] / "weights"


def dot(a, b):
    return sum(map(mul, a, b))


def product(matrix, x):
    return [sum(map(mul, row, x)) for row in matrix]


class Model:
    """The tensors of a llama model as rows of floats, and its sizes."""

    def __init__(self, file):
        self.file = file
        get = lambda key, other=None: file.metadata.get("llama." + key, (0, other))[1]
        self.name = file.metadata["general.name"][1]
        self.width, self.layers, self.heads = get("embedding_length"), get("block_count"), get("attention.head_count")
        self.kv_heads, self.ffn = get("attention.head_count_kv"), get("feed_forward_length")
        self.head_dim = get("attention.key_length", self.width // self.heads)
        self.eps, self.base = get("attention.layer_norm_rms_epsilon"), get("rope.freq_base")
        self.tensors = {name: self.rows(name) for name in file.tensors}
        self.vocab = len(self.tensors["token_embd.weight"])

    def rows(self, name):
        numbers, shape = self.file.numbers(name), self.file.tensors[name][1]
        if len(shape) == 1:
            return numbers
        return [numbers[at:at + shape[1]] for at in range(0, len(numbers), shape[1])]

    def matrices(self):
        return {name: rows for name, rows in self.tensors.items() if isinstance(rows[0], list)}

    def edited(self, tensors):
        """The same model with some tensors replaced."""
        other = object.__new__(Model)
        other.__dict__ = {**self.__dict__, "tensors": {**self.tensors, **tensors}}
        return other


def rms_norm(x, weight, eps):
    scale = 1 / math.sqrt(dot(x, x) / len(x) + eps)
    return [v * scale * w for v, w in zip(x, weight)]


def rope(x, position, base):
    """Numbers 2i and 2i + 1 are turned together, by position * base^(-2i / D)."""
    out = []
    for i in range(0, len(x), 2):
        angle = position * base ** (-i / len(x))
        c, s = math.cos(angle), math.sin(angle)
        out += [x[i] * c - x[i + 1] * s, x[i] * s + x[i + 1] * c]
    return out


def hadamard(x):
    if len(x) == 1:
        return x
    a, b = hadamard(x[:len(x) // 2]), hadamard(x[len(x) // 2:])
    root = math.sqrt(2)
    return [(p + q) / root for p, q in zip(a, b)] + [(p - q) / root for p, q in zip(a, b)]


class Plain:
    """A cache that keeps everything, and what others change of it."""

    rotate = before_rope = False

    def turn(self, row):
        """A row before it is kept, a query, and what comes out."""
        return row

    def seen(self, layer, head, side, rows):
        """rows [T, D] of one KV head; returns what the token at t sees, as a function of t."""
        return lambda t: rows[:t + 1]

    def all_heads(self, layer, side, rows):
        """rows [T, Hkv D] of all heads before RoPE."""
        return rows


class Coded(Plain):
    """Chapter 6's cache: formats of keys and values, sinks in floats, KIVI's residual in f16."""

    def __init__(self, keys="f32", values="f32", rotate=False, before_rope=False, sinks=0, residual=128, seed=1):
        self.codes, self.seed = {"keys": keys, "values": turbo.of_values(values)}, seed
        self.rotate, self.before_rope, self.sinks, self.residual = rotate, before_rope, sinks, residual

    def turn(self, row):
        if any(map(turbo.is_turbo, self.codes.values())):
            return turbo.signed(hadamard(turbo.signed(row, self.seed)), self.seed)
        return hadamard(row) if self.rotate else row

    def seen(self, layer, head, side, rows):
        code, sinks = self.codes[side], self.sinks
        if not code.startswith("kivi"):
            keep = (lambda row: turbo.rounded(code, row, self.seed)) if turbo.is_turbo(code) else (lambda row: formats.kv_round(code, row))
            kept = [row if s < sinks else keep(row) for s, row in enumerate(rows)]
            return lambda t: kept[:t + 1]
        waiting = [row if s < sinks else [formats.f16(x) for x in row] for s, row in enumerate(rows)]
        if side == "values":
            coded = [row if s < sinks else formats.kv_round(code, row) for s, row in enumerate(waiting)]
            until = lambda t: max(0, t - self.residual)
        else:
            coded = self.by_channel(int(code[4:]), waiting)
            until = lambda t: t // self.residual * self.residual
        return lambda t: coded[:until(t)] + waiting[until(t):t + 1]

    def by_channel(self, bits, rows):
        """A group is one channel of 32 tokens; sinks are in none."""
        out = [list(row) for row in rows]
        for first in range(0, len(rows) - 31, 32):
            members = range(max(first, self.sinks), first + 32)
            for i in range(len(rows[0]) if members else 0):
                for s, x in zip(members, formats.kivi(bits, [rows[s][i] for s in members])):
                    out[s][i] = x
        return out


def forward(model, tokens, cache=Plain(), linear=None, watch=None):
    """Logits [T, V] of a text. linear(name, matrix, rows): the products; watch(name, rows): their inputs."""
    t_ = model.tensors
    D, Hkv, group = model.head_dim, model.kv_heads, model.heads // model.kv_heads
    turn = lambda x, position: rope(x, position, model.base)

    def products(name, rows):
        if watch:
            watch(name, rows)
        return linear(name, t_[name], rows) if linear else [product(t_[name], x) for x in rows]

    x = [list(t_["token_embd.weight"][token]) for token in tokens]
    for layer in range(model.layers):
        blk = f"blk.{layer}."
        normed = [rms_norm(row, t_[blk + "attn_norm.weight"], model.eps) for row in x]
        q, k, v = (products(blk + f"attn_{n}.weight", normed) for n in "qkv")
        k, v = cache.all_heads(layer, "keys", k), cache.all_heads(layer, "values", v)
        mixed = [[] for _ in tokens]
        for h in range(Hkv):
            part = lambda rows, head: [row[head * D:(head + 1) * D] for row in rows]
            keys, values = part(k, h), part(v, h)
            if not cache.before_rope:
                keys = [turn(row, s) for s, row in enumerate(keys)]
            keys, values = [cache.turn(row) for row in keys], [cache.turn(row) for row in values]
            seen_keys, seen_values = cache.seen(layer, h, "keys", keys), cache.seen(layer, h, "values", values)
            turned = {}
            for t in range(len(tokens)):
                now = seen_keys(t)
                if cache.before_rope:  # turned when it is read; a row that is the same object was turned before
                    for s, row in enumerate(now):
                        if (s, id(row)) not in turned:
                            turned[s, id(row)] = turn(row, s)
                    now = [turned[s, id(row)] for s, row in enumerate(now)]
                columns = list(zip(*seen_values(t)))
                for head in range(h * group, (h + 1) * group):
                    query = turn(q[t][head * D:(head + 1) * D], t)
                    query = cache.turn(query)
                    scores = [dot(query, key) / math.sqrt(D) for key in now]
                    most = max(scores)
                    weights = [math.exp(s - most) for s in scores]
                    total = sum(weights)
                    out = [dot(weights, column) / total for column in columns]
                    mixed[t] += cache.turn(out)
        for row, add in zip(x, products(blk + "attn_output.weight", mixed)):
            row[:] = map(sum, zip(row, add))
        normed = [rms_norm(row, t_[blk + "ffn_norm.weight"], model.eps) for row in x]
        gate, up = products(blk + "ffn_gate.weight", normed), products(blk + "ffn_up.weight", normed)
        hidden = [[g / (1 + math.exp(-g)) * u for g, u in zip(a, b)] for a, b in zip(gate, up)]
        for row, add in zip(x, products(blk + "ffn_down.weight", hidden)):
            row[:] = map(sum, zip(row, add))
    name = "output.weight" if "output.weight" in t_ else "token_embd.weight"
    return products(name, [rms_norm(row, t_["output_norm.weight"], model.eps) for row in x])


# --- quality ----------------------------------------------------------------------------------


def log_shares(row):
    most = max(row)
    total = math.log(sum(math.exp(x - most) for x in row)) + most
    return [x - total for x in row]


class Text:
    """A file's tokens in windows: bos goes in before each, or, without, the token before it."""

    def __init__(self, tokens, bos, window, most, skip=0):
        tokens = tokens[skip:]
        if bos is not None:
            tokens = [bos, *tokens]
        self.window, self.count = window, min(most, (len(tokens) - 1) // window)
        self.inputs = [tokens[w * window:(w + 1) * window] for w in range(self.count)]
        if bos is not None:
            self.inputs = [[bos, *one[1:]] for one in self.inputs]
        self.targets = [tokens[w * window + 1:(w + 1) * window + 1] for w in range(self.count)]


class Shift:
    """How far the distributions of one run are from those of another: lists over all positions."""

    def __init__(self, expected, found, targets):
        self.kl, self.same, self.bits, self.plain_bits = [], [], 0, 0
        for p_row, q_row, next_ in zip(expected, found, targets):
            p, q = log_shares(p_row), log_shares(q_row)
            self.kl.append(sum(math.exp(a) * (a - b) for a, b in zip(p, q)) / math.log(2))
            self.bits -= q[next_] / math.log(2)
            self.plain_bits -= p[next_] / math.log(2)
            self.same.append(p_row.index(max(p_row)) == q_row.index(max(q_row)))
        self.agree = sum(self.same)

    def mean(self):
        return sum(self.kl) / len(self.kl)

    def quantile(self, share):
        return sorted(self.kl)[int(share * (len(self.kl) - 1))]


def judged(model, text, other=None, cache=Plain(), linear=None, _plain={}):
    """The shift of a variant of `model`, which is read without a cache."""
    key = (id(model), id(text))
    if key not in _plain:
        _plain[key] = [row for one in text.inputs for row in forward(model, one)], model, text
    found = [row for one in text.inputs for row in forward(other or model, one, cache, linear)]
    return Shift(_plain[key][0], found, [token for one in text.targets for token in one])


def right_answers(model, bos, cases, cache=Plain(), linear=None):
    """(right, asked) of recall cases of a byte model."""
    right = asked = 0
    for case in cases:
        text = case["text"].encode("latin-1")
        logits = forward(model, [bos, *text[:-1]], cache, linear)
        answers = case["answer"] if isinstance(case["answer"], list) else [case["answer"]]
        right += sum(logits[i].index(max(logits[i])) == text[i] for i in answers)
        asked += len(answers)
    return right, asked


# --- small models -----------------------------------------------------------------------------

U32, I32, F32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9


def byte_vocabulary():
    names = [f"<0x{byte:02X}>" for byte in range(256)]
    return {"tokenizer.ggml.model": (STRING, "llama"), "tokenizer.ggml.tokens": (ARRAY, (STRING, names)),
            "tokenizer.ggml.token_type": (ARRAY, (I32, [6] * 256)), "tokenizer.ggml.bos_token_id": (U32, 0),
            "tokenizer.ggml.eos_token_id": (U32, 0), "tokenizer.ggml.add_bos_token": (BOOL, True)}


def made(name, *, width=32, layers=2, heads=2, kv_heads=1, head_dim=32, ffn=48, kinds=None, seed=1):
    """A file of a model of random numbers. kinds: types by name or by rank, F32 else."""
    draw = random.Random(seed)
    vocab = 256
    metadata = {"general.architecture": (STRING, "llama"), "general.name": (STRING, name), "llama.context_length": (U32, 256),
                "llama.embedding_length": (U32, width), "llama.block_count": (U32, layers),
                "llama.feed_forward_length": (U32, ffn), "llama.attention.head_count": (U32, heads),
                "llama.attention.head_count_kv": (U32, kv_heads), "llama.attention.key_length": (U32, head_dim),
                "llama.attention.value_length": (U32, head_dim), "llama.attention.layer_norm_rms_epsilon": (F32, 1e-5),
                "llama.rope.dimension_count": (U32, head_dim), "llama.rope.freq_base": (F32, 10000.0),
                "llama.vocab_size": (U32, vocab), **byte_vocabulary()}
    tensors = {}

    def add(tensor, *shape, size=1.0):
        numbers = [f32(draw.gauss(1 if len(shape) == 1 else 0, 0.2 if len(shape) == 1 else size / math.sqrt(shape[-1])))
                   for _ in range(math.prod(shape))]
        kind = (kinds or {}).get(tensor, (kinds or {}).get(len(shape), "F32"))
        tensors[tensor] = kind, shape, formats.encode(kind, numbers)

    add("token_embd.weight", vocab, width, size=5.0)
    q, kv = heads * head_dim, kv_heads * head_dim
    for layer in range(layers):
        blk = f"blk.{layer}."
        add(blk + "attn_norm.weight", width)
        for part, rows, depth in (("attn_q", q, width), ("attn_k", kv, width), ("attn_v", kv, width), ("attn_output", width, q)):
            add(blk + part + ".weight", rows, depth, size=1.5)
        add(blk + "ffn_norm.weight", width)
        for part, rows, depth in (("ffn_gate", ffn, width), ("ffn_up", ffn, width), ("ffn_down", width, ffn)):
            add(blk + part + ".weight", rows, depth)
    add("output_norm.weight", width)
    add("output.weight", vocab, width, size=2.0)
    return formats.gguf_bytes(metadata, tensors)


@functools.cache
def tiny():
    return Model(Gguf((WEIGHTS / "tiny.gguf").read_bytes()))
