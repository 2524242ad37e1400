"""A Llama model from the book alone: a GGUF file read and written, and its forward pass in plain doubles.

The programs compute in floats, each operation rounded as chapter 1 says; a double's result is near enough to
recompute what is made of the logits (bits, divergences, tokens), with a tolerance. Bits are compared elsewhere.
"""
import math
import random
import struct
from operator import mul
from pathlib import Path

WEIGHTS = Path(__file__).resolve().parents[3] / "weights"
U32, F32, BOOL, TEXT, ARRAY, I32, U64 = 4, 6, 7, 8, 9, 5, 10
SIMPLE = {0: "<B", 1: "<b", 2: "<H", 3: "<h", U32: "<I", I32: "<i", F32: "<f", BOOL: "<?", U64: "<Q", 11: "<q", 12: "<d"}


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, form):
        value = struct.unpack_from(form, self.data, self.at)[0]
        self.at += struct.calcsize(form)
        return value

    def text(self):
        size = self.take("<Q")
        self.at += size
        return self.data[self.at - size:self.at].decode()

    def value(self, kind):
        if kind == TEXT:
            return self.text()
        if kind == ARRAY:
            inner, count = self.take("<I"), self.take("<Q")
            return [self.value(inner) for _ in range(count)]
        return self.take(SIMPLE[kind])


class Model:
    """Metadata and float32 tensors, each a list of rows; and the rounding of a cache."""

    def __init__(self, data):
        reader = Reader(data)
        reader.at = 8
        tensors, entries = reader.take("<Q"), reader.take("<Q")
        self.meta = {}
        for _ in range(entries):
            key = reader.text()
            self.meta[key] = reader.value(reader.take("<I"))
        found = []
        for _ in range(tensors):
            name = reader.text()
            shape = [reader.take("<Q") for _ in range(reader.take("<I"))]
            kind, offset = reader.take("<I"), reader.take("<Q")
            assert kind == 0, "float32 alone"
            found.append((name, shape, offset))
        base = -(-reader.at // 32) * 32
        self.tensors = {}
        for name, shape, offset in found:
            numbers = struct.unpack_from(f"<{math.prod(shape)}f", data, base + offset)
            self.tensors[name] = [numbers[i:i + shape[0]] for i in range(0, len(numbers), shape[0])]
        of = {key.partition(".")[2]: value for key, value in self.meta.items() if key.startswith("llama.")}
        self.layers, self.heads, self.kv_heads = of["block_count"], of["attention.head_count"], of["attention.head_count_kv"]
        self.width, self.eps, self.base = of["embedding_length"], of["attention.layer_norm_rms_epsilon"], of["rope.freq_base"]
        self.head_dim, self.context = self.width // self.heads, of["context_length"]

    def forward(self, tokens, cache="f32"):
        """The logits behind every token, each token seeing the keys and values as `cache` keeps them."""
        return [self.step(token, state) for state in [State(self, cache)] for token in tokens]

    def step(self, token, state):
        """The logits behind one more token."""
        t, d = self.tensors, self.head_dim
        x = list(t["token_embd.weight"][token])
        for layer in range(self.layers):
            w = {n: t[f"blk.{layer}.{n}.weight"] for n in ("attn_norm", "attn_q", "attn_k", "attn_v", "attn_output",
                                                           "ffn_norm", "ffn_gate", "ffn_up", "ffn_down")}
            normed = rms_norm(x, w["attn_norm"][0], self.eps)
            q = [rotate(h, state.length, self.base) for h in split(product(w["attn_q"], normed), d)]
            state.keys[layer].append([state.keep(rotate(h, state.length, self.base)) for h in split(product(w["attn_k"], normed), d)])
            state.values[layer].append([state.keep(h) for h in split(product(w["attn_v"], normed), d)])
            mixed = []
            for h, query in enumerate(q):
                kv = h // (self.heads // self.kv_heads)
                scores = [dot(query, key[kv]) / math.sqrt(d) for key in state.keys[layer]]
                top = max(scores)
                weights = [math.exp(s - top) for s in scores]
                whole = sum(weights)
                mixed += [sum(p * value[kv][i] for p, value in zip(weights, state.values[layer])) / whole for i in range(d)]
            x = [a + b for a, b in zip(x, product(w["attn_output"], mixed))]
            normed = rms_norm(x, w["ffn_norm"][0], self.eps)
            gate, up = product(w["ffn_gate"], normed), product(w["ffn_up"], normed)
            hidden = [g / (1 + math.exp(-g)) * u for g, u in zip(gate, up)]
            x = [a + b for a, b in zip(x, product(w["ffn_down"], hidden))]
        state.length += 1
        head = t.get("output.weight", t["token_embd.weight"])
        return product(head, rms_norm(x, t["output_norm.weight"][0], self.eps))


class State:
    """Keys and values so far, rounded as `cache` does."""

    def __init__(self, model, cache):
        self.cache, self.length = cache, 0
        self.keys, self.values = [[] for _ in range(model.layers)], [[] for _ in range(model.layers)]

    def keep(self, numbers):
        if self.cache == "f16":
            return [struct.unpack("<e", struct.pack("<e", n))[0] for n in numbers]
        if self.cache == "int8":  # the largest becomes 127, the others whole numbers
            scale = max(map(abs, numbers)) / 127
            return [round(n / scale) * scale if scale else 0.0 for n in numbers]
        return numbers


def dot(a, b):
    return sum(map(mul, a, b))


def product(matrix, x):
    return [dot(row, x) for row in matrix]


def split(row, d):
    return [row[i:i + d] for i in range(0, len(row), d)]


def rms_norm(x, weight, eps):
    scale = 1 / math.sqrt(dot(x, x) / len(x) + eps)
    return [a * scale * w for a, w in zip(x, weight)]


def rotate(head, position, base):
    """RoPE: neighbours are a pair, turned by the position times base^(-2i/D)."""
    turned = list(head)
    for i in range(0, len(head), 2):
        angle = position * base ** (-i / len(head))
        a, b, cos, sin = head[i], head[i + 1], math.cos(angle), math.sin(angle)
        turned[i], turned[i + 1] = a * cos - b * sin, a * sin + b * cos
    return turned


def tiny():
    return Model((WEIGHTS / "tiny.gguf").read_bytes())
