"""Chapter 3: two runs compared bit by bit, and the first number in which they differ."""
import json
import math
import struct

from reports.book_model import Checksum, Sampler, Text, book, bytes_of, tiny
from reports.checked import case
from reports.shapes import TINY
from reports.step03_work import cpu

HEADS = ("query", "key", "value", "attention")
BITS_IN_KEYS = "earlier keys or values are kept in fewer bits"
OTHER_ORDER = ("a matrix product that adds in another order, or rounds between its steps (no fma): often because one row takes "
               "another kernel than many rows")


def ordered(x):
    """Floats as whole numbers in the order of their values, -0 right before +0."""
    word = struct.unpack("<i", struct.pack("<f", x))[0]
    return word if word >= 0 else -1 - (word & 0x7fffffff)


def ulps(a, b):
    if struct.pack("<f", a) == struct.pack("<f", b):
        return 0
    return 2**64 - 1 if math.isnan(a) or math.isnan(b) else abs(ordered(a) - ordered(b))


class Compared:
    """Two runs step by step; a step is a list of (operator, layer, rows), a row (position, numbers)."""

    def __init__(self, head_dim):
        self.head_dim, self.floats, self.differ, self.most = head_dim, 0, 0, 0
        self.first, self.labels, self.max_ulp, self.logits = None, [], [], []

    def add(self, a, b):
        self.labels = self.labels or [op if layer < 0 else f"{layer} {op}" for op, layer, _ in a]
        self.max_ulp.append([])
        self.logits.append(0)
        for (op, layer, rows_a), (_, _, rows_b) in zip(a, b):
            count = min(len(rows_a), len(rows_b))  # the last of both are of the same tokens
            most = 0
            for row_a, row_b in zip(rows_a[len(rows_a) - count:], rows_b[len(rows_b) - count:]):
                apart = [ulps(p, q) for p, q in zip(row_a[1], row_b[1])]
                self.floats += len(apart)
                self.differ += sum(d > 0 for d in apart)
                most = max(most, *apart)
                if op == "logits":
                    gaps = [abs(p - q) for p, q, d in zip(row_a[1], row_b[1], apart) if d]
                    self.logits[-1] = max([self.logits[-1], *(math.inf if math.isnan(g) else g for g in gaps)])
                if any(apart) and not self.first:
                    self.note(op, layer, row_a, row_b, next(i for i, d in enumerate(apart) if d))
            self.max_ulp[-1].append(most)
            self.most = max(self.most, most)

    def note(self, op, layer, row_a, row_b, i):
        heads, (a, b) = op in HEADS, (row_a[1], row_b[1])
        self.first = {
            "step": len(self.max_ulp) - 1, "layer": layer, "op": op, "head": i // self.head_dim if heads else -1,
            "position": row_a[0], "position_b": row_b[0], "index": i % self.head_dim if heads else i, "a": a[i], "b": b[i],
            "ulp": ulps(a[i], b[i]), "relative": max(abs(p - q) for p, q in zip(a, b)) / max(map(abs, a))}


class Store:
    """How one side keeps its text, and how it breaks the contract."""

    def __init__(self, cache, switch):
        self.cache, self.switch, self.text = cache, switch, Text(tiny(), "f32" if cache == "none" else cache)

    def step(self, tokens):
        """Feeds what the cache has not seen, or all, and gives the rows of every operator."""
        if self.cache == "none":
            self.text = Text(tiny())
        new = tokens[self.text.length:]
        # The engine breaks it for many rows, the store for a single one.
        how = self.switch if (len(new) == 1) == (self.switch == "split") and self.switch != "none" else None
        rows = {}
        for token in new:
            position = self.text.length
            self.text.feed(token, how)
            for op, layer, row in self.text.rows:
                rows.setdefault((op, layer), []).append((position, row))
        for ends in (("final_norm", -1), ("logits", -1)):
            rows[ends] = rows[ends][-1:]
        return [(op, layer, numbers) for (op, layer), numbers in rows.items()]


def diverge(prompt, steps, a, b, switch, seed, sampling):
    """(what was compared, the steps in which the second run would have chosen another token)."""
    compared, sides, forks = Compared(TINY["head_dim"]), (Store(a, switch), Store(b, switch)), []
    samplers, tokens = (Sampler(**sampling, seed=seed), Sampler(**sampling, seed=seed)), list(prompt)
    for step in range(steps):
        rows = [side.step(tokens) for side in sides]
        compared.add(*rows)
        chosen = [sampler.choose(of[-1][2][-1][1]) for sampler, of in zip(samplers, rows)]
        forks += [step] if chosen[0] != chosen[1] else []
        tokens.append(chosen[0])
    return compared, forks


