"""The judge of chapter 8's tasks: closed forms, patterns by their definition, and recurrences in double."""
import math

from course.judge import Floats, Integers, case, close, integers, same_as


def listed(value):
    return [int(word) for word in str(value).split(",") if word != ""]


def bytes_of_a_token(p, H, Hkv, D):
    if p.mixer == "mla":
        return 4 * (p.kv_rank + p.rope_rank)
    if p.mixer == "lsh":
        return H * (4 * 2 * D + 4 * p.rounds)  # a position of four bytes in one bucket of each round
    return 4 * (2 * Hkv * D + (8 if p.mixer == "indexed" else 0))


@case("8.1 bytes: what so many tokens leave", "mixer=gqa H=4 Hkv=2 D=16", "mixer=mha H=4 Hkv=4 D=16", "mixer=mqa H=4 Hkv=1 D=16", "mixer=gqa H=6 Hkv=3 D=10",
      "mixer=mla H=4 Hkv=4 D=16 kv_rank=24 rope_rank=8", "mixer=mla H=2 Hkv=2 D=8 kv_rank=7 rope_rank=2", "mixer=lsh H=4 Hkv=4 D=16 rounds=4",
      "mixer=lsh H=6 Hkv=2 D=8 rounds=3", "mixer=indexed H=4 Hkv=2 D=16 top_k=64", "mixer=indexed H=6 Hkv=3 D=8 top_k=5")
def bytes_left(p, random):
    lengths = [0, 1, 7, 512, 8192]
    return ({**p, "lengths": lengths},
            {"bytes": integers([N * bytes_of_a_token(p, p.H, p.Hkv, p.D) for N in lengths], "length")})


@case("8.2 pattern: what is seen, who looks last, and how many are held", "window=4 dilation=3", "window=4 dilation=1", "window=1 dilation=5", "window=3 dilation=8 Hkv=3",
      "window=32 dilation=8", "window=2 dilation=2")
def pattern(p, random):
    Hkv, tokens = p.get("Hkv", 2), sorted({0, 1, 2, 3, 7, 8, 9, 10, 31, 32, 40, 200, 300})

    def sees(step, t, s):
        return (t - s) % step == 0 and 0 <= t - s < p.window * step
    seen, readers, held = [], [], []
    for head in range(Hkv):
        step = p.dilation if head else 1
        for t in tokens:
            seen += [-1] + [s for s in range(t + 1) if sees(step, t, s)]
            later = range(t, t + p.window * step + 1)
            readers.append(max(u for u in later if sees(step, u, t)))
            # Of t tokens: what the newest one or a later one sees.
            held.append(sum(any(sees(step, u, s) for u in range(max(t - 1, s), s + p.window * step)) for s in range(t)))
    return ({"mixer": "dilated", "H": 2 * Hkv, "Hkv": Hkv, "D": 2, "window": p.window, "dilation": p.dilation, "tokens": tokens},
            {"seen": integers(seen, "entry"), "last reader": integers(readers, "entry"), "held": integers(held, "entry")})


@case("8.3 top k: the largest scores, and of equal ones the earlier", "tokens=24 top_k=5", "tokens=24 top_k=1", "tokens=70 top_k=20", "tokens=20 top_k=30",
      "tokens=24 top_k=6 equal=1", "tokens=24 top_k=6 values=2", "tokens=24 top_k=6 rising=1", "tokens=24 top_k=6 negative=1")
