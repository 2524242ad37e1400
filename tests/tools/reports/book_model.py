"""A small Llama model from the book alone: its GGUF file read, and its forward pass by the contract of chapter 1.

Every number is a Python float that holds a binary32 value, rounded after each operation as the contract says, so
that the logits have the same bits as the program's: what is made of them can be recomputed exactly, whatever the
cache. About 20 ms a token of tiny.
"""
import functools
import math
import struct
import sys
from array import array
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import contract_by_the_book as book  # noqa: E402

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
            rows = [numbers[i:i + shape[0]] for i in range(0, len(numbers), shape[0])]
            # Vectors and the embedding by rows; of matrices, input k of all outputs together.
            self.tensors[name] = rows if len(shape) == 1 or name == "token_embd.weight" else list(zip(*rows))
        of = {key.partition(".")[2]: value for key, value in self.meta.items() if key.startswith("llama.")}
        self.layers, self.heads, self.kv_heads = of["block_count"], of["attention.head_count"], of["attention.head_count_kv"]
        self.width, self.eps, self.base = of["embedding_length"], of["attention.layer_norm_rms_epsilon"], of["rope.freq_base"]
        self.head_dim, self.context = self.width // self.heads, of["context_length"]
        self.eps, self.angles, self.known = book.single(self.eps), {}, {}
        self.query_scale = book.single(book.LOG2E_DOUBLE / math.sqrt(self.head_dim))

    def forward(self, tokens, cache="f32"):
        """The logits behind every token."""
        text = Text(self, cache)
        return [text.feed(token) for token in tokens]

    def turns(self, position):
        """(cosine, sine) of each pair of a head."""
        if position not in self.angles:
            angles = [position * self.base ** (-2.0 * i / self.head_dim) for i in range(self.head_dim // 2)]
            self.angles[position] = [(book.single(math.cos(a)), book.single(math.sin(a))) for a in angles]
        return self.angles[position]


OPS = ["attention_norm", "query", "key", "value", "attention", "attention_out", "attention_add", "ffn_norm", "ffn_hidden",
       "ffn_out", "ffn_add"]


class Text:
    """A text that grows by a token at a time; its keys and values are kept as `cache` does."""

    def __init__(self, model, cache="f32"):
        self.model, self.cache, self.length = model, cache, 0
        self.keys, self.values = [[] for _ in range(model.layers)], [[] for _ in range(model.layers)]
        self.tokens = ()
        self.rows = []  # of the last step: (operator, layer, row) in the decoder's order

    def feed(self, token, how=None):
        """The logits behind one more token. What was computed for the same text before is not computed again. how: of
        the ways to break the contract (product, attention), None for none."""
        self.tokens += ((token, how),)
        known = self.model.known.get((self.cache, self.tokens))
        if known:
            self.rows = known
            for layer in range(self.model.layers):
                for op, kept in (("key", self.keys), ("value", self.values)):
                    row = next(row for o, l, row in known if (o, l) == (op, layer))
                    kept[layer].append([keep(h, self.cache) for h in split(row, self.model.head_dim)])
            self.length += 1
        else:
            self.compute(token, how)
            self.model.known[self.cache, self.tokens] = self.rows
        return self.rows[-1][2]

    def compute(self, token, how):
        m, t = self.model, self.model.tensors
        x = list(t["token_embd.weight"][token])
        self.rows = [("embedding", -1, x)]
        for layer in range(m.layers):
            x = self.layer(layer, lambda name: t[f"blk.{layer}.{name}.weight"], x, how)
        self.length += 1
        normed = rms_norm(x, t["output_norm.weight"][0], m.eps)
        logits = product(t["output.weight"], normed)
        self.rows += [("final_norm", -1, normed), ("logits", -1, logits)]

    def attend(self, layer, q, k, v, how):
        """Queries, keys and values by head, as they come out of their matrices: (queries and keys with their angles, what is mixed)."""
        m = self.model
        turns = m.turns(self.length)
        q, k = [rotate(h, turns, m.query_scale) for h in q], [rotate(h, turns, 1.0) for h in k]
        keys, values = self.keys[layer], self.values[layer]
        keys.append([keep(h, self.cache) for h in k])
        values.append([keep(h, self.cache) for h in v])
        mixed = []
        for h, query in enumerate(q):
            kv = h // (m.heads // m.kv_heads)
            mixed += attention(query, [key[kv] for key in keys], [value[kv] for value in values], how)
        return q, k, mixed

    def layer(self, layer, w, x, how):
        m, d = self.model, self.model.head_dim
        normed = rms_norm(x, w("attn_norm")[0], m.eps)
        q, k, v = (split(product(w(f"attn_{name}"), normed, how), d) for name in "qkv")
        q, k, mixed = self.attend(layer, q, k, v, how)
        out = product(w("attn_output"), mixed, how)
        attended = plus(out, x)
        normed_again = rms_norm(attended, w("ffn_norm")[0], m.eps)
        gate, up = (product(w(f"ffn_{side}"), normed_again, how) for side in ("gate", "up"))
        hidden = [single(silu(g) * u) for g, u in zip(gate, up)]
        down = product(w("ffn_down"), hidden, how)
        end = plus(down, attended)
        rows = [normed, sum(q, []), sum(k, []), sum(v, []), mixed, out, attended, normed_again, hidden, down, end]
        self.rows += [(op, layer, row) for op, row in zip(OPS, rows)]
        return end


_float = struct.Struct("<f")


def single(x):
    return _float.unpack(_float.pack(x))[0]


def singles(numbers):
    return array("f", numbers).tolist()


def product(columns, x, how=None):
    """Rule 2, for all outputs at once: blocks of 64 terms, in each one chain of fused multiply-adds. A double holds a
    product exactly; that its sum is rounded to a double before it becomes a float shows once in 2^29. how: the depth
    in two halves ('order'), or in four with the sum so far in F16 ('f16'); or products rounded apart ('contraction')."""
    pieces = {"order": 2, "f16": 4}.get(how, 1)
    if pieces > 1:
        result = None
        for piece in range(pieces):
            first, last = len(x) * piece // pieces, len(x) * (piece + 1) // pieces
            part = product(columns, [0.0] * first + x[first:last] + [0.0] * (len(x) - last))
            result = part if result is None else plus(result, part)
            result = keep(result, "f16") if how == "f16" else result
        return result
    result = None
    for begin in range(0, len(x), 64):
        acc = [0.0] * len(columns[0])
        for a, column in zip(x[begin:begin + 64], columns[begin:begin + 64]):
            terms = [a * w for w in column]
            acc = array("f", [t + s for t, s in zip(singles(terms) if how == "contraction" else terms, acc)])
        result = acc if result is None else plus(result, acc)
    return list(result)


def attention(query, keys, values, how=None):
    """Of one head. 'split': pieces of 16 slots apart, that are then added."""
    if how != "split":
        weights, whole = softmax(product(list(zip(*keys)), query))
        return [single(a / whole) for a in product(values, weights)]
    most, total, sums = None, None, None
    for begin in range(0, len(keys), 16):
        scores = product(list(zip(*keys[begin:begin + 16])), query)
        weights, whole = softmax(scores)
        own, parts_of = max(parts(s)[1] for s in scores), product(values[begin:begin + 16], weights)
        if most is None:
            most, total, sums = own, whole, parts_of
            continue
        top = max(most, own)
        before, now = book.pow2(most - top), book.pow2(own - top)
        sums = [single(a * before + b * now) for a, b in zip(sums, parts_of)]
        total, most = single(total * before + whole * now), top
    return [single(a / total) for a in sums]


def plus(a, b):
    return singles([p + q for p, q in zip(a, b)])


def split(row, d):
    return [row[i:i + d] for i in range(0, len(row), d)]


def rms_norm(x, weight, eps):
    mean = single(product([[v] for v in x], x)[0] / len(x))
    r = single(1 / single(math.sqrt(single(mean + eps))))
    return singles([a * w for a, w in zip(singles([v * r for v in x]), weight)])


def rotate(head, turns, factor):
    """RoPE: neighbours are a pair."""
    turned = []
    for (a, b), (cos, sin) in zip(zip(head[::2], head[1::2]), turns):
        turned += [single(a * cos - single(b * sin)), single(b * cos + single(a * sin))]
    return singles([n * factor for n in turned])


def parts(s):
    """Rule 3: 2^s is p 2^n."""
    n = float(round(s))
    p = book.COEFFICIENTS[6]
    for c in reversed(book.COEFFICIENTS[:6]):
        p = single(p * (s - n) + c)
    return p, n


def exp2(t):
    p, n = parts(min(max(t, -127.0), 128.0))
    return single(p * book.pow2(n))


def softmax(scores):
    pairs = [parts(s) for s in scores]
    top = max(n for _, n in pairs)
    weights = [single(p * book.pow2(n - top)) for p, n in pairs]
    total = 0.0
    for begin in range(0, len(weights), 64):
        acc = 0.0
        for w in weights[begin:begin + 64]:
            acc = single(acc + w)
        total = acc if begin == 0 else single(total + acc)
    return weights, total


def silu(x):
    return single(x / single(1 + exp2(single(x * -book.LOG2E))))


def keep(numbers, cache):
    """What a cache makes of a head's key or value."""
    if cache == "f16":
        return [struct.unpack("<e", struct.pack("<e", n))[0] for n in numbers]
    if cache == "int8":  # the largest becomes 127, the others whole numbers, ties to even
        scale = single(max(map(abs, numbers)) / 127)
        return [single(max(-127, min(127, round(single(n / scale)))) * scale) if scale else 0.0 for n in numbers]
    return numbers


class Sampler:
    """Rule 7: of logits, one token after the other by one generator."""

    def __init__(self, temperature=0.0, top_k=0, top_p=1.0, seed=42):
        self.scale = single(book.LOG2E_DOUBLE / single(temperature)) if temperature else 0
        self.top_k, self.top_p, self.rng = top_k, single(top_p), book.Rng(seed)

    def choose(self, logits):
        order = list(range(len(logits)))
        if not self.scale:
            return max(order, key=lambda i: (logits[i], -i))
        if self.top_k or self.top_p < 1:
            order.sort(key=lambda i: (-logits[i], i))
            order = order[:self.top_k] if self.top_k else order
        weights, whole = softmax([single(logits[i] * self.scale) for i in order])
        mass, kept, end = single(self.top_p * whole), 0, 0.0
        while kept < len(order) and (self.top_p == 1 or end < mass):
            end, kept = single(end + weights[kept]), kept + 1
        threshold, cumulative = single(self.rng.uniform() * end), 0.0
        for i in range(kept):
            cumulative = single(cumulative + weights[i])
            if cumulative > threshold:
                return order[i]
        return order[kept - 1]


class Checksum:
    """Rule 8, of the bits of floats."""

    def __init__(self):
        self.value = 0xcbf29ce484222325

    def add(self, numbers):
        for bits in struct.unpack(f"<{len(numbers)}I", struct.pack(f"<{len(numbers)}f", *numbers)):
            self.add_bits(bits)

    def add_bits(self, bits):
        self.value = (self.value ^ bits) * 1099511628211 % 2**64

    def hex(self):
        return f"{self.value:016x}"


def generate(model, prompts, steps, samplers, cache="f32", end=()):
    """Texts side by side, a token of each a step: (tokens of each, checksum of all logits, their texts). `end`: tokens
    that end a text."""
    texts, said, total = [Text(model, cache) for _ in prompts], [[] for _ in prompts], Checksum()
    running = list(range(len(prompts))) if steps else []
    while running:
        for i in list(running):
            for token in said[i][-1:] or prompts[i]:
                logits = texts[i].feed(token)
            total.add(logits)
            said[i].append(samplers[i].choose(logits))
            if said[i][-1] in end or len(said[i]) == steps:
                running.remove(i)
    return said, total, texts


@functools.cache
def tiny():
    return Model(tiny_file())


def tiny_file(**changes):
    """tiny.gguf; changes: other values of whole numbers of its metadata, by the last word of their key."""
    data = (WEIGHTS / "tiny.gguf").read_bytes()
    for word, value in changes.items():
        at = data.index(f".{word}".encode() + struct.pack("<I", U32)) + len(word) + 5
        data = data[:at] + struct.pack("<I", value) + data[at + 4:]
    return data


def bytes_of(text):
    """A text as tokens of tiny: 0 before it, then its bytes."""
    return [0, *text.encode()]


def printable(text, hidden="", kept="\n\t"):
    """As a terminal may show it: what cannot be seen becomes its code. Texts of these models have no other such letters."""
    def shown(c):
        if c not in kept and (c in hidden or ord(c) < 0x20 or 0x7f <= ord(c) <= 0x9f or ord(c) == 0xad):
            return f"\\x{ord(c):02x}" if ord(c) < 0x80 else f"\\u{{{ord(c):04x}}}"
        return c
    return "".join(map(shown, text))


def quoted(text):
    return "'" + printable(text, "'\\", "") + "'"
