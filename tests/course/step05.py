"""The judge of chapter 5's tasks. Which tokens stay is judged by integers; sums, bounds and directions by a reference in double."""
import math

from course.judge import Floats, Integers, case, close, integers, single


def held(p, random, slots):
    """Slots of a text in which some tokens are gone: positions in any order, the newest among them. (positions, next)"""
    next_position = slots + p.get("gone", 0)
    positions = random.shuffled(range(next_position - 1))[:slots - 1] + [next_position - 1]
    return random.shuffled(positions), next_position


def rated(values, kept, within, because):
    """Ratings of which those of `kept` slots are protected."""
    return {"protected": integers([int(k) for k in kept], "slot"),
            "ratings": close(Floats([len(values)], [0.0 if k else v for v, k in zip(values, kept)]), "slot", within, because)}


@case("5.1 h2o: a slot keeps the sum of what all queries gave it", "held=0 queries=1", "held=5 queries=3", "held=0 queries=30",
      "held=20 queries=8 forget=0.5", "held=3 queries=1 forget=0.9")
def h2o_sums(p, random):
    slots, forget = p.held + p.queries, p.get("forget", 1.0)
    state = [random.uniform(0, 3) if s < p.held else 0.0 for s in range(slots)]
    shares, sums = [], list(state)
    for t in range(p.queries):
        seen = p.held + t + 1
        weights = [math.exp(random.normal()) for _ in range(seen)]
        row = [single(w / sum(weights)) for w in weights]
        sums = [forget * a + (row[s] if s < seen else 0.0) for s, a in enumerate(sums)]
        shares += row + [0.0] * (slots - seen)
    given = {"positions": list(range(slots)), "state": Floats([slots], state), "next": slots, "prompt": slots, "budget": 100,
             "shares": Floats([p.queries, slots], shares)}
    if forget != 1:
        given["forget"] = float(forget)
    why = "a rounding to a float for each query, and one for each time that the past is multiplied"
    return given, {"sums": close(Floats([slots], sums), "slot", 1e-5, why)}


@case("5.1 h2o: the last tokens are protected and the others rated by their sum", "slots=12 recent=3", "slots=12 recent=0 gone=4",
      "slots=9 budget=8", "slots=9 budget=7 gone=20", "slots=10 recent=2 normalise=1 gone=9", "slots=1 recent=0", "slots=5 recent=5",
      "slots=9 ratio=0.5 gone=20", "slots=12 ratio=0.3 gone=15 normalise=1", "slots=7 recent=12 ratio=0.5 gone=2")
