"""Chapter 6: keys and values in fewer directions: eigenvectors, energies, errors and quality, computed again in Python.

The left singular vectors of W are the eigenvectors of W Wt, those of W L with L Lt = Xt X are the ones of W Xt X Wt;
the squares of the singular values are the eigenvalues. So no singular value decomposition is needed here."""
import bisect
import math

from reports import calibrated, formats, plain_model as plain, step06_trial as trial
from reports.checked import case
from reports.plain_model import dot
from reports.step06_weights import texts

# Two KV heads, whose keys are 32 numbers together; inputs of 40.
PAIR_FILE = plain.made("pair", width=40, heads=4, kv_heads=2, head_dim=16, ffn=24, layers=3, seed=6)
PAIR = plain.Model(formats.Gguf(PAIR_FILE))


def eigen(a):
    """(values, vectors) of a symmetric matrix, largest first: Jacobi's turns, until nothing is left beside the diagonal."""
    n, a, vectors = len(a), [list(row) for row in a], [[float(i == j) for j in range(len(a))] for i in range(len(a))]
    for _ in range(30):
        if sum(a[i][j] ** 2 for i in range(n) for j in range(i)) < 1e-28 * sum(a[i][i] ** 2 for i in range(n)):
            break
        for p in range(n):
            for q in range(p + 1, n):
                if a[p][q] == 0:
                    continue
                theta = (a[q][q] - a[p][p]) / (2 * a[p][q])
                t = math.copysign(1, theta) / (abs(theta) + math.sqrt(theta * theta + 1))
                c = 1 / math.sqrt(t * t + 1)
                s = t * c
                for row in a:
                    row[p], row[q] = c * row[p] - s * row[q], s * row[p] + c * row[q]
                for m in (a, vectors):  # of the vectors, rows are turned
                    m[p], m[q] = [c * x - s * y for x, y in zip(m[p], m[q])], [s * x + c * y for x, y in zip(m[p], m[q])]
    order = sorted(range(n), key=lambda i: -a[i][i])
    return [a[i][i] for i in order], [vectors[i] for i in order]


def sandwich(w, gram):
    """W G Wt."""
    half = [[dot(row, column) for column in gram] for row in w]
    return [[dot(a, b) for b in w] for a in half]


class Side:
    """The directions of one layer's keys or values: of W, and of W X."""

    def __init__(self, w, gram):
        damping = 1e-9 * sum(gram[i][i] for i in range(len(gram))) / len(gram)
        damped = [[x + damping * (i == j) for j, x in enumerate(row)] for i, row in enumerate(gram)]
        self.seen = sandwich(w, gram)
        self.bases = {"plain": eigen([[dot(a, b) for b in w] for a in w]), "whitened": eigen(sandwich(w, damped))}

    def energies(self, basis):
        values = self.bases[basis][0]
        return [sum(values[:rank]) / sum(values) for rank in range(len(values) + 1)]

    def errors(self, basis):
        parts = [max(0, dot(u, plain.product(self.seen, u))) for u in self.bases[basis][1]]
        return [math.sqrt(sum(parts[rank:]) / sum(parts)) for rank in range(len(parts) + 1)]

    def log_condition(self):
        values = self.bases["plain"][0]
        return math.log(values[0] / values[-1]) / 2


class Latents(plain.Plain):
    """c = Ut k is kept, U c is read; as bytes with a scale for each token."""

    def __init__(self, sides, basis, ranks, as_bytes):
        self.sides, self.basis, self.ranks, self.as_bytes = sides, basis, ranks, as_bytes

    def all_heads(self, layer, side, rows):
        directions = self.sides[layer][side].bases[self.basis][1][:self.ranks[side][layer]]
        out = []
        for row in rows:
            kept = plain.product(directions, row)
            kept = formats.by_row(kept) if self.as_bytes else kept
            out.append([dot(kept, column) for column in zip(*directions)])
        return out


def rising(sides, least, most):
    """LoRC: by the logarithm of the product of the condition numbers of a layer and all later ones."""
    own = [layer["keys"].log_condition() + layer["values"].log_condition() for layer in sides]
    logs = [sum(own[l:]) for l in range(len(own))]
    return [least + math.floor((log - logs[-1]) / (logs[0] - logs[-1]) * (most - least) + 0.5) for log in logs]


