"""The judge of chapter 3's tasks 3.6 and 3.7: two recordings, and caches with a planted fault."""
import decoder_in_double as double
from course.judge import Floats, Integers, case, exact, integers, number, same_as, text
from course.values import bits_of, float_of

OPS = ["embedding", "attention_norm", "query", "key", "value", "attention", "attention_out", "attention_add", "ffn_norm",
       "ffn_hidden", "ffn_out", "ffn_add", "final_norm", "logits"]
FIELDS = ("step", "layer", "operator", "position", "position in the second run", "head", "component")
WITH_HEADS = ("query", "key", "value", "attention")


def distance(x, y):
    """In floats; of two numbers of the same sign, as all here are."""
    return abs(bits_of(x) - bits_of(y))


class Recording:
    """steps[s][operator] is a list of rows, the last one that of the newest token."""

    def __init__(self, operators, rows, first):
        self.operators, self.rows, self.first = operators, rows, first
        self.steps = []

    def given(self, name):
        flat = [x for step in self.steps for rows in step for row in rows for x in row]
        return {name: Floats([len(flat)], flat), f"rows of {name}": self.rows, f"first of {name}": self.first}


@case("3.6 first difference: rows are compared from the end",
      "a=4,1,1 b=4,5,6", "a=1 b=1 changes=1", "a=3,1 b=3,4 changes=1", "a=5,6,7 b=5,1,1 changes=4", "a=6,2,3 b=6,8,11 changes=9",
      "a=2,3 b=2,3 changes=3 shift=1", "a=3,1,1,1 b=3,4,5,6 changes=20 layers=3", "a=4,4 b=4,8 changes=2 at=-1",
      "a=7,1 b=6,8 changes=8 at=0", "a=5 b=5 changes=6 at=5 layers=1", "a=6,2,3 b=6,8,11 changes=30 tolerance=3e-5",
      "a=4,1,1 b=4,5,6 changes=12 tolerance=4e-5", "a=5,6 b=5,6 changes=9 tolerance=0.01")
def first_difference(p, random):
    head_dim, layers = 2, p.get("layers", 2)
    widths = {"query": 4, "attention": 4, "key": 2, "value": 2, "ffn_hidden": 5, "logits": 7}
    operators = [("embedding", -1), *((op, layer) for layer in range(layers) for op in OPS[1:12]), ("final_norm", -1), ("logits", -1)]
    # Of the rows that want logits there is one in each step.
    table = [[OPS.index(op), layer, widths.get(op, 3), 1 if op in OPS[-2:] else 1 << 20] for op, layer in operators]
    runs = []
    for name in ("a", "b"):
        rows = [int(word) for word in str(p[name]).split(",")]
        runs.append(rows)
    # The newest token of a step is the same in both runs, and stands at the same place; `shift` is a bug of the second run.
    newest = [max(rows[0] for rows in runs) - 1]
    for s in range(1, len(runs[0])):
        newest.append(newest[-1] + min(rows[s] for rows in runs))
    a, b = (Recording(table, rows, [at - n + 1 + shift for at, n in zip(newest, rows)])
            for rows, shift in zip(runs, (0, p.get("shift", 0))))
    for s in range(len(newest)):
        a.steps.append([])
        b.steps.append([])
        for _, _, width, most in table:
            n, m = (min(rows[s], most) for rows in runs)
            equal = [[random.uniform(0.5, 2.0) for _ in range(width)] for _ in range(max(n, m))]
            a.steps[-1].append([list(row) for row in equal[-n:]])
            b.steps[-1].append([list(row) for row in equal[-m:]])
    for _ in range(p.get("changes", 0)):
        s = random.below(len(newest))
        i = p.get("at", random.below(len(table))) % len(table)
        both = min(len(a.steps[s][i]), len(b.steps[s][i]))
        row = b.steps[s][i][-1 - random.below(both)]
        column = random.below(len(row))
        row[column] = float_of(bits_of(row[column]) + 1 + random.below(1000))
    tolerance = p.get("tolerance", 0.0)
    return ({"head_dim": head_dim, "tolerance": tolerance, "operators": [x for row in table for x in row], **a.given("a"), **b.given("b")},
            judged(a, b, head_dim, tolerance))