def float_text(x):
    """As C prints a number in hexadecimal."""
    return book.hexf(x) if x else ("-0x0p+0" if math.copysign(1, x) < 0 else "0x0p+0")


def check_compared(run, i, name, a, b, compared, fork, likely):
    """One comparison of the report, and its line of the table."""
    path = f"runs[{i}]."
    run.given(path + "a", a)
    run.given(path + "b", b)
    run.given(path + "switch", name)
    run.by_hand(path + "steps", len(compared.max_ulp))
    run.second_route(path + "floats", compared.floats)
    run.second_route(path + "differ", compared.differ)
    run.second_route(path + "labels", compared.labels)
    run.second_route(path + "max_ulp", compared.max_ulp)
    run.second_route(path + "max_abs_logits", compared.logits)
    run.second_route(path + "fork_step", fork)
    first, most = next((gap for gap in compared.logits if gap), 0), max(compared.logits)
    run.says(f"{name} {compared.floats} {compared.differ} {compared.most} {first:.3g} {most:.3g} {'-' if fork is None else fork}")
    d = compared.first
    run.holds((d is None) == (likely is None), f"{name}: a first difference: {d}")
    if d is None:
        run.by_hand(path + "first", None)
        return
    run.second_route(path + "first", {**d, "likely": likely})
    where = [f"step {d['step']}", *([f"layer {d['layer']}"] if d["layer"] >= 0 else []), d["op"],
             *([f"head {d['head']}"] if d["head"] >= 0 else []),
             f"position {d['position']}" + (f" ({d['position_b']} in the second run)" if d["position_b"] != d["position"] else ""),
             f"element {d['index']}"]
    run.says(f"{name}: first difference at {', '.join(where)}",
             f"{float_text(d['a'])} and {float_text(d['b'])}, {d['ulp']} ulp apart; {d['relative']:.2g} of the row's largest")
    run.words(*["likely: " + likely] * any(c.isdigit() for c in likely))
    run.holds("likely: " + likely in run.lines, f"no line says likely: {likely}")


def check_end(run, all_compared, expected):
    run.words("switch floats differ max ulp logits, 1st logits, max forks")
    floats, differ = sum(c.floats for c in all_compared), sum(c.differ for c in all_compared)
    if len(all_compared) == 1:
        run.says(f"{differ} of {floats} floats differ")
    run.says(f"RESULT runs={len(all_compared)} floats={floats} differ={differ} as_expected={expected}")


def check_diverge(run, text, steps, a, b, switches, seed=42, **sampling):
    """switches: {name: what is likely to be the cause}."""
    run.head(seed=seed)
    run.given("model", "kvlab-tiny")
    run.given("engine", cpu(run, 1))
    run.says(f"kvlab-tiny: cache {a} and cache {b}, {steps} steps")
    all_forks, found = {}, []
    for i, (switch, likely) in enumerate(switches.items()):
        compared, forks = diverge(bytes_of(text), steps, a, b, switch, seed, sampling)
        check_compared(run, i, switch, a, b, compared, forks[0] if forks else None, likely)
        all_forks[switch] = forks
        found.append(compared)
    check_end(run, found, "yes")
    return all_forks


ALL = {"none": None, "order": OTHER_ORDER, "contraction": OTHER_ORDER, "f16": "a matrix product that adds up in fewer bits",
       "split": "the order of attention's sums over the slots"}


@case("step03_kvcache", ["diverge", "-m", "tiny", "-p", "In the 7 days, God", "-n", "4", "--switch", "all", "-t", "1", "-s", "16"])
def diverge_by_all_switches(run):
    check_diverge(run, "In the 7 days, God", 4, "f32", "none", ALL, 16, temperature=1.0)


@case("step03_kvcache", ["diverge", "-m", "tiny", "-p", "In 7", "-n", "6", "-b", "int8", "-t", "2", "-s", "47"])
def diverge_by_eight_bits(run):
    """The first of several steps in which the runs would part is the one that is reported."""
    forks = check_diverge(run, "In 7", 6, "f32", "int8", {"none": BITS_IN_KEYS}, 47, temperature=2.0)
    run.holds(len(forks["none"]) > 1, f"{forks}: choose another seed")


