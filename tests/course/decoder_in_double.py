"""A llama decoder in plain Python, in double: what the cases of attention and of the cache are held against. Its weights are
those of attention/synthetic.cpp, drawn once more from the contract's random numbers."""
import math
from dataclasses import dataclass

import contract_by_the_book as contract
from course.values import single

WHY = "some thousand roundings of 2^-24 in two layers, against the same loops in double"


@dataclass
class Shape:
    V: int = 11  # vocabulary
    C: int = 8  # width
    L: int = 2  # layers
    Hq: int = 4  # query heads
    Hkv: int = 2  # KV heads
    D: int = 4  # head width
    F: int = 12  # feed-forward width
    rope_dim: int = 2
    context: int = 160
    weights: int = 1  # seed

    @classmethod
    def of(cls, p):
        """From those parameters of a line that are fields."""
        return cls(**{name: p[name] for name in cls.__dataclass_fields__ if name in p})

    def given(self):
        return dict(vars(self))


class Weights:
    """In the order in which synthetic.cpp draws them."""

    def __init__(self, shape):
        rng, s = contract.Rng(shape.weights), shape

        def vector(n):
            return [single(rng.normal() * single(0.1) + 1.0) for _ in range(n)]

        def matrix(rows, columns, deviation=None):
            deviation = single(1 / math.sqrt(columns)) if deviation is None else deviation
            return [[single(rng.normal() * deviation) for _ in range(columns)] for _ in range(rows)]
        q, kv = s.Hq * s.D, s.Hkv * s.D
        self.embedding = matrix(s.V, s.C, 1.0)
        self.layers = []
        for _ in range(s.L):
            self.layers.append({
                "attention_norm": vector(s.C), "wq": matrix(q, s.C), "wk": matrix(kv, s.C), "wv": matrix(kv, s.C),
                "wo": matrix(s.C, q), "ffn_norm": vector(s.C), "gate": matrix(s.F, s.C), "up": matrix(s.F, s.C),
                "down": matrix(s.C, s.F)})
        self.final_norm = vector(s.C)
        self.output = matrix(s.V, s.C)


def times(matrix, x):
    return [sum(w * v for w, v in zip(row, x)) for row in matrix]


def rms_norm(x, weight, eps=single(1e-5)):
    r = 1 / math.sqrt(sum(v * v for v in x) / len(x) + eps)
    return [v * r * w for v, w in zip(x, weight)]


def silu(x):
    return x / (1 + math.exp(-x))


def rotated(head, position, rope_dim, base=10000.0):
    head = list(head)
    for i in range(rope_dim // 2):
        angle = position * base ** (-2 * i / rope_dim)
        x, y = head[2 * i], head[2 * i + 1]
        head[2 * i], head[2 * i + 1] = x * math.cos(angle) - y * math.sin(angle), y * math.cos(angle) + x * math.sin(angle)
    return head


def attention(q, keys, values, base=2.0):
    """One query over the slots it sees; scores are powers of `base`."""
    scores = [sum(a * b for a, b in zip(q, k)) for k in keys]
    top = max(scores)
    weights = [base ** (s - top) for s in scores]
    return [sum(w * v[i] for w, v in zip(weights, values)) / sum(weights) for i in range(len(values[0]))]


def heads_of(row, D):
    return [row[i:i + D] for i in range(0, len(row), D)]


def attention_rows(s, w, normed):
    """One layer's attention branch [T][C] of the normed rows."""
    q = [[rotated(h, t, s.rope_dim) for h in heads_of(times(w["wq"], x), s.D)] for t, x in enumerate(normed)]
    k = [[rotated(h, t, s.rope_dim) for h in heads_of(times(w["wk"], x), s.D)] for t, x in enumerate(normed)]
    v = [heads_of(times(w["wv"], x), s.D) for x in normed]
    branch = []
    for t in range(len(normed)):
        mixed = []
        for h in range(s.Hq):
            kv = h * s.Hkv // s.Hq
            query = [x / math.sqrt(s.D) for x in q[t][h]]
            mixed += attention(query, [row[kv] for row in k[:t + 1]], [row[kv] for row in v[:t + 1]], math.e)
        branch.append(times(w["wo"], mixed))
    return branch


def feed_forward(w, x):
    return times(w["down"], [silu(g) * u for g, u in zip(times(w["gate"], x), times(w["up"], x))])


def logits(shape, tokens):
    """[T][V] of a whole text."""
    weights = Weights(shape)
    x = [list(weights.embedding[token]) for token in tokens]
    for w in weights.layers:
        branch = attention_rows(shape, w, [rms_norm(row, w["attention_norm"]) for row in x])
        x = [[a + b for a, b in zip(*rows)] for rows in zip(x, branch)]
        x = [[a + b for a, b in zip(row, feed_forward(w, rms_norm(row, w["ffn_norm"])))] for row in x]
    return [times(weights.output, rms_norm(row, weights.final_norm)) for row in x]