def variants(sides, N, shares):
    """(basis, ranks of keys, ranks of values, bytes?)"""
    even = lambda rank: [rank] * len(sides)
    for share in shares:
        rank = max(1, math.floor(share * N + 0.5))
        yield from (("plain", even(rank), even(rank), False), ("whitened", even(rank), even(rank), False),
                    ("whitened", even(rank), even(rank), True))
        if rank < N:
            step = min(rank - 1, N - rank, 2 * (N // 8))
            both = rising(sides, rank - step, rank + step)
            yield from (("whitened", both, both, False), ("whitened", even(rank), even(N), False),
                        ("whitened", even(N), even(rank), False))


def ranks_text(ranks):
    return str(ranks[0]) if min(ranks) == max(ranks) else f"{min(ranks)}-{max(ranks)}"


def check_curves(run, sides, N):
    """Claims the curves; returns them as reported, by layer and side."""
    curves = {}
    for layer, both in enumerate(sides):
        for at, side in enumerate(("keys", "values")):
            path = f"curves[{2 * layer + at}]"
            run.given(f"{path}.layer", layer)
            run.given(f"{path}.side", side)
            for basis in ("plain", "whitened"):
                run.closed_form(f"{path}.{basis}_energy", both[side].energies(basis), 1e-5)
                errors = both[side].errors(basis)
                for rank, error in enumerate(errors[:-1]):
                    if error > 1e-4:
                        run.closed_form(f"{path}.{basis}_error[{rank}]", error, 1e-4)
                    else:  # the first layer sees as many directions as there are different tokens: rounding is left
                        run.between(f"{path}.{basis}_error[{rank}]", 0, 2e-4)
                run.by_hand(f"{path}.{basis}_error[{N}]", 0)
            curves[layer, side] = run.json["curves"][2 * layer + at]
    return curves


def says_curves(run, curves, layers, N, shares):
    for layer in range(layers):
        # The first rank with so much of the energy.
        ranks = [f"{bisect.bisect_left(curves[layer, side][f'{basis}_energy'], share - 1e-12)}" for side in ("keys", "values")
                 for basis in ("plain", "whitened") for share in (0.9, 0.99)]
        run.says(f"{layer} {' '.join(ranks)}")
    for share in shares:
        rank = max(1, math.floor(share * N + 0.5))
        means = [sum(curves[layer, side][f"{basis}_error"][rank] for layer in range(layers)) / layers
                 for side in ("keys", "values") for basis in ("plain", "whitened")]
        run.says(f"{rank} " + " ".join(f"{mean:.4f}" for mean in means))


def check_lowrank(run, model, text, other, size, shares, cases=()):
    N = model.kv_heads * model.head_dim
    plain_bits = trial.trial_head(run, "step06_quant lowrank", model, text, size, calibration=other.count)
    floats = 2 * model.layers * N * 4
    run.closed_form("size", N)
    run.closed_form("float_bytes_per_token", floats)
    seen = calibrated.inputs_of(model, other)
    sides = []
    for layer in range(model.layers):
        gram = calibrated.gram_of(seen[f"blk.{layer}.attn_k.weight"])
        sides.append({side: Side(model.tensors[f"blk.{layer}.attn_{side[0]}.weight"], gram) for side in ("keys", "values")})
    says_curves(run, check_curves(run, sides, N), model.layers, N, shares)
    rows = list(variants(sides, N, shares))
    run.holds(len(run.json["rows"]) == len(rows), f"{len(run.json['rows'])} rows, expected {len(rows)}")
    for i, (basis, keys, values, as_bytes) in enumerate(rows):
        path, row = f"rows[{i}]", run.json["rows"][i]
        token = sum((k + v) * (1 if as_bytes else 4) + (8 if as_bytes else 0) for k, v in zip(keys, values))
        run.given(f"{path}.basis", basis)
        run.closed_form(f"{path}.keys", ranks_text(keys))
        run.closed_form(f"{path}.values", ranks_text(values))
        run.given(f"{path}.latents", "int8" if as_bytes else "f32")
        run.closed_form(f"{path}.bytes", token)
        cache = Latents(sides, basis, {"keys": keys, "values": values}, as_bytes)
        whole = min(keys + values) == N and not as_bytes
        trial.quality(run, path, plain.judged(model, text, cache=cache), size, nothing=whole)
        if cases:
            trial.recall(run, path, *plain.right_answers(model, 0, cases, cache))
        trial.says_row(run, [row[name] for name in ("basis", "keys", "values", "latents", "bytes")], row)
    trial.says_header(run, "basis", "keys", "values", "latents", "bytes")
    run.says(f"{model.name}, {trial.engine(run)}: {text.count} windows of {text.window} tokens, calibrated on {other.count} others",
             f"rank, of {N}, that has 90 % and 99 % of the energy",
             f"The float cache: {plain_bits:.4f} bits per byte, {floats} bytes a token. KL in bits, from it.",
             f"values: directions kept, of {N}; from - to: more in early layers (LoRC's rule).", f"RESULT rows={len(rows)}")


@case("step06_quant", "lowrank -m SCRATCH/pair.gguf --window 24 --tokens 24 --calibration 72 --share 1,0.6,0.2 --recall 1 --cases SCRATCH/cases.jsonl",
      files={"pair.gguf": PAIR_FILE, "cases.jsonl": trial.FILES["cases.jsonl"]})
def lowrank(run):
    check_lowrank(run, PAIR, *texts(24, 24, 72), (1, 0.6, 0.2), trial.taken_cases(1))


@case("step06_quant", "lowrank -m SCRATCH/narrow.gguf --window 12 --tokens 30 --calibration 40 --share 0.001,0.9375 --recall 0",
      files=trial.NARROW_FILES)
def lowrank_at_its_ends(run):
    """One direction, and all but one: there no layer can have more than another."""
    check_lowrank(run, trial.NARROW, *texts(12, 30, 40), (0.001, 0.9375))
