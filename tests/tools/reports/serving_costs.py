"""Chapter 7's costs of a step once more, in plain Python: what a step works, what that takes, and the fit of the
coefficients to steps that were measured. No checks of its own."""
import math

from reports.serving_model import Scheduler
from reports.serving_traces import piece
from reports.shapes import TINY, cache_bytes, flops, weight_bytes

NAMES = ["seconds_per_step", "seconds_per_text", "seconds_per_weight_byte", "seconds_per_flop", "seconds_per_cache_byte",
         "seconds_per_attention_flop"]
# Of a token's row of the embedding a step reads next to nothing.
TINY_SERVED = {"shape": TINY, "weight_bytes": weight_bytes(TINY) - 4 * TINY["vocab"] * TINY["width"], "bytes_per_token": cache_bytes(TINY, 1)}


class Work:
    """shapes: (past, fed, wanted) of each text."""

    def __init__(self, served, shapes):
        every = [flops(served["shape"], *shape) for shape in shapes]
        self.tokens, self.weight_bytes = sum(fed for _, fed, _ in shapes), float(served["weight_bytes"])
        self.flops = float(sum(sum(f.values()) - f["attention"] for f in every))
        self.texts = [(fed, float(served["bytes_per_token"] * (past + 2 * fed)), float(f["attention"]))
                      for (past, fed, _), f in zip(shapes, every)]


def seconds(cost, work):
    step, text, weight_byte, flop, cache_byte, attention_flop = cost
    total = step + text * len(work.texts) + max(weight_byte * work.weight_bytes, flop * work.flops)
    for _, size, count in work.texts:
        total += max(cache_byte * size, attention_flop * count)
    return total


class SimulatedSteps:
    """A clock that is put forward by what a step would cost."""

    def __init__(self, served, cost, scheduler):
        self.time = 0

        def run(parts):
            self.time += seconds(cost, Work(served, [(p.past, p.fed, p.wanted) for p in parts]))

        scheduler.on_run = run

    def now(self):
        return self.time

    def wait_until(self, moment):
        self.time = max(self.time, moment)


# --- the fit ----------------------------------------------------------------------------------------


def eliminate(m):
    """Gauss and Jordan with the largest pivots; None if columns depend on each other."""
    n = len(m)
    for k in range(n):
        pivot = max(range(k, n), key=lambda i: (abs(m[i][k]), -i))
        if abs(m[pivot][k]) < 1e-12:
            return None
        m[k], m[pivot] = m[pivot], m[k]
        for i in range(n):
            if i != k:
                factor = m[i][k] / m[k][k]
                m[i] = m[i][:k] + [a - factor * b for a, b in zip(m[i][k:], m[k][k:])]
    return [m[k][n] / m[k][k] for k in range(n)]


def non_negative(rows):
    """x >= 0 with rows x as near to 1 as can be: every choice of columns that may be more than 0."""
    n = len(rows[0])
    scale = [math.sqrt(sum(row[k] * row[k] for row in rows)) or 1 for k in range(n)]
    scaled = [[row[k] / scale[k] for k in range(n)] for row in rows]
    right = [sum(row[i] for row in scaled) for i in range(n)]
    gram = [[sum(x[i] * row[j] / scale[j] for x, row in zip(scaled, rows)) for j in range(n)] for i in range(n)]
    best, least = [0.0] * n, float(len(rows))
    for choice in range(1, 1 << n):
        used = [k for k in range(n) if choice >> k & 1]
        x = eliminate([[gram[i][j] for j in used] + [right[i]] for i in used])
        if x is None or min(x) < 0:
            continue
        error = len(rows)
        for k, value in zip(used, x):
            error -= value * right[k]
        if error < least:
            least, best = error, [0.0] * n
            for k, value in zip(used, x):
                best[k] = value / scale[k]
    return best


def fit(samples):
    """Of (work, seconds): the coefficients with the smallest sum of squared relative errors."""
    ridges, tokens = [], 0
    while tokens <= 1024:
        ridges.append(tokens)
        tokens += max(1, tokens // 2)
    ridges.append(math.inf)
    best, least, tried = None, math.inf, set()

    def improves(in_bytes, text_in_bytes):
        nonlocal best, least
        sides = tuple((in_bytes(w), tuple(map(text_in_bytes, w.texts))) for w, _ in samples)
        if sides in tried:
            return False
        tried.add(sides)
        rows = []
        for (w, taken), (matrices, texts) in zip(samples, sides):
            row = [1, len(w.texts), w.weight_bytes if matrices else 0, 0 if matrices else w.flops,
                   sum(t[1] for t, side in zip(w.texts, texts) if side), sum(t[2] for t, side in zip(w.texts, texts) if not side)]
            rows.append([x / taken for x in row])
        cost = non_negative(rows)
        error = sum((seconds(cost, w) / taken - 1) ** 2 for w, taken in samples)
        if error < least:
            best, least = cost, error
            return True
        return False

    for matrices in ridges:
        for attention in ridges:
            improves(lambda w: w.tokens <= matrices, lambda t: t[0] <= attention)
    for _ in range(20):
        c = best
        if not improves(lambda w: c[2] * w.weight_bytes > c[3] * w.flops, lambda t: c[4] * t[1] > c[5] * t[2]):
            break
    return best


# --- what is measured -------------------------------------------------------------------------------


def workloads(context, most):
    every = [(texts, max(1, prompt), 16) for texts in (1, 2, 4, 8, 12, 16)
             for prompt in (context // 64, context // 16, context // 5, context * 2 // 3)]
    return [w for w in every if 2 * w[0] * (w[1] + w[2]) <= most]


def measured(steps, workload, repeats, budget):
    """[(work, seconds)] of a workload's steps: the mean of the repeats behind one run that does not count."""
    texts, prompt, written = workload

    def once():
        s, shapes, times = Scheduler(texts * -(-(prompt + written) // 64), texts, budget), [], []
        s.on_run = lambda parts: shapes.append([(p.past, p.fed, p.wanted) for p in parts])
        for i in range(2 * texts):
            s.add(piece(i, prompt), max(1, written * (4 - i % 4) // 4))
        before = steps.now()
        while s.step():
            times.append(steps.now() - before)
            before = steps.now()
        return shapes, times

    once()
    runs = [once() for _ in range(repeats)]
    return [(Work(TINY_SERVED, shape), sum(times[i] for _, times in runs) / repeats) for i, shape in enumerate(runs[0][0])]


def calibrated(steps, context, most, repeats, budget=256):
    """(coefficients, samples of the fit, samples held out)."""
    fitted, held_out = [], []
    for i, workload in enumerate(workloads(context, most)):
        (held_out if i % 3 == 1 else fitted).extend(measured(steps, workload, repeats, budget))
    return fit(fitted), fitted, held_out


def errors(cost, samples):
    return [abs(seconds(cost, work) / taken - 1) for work, taken in samples]
