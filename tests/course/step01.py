"""The judge of chapter 1's tasks. Draws are judged by the contract, since the chapter has given the rule; softmax, the norm and RoPE by a
reference in double."""
import math

import contract_by_the_book as contract
from course.judge import Floats, Integers, case, close, exact, integers, number, single
from course.values import bits_of, float_of


@case("1.1 ulp: neighbours are one apart on either side of zero", "pairs=12", "pairs=40 seed=1")
def ulp(p, random):
    edges = [(0.0, -0.0), (-0.0, float_of(0x80000001)), (0.0, float_of(1)), (1.0, 1.0), (-2.0, -2.0)]
    a = [x for x, _ in edges] + [random.normal() for _ in range(p.pairs)]
    b = [x for _, x in edges]
    for x in a[len(edges):]:
        b.append(float_of(bits_of(x) + random.below(9)) if random.below(2) else random.normal(0.01))

    def steps(x):
        # Floats lie on a line: so many steps from +0, and -0 is the step before it.
        return bits_of(x) if bits_of(x) < 1 << 31 else -(bits_of(x) - (1 << 31)) - 1
    return {"a": Floats([len(a)], a), "b": Floats([len(b)], b)}, {
        "distance": integers([abs(steps(x) - steps(y)) for x, y in zip(a, b)], "pair")}


@case("1.2 compare: parts that follow one another add up to the whole", "lengths=5", "lengths=4+0+9", "lengths=3+3+3+3 seed=1",
      "lengths=7+64+1 seed=2", "lengths=6+2 equal=1")
def compare(p, random):
    lengths = [int(n) for n in str(p.lengths).split("+")]
    whole, parts = [], []
    for i, length in enumerate(lengths):
        # The differences in ulp of this part's floats; the first part has none where others follow.
        ulps = [random.below(40) if random.below(2) and (i or len(lengths) == 1) and not p.get("equal") else 0 for _ in range(length)]
        first = next((place for place, ulp in enumerate(ulps) if ulp), -1)
        parts += [length, sum(map(bool, ulps)), first, max(ulps, default=0)]
        whole += ulps
    gaps = [single(parts[4 * i + 3] / 8) for i in range(len(lengths))]
    first = next((i for i, ulp in enumerate(whole) if ulp), -1)
    return {"parts": Integers([len(lengths), 4], parts), "max_abs": Floats([len(lengths)], gaps)}, {
        "count": number(len(whole)), "differ": number(sum(map(bool, whole))), "first": number(first),
        "max_ulp": number(max(whole)), "max_abs": exact(Floats([1], [max(gaps)]), "result")}


@case("1.3 softmax: weights below their integer maximum and their sum", "scores=1", "scores=7", "scores=100 scale=8",
      "scores=20 scale=60")
def softmax(p, random):
    scores = random.floats(p.scores, scale=p.get("scale", 2))
    largest = max(round(s) for s in scores.values)
    weights = [2.0 ** (s - largest) for s in scores.values]
    why = "p is within 2^-23.76 of 2^f, its product with a power of two is exact"
    return {"scores": scores}, {
        "weights": close(Floats([p.scores], weights), "token", 2e-7, why, floor=1e-30),
        "sum": close(Floats([1], [sum(weights)]), "sum", 1e-5, "100 roundings of a sum in blocks")}


@case("1.4 layer norm: the mean first and then the squares", "n=1", "n=8", "n=65", "n=172 shift=30", "n=9 eps=0.25")
def layer_norm(p, random):
    shift, eps = p.get("shift", 0.5), p.get("eps", 1e-5)
    x = Floats([p.n], [single(v + shift) for v in random.floats(p.n).values])
    weight, bias = random.floats(p.n), random.floats(p.n)
    mean = sum(x.values) / p.n
    r = 1.0 / math.sqrt(sum((v - mean) ** 2 for v in x.values) / p.n + eps)
    y = Floats([p.n], [(v - mean) * r * g + b for v, g, b in zip(x.values, weight.values, bias.values)])
    # The largest term of the error is the mean's rounding, |mean| 2^-24, times r and the weight.
    within = 1e-5 * max(1.0, abs(shift)) if p.n > 1 else 1e-5
    why = "the mean is rounded to a float: |mean| 2^-24, divided by the deviation"
    return ({"x": x, "weight": weight, "bias": bias, "eps": eps},
            {"y": close(y, "component", within, why), "y over x": close(y, "component", within, why)})


@case("1.5 rope: adjacent pairs turn by the position's angle", "position=0 rope_dim=4", "position=1 rope_dim=8",
      "position=37 rope_dim=6 behind=3", "position=511 rope_dim=16 base=500")
def rope(p, random):
    base, behind = float(p.get("base", 10000)), p.get("behind", 0)
    head = random.floats(p.rope_dim + behind)
    turned = list(head.values)
    for i in range(p.rope_dim // 2):
        angle = p.position * base ** (-2.0 * i / p.rope_dim)
        x, y = head[2 * i], head[2 * i + 1]
        turned[2 * i] = x * math.cos(angle) - y * math.sin(angle)
        turned[2 * i + 1] = y * math.cos(angle) + x * math.sin(angle)
    return ({"head": head, "position": p.position, "positions": 512, "rope_dim": p.rope_dim, "base": base},
            {"head": close(Floats(head.shape, turned), "component", 1e-6, "sine, cosine and two products, each rounded to a float")})


@case("1.6 draw: a place is drawn from the mass that is kept", "weights=1", "weights=10", "weights=50 top_p=0.5",
      "weights=50 top_p=0.9 seed=1", "weights=3 top_p=0.01", "weights=30 top_p=0.8 flat=1")
def draw(p, random):
    weights = sorted((single(2.0 ** random.normal(0.1 if p.get("flat") else 2.5)) for _ in range(p.weights)), reverse=True)
    top_p, whole = single(p.get("top_p", 1.0)), contract.plain_sum(weights)
    draws = [0.0, 1.0 - 2.0**-24] + [random.uniform() for _ in range(30)]
    mass, kept, total = contract.mul(top_p, whole), 0, 0.0
    while kept < len(weights) and (top_p == 1 or total < mass):
        total, kept = contract.add(total, weights[kept]), kept + 1
    places = []
    for uniform in draws:
        threshold, partial, place = contract.mul(uniform, total), 0.0, 0
        while place + 1 < kept:
            partial = contract.add(partial, weights[place])
            if partial > threshold:
                break
            place += 1
        places.append(place)
    return {"weights": Floats([len(weights)], weights), "sum": Floats([1], [whole]), "top_p": Floats([1], [top_p]),
            "uniform": Floats([len(draws)], draws)}, {"places": integers(places, "draw")}