def top_k(p, random):
    N, many = p.tokens, p.get("values", 9)
    index = []
    for t in range(N):  # small whole numbers: scores are exact, and many are equal
        q = [float(random.below(many) - many // 2) for _ in range(16)]
        k = [float(random.below(many) - many // 2) for _ in range(8)]
        w = [float(random.below(4)) for _ in range(2)]
        if p.get("negative"):
            w = [-1.0 - value for value in w]
        if p.get("equal"):
            w = [0.0, 0.0]
        if p.get("rising"):  # token s has the score s
            q, k, w = [1.0] + [0.0] * 15, [float(t)] + [0.0] * 7, [1.0, 0.0]
        index.append(q + k + w)
    chosen = []
    for t in range(N):
        q, w = index[t][:16], index[t][24:]
        scores = [sum(w[j] * max(0.0, sum(q[8 * j + i] * index[s][16 + i] for i in range(8))) for j in range(2)) for s in range(t + 1)]
        chosen += [-1] + sorted(sorted(range(t + 1), key=lambda s: (-scores[s], s))[:p.top_k])
    return ({"mixer": "indexed", "H": 2, "Hkv": 2, "D": 36, "top_k": p.top_k, "index": Floats([N, 26], [x for row in index for x in row]),
             "values": random.floats(N, 72)},
            {"chosen": integers(chosen, "entry"), "mixed": same_as("mixed in the order of the text", "number")})


def feature(x):
    return x + 1 if x > 0 else math.exp(x)


def linear_in_double(rows, H, D):
    """(mixed, state) of rows [N][3 H D]."""
    S, z, mixed = [[[0.0] * D for _ in range(D)] for _ in range(H)], [[0.0] * D for _ in range(H)], []
    for row in rows:
        for h in range(H):
            q, k = ([feature(x) for x in row[part * H * D + h * D:][:D]] for part in (0, 1))
            v = row[2 * H * D + h * D:][:D]
            for i in range(D):
                z[h][i] += k[i]
                for j in range(D):
                    S[h][i][j] += k[i] * v[j]
            total = sum(a * b for a, b in zip(q, z[h]))
            mixed += [sum(q[i] * S[h][i][j] for i in range(D)) / total for j in range(D)]
    return mixed, [x for h in range(H) for x in [y for line in S[h] for y in line] + z[h]]


# The project's own solutions are off by less than 1e-5 (linear: sums of a hundred large numbers) and 2e-6 (delta: what fades stays small).
LINEAR = {"within": 5e-5, "because": "sums of some hundred floats, each rounded once"}
DELTA = {"within": 2e-5, "because": "sums of some hundred floats, each rounded once, and a norm that divides by small numbers"}


def rows_of(random, N, width):
    return [[random.normal() for _ in range(width)] for _ in range(N)]


def asked(rows, steps, more):
    return {**more, "rows": Floats([len(rows), len(rows[0])], [x for row in rows for x in row]), "steps": steps}


@case("8.4 linear: a token goes in, and then it is asked", "steps=1 H=1 D=2", "steps=2 H=1 D=2", "steps=1,1,1 H=2 D=4", "steps=7,60,3 H=2 D=4", "steps=100 H=3 D=8", "steps=64,64 H=1 D=16")
def linear(p, random):
    steps = listed(p.steps)
    rows = rows_of(random, sum(steps), 3 * p.H * p.D)
    mixed, state = linear_in_double(rows, p.H, p.D)
    return (asked(rows, steps, {"mixer": "linear", "H": p.H, "Hkv": p.H, "D": p.D, "state_floats": len(state)}),
            {"state": close(Floats([len(state)], state), "number", **LINEAR), "mixed": close(Floats([len(mixed)], mixed), "number", **LINEAR),
             "mixed in one step": same_as("mixed", "number")})


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def unit(x):
    length = math.sqrt(sum(value * value for value in x) + 1e-6)
    return [value / length for value in x]


def delta_in_double(rows, H, D, a, b):
    """(mixed, S) of rows [N][4 H D + 2 H]. The convolution's newest tap is 1 and the others are 0."""
    W, S, mixed = H * D, [[[0.0] * D for _ in range(D)] for _ in range(H)], []
    for row in rows:
        for h in range(H):
            q, k, v, gate = ([x * sigmoid(x) for x in row[part * W + h * D:][:D]] for part in range(4))
            q, k = [x / math.sqrt(D) for x in unit(q)], unit(k)
            beta = sigmoid(row[4 * W + h])
            fade = math.exp(-a[h] * math.log1p(math.exp(row[4 * W + H + h] + b[h])))
            S[h] = [[fade * x for x in line] for line in S[h]]
            known = [sum(k[i] * S[h][i][j] for i in range(D)) for j in range(D)]
            for i in range(D):
                for j in range(D):
                    S[h][i][j] += k[i] * beta * (v[j] - known[j])
            o = [sum(q[i] * S[h][i][j] for i in range(D)) for j in range(D)]
            norm = math.sqrt(sum(x * x for x in o) / D + 1e-5)
            mixed += [x / norm * g for x, g in zip(o, gate)]
    return mixed, [x for head in S for line in head for x in line]


@case("8.5 delta: fade, ask, write the difference", "steps=1 H=1 D=2", "steps=2 H=1 D=2", "steps=1,1,1 H=2 D=4", "steps=7,60,3 H=2 D=4", "steps=100 H=3 D=8", "steps=64,20 H=1 D=16")
def delta(p, random):
    steps, H, D = listed(p.steps), p.H, p.D
    rows = rows_of(random, sum(steps), 4 * H * D + 2 * H)
    a, b = [random.uniform(0.5, 2) for _ in range(H)], [random.uniform(-2, 0) for _ in range(H)]
    mixed, S = delta_in_double(rows, H, D, a, b)
    taps = Floats([H * D, 4], [0.0, 0.0, 0.0, 1.0] * (H * D))
    return (asked(rows, steps, {"mixer": "delta", "H": H, "Hkv": H, "D": D, "conv": 4, "state_floats": len(S), "conv_q": taps, "conv_k": taps, "conv_v": taps,
                                "decay_a": Floats([H], a), "decay_b": Floats([H], b), "out_norm": Floats([D], [1.0] * D)}),
            {"state": close(Floats([len(S)], S), "number", **DELTA), "mixed": close(Floats([len(mixed)], mixed), "number", **DELTA),
             "mixed in one step": same_as("mixed", "number")})


MAMBA = {"mixer": "mamba", "H": 2, "Hkv": 2, "D": 4, "inner": 6, "state_size": 3, "conv": 4, "dt_rank": 2}


@case("8.6 back: the bits of a text that never was longer", "steps=10 backs=9 rewind=5", "steps=200 backs=150 rewind=100", "steps=200 backs=128 rewind=100", "steps=70,70,60 backs=190,131,129 rewind=80",
      "steps=1,1,1,97 backs=65,64,63 rewind=64", "steps=64,64 backs=127,127,64 rewind=64", "steps=150 backs=149,140,149 rewind=30")
def back(p, random):
    steps, backs = listed(p.steps), listed(p.backs)
    rows = rows_of(random, sum(steps), 2 * MAMBA["inner"])
    return ({**asked(rows, steps, MAMBA), "backs": backs, "rewind": p.rewind},
            {"states": same_as("states of texts that ended there", "number"), "mixed": same_as("mixed without going back", "number")})


@case("8.6 back: copies stand at borders", "steps=10 rewind=5", "steps=1,62,1,1,64 rewind=1", "steps=200,1,56 rewind=100", "steps=63,2,100,30 rewind=64", "steps=300 rewind=1")
def copies(p, random):
    steps, length, furthest = listed(p.steps), 0, []
    for T in steps:
        length += T
        border = max(0, (length - p.rewind) // 64 * 64)
        furthest.append(max(1, border) if border < length else length)
    return ({**asked(rows_of(random, sum(steps), 2 * MAMBA["inner"]), steps, MAMBA), "rewind": p.rewind},
            {"furthest": integers(Integers([len(steps)], furthest), "step")})
