"""Chapter 6's methods that look at the inputs of a model's products first, in plain Python: GPTQ, AWQ, SmoothQuant
and products of bytes."""
from __future__ import annotations

import math

from reports import formats, plain_model as plain
from reports.plain_model import dot

GROUPS = (("attn_q", "attn_k", "attn_v"), ("attn_output",), ("ffn_gate", "ffn_up"), ("ffn_down",))  # that share an input


def groups_of(model):
    for layer in range(model.layers):
        for group in GROUPS:
            yield layer, [f"blk.{layer}.{name}.weight" for name in group]


def inputs_of(model, text):
    """{matrix: the rows that it was multiplied with} while a text runs without a cache."""
    seen = {}
    for one in text.inputs:
        plain.forward(model, one, watch=lambda name, rows: seen.setdefault(name, []).extend(map(list, rows)))
    return seen


def gram_of(rows):
    columns = list(zip(*rows))
    return [[dot(a, b) for b in columns] for a in columns]


def quadratic(off, gram):
    return sum(x * dot(row, off) for x, row in zip(off, gram))


# --- GPTQ ---------------------------------------------------------------------------------------


def cholesky(a):
    lower = [[0.0] * len(a) for _ in a]
    for i in range(len(a)):
        for j in range(i + 1):
            left = a[i][j] - dot(lower[i][:j], lower[j][:j])
            lower[i][j] = math.sqrt(left) if i == j else left / lower[j][j]
    return lower


def inverse(a):
    """Gauss and Jordan, for matrices that need no pivots."""
    n = len(a)
    rows = [list(row) + [float(i == j) for j in range(n)] for i, row in enumerate(a)]
    for i in range(n):
        rows[i] = [x / rows[i][i] for x in rows[i]]
        for j in range(n):
            if j != i and rows[j][i]:
                f = rows[j][i]
                rows[j] = [x - f * y for x, y in zip(rows[j], rows[i])]
    return [row[n:] for row in rows]


def gptq(matrix, gram, bits, group):
    """Column after column; those to come make up for each error (fewer than 128 columns: one block)."""
    K = len(gram)
    mean = sum(gram[i][i] for i in range(K)) / K
    damped = [[x + 0.01 * mean * (i == j) for j, x in enumerate(row)] for i, row in enumerate(gram)]
    upper = list(zip(*cholesky(inverse(damped))))
    out = []
    for row in matrix:
        left, done = list(row), []
        for i in range(K):
            if i % group == 0:  # from the row as it was: within a block no change is seen yet
                part = row[i:i + group]
                kept = formats.grid(min(part), max(part), bits)
            done.append(formats.on_grid(left[i], *kept))
            error = (left[i] - done[i]) / upper[i][i]
            for j in range(i + 1, K):
                left[j] -= error * upper[i][j]
        out.append(done)
    return out


def others_by_rtn(model, done, bits, group):
    """What no product of a layer reads is rounded to nearest."""
    return {**done, **{name: [formats.rtn(row, bits, group) for row in rows] for name, rows in model.matrices().items()
                       if name not in done}}


def gptq_model(model, text, bits, group, head):
    """Each layer sees its inputs with all layers before it already rounded."""
    done, layer, seen = {}, None, None
    for l, names in groups_of(model):
        if l != layer:
            layer, seen = l, inputs_of(model.edited(done), text)
        gram = gram_of(seen[names[0]])
        done = {**done, **{name: gptq(model.tensors[name], gram, bits, group) for name in names}}
    return model.edited(others_by_rtn(model, done, bits, group) if head else done)


# --- AWQ ----------------------------------------------------------------------------------------


def scaled(matrix, scales, bits, group):
    return [[x / s for x, s in zip(formats.rtn([w * s for w, s in zip(row, scales)], bits, group), scales)] for row in matrix]


def clipped(matrix, scales, gram, bits, group):
    """Each group cut off at 1, 0.95 ... 0.5 of its largest magnitude, by its own part of the error."""
    out = []
    for row in matrix:
        done = []
        for at in range(0, len(row), group):
            part, s = row[at:at + group], scales[at:at + group]
            block = [line[at:at + group] for line in gram[at:at + group]]
            large = max(abs(w * f) for w, f in zip(part, s))
            best = None
            for percent in range(100, 45, -5):
                limit = large * percent / 100
                cut = [max(-limit, min(limit, w * f)) for w, f in zip(part, s)]
                kept = formats.grid(min(cut), max(cut), bits)
                tried = [formats.on_grid(x, *kept) / f for x, f in zip(cut, s)]
                error = quadratic([a - b for a, b in zip(part, tried)], block)
                if best is None or error < best[0]:
                    best = error, tried
            done += best[1]
        out.append(done)
    return out


def awq_scales(mean, alpha):
    s = [max(m ** alpha, 1e-4) for m in mean]
    middle = math.sqrt(min(s) * max(s))
    return [x / middle for x in s]


def best_scales(model, names, rows, gram, bits, group):
    """Of alpha 0, 0.05 ... 0.95, by the error of all products of this input."""
    mean, best = [sum(map(abs, column)) / len(rows) for column in zip(*rows)], None
    for step in range(20):
        scales = awq_scales(mean, 0.05 * step)
        error = sum(quadratic([a - b for a, b in zip(row, new)], gram) for name in names
                    for row, new in zip(model.tensors[name], scaled(model.tensors[name], scales, bits, group)))
        if best is None or error < best[0]:
            best = error, scales
    return best[1]