def judged(a, b, head_dim, tolerance):
    count, differ, beyond, first, numbers, largest = 0, 0, 0, [], [], []
    for s, (left, right) in enumerate(zip(a.steps, b.steps)):
        for i, (rows_a, rows_b) in enumerate(zip(left, right)):
            largest.append(0)
            both = min(len(rows_a), len(rows_b))
            for back in range(both, 0, -1):
                for column, (x, y) in enumerate(zip(rows_a[-back], rows_b[-back])):
                    count += 1
                    if x == y:
                        continue
                    differ += 1
                    largest[-1] = max(largest[-1], distance(x, y))
                    if abs(x - y) <= tolerance * max(map(abs, rows_a[-back])):
                        continue
                    beyond += 1
                    if not first:
                        op, layer, _, _ = a.operators[i]
                        heads = OPS[op] in WITH_HEADS
                        first = [s, layer, op, a.first[s] + a.rows[s] - back, b.first[s] + b.rows[s] - back,
                                 column // head_dim if heads else -1, column % head_dim if heads else column]
                        numbers = [x, y]
    return {"floats compared": number(count), "floats that differ": number(differ),
            "floats beyond the tolerance": number(beyond),
            **{f"{field} of the first": number(value) for field, value in zip(FIELDS, first or [-9] * len(FIELDS))},
            "numbers": exact(Floats([len(numbers)], numbers), "run"),
            "largest distance": integers(Integers([len(a.steps), len(a.operators)], largest), "step operator")}


def proof_question(p, random, lengths):
    shape = double.Shape.of({**p, "weights": random.below(1000)})
    return shape, {**shape.given(), "lengths": lengths, "steps": p.steps,
                   "tokens": [random.below(shape.V) for _ in range(sum(lengths))]}


@case("3.7 proof: every number of every cache is compared",
      "lengths=1 steps=1", "lengths=3 steps=4 L=1", "lengths=5,1,2 steps=3", "lengths=2,2 steps=6 L=3 Hkv=4 D=2")
def proof(p, random):
    lengths = [int(word) for word in str(p.lengths).split(",")]
    shape, given = proof_question(p, random, lengths)
    held = sum(length + p.steps - 1 for length in lengths)  # the last token generated is never fed
    return given, {"floats compared": number(2 * shape.L * held * shape.Hkv * shape.D), "floats that differ": number(0),
                   "checksum": same_as("checksum of the caches", "")}


@case("3.7 proof: a planted difference is found at its place",
      "P=2 steps=2 kind=value column=0", "P=3 steps=4 kind=value column=5 step=1 L=1", "P=3 steps=4 kind=key column=0 step=2",
      "P=2 steps=3 kind=key column=7 step=1", "P=4 steps=5 kind=value column=7 step=3 L=3", "P=2 steps=4 kind=key column=4 step=0 L=1")
def planted(p, random):
    shape, given = proof_question(p, random, [p.P])
    step, layer, held, row = p.get("step", 0), shape.L - 1, p.P + p.steps - 1, shape.Hkv * shape.D
    # Only the token of that step can show it: no layer follows, and another layer's rows are of its own token alone.
    column = shape.Hq * shape.D + (row if p.kind == "value" else 0) + p.column
    # RoPE turns the first rope_dim numbers of a key in pairs: one wrong number becomes two.
    two = p.kind == "key" and p.column % shape.D < shape.rope_dim
    index = ((layer * held + p.P + step) * 2 + (p.kind == "value")) * row + p.column
    return ({**given, "step": step, "layer": layer, "column": column, "by": 0.25},
            {"floats compared": number(2 * shape.L * held * row), "floats that differ": number(2 if two else 1),
             "index of the first": number(index)})


@case("3.7 proof: the first difference is told in words, and the sum is that of the cache",
      "lengths=4 steps=3 position=5 column=3", "lengths=4 steps=3 position=2 column=6 kind=key", "lengths=3,6 steps=2 position=6 column=4 layer=0",
      "lengths=2,5,3 steps=2 of=1 position=3 column=1 L=3 layer=1 kind=key", "lengths=5 steps=1 position=0 column=0 L=1 layer=0")
def told(p, random):
    lengths = [int(word) for word in str(p.lengths).split(",")]
    shape, given = proof_question(p, random, lengths)
    of, layer, kind, row = p.get("of", len(lengths) - 1), p.get("layer", shape.L - 1), p.get("kind", "value"), shape.Hkv * shape.D
    column = shape.Hq * shape.D + (row if kind == "value" else 0) + p.column
    pair = kind == "key" and p.column % shape.D < shape.rope_dim  # turned, it makes its neighbour another number, too
    first = p.column - p.column % 2 if pair else p.column
    where = f"cache of sequence {of}, layer {layer}, position {p.position}, {kind}, float {first}"
    return ({**given, "held": lengths[of] + p.steps - 1, "layer": layer, "position": p.position, "column": column, "by": 0.25},
            {"first difference": text(where), "checksum": same_as("checksum of the caches", "")})
