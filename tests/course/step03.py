"""The judge of chapter 3's tasks. What a cache answers is asked for twice: by its bits, which have to be those of the student's
own run without a cache, and by a decoder in double, so that two runs that are wrong alike are wrong."""
import math

import decoder_in_double as double
from course.judge import Floats, case, close, exact, integers, number, same_as, says, single, text
from course.values import bits_of, float_of

SUM = "a score of a few terms, a softmax and a weighted mean, each rounded to a float"


def listed(value):
    """Of a parameter such as 3,1,-2."""
    return [int(word) for word in str(value).split(",")]


@case("3.1 cache: a token sees the rows before it and its own",
      "steps=1 L=1 Hq=1 Hkv=1 D=1", "steps=1,1,1 L=1 Hq=1 Hkv=1 D=2", "steps=3,1,2 L=2 Hq=4 Hkv=2 D=3",
      "steps=2,3 L=3 Hq=2 Hkv=2 D=5", "steps=1,2,1 L=1 Hq=6 Hkv=2 D=2", "steps=4,-2,3,-4,2 L=2 Hq=4 Hkv=1 D=3",
      "steps=60,5,1 L=1 Hq=4 Hkv=2 D=4", "steps=4,-2,3,0,2 L=2 Hq=4 Hkv=2 D=3", "steps=3,-3,2,0,1 L=1 Hq=2 Hkv=1 D=4",
      "steps=2,0,2,-1,1,0,1 L=2 Hq=2 Hkv=2 D=2")