def awq_model(model, text, bits, group, clip, head):
    seen, done = inputs_of(model, text), {}
    for _, names in groups_of(model):
        rows = seen[names[0]]
        gram = gram_of(rows)
        # Values that several query heads share are one matrix, which cannot take the scales of each.
        shared = names[0].endswith("attn_output.weight") and model.heads != model.kv_heads
        scales = [1.0] * len(gram) if shared else best_scales(model, names, rows, gram, bits, group)
        for name in names:
            scores = name.endswith(("attn_q.weight", "attn_k.weight"))
            done[name] = (clipped(model.tensors[name], scales, gram, bits, group) if clip and not scores
                          else scaled(model.tensors[name], scales, bits, group))
    return model.edited(others_by_rtn(model, done, bits, group) if head else done)


# --- SmoothQuant, products of bytes ---------------------------------------------------------------


def with_channel(model, channel, factor):
    """One channel behind every norm of a layer so much larger, and the matrices that read it by as much smaller."""
    edited = {}
    for _, names in groups_of(model):
        norm = norm_of(names[0])
        if norm:
            edited[norm] = [x * factor if c == channel else x for c, x in enumerate(model.tensors[norm])]
            for name in names:
                edited[name] = [[x / factor if c == channel else x for c, x in enumerate(row)] for row in model.tensors[name]]
    return model.edited(edited)


def norm_of(name):
    """The norm whose output a matrix reads."""
    _, layer, part, _ = name.split(".")
    norm = {"attn_q": "attn_norm", "ffn_gate": "ffn_norm"}.get(part)
    return norm and f"blk.{layer}.{norm}.weight"


def smoothing(inputs, matrices, alpha, powers_of_two):
    """s = max|x|^alpha / max|w|^(1 - alpha) of each channel, neither below 1e-5."""
    scales = []
    for x, w in zip(inputs, (max(abs(row[c]) for m in matrices for row in m) for c in range(len(inputs)))):
        s = max(x, 1e-5) ** alpha / max(w, 1e-5) ** (1 - alpha)
        scales.append(2.0 ** round(math.log2(s)) if powers_of_two else max(s, 1e-5))
    return scales


def columns_times(rows, scales):
    return [[x * f for x, f in zip(row, scales)] for row in rows]


def rows_by(rows, scales):
    return [[x / f for x in row] for row, f in zip(rows, scales)]


def smoothed(model, seen, alpha, powers_of_two=False, inner=False):
    largest = {name: [max(map(abs, column)) for column in zip(*rows)] for name, rows in seen.items()}
    t = dict(model.tensors)
    for _, names in groups_of(model):
        norm = norm_of(names[0])
        if norm:
            s = smoothing(largest[names[0]], [t[name] for name in names], alpha, powers_of_two)
            t[norm] = [x / f for x, f in zip(t[norm], s)]
            t.update({name: columns_times(t[name], s) for name in names})
    for layer in range(model.layers if inner else 0):
        blk = f"blk.{layer}."
        smooth_output(model, t, blk, largest[blk + "attn_output.weight"], alpha, powers_of_two)
        down, up = blk + "ffn_down.weight", blk + "ffn_up.weight"
        s = smoothing(largest[down], [t[down]], alpha, powers_of_two)
        t[up], t[down] = rows_by(t[up], s), columns_times(t[down], s)
    return model.edited(t)


def smooth_output(model, t, blk, inputs, alpha, powers_of_two):
    """The channels of query heads that share a value head are one of v: the largest counts, and all get one scale."""
    out, v, D, group = blk + "attn_output.weight", blk + "attn_v.weight", model.head_dim, model.heads // model.kv_heads
    place = [c // D // group * D + c % D for c in range(model.heads * D)]
    weights = [max(abs(row[c]) for row in t[out]) for c in range(len(place))]
    of = lambda values: [max(x for x, p in zip(values, place) if p == at) for at in range(model.kv_heads * D)]
    s = smoothing(of(inputs), [[of(weights)]], alpha, powers_of_two)
    t[v], t[out] = rows_by(t[v], s), columns_times(t[out], [s[p] for p in place])


class ByteProducts:
    """y = s_x s_w sum of q_x q_w; numbers of at least the threshold stay out, times the weights as they come back.
    Counts what it sees."""

    def __init__(self, head=False, threshold=0):
        self.head, self.threshold, self.inputs, self.outliers, self.coded = head, threshold, 0, 0, {}

    def __call__(self, name, matrix, rows):
        if name == "output.weight" and not self.head:
            return [plain.product(matrix, x) for x in rows]
        if id(matrix) not in self.coded:
            self.coded[id(matrix)] = [formats.by_row(row) for row in matrix], matrix
        # Queries, keys and values have one input, and so have gate and up: each is seen once.
        once = name.split(".")[-2] not in ("attn_k", "attn_v", "ffn_up")
        out = []
        for x in rows:
            large = [v if self.threshold and abs(v) >= self.threshold else 0.0 for v in x]
            kept = formats.by_row([v - o for v, o in zip(x, large)])
            self.inputs += len(x) * once
            self.outliers += sum(o != 0 for o in large) * once
            out.append(plain.product(self.coded[id(matrix)][0], [a + o for a, o in zip(kept, large)]))
        return out
