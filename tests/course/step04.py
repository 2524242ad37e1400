"""The judge of chapter 4's tasks. All numbers are judged by their bits, since a kernel has no choice (chapter 1, rules 2 and 3); and
each answer has what the executor reports of checked launches, and what it counts."""
import contract_by_the_book as contract
from course.judge import Floats, case, exact, number, text
from course.values import single

CLEAN = text("nothing to report")
TINY = -2.0 ** -149  # the negative float next to zero


def three_times(expectation):
    """The report comes first: where there is one, it says more than a wrong number."""
    return {"report": CLEAN, **{name: expectation for name in ("result", "threads shuffled", "raw launch")}}


def costs(result, **counts):
    """What is counted, as integers, after the numbers themselves: sectors_loaded=96 is 'sectors loaded'."""
    return {"report": CLEAN, **result, **{name.replace("_", " "): number(count) for name, count in counts.items()}}


# --- 4.1 ---------------------------------------------------------------------------------------------------------------

def append_question(p, random, steps):
    """The question, and what the answer has for a run."""
    tokens = sum(steps)
    k, v = random.floats(tokens, p.heads, p.D), random.floats(tokens, p.heads, p.D)
    held = Floats.of([2, p.heads, tokens, p.D], lambda which, h, slot, i: (k, v)[which][slot, h, i])
    given = {"k": k, "v": v, "steps": steps, "capacity": tokens + p.get("room", 3), "gap": p.get("gap", 0)}
    return given, lambda name: {name: exact(held, "keys-or-values head slot component"), f"{name}: numbers written beside the step": number(0)}


@case("4.1 append: every number of a step comes to its slot", "steps=1 heads=1 D=1", "steps=4 heads=1 D=7 gap=3", "steps=5,1,3 heads=3 D=8",
      "steps=1,1,1 heads=2 D=64 gap=5", "steps=2,3 heads=3 D=43 room=0", "steps=9,2 heads=5 D=26 gap=40")
def append(p, random):
    given, of_run = append_question(p, random, [int(T) for T in str(p.steps).split(",")])
    return given, {"report": CLEAN, **of_run("result"), **of_run("threads shuffled"), **of_run("raw launch")}


@case("4.1 append: neighbours read and write neighbours", "T=1 heads=3 D=64", "T=6 heads=2 D=32", "T=3 heads=5 D=8")
def append_traffic(p, random):
    given, of_run = append_question(p, random, [p.T])
    return given, costs(of_run("result"), sectors_loaded=2 * p.T * p.heads * p.D * 4 // 32, sectors_loaded_beyond_the_least=0,
                        sectors_stored_beyond_the_least=0)


# --- 4.2, and attention for 4.5 and 4.6 -----------------------------------------------------------------------------------------------------