@case("step03_kvcache", ["diverge", "-m", "tiny", "-p", "And", "-n", "3", "-a", "f16", "-b", "none"])
def diverge_by_sixteen_bits(run):
    check_diverge(run, "And", 3, "f16", "none", {"none": BITS_IN_KEYS})


@case("step03_kvcache", ["diverge", "-m", "tiny", "-p", "And", "-n", "3", "-a", "int8", "-b", "int8"])
def diverge_of_the_same(run):
    check_diverge(run, "And", 3, "int8", "int8", {"none": None})


# --- recorded runs -------------------------------------------------------------------------------

def trace(steps):
    """A recorded run of [(operator, layer, {position: numbers})] a step, with heads of two numbers."""
    lines = [{"kvlab_trace": 1, "model": "by hand", "config": {"head_dim": 2}, "engine": "none",
              "runs": [{"name": "one", "cache": "f32"}], "prompt": [1], "prompt_pieces": ["a"]}]
    for number, step in enumerate(steps):
        for op, layer, rows in step:
            total = Checksum()
            for row in rows.values():
                total.add(row)
            bits = "".join(struct.pack(f">{len(row)}f", *row).hex() for row in rows.values())
            lines.append({"run": "one", "step": number, "op": op, "layer": layer, "positions": list(rows), "fresh": list(rows),
                          "width": len(next(iter(rows.values()))), "sum": total.hex(), "bits": bits})
        lines.append({"run": "one", "step": number, "token": 1, "piece": "a", "logits_sum": "0", "work": {}, "cache_bytes": 0,
                      "seconds": 0})
    return "\n".join(map(json.dumps, lines)) + "\n"


ONE = [[("embedding", -1, {0: [1.0, 2.0], 1: [3.0, 4.0]}), ("value", 0, {0: [1.0] * 4, 1: [0.0, -0.0, 5.0, 6.0]}),
        ("logits", -1, {1: [0.5, 0.25]})],
       [("embedding", -1, {2: [1.0, 1.0]}), ("value", 0, {2: [7.0, 8.0, 9.0, 10.0]}), ("logits", -1, {2: [1.0, 2.0]})],
       [("embedding", -1, {3: [1.0, 1.0]}), ("value", 0, {3: [7.0, 8.0, 9.0, 10.0]}), ("logits", -1, {3: [1.0, 2.0]})]]
# The second run: one position off, three numbers that are not the same, and a step less.
OTHER = [[("embedding", -1, {0: [1.0, 2.0], 1: [3.0, 4.0]}), ("value", 0, {0: [1.0] * 4, 2: [0.0, 0.0, 5.0, 6.5]}),
          ("logits", -1, {1: [0.5, 0.25]})],
         [("embedding", -1, {2: [1.0, 1.0]}), ("value", 0, {2: [7.0, 8.0, 9.0, 10.0]}), ("logits", -1, {2: [1.0, 3.5]})]]


@case("step03_kvcache", ["diverge", "--traces", "SCRATCH/one.jsonl", "SCRATCH/other.jsonl#one"], code=1,
      files={"one.jsonl": trace(ONE), "other.jsonl": trace(OTHER)})
def diverge_of_traces(run):
    """Recorded runs have to agree, and these do not."""
    run.head()
    a, b = f"{run.scratch}/one.jsonl", f"{run.scratch}/other.jsonl#one"
    compared = Compared(2)
    for left, right in zip(ONE, OTHER):
        compared.add(*([(op, layer, list(rows.items())) for op, layer, rows in side] for side in (left, right)))
    # 14 numbers and 8. -0 is the neighbour of 0; from 4 to 8 there are 2^21 floats to each whole number, from 2 to 4 2^22.
    run.holds((compared.floats, compared.differ) == (22, 3), f"{compared.floats}, {compared.differ}")
    run.holds(compared.max_ulp == [[0, 2**21 // 2, 0], [0, 0, 3 * 2**22 // 2]], f"{compared.max_ulp}")
    run.says(f"{a} and {b}")
    check_compared(run, 0, "recorded", a, b, compared, None, "a matrix product with other weights, or of other rows")
    check_end(run, [compared], "no")
    run.holds(run.errors == "note: 3 steps and 2; the longer rest is not compared\n", run.errors)
