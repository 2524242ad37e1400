"""The judge of chapter 1's tasks. All numbers are judged by their bits, since this chapter gives the rule of each."""
import contract_by_the_book as contract
from course.judge import Floats, Integers, case, exact, integers, number, single
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
      "scores=20 scale=60", "scores=9 shift=-130", "scores=500 shift=-40 scale=5", "given=3.75+1.25+3.5", "given=2.5+1.5+0.5+-0.5")
def softmax(p, random):
    # The nearest whole number of the largest given score is above it, or a tie that goes down to the even one.
    given = [float(score) for score in str(p.get("given", "")).split("+") if score]
    drawn = random.floats(p.get("scores", 0), scale=p.get("scale", 2)).values
    scores = Floats([len(given) or p.scores], given or [single(s + p.get("shift", 0)) for s in drawn])
    weights, whole = contract.softmax(scores.values)
    return {"scores": scores}, {"weights": exact(Floats(scores.shape, weights), "token"), "sum": exact(Floats([1], [whole]), "result")}


def unfused_layer_norm(x, weight, bias, eps):
    """Of one block: the squares are rounded, then added."""
    mean, squares = contract.div(contract.plain_sum(x), float(len(x))), 0.0
    for value in x:
        centred = contract.add(value, -mean)
        squares = contract.add(squares, contract.mul(centred, centred))
    r = contract.div(1.0, contract.sqrt(contract.add(contract.div(squares, float(len(x))), eps)))
    return [contract.fma(contract.mul(contract.add(v, -mean), r), w, b) for v, w, b in zip(x, weight, bias)]


@case("1.4 layer norm: the mean first and then the squares", "n=1", "n=8", "n=65", "n=172 shift=30", "n=9 eps=0.25", "n=64 shift=1000", "n=700", "n=12 fused=1")
def layer_norm(p, random):
    shift, eps = p.get("shift", 0.5), single(p.get("eps", 1e-5))
    while True:
        x = Floats([p.n], [single(v + shift) for v in random.floats(p.n).values])
        weight, bias = random.floats(p.n), random.floats(p.n)
        y = Floats([p.n], contract.layer_norm(x.values, weight.values, bias.values, eps))
        # Few rows show whether the squares were rounded before they were added: one that does is looked for.
        if not p.get("fused") or y.values != unfused_layer_norm(x.values, weight.values, bias.values, eps):
            break
    return {"x": x, "weight": weight, "bias": bias, "eps": eps}, {"y": exact(y, "component"), "y over x": exact(y, "component")}


@case("1.5 rope: adjacent pairs turn by the position's angle", "position=0 rope_dim=4", "position=1 rope_dim=8",
      "position=37 rope_dim=6 behind=3", "position=511 rope_dim=16 base=500")
def rope(p, random):
    base, behind = float(p.get("base", 10000)), p.get("behind", 0)
    head, half = random.floats(p.rope_dim + behind), p.rope_dim // 2
    row = list(contract.rope_table(p.position + 1, p.rope_dim, base))[-p.rope_dim:]  # all cosines, then all sines
    turned = list(head.values)
    for i in range(half):
        x0, x1, c, s = head[2 * i], head[2 * i + 1], row[i], row[half + i]
        turned[2 * i] = contract.fma(x0, c, -contract.mul(x1, s))
        turned[2 * i + 1] = contract.fma(x1, c, contract.mul(x0, s))
    return ({"head": head, "position": p.position, "positions": 512, "rope_dim": p.rope_dim, "base": base},
            {"head": exact(Floats(head.shape, turned), "component")})


@case("1.6 draw: a place is drawn from the mass that is kept", "weights=1", "weights=10", "weights=50 top_p=0.5",
      "weights=50 top_p=0.9 seed=1", "weights=3 top_p=0.01", "weights=30 top_p=0.8 flat=1",
      "weights=4 whole=1 top_p=0.75", "weights=4 whole=1", "weights=1 each=0.7 copies=20000", "weights=1 each=0.7 copies=20000 top_p=0.9")
def draw(p, random):
    weights = sorted((single(2.0 ** random.normal(0.1 if p.get("flat") else 2.5)) for _ in range(p.weights)), reverse=True)
    if p.get("whole"):  # shares and places that lie on a mark
        weights = [4.0, 2.0, 1.0, 1.0]
    if "each" in p:
        weights = [single(p.each)]
    weights *= p.get("copies", 1)
    top_p, whole = single(p.get("top_p", 1.0)), contract.plain_sum(weights)
    draws = [0.0, 0.25, 0.5, 0.75, 1.0 - 2.0**-24] + [random.uniform() for _ in range(3 if p.get("copies") else 30)]
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
    once = weights[:len(weights) // p.get("copies", 1)]
    return {"weights": Floats([len(once)], once), "copies": p.get("copies", 1), "sum": Floats([1], [whole]), "top_p": Floats([1], [top_p]),
            "uniform": Floats([len(draws)], draws)}, {"places": integers(places, "draw")}