def h2o_ratings(p, random):
    positions, next_position = held(p, random, p.slots)
    sums = [random.uniform(0, 5) for _ in positions]
    budget = p.get("budget", 16)
    kept = math.ceil(p.ratio * next_position) if "ratio" in p else budget  # of all tokens seen, not of those held
    recent = p.get("recent", kept // 2)
    queries = [next_position - x if p.get("normalise") else 1 for x in positions]
    given = {"positions": positions, "state": Floats([p.slots], sums), "next": next_position, "prompt": 1, "budget": budget,
             "normalise": p.get("normalise", 0)}
    given |= {name: p[name] for name in ("recent", "ratio") if name in p}
    return given, rated([s / n for s, n in zip(sums, queries)], [x >= next_position - recent for x in positions], 1e-6,
                        "one rounding of a division")


@case("5.2 snapkv: votes are pooled over the neighbours before the window", "tokens=12 window=4 kernel=3", "tokens=20 window=5 kernel=1",
      "tokens=30 window=8 kernel=7", "tokens=30 window=8 kernel=5 max_pool=1", "tokens=5 window=4 kernel=5", "tokens=3 window=4 kernel=3",
      "tokens=4 window=4 kernel=5 max_pool=1", "tokens=9 window=3 kernel=7 max_pool=1")
def snapkv(p, random):
    end, half = p.tokens - p.window, p.kernel // 2  # the window's votes are the largest, and must not spill over
    votes = [random.uniform(0, 2) if s < end else random.uniform(2, 3) for s in range(p.tokens)]

    def pooled(s):
        around = [votes[i] if 0 <= i < end else 0.0 for i in range(s - half, s + half + 1)]
        return max(around) if p.get("max_pool") else sum(around) / p.kernel
    given = {"positions": list(range(p.tokens)), "state": Floats([p.tokens], votes), "next": p.tokens, "prompt": p.tokens,
             "budget": p.window + 2, "window": p.window, "kernel": p.kernel, "max_pool": p.get("max_pool", 0)}
    return given, rated([pooled(s) for s in range(p.tokens)], [s >= end for s in range(p.tokens)], 1e-6,
                        "at most 7 roundings of a sum, and one of a division")


@case("5.3 pyramid: every layer has its own budget", "layers=5 tokens=400 budget=64 window=16 beta=20",
      "layers=8 tokens=1000 budget=40 window=8 beta=4", "layers=4 tokens=100 budget=64 window=16 beta=20",
      "layers=3 tokens=95 budget=64 window=16 beta=20", "layers=6 tokens=96 budget=64 window=16 beta=20",
      "layers=1 tokens=400 budget=64 window=16 beta=20", "layers=2 tokens=400 budget=30 window=9 beta=1",
      "layers=7 tokens=60 budget=20 window=3 beta=3",
      "layers=4 tokens=20 budget=24 window=16 beta=20", "layers=3 tokens=10 budget=20 window=16 beta=20")
def pyramid(p, random):
    share = p.budget - p.window  # of a layer, on average, besides the window
    top = share // p.beta
    bottom = 2 * share - top
    if bottom > p.tokens - p.window:
        bottom = p.tokens - p.window
        top = 2 * share - bottom
    if p.tokens < 2 * share or p.layers == 1:
        kept = [p.budget] * p.layers
    else:
        step = (bottom - top) // (p.layers - 1)
        kept = [p.window + bottom - step * layer for layer in range(p.layers)]
    given = {name: p[name] for name in ("layers", "tokens", "budget", "window", "beta")}
    if p.tokens < p.budget:  # all of them stay, whatever larger number of tokens the arithmetic names
        return given, {"kept of the prompt": integers([p.tokens] * p.layers, "layer")}
    return given, {"kept": integers(kept, "layer")}


@case("5.4 victims: the lowest ratings go and of equal ones the later tokens", "slots=8 count=3", "slots=5 count=1 levels=2",
      "slots=8 count=8", "slots=20 count=7 levels=3 gone=10", "slots=16 count=5 levels=1 gone=3", "slots=10 count=6 protected=6",
      "slots=2 count=2", "slots=60 count=30 levels=8 protected=5", "slots=40 count=19 levels=9 least=1 step=2.4e-7 gone=30",
      "slots=30 count=14 levels=7 step=1e-30 gone=900")
def victims(p, random):
    positions, _ = held(p, random, p.slots)
    least, step = p.get("least", 0), p.get("step", 1)  # 2.4e-7 is two steps of a float beside 1
    ratings = [single(least + step * random.below(p.levels)) if "levels" in p else random.normal() for _ in positions]
    for s in random.shuffled(range(p.slots))[:p.get("protected", 0)]:
        ratings[s] = math.inf
    order = sorted(range(p.slots), key=lambda s: (ratings[s], -positions[s]))
    return ({"positions": positions, "ratings": Floats([p.slots], ratings), "count": p.count},
            {"victims": integers(sorted(order[:p.count]), "victim")})


@case("5.5 holes: the survivors beyond the border move into them", "slots=10 count=3", "slots=10 count=4 seed=1", "slots=9 count=1",
      "slots=9 count=4 from=5", "slots=9 count=4 from=0", "slots=9 count=4 from=3", "slots=6 count=6", "slots=1 count=1",
      "slots=64 count=31", "slots=64 count=50")
def holes(p, random):
    gone = sorted(range(p["from"], p["from"] + p.count) if "from" in p else random.shuffled(range(p.slots))[:p.count])
    left = p.slots - p.count
    to = [s for s in gone if s < left]
    return ({"victims": gone, "slots": p.slots},
            {"to": integers(to, "move"), "from": integers([s for s in range(left, p.slots) if s not in gone], "move")})


def bound(q, keys):
    """Of the keys of a page."""
    return sum(max(x * min(k[i] for k in keys), x * max(k[i] for k in keys)) for i, x in enumerate(q))


@case("5.6 bound: the largest score that a key of the page could have", "D=1 keys=1", "D=8 keys=1", "D=8 keys=16", "D=64 keys=16 shift=3",
      "D=3 keys=2")
def page_bound(p, random):
    q = random.floats(p.D).values
    shift = [p.get("shift", 0) * random.normal() for _ in q]
    keys = [[single(random.normal() + c) for c in shift] for _ in range(p["keys"])]
    smallest, largest = [min(column) for column in zip(*keys)], [max(column) for column in zip(*keys)]
    return ({"q": Floats([p.D], q), "smallest": Floats([p.D], smallest), "largest": Floats([p.D], largest)},
            {"bound": close(Floats([1], [bound(q, keys)]), "bound", 1e-4, "as many roundings as components, of a sum of up to a hundred")})


@case("5.6 pages: those with the largest bounds are read", "page=4 tokens=60 heads=1", "page=8 tokens=61 heads=2 steps=1",
      "page=4 tokens=50 heads=2 shift=3", "page=16 tokens=130 heads=1 steps=1 shift=4", "page=8 tokens=70 heads=1 back=13 on=1 shift=2",
      "page=8 tokens=75 heads=2 back=18 on=18", "page=8 tokens=70 heads=1 back=13 on=1 bound=1")
def pages(p, random):
    D, wanted = 8, 4
    k = random.floats(p.tokens, p.heads, D)
    shift = [p.get("shift", 0) * random.normal() for _ in range(D)]
    k.values = [single(v + shift[i % D]) for i, v in enumerate(k.values)]
    lengths = [p.tokens // 2, *range(p.tokens // 2 + 1, p.tokens + 1)] if p.get("steps") else [p.tokens]
    before = list(k.values)
    if "back" in p:  # a text is taken back to the middle of a page; others, with larger keys, lay there before
        lengths = [p.tokens, p.tokens - p.back, p.tokens - p.back + p.on]
        kept = (p.tokens - p.back) * p.heads * D
        before[kept:] = [4 * v for v in before[kept:]]
    end = lengths[-1]
    queries, chosen = [], []
    while len(queries) < 6:
        q = random.floats(D).values
        found = [best(q, [list(k[s, h]) for s in range(end)], p.page, wanted, "bound" not in p) for h in range(p.heads)]
        if None not in found:
            queries.append(q)
            chosen += [page for pages_of_head in found for page in pages_of_head]
    return ({"before": Floats(k.shape, before), "k": k, "q": Floats([len(queries), D], [x for q in queries for x in q]), "page": p.page, "budget": wanted * p.page,
             "newest_page": int("bound" not in p), "lengths": Integers([len(lengths)], lengths)}, {"pages": integers(chosen, "choice")})


def best(q, keys, page, wanted, newest_page):
    """The pages that are read, the last one by its bound as well or always; None where two bounds are too near to one another to tell."""
    count = -(-len(keys) // page)
    always = [count - 1] if newest_page else []
    bounds = sorted(((bound(q, keys[i * page:(i + 1) * page]), i) for i in range(count - len(always))), reverse=True)
    by_bound = wanted - len(always)
    if bounds[by_bound - 1][0] - bounds[by_bound][0] < 1e-3:
        return None
    return sorted([i for _, i in bounds[:by_bound]] + always)


@case("5.7 slerp: a direction on the arc from one to the other", "D=2 t=0.5", "D=16 t=0.6", "D=16 t=0.25 seed=1", "D=3 t=0", "D=3 t=1",
      "D=8 t=0.7 angle=0", "D=8 t=0.7 angle=0.0001", "D=8 t=0.25 angle=180", "D=4 t=0.3 zero=lower", "D=4 t=0.3 zero=upper",
      "D=4 t=0.3 zero=both")
def slerp(p, random):
    a, b = random.floats(p.D).values, random.floats(p.D, scale=3).values
    if "angle" in p:
        b = [single((-2.5 if p.angle == 180 else 1.5) * x + (math.radians(p.angle) * y if p.angle < 1 else 0)) for x, y in zip(a, b)]
    a = [0.0] * p.D if p.get("zero") in ("lower", "both") else a
    b = [0.0] * p.D if p.get("zero") in ("upper", "both") else b
    return ({"lower": Floats([p.D], a), "upper": Floats([p.D], b), "t": float(p.t)},
            {"direction": close(Floats([p.D], on_the_arc(unit(a), unit(b), p.t)), "component", 1e-6,
                                "two roundings to floats, and of nearly parallel vectors the arc is straight to 2^-20")})


def unit(x):
    length = math.sqrt(sum(v * v for v in x))
    return [v / length if length else 0.0 for v in x]


def on_the_arc(a, b, t):
    angle = math.acos(max(-1.0, min(1.0, sum(x * y for x, y in zip(a, b)))))
    if not any(a) or not any(b) or math.sin(angle) < 2.0 ** -10:
        weights = 1 - t, t
    else:
        weights = math.sin((1 - t) * angle) / math.sin(angle), math.sin(t * angle) / math.sin(angle)
    return unit([weights[0] * x + weights[1] * y for x, y in zip(a, b)])