def cache(p, random):
    steps, group = listed(p.steps), p.Hq // p.Hkv
    N = sum(T for T in steps if T > 0)
    q, k, v = (random.floats(p.L, N, H, p.D) for H in (p.Hq, p.Hkv, p.Hkv))
    held, row, pairs, expected = [], 0, [], {}  # held: the rows that the cache should have, in order
    for T in steps:
        if T < 0:
            del held[T:]
            continue
        if T == 0:  # it goes on in a copy
            continue
        for t in range(T):
            held.append(row + t)
            for layer in range(p.L):
                for h in range(p.Hq):
                    expected[layer, row + t, h] = double.attention(
                        q[layer, row + t, h].values, [k[layer, s, h // group].values for s in held],
                        [v[layer, s, h // group].values for s in held])
        pairs += [p.Hq * sum(range(len(held) - T + 1, len(held) + 1))] * p.L
        row += T
    out = Floats.of(q.shape, lambda layer, t, h, i: expected[layer, t, h][i])
    return ({"q": q, "k": k, "v": v, "steps": steps, "L": p.L, "Hq": p.Hq, "Hkv": p.Hkv, "D": p.D},
            {"out": close(out, "layer row head component", 1e-5, SUM), "pairs": integers(pairs, "call")})


def random_tokens(random, n, shape):
    return [random.below(shape.V) for _ in range(n)]


def rows_of(shape, tokens, begin=0):
    """The logits of the tokens from `begin` on, as a whole pass in double gives them."""
    rows = double.logits(shape, tokens)[begin:]
    return Floats([len(rows), shape.V], [v for row in rows for v in row])


@case("3.1 cache: cached logits have the bits of uncached ones",
      "steps=1", "steps=5,1,1,1", "steps=1,1,1,1,1,1 L=1", "steps=3,4,2 Hq=2 Hkv=2 D=3 C=5", "steps=8,1,1 Hq=6 Hkv=1 D=6 rope_dim=4",
      "steps=62,1,1,1,3 L=1")
def cached(p, random):
    shape, steps = double.Shape.of({**p, "weights": random.below(1000)}), listed(p.steps)
    tokens = random_tokens(random, sum(steps), shape)
    whole = rows_of(shape, tokens)
    return ({**shape.given(), "tokens": tokens, "steps": steps},
            {"uncached": close(whole, "row token", 1e-4, double.WHY), "cached": same_as("uncached", "row token")})


@case("3.2 fork: two texts go on from one prompt",
      "prompt=5 left=3 right=2", "prompt=1 left=1 right=1 format=f16", "prompt=0 left=2 right=3",
      "prompt=64 left=2 right=1 L=1", "prompt=63 left=3 right=2 format=f16 L=1", "prompt=64 left=1 right=3 format=f16 L=1",
      "prompt=70 left=2 right=2 format=f16 L=1 D=16 Hq=2",
      "prompt=7 left=60 right=1 D=20 Hkv=4 format=f16", "prompt=0 left=1 right=1 format=f16")
def fork(p, random):
    shape = double.Shape.of({**p, "weights": random.below(1000)})
    prompt, left, right = (random_tokens(random, n, shape) for n in (p.prompt, p.left, p.right))
    if left[0] == right[0]:
        right[0] = (left[0] + 1) % shape.V
    capacity, form = p.prompt + 65, p.get("format", "f32")
    # Keys and values in 11 bits: 2^-12 of each, and of the mean of values, through two layers.
    within, why = (1e-4, double.WHY) if form == "f32" else (1e-2, "keys and values are kept in the 11 bits of an f16")
    expected = {"room of the copy": number(capacity - p.prompt)}
    for name, continuation, alone in (("original", left, "original alone"), ("copy", right, "copy alone"),
                                      ("copy of the copy", left, "original alone")):
        expected[name] = same_as(alone, "row token")
        expected[alone] = close(rows_of(shape, prompt + continuation, p.prompt), "row token", within, why)
    return ({**shape.given(), "prompt": prompt, "left": left, "right": right, "capacity": capacity, "format": form},
            expected)


@case("3.2 fork: tiles come along between rows of different lengths",
      "slots=64 to=128 count=64", "slots=200 to=70 count=70", "slots=64 to=300 count=3 Hkv=3 D=5", "slots=130 to=257 count=129 Hkv=2 D=20")
def copied(p, random):
    shape = [p.count, p.get("Hkv", 2), p.get("D", 4)]
    k, v = (Floats(shape, [float(random.below(2000) - 1000) for _ in range(math.prod(shape))]) for _ in "kv")  # exact in an f16
    return ({"k": k, "v": v, "slots": p.slots, "to": p.to},
            {"keys": exact(k, "slot head component"), "values": exact(v, "slot head component")})


@case("3.2 fork: each layer of the copy hears from where it is read", "tokens=3 L=2", "tokens=1 L=1", "tokens=5 L=3")
def heard(p, random):
    return {"tokens": p.tokens, "L": p.L}, {"see_from of the copy": integers([p.tokens] * p.L, "layer")}


@case("3.3 prefill: pieces of a prompt give the bits of the whole",
      "T=1 chunk=0", "T=1 chunk=5", "T=10 chunk=3", "T=9 chunk=3", "T=10 chunk=10", "T=10 chunk=9", "T=7 chunk=1", "T=12 chunk=0",
      "T=6 chunk=4 before=3", "T=5 chunk=2 before=63 L=1")
def prefill(p, random):
    shape = double.Shape.of({**p, "weights": random.below(1000)})
    before, prompt = (random_tokens(random, n, shape) for n in (p.get("before", 0), p.T))
    sizes, left = [], p.T
    while left > 0:
        sizes.append(min(p.chunk or p.T, left))
        left -= sizes[-1]
    last = rows_of(shape, before + prompt, len(before) + p.T - 1)
    return ({**shape.given(), "before": before, "prompt": prompt, "chunk": p.chunk},
            {"steps": integers(sizes, "step"), "positions": integers(range(len(before), len(before) + p.T), "row"),
             "next position": number(len(before) + p.T), "logits of the whole": close(last, "row token", 1e-4, double.WHY),
             "logits": same_as("logits of the whole", "row token")})


@case("3.4 closed forms: tokens that pass through the model",
      "P=1 n=1", "P=1 n=2", "P=7 n=1", "P=4 n=32", "P=512 n=4096", "P=60 n=100", "P=1000000 n=1000000", "P=1000000000 n=2000000000",
      "P=1 n=4000000000", f"P={2 ** 62 + 5} n=1", f"P={2 ** 61} n=3")
def processed(p, random):
    # n steps; step i, from 0, sees a text of P + i tokens. With a cache it feeds what the step before has not.
    uncached = sum(range(p.P, p.P + p.n)) if p.n < 10 ** 6 else p.n * p.P + p.n * (p.n - 1) // 2
    # Fed too, the last token makes every step one token longer; the first one begins with P + 1.
    return ({"P": p.P, "n": p.n},
            {"cached, last token not fed": number(p.P + p.n - 1), "cached, last token fed": number(p.P + p.n),
             "uncached, last token not fed": number(uncached), "uncached, last token fed": number(uncached + p.n)})


@case("3.4 closed forms: where the cache outgrows the weights",
      "L=32 Hkv=32 D=128 bytes=2 weight_bytes=14000000000", "L=32 Hkv=8 D=128 bytes=2 weight_bytes=14000000000 batch=3",
      "L=1 Hkv=1 D=1 bytes=1 weight_bytes=1", "L=2 Hkv=2 D=16 bytes=4 weight_bytes=512", "L=2 Hkv=2 D=16 bytes=4 weight_bytes=513",
      "L=2 Hkv=2 D=16 bytes=4 weight_bytes=511", "L=2 Hkv=2 D=16 bytes=4 weight_bytes=5120 batch=5",
      "L=30 Hkv=3 D=64 bytes=2 weight_bytes=269030016 batch=7", f"L=1 Hkv=1 D=1 bytes=1 weight_bytes={2 ** 60 + 1}")
def crossover(p, random):
    batch = p.get("batch", 1)
    of_a_token = 2 * p.L * p.Hkv * p.D * p.bytes * batch
    context = p.weight_bytes // of_a_token
    while context * of_a_token < p.weight_bytes:
        context += 1
    return {**p, "batch": batch}, {"context": number(context)}


@case("3.4 closed forms: what does not fit in 64 bits is an error",
      f"P={2 ** 40} n={2 ** 40}", f"P={2 ** 62} n={2 ** 62 + 1}")
def too_large(p, random):
    cached = says("closed form") if p.P + p.n - 1 >= 2 ** 63 else text("")
    return {"P": p.P, "n": p.n}, {"uncached": says("closed form"), "cached": cached, "crossover": says("closed form")}


def codes_of(row):
    """(scale, codes) of a row of an int8 cache: each step is a division, rounded once."""
    scale = single(max(abs(x) for x in row) / 127.0)
    if single(scale * 127.0) == math.inf:  # of the largest float alone
        scale = float_of(bits_of(scale) - 1)
    return scale, [max(-127, min(127, round(single(x / scale)))) if scale else 0 for x in row]  # round(): ties to even


def hard_row(random, n, kind):
    row = [random.normal() for _ in range(n)]
    if kind == "halves":  # the largest is 127: the scale is 1, and every tie shows
        row = [127.0] + [random.below(120) - 60 + 0.5 for _ in range(n - 1)]
    if kind in ("lost", "coarse"):  # a few of the smallest floats: the scale is none of them, or one, which is too small for 190
        most = 63 if kind == "lost" else 190
        row = [float(most)] + [float(random.below(2 * most) - most) for _ in range(n - 1)]
        return [x * 2.0 ** -149 for x in random.shuffled(row)]
    scale = {"tiny": 1e-12, "small": 1e-38, "zero": 0.0, "large": 1e37, "largest": 2e37}.get(kind, 1.0)
    row = [single(x * scale) for x in row]
    return random.shuffled([float_of(0x7f7fffff), *row[1:]]) if kind == "largest" else row  # the largest float


@case("3.5 int8: a row is one scale and its codes",
      "n=1", "n=4", "n=16 stride=64", "n=7 x_stride=3", "n=20 kind=halves", "n=9 kind=tiny stride=2", "n=5 kind=zero", "n=6 kind=lost",
      "n=8 kind=large", "n=8 kind=small", "n=9 kind=coarse", "n=6 kind=coarse stride=3", "n=3 kind=largest", "n=3 x_stride=2 stride=64 seed=5")
def int8_row(p, random):
    stride, x_stride = p.get("stride", 1), p.get("x_stride", 1)
    row = hard_row(random, p.n, p.get("kind", ""))
    x, codes = [single(1e30)] * (p.n * x_stride), [99] * (p.n * stride)  # what lies between is not touched
    scale, expected = codes_of(row)
    x[::x_stride], codes[::stride] = row, expected
    return ({"x": Floats([len(x)], x), "n": p.n, "x_stride": x_stride, "stride": stride},
            {"scale": exact(Floats([1], [scale]), "scale"), "codes": integers(codes, "place")})


@case("3.5 int8: tiles give back what was written",
      "T=1 Hkv=1 D=1", "T=3 Hkv=2 D=5", "T=2 Hkv=3 D=16", "T=4 Hkv=2 D=20 first=62", "T=66 Hkv=1 D=4", "T=1 Hkv=2 D=3 first=130",
      "T=2 Hkv=2 D=4 kind=mixed", "T=4 Hkv=2 D=21 kind=mixed")
def int8_tiles(p, random):
    def kept_of(numbers):
        """Of rows of D, one after the other."""
        out = []
        for begin in range(0, len(numbers), p.D):
            scale, codes = codes_of(numbers[begin:begin + p.D])
            out += [single(code * scale) for code in codes]
        return out

    def kept(rows):
        return exact(Floats(rows.shape, kept_of(rows.values)), "row head component")
    shape = [p.T, p.Hkv, p.D]
    # Each row has its own size, so that a scale shows whose it is.
    kinds = ["", "tiny", "zero"] if p.get("kind") == "mixed" else [""]

    def rows():
        return Floats(shape, [x for _ in range(p.T * p.Hkv) for x in hard_row(random, p.D, random.shuffled(kinds)[0])])
    k, v = rows(), rows()
    # A slot that was moved stands where the first one was, in all KV heads.
    last = [Floats([1, p.Hkv, p.D], kept_of(rows[p.T - 1].values)) for rows in (k, v)]
    axes = "row head component"
    return ({"k": k, "v": v, "first": p.get("first", 0)},
            {"keys": kept(k), "values": kept(v), "key()": same_as("keys", axes), "value()": same_as("values", axes),
             "key of a moved slot": exact(last[0], axes), "value of a moved slot": exact(last[1], axes)})


import step03_proof  # noqa: E402, F401  the cases of 3.6 and 3.7, after these