def attention_question(p, random):
    """Queries and keys whose scores lie where the line wants them. peak=rise: each tile has larger ones than those before it."""
    D, heads, kv_heads, slots = p.D, p.get("heads", 1), p.get("kv_heads", 1), p.past + p.T
    q, keys = random.floats(p.T, heads, D), random.floats(kv_heads, slots, D, scale=p.get("scale", 1.0))
    values = random.floats(kv_heads, slots, D)
    tiles = (slots + 63) // 64
    for h in range(kv_heads):
        for s in range(slots):
            factor = {"": 1, "rise": 1 + s // 64, "fall": tiles - s // 64, "hill": 3 - 2 * abs(s // 64 - 1)}[p.get("peak", "")]
            for i in range(D):
                at = (h * slots + s) * D + i
                keys.values[at] = single(keys.values[at] * max(1, factor))
            if "offset" in p:  # of all scores, in the first component
                keys.values[(h * slots + s) * D] = single(p.offset / 4)
            if p.get("tiny"):  # the sum of slot 0's product and zeros is -0
                keys.values[(h * slots + s) * D] = 2.0 if s else -2.0
                values.values[(h * slots + s) * D:(h * slots + s + 1) * D] = [TINY if s == 0 else -0.0] * D
    if "offset" in p or p.get("tiny"):
        q.values[::D] = [4.0] * (p.T * heads)
    return q, keys, values, {"q": q, "keys": keys, "values": values, "capacity": slots + p.get("room", 2), "gap": p.get("gap", 0),
                             "block": p.get("block", 0)}


def attention(q, keys, values):
    """softmax(q . k) v, one query after another: token t sees the slots up to its own."""
    (T, heads, D), (kv_heads, slots, _) = q.shape, keys.shape
    out = []
    for t in range(T):
        for h in range(heads):
            kv_head, sees = h // (heads // kv_heads), slots - T + t + 1
            scores = [contract.total(list(zip(q[t, h].values, keys[kv_head, s].values))) for s in range(sees)]
            weights, whole = contract.softmax(scores)
            for i in range(D):
                column = [values[kv_head, s, i] for s in range(sees)]
                out.append(contract.div(contract.total(list(zip(weights, column))), whole))
    return Floats(q.shape, out)


def judged_attention(p, random):
    q, keys, values, given = attention_question(p, random)
    return given, three_times(exact(attention(q, keys, values), "token head component"))


@case("4.2 staged keys: the scores are those of the plain loop", "past=0 T=1 D=1", "past=63 T=1 D=8", "past=60 T=6 D=5 gap=3",
      "past=64 T=1 D=65 heads=2 room=0", "past=2 T=2 D=130 heads=2 kv_heads=2", "past=20 T=3 D=64 heads=4 kv_heads=2 gap=4")
def staged(p, random):
    return judged_attention(p, random)


@case("4.2 staged keys: no sector moves for nothing, and no bank is asked twice", "past=63 T=1 D=64", "past=127 T=1 D=128", "past=39 T=1 D=64")
def staged_traffic(p, random):
    given, expected = judged_attention(p, random)
    return given, costs({"result": expected["result"]}, sectors_loaded_beyond_the_least=0, sectors_stored_beyond_the_least=0,
                        bank_conflicts_of_shared_loads=0, bank_conflicts_of_shared_stores=0)


# --- 4.3 ---------------------------------------------------------------------------------------------------------------

@case("4.3 split product: chains of 64 meet, and are added in order", "N=1 K=1 block=64", "N=3 K=64", "N=65 K=65 block=128 bias=1",
      "N=5 K=200 R=3 gap=3", "N=4 K=300 bias=1 block=64", "N=2 K=1100 block=192", "N=3 K=1100 R=2 bias=1 block=1024", "N=5 K=128 tiny=1")
def split(p, random):
    R = p.get("R", 1)
    w, x = random.floats(p.N, p.K), random.floats(R, p.K)
    if p.get("tiny"):  # each product is negative and too small for a float: each chain is -0
        w.values, x.values = [single(1e-30 * abs(v)) for v in w.values], [single(-1e-30 * abs(v)) for v in x.values]
    bias = random.floats(p.N if p.get("bias") else 0)
    y = Floats.of([R, p.N], lambda r, n: contract.total(list(zip(x[r].values, w[n].values))))
    if p.get("bias"):
        y = Floats.of([R, p.N], lambda r, n: contract.add(y[r, n], bias[n]))
    return ({"w": w, "x": x, "bias": bias, "gap": p.get("gap", 0), "block": p.get("block", 0)},
            three_times(exact(y, "row output")))


# --- 4.4 ---------------------------------------------------------------------------------------------------------------

@case("4.4 argmax: the lowest index among the largest values", "count=1 block=32", "count=5 block=256", "count=31 block=1", "count=33 block=32",
      "count=300 block=32 few=1", "count=1025", "count=2000 block=256 few=1", "count=300 block=32 tie=1",
      "count=2500 tie=1", "count=70 block=32 least=1", "count=600 last=1 block=256", "count=9 block=32 below=1", "count=300 block=64 below=1e32")
def argmax(p, random):
    values = random.floats(p.count)
    if p.get("few"):  # many that are equal
        values.values = [float(random.below(3)) for _ in range(p.count)]
    if p.get("tie"):  # the first thread of a pair has an equal value, but sees it later than the second one
        half = p.get("block", 1024) // 2
        first = random.below(half)
        for i in (half + first, 2 * half + first, len(values) - 1):
            values.values[i] = 50.0
    if p.get("below"):  # all below 0, the largest in the middle
        values.values = [single(-p.below * (1 + abs(v))) for v in values.values]
        values.values[p.count // 2] = single(-p.below)
    if p.get("least"):
        values.values = [-float("inf")] * p.count
    if p.get("last"):
        values.values[-1] = 100.0
    best = max(range(p.count), key=lambda i: (values[i], -i))
    return {"values": values, "block": p.get("block", 0)}, three_times(number(best))


@case("4.4 argmax: neighbours look at neighbours", "count=1024 block=256", "count=4096", "count=520 block=32")
def argmax_traffic(p, random):
    given, expected = argmax(p, random)
    return given, costs({"result": expected["result"]}, sectors_loaded_beyond_the_least=0, bank_conflicts_of_shared_loads=0,
                        bank_conflicts_of_shared_stores=0)


# --- 4.5 and 4.6 -------------------------------------------------------------------------------------------------------

@case("4.5 online softmax: the maximum grows from tile to tile", "past=0 T=1 D=1 block=32", "past=63 T=1 D=4", "past=129 T=1 D=5 peak=rise",
      "past=190 T=1 D=5 heads=2 peak=fall", "past=150 T=2 D=4 heads=4 kv_heads=2 peak=hill gap=3 block=64", "past=120 T=10 D=3 heads=2 peak=rise",
      "past=70 T=1 D=4 offset=-300", "past=20 T=1 D=3 tiny=1")
def online(p, random):
    return judged_attention(p, random)


@case("4.6 split keys: the parts of the tiles make one answer", "past=0 T=1 D=1 block=32", "past=63 T=1 D=4", "past=64 T=1 D=3 peak=rise",
      "past=190 T=1 D=5 heads=2 peak=fall", "past=150 T=2 D=4 heads=4 kv_heads=2 peak=hill gap=3 block=64", "past=446 T=2 D=4 heads=2", "past=63 T=2 D=3",
      "past=70 T=1 D=4 offset=-300", "past=20 T=1 D=3 tiny=1")
def combined(p, random):
    return judged_attention(p, random)
