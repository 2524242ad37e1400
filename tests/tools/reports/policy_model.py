"""Chapter 5 from the book alone: a text whose heads forget, on top of book_model's forward pass.

Slots, their order, what each policy remembers and what goes are written down here as the chapter says them, so that
the logits have the same bits as the program's, and whatever is made of them can be recomputed."""
import math

from reports import newer_policies as newer
from reports.book_model import Text, book, product, rotate, single, softmax, tiny, exp2

ONCE = ("snapkv", "pyramidkv", "pyramidkv-ratios", "adakv-snapkv", *newer.EXPECTED, "kvzip")
QUESTS = ("quest", "quest-every-layer", "quest-by-bound")
PROTECTED = math.inf


def tokens_to_keep(options, seen):
    return max(1, math.ceil(options["ratio"] * seen)) if options["ratio"] else options["budget"]


def whole_layers(policy, options):
    """The lowest layers that are kept or read whole: two, where a method has such and nothing else is asked for."""
    if policy not in ("key-norm", "quest", "quest-by-bound"):
        return 0
    return 2 if options["whole_layers"] < 0 else options["whole_layers"]


def kept_of(policy, options, layer, layers, seen, prompt):
    """Tokens of a layer behind `seen` ones."""
    o = options
    if policy in ("full", "minicache", "indexer", *QUESTS):
        return seen
    if policy == "duo":  # the mean of heads that keep everything and others
        keep = seen if seen < prompt else min(seen, max(o["sinks"], tokens_to_keep(o, prompt)))
        return newer.RETRIEVAL * seen + (1 - newer.RETRIEVAL) * keep
    if policy in ONCE:
        if seen < prompt:
            return seen
        keep = max(o["sinks" if policy in newer.KEEPS_SINKS else "window"], tokens_to_keep(o, prompt))
        if policy == "pyramidkv-ratios":
            ratios = o["ratios"] or [1, 1, 0.5, 0.25]
            keep = max(o["window"], math.ceil(ratios[layer * len(ratios) // layers] * prompt))
        elif policy == "pyramidkv":
            above = keep - o["window"]  # the mean over the layers, of what is chosen
            if prompt >= 2 * above and layers > 1:
                least = above // o["beta"]
                most = min(2 * above - least, prompt - o["window"])
                least = 2 * above - most
                keep = o["window"] + most - layer * ((most - least) // (layers - 1))
        return min(prompt, keep) + seen - prompt
    if layer < whole_layers(policy, o):
        return seen
    keep = tokens_to_keep(o, seen)
    return min(seen, max(keep, o["sinks"]) if policy.startswith("sinks") else keep)


DEFAULTS = {"budget": 128, "ratio": 0, "sinks": 4, "recent": -1, "seed": 42, "forget": 0.99, "window": 16, "kernel": 5,
            "max_pool": False, "beta": 20, "ratios": [], "votes": 400, "whole_layers": -1, "page": 16, "direction": 0.6,
            "retained": 0.05, "merge_from": -1, "tau-first": 1, "tau-last": 2, "tau-step": -1}


def mixed(x):
    x = (x + 0x9e3779b97f4a7c15) % 2**64
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9 % 2**64
    x = (x ^ x >> 27) * 0x94d049bb133111eb % 2**64
    return x ^ x >> 31


def place_hash(place, seed):
    value = mixed(seed)
    for number in place:
        value = mixed((value + number) % 2**64)
    return value


def generator(place, seed):
    """Random numbers that belong to a token, whenever it comes."""
    return book.Rng(place_hash(place, seed))


def length_of(x):
    return math.sqrt(math.fsum(n * n for n in x))


def cosine(a, b):
    lengths = length_of(a) * length_of(b)
    return sum(x * y for x, y in zip(a, b)) / lengths if lengths else -1.0


def shared(lower, upper, t):
    """A vector in the direction between two, as long as the lower one; and as long as the upper one, by a factor."""
    a, b = length_of(lower), length_of(upper)
    angle = math.acos(max(-1.0, min(1.0, cosine(lower, upper))))
    parts = (math.sin((1 - t) * angle) / math.sin(angle), math.sin(t * angle) / math.sin(angle))
    between = [parts[0] * x / a + parts[1] * y / b for x, y in zip(lower, upper)]
    scale = 1 / length_of(between)
    direction = [single(single(single(x) * scale) * a) for x in between]
    factor = single(b / a)
    return direction, [single(factor * x) for x in direction]


class Slot:
    __slots__ = ("position", "raw", "key", "value", "state")

    def __init__(self, position, raw, key, value):
        self.position, self.raw, self.key, self.value, self.state = position, raw, key, value, 0.0


class PolicyText(Text):
    """step() takes tokens that go in together, and forgets behind them."""

    def __init__(self, model, policy, prompt=0, future=None, relative=False, capacity=0, **options):
        super().__init__(model)
        assert not options.keys() - DEFAULTS.keys(), options
        self.policy, self.prompt, self.future = policy.removesuffix("-relative"), prompt, future
        self.capacity = capacity  # tokens of the text that it is made for
        self.relative = relative or policy.endswith("-relative")
        self.options = DEFAULTS | options
        self.slots = [[[] for _ in range(model.kv_heads)] for _ in range(model.layers)]
        self.whole = True  # nothing was forgotten yet
        self.given = [[[] for _ in range(model.kv_heads)] for _ in range(model.layers)]  # shares, by query
        self.asked, self.by_head = ([[] for _ in range(model.layers)] for _ in range(2))  # queries before RoPE, shares
        self.repeated = None  # KVzip: what was looked at while the prompt was repeated
        self.budgets = None  # {(layer, KV head): slots}, when the prompt has ended
        self.merged, self.retained = 0, {}  # MiniCache: tokens that went through it; {layer: positions, by head}
        self.known = model.__dict__.setdefault("whole_texts", {})

    def step(self, tokens):
        if not self.prompt:
            self.prompt = len(tokens)
        self.several = len(tokens) > 1
        for token in tokens:
            logits = self.feed(token)
        if self.budgets is None and self.length >= self.prompt and self.policy in (*newer.SHARED, "duo"):
            least = self.options["sinks" if self.policy in newer.KEEPS_SINKS else "window"]
            self.budgets = newer.budgets(self, max(least, tokens_to_keep(self.options, self.prompt)))
        for layer in range(self.model.layers):
            if self.policy == "minicache":
                self.merge(layer)
            for kv, slots in enumerate(self.slots[layer]):
                self.evict(layer, kv, slots)
        self.merged, self.last = self.length, logits
        self.whole = self.whole and self.policy not in ("minicache", "indexer", *QUESTS)
        return logits

    def feed(self, token, how=None):
        self.tokens += (token,)
        # As long as nothing is forgotten, every policy has the same numbers.
        known = self.known.get(self.tokens) if self.whole else None
        if known:
            for layer, of_layer in enumerate(known[0]):
                self.arrive(layer, *of_layer)
            self.length += 1
            return known[1]
        self.seen_now = []
        self.compute(token, how)
        if self.whole:
            self.known[self.tokens] = (self.seen_now, self.rows[-1][2])
        return self.rows[-1][2]

    def attend(self, layer, q, k, v, how):
        m, of_layer = self.model, self.slots[layer]
        turns = m.turns(self.length)
        keys = [rotate(h, turns, 1.0) for h in k]
        place = len(of_layer[0]) if self.relative else self.length
        queries = [rotate(h, m.turns(place), m.query_scale) for h in q]
        group, mixed_heads, shares = m.heads // m.kv_heads, [], []
        self.choice = None
        if self.policy == "indexer" and not self.several:
            new = [[*of_layer[kv], Slot(self.length, k[kv], keys[kv], v[kv])] for kv in range(m.kv_heads)]
            self.choice = sorted(newer.index_choice(self, new, queries)[:tokens_to_keep(self.options, len(new[0]))])
        for kv in range(m.kv_heads):
            slots = of_layer[kv] + [Slot(self.length, k[kv], keys[kv], v[kv])]
            used = [s.key for s in slots]
            if self.relative and not self.whole:
                ranks = {p: i for i, p in enumerate(sorted(s.position for s in slots))}
                used = [rotate(s.raw, m.turns(ranks[s.position]), 1.0) for s in slots]
            for h in range(kv * group, kv * group + group):
                read = self.pages(layer, slots, queries[h])
                weights, total = softmax(product(list(zip(*(used[i] for i in read))), queries[h]))
                mixed_heads += [single(a / total) for a in product([slots[i].value for i in read], weights)]
                shares.append([single(w / total) for w in weights])
        record = (k, keys, v, shares, q)
        self.arrive(layer, *record)
        self.seen_now.append(record)
        return queries, keys, mixed_heads

    def pages(self, layer, slots, query):
        """The slots that a query reads: all, but for Quest, and there as well in steps of several tokens."""
        o, size, every = self.options, self.options["page"], range(len(slots))
        if self.choice is not None:
            return self.choice
        if self.policy not in QUESTS or self.several or layer < whole_layers(self.policy, o):
            return every
        bounds = []
        for first in range(0, len(slots), size):
            bound = 0.0
            for q, column in zip(query, zip(*(s.key for s in slots[first:first + size]))):
                bound = single(bound + max(single(q * min(column)), single(q * max(column))))
            bounds.append(bound)
        if self.policy != "quest-by-bound":
            bounds[-1] = PROTECTED  # the page with the token itself
        wanted = max(3, -(-tokens_to_keep(o, len(slots)) // size))
        chosen = sorted(range(len(bounds)), key=lambda page: (-bounds[page], page))[:wanted]
        return [i for i in every if i // size in chosen]

    def merge(self, layer):
        """MiniCache, behind a step: of a pair of layers, the tokens that came share a direction, but for those retained."""
        o, m = self.options, self.model
        first = o["merge_from"] if o["merge_from"] >= 0 else min(m.layers // 2, m.layers - 2)
        if layer < first or (layer - first) % 2 or layer + 1 >= m.layers:
            return
        have = self.retained.setdefault(layer, [[] for _ in range(m.kv_heads)])
        for kv in range(m.kv_heads):
            pairs = list(zip(self.slots[layer][kv], self.slots[layer + 1][kv]))[self.merged:]
            more = max(0, min(len(pairs), math.ceil(o["retained"] * self.length) - len(have[kv])))
            order = sorted(range(len(pairs)), key=lambda t: (cosine(pairs[t][0].key, pairs[t][1].key), t))[:more]
            have[kv] += [self.merged + t for t in sorted(order)]
            for t, (lower, upper) in enumerate(pairs):
                if t not in order:
                    lower.key, upper.key = shared(lower.key, upper.key, o["direction"])
                    lower.value, upper.value = shared(lower.value, upper.value, o["direction"])

    def arrive(self, layer, raw, keys, values, shares, asked):
        """A token, what its query gave to whom, and its queries before RoPE."""
        m, group = self.model, self.model.heads // self.model.kv_heads
        self.asked[layer].append(asked)
        self.by_head[layer].append(shares)
        for kv, slots in enumerate(self.slots[layer]):
            slots.append(Slot(self.length, raw[kv], keys[kv], values[kv]))
        rows = [means(shares[kv * group:kv * group + group], group) for kv in range(m.kv_heads)]
        if self.policy == "tova":  # one row for all, of sums over each group
            sums = [added(shares[kv * group:kv * group + group]) for kv in range(m.kv_heads)]
            rows = [means(sums, m.heads)] * m.kv_heads
        for kv, slots in enumerate(self.slots[layer]):
            self.given[layer][kv].append(rows[kv])
            self.observe(layer, kv, slots, rows[kv])

    def observe(self, layer, kv, slots, shares):
        p, o, new = self.policy, self.options, slots[-1]
        if p == "random-fixed":
            new.state = generator((layer, kv, new.position), o["seed"]).uniform()
        elif p.startswith("key-norm"):
            new.state = product([[n] for n in new.key], new.key)[0]
        elif p == "tova":
            for slot, share in zip(slots, shares):
                slot.state = share
        elif p == "duo":
            newer.duo_observe(self, slots, shares)
        elif p in ("h2o", "h2o-mean", "h2o-forgetting"):
            forget = o["forget"] if p == "h2o-forgetting" else 1.0
            for slot, share in zip(slots, shares):
                slot.state = single(single(slot.state * single(forget)) + share)
        elif p in ONCE and self.prompt - o["window"] <= new.position < self.prompt:
            for slot, share in zip(slots, shares):
                slot.state = single(slot.state + share)
        elif p == "scissorhands":
            for slot, share in zip(slots, shares):
                # The votes of the queries that saw it, the last ones alone.
                votes = [*(slot.state or []), share >= single(1 / len(slots))]
                slot.state = votes[-o["votes"]:] if o["votes"] else votes
        elif p == "keyformer":
            tau = self.temperature(max(0, new.position - self.prompt + 1))
            weights = [exp2(single((math.log2(share) - self.noise(layer, kv, new.position, slot.position)) / tau)) if share else 0.0
                       for slot, share in zip(slots, shares)]
            for slot, weight in zip(slots, weights):
                slot.state = single(slot.state + single(weight / sum(weights)))

    def temperature(self, generated):
        first, last, step = (self.options[name] for name in ("tau-first", "tau-last", "tau-step"))
        if step >= 0:
            return first + step * generated
        in_all = self.capacity - self.prompt if self.capacity > self.prompt else 100
        return first + (last - first) * min(generated, in_all) / in_all

    def noise(self, layer, kv, query, position):
        u = ((generator((layer, kv, query, position), self.options["seed"]).next() >> 8) + 0.5) * 2**-24
        return math.log2(-math.log(u))

    def ratings(self, layer, kv, slots):
        p, o = self.policy, self.options
        ages = [self.length - s.position for s in slots]  # 1 for the newest
        if p == "full":
            return [PROTECTED] * len(slots)
        if p in newer.EXPECTED:
            return newer.expected_attention(self, layer, kv, slots)
        if p == "kvzip":
            if self.repeated is None:
                self.repeated = newer.reconstruction(lambda: PolicyText(self.model, "full"), self.tokens[:self.prompt],
                                                     self.model.context)
            return [PROTECTED if s.position < o["sinks"] else self.repeated[layer, kv][s.position] for s in slots]
        if p in ("window", "sinks", "duo"):
            first = 0 if p == "window" else o["sinks"]
            return [PROTECTED if s.position < first else s.position for s in slots]
        if p == "oracle":
            return [self.future(layer, kv, s.position, self.length) for s in slots]
        if p == "random":  # a number for each token and step
            step = place_hash((layer, kv, self.length), o["seed"])
            drawn = [mixed((step + s.position) % 2**64) >> 40 for s in slots]
            return [PROTECTED if age <= o["recent"] else n for age, n in zip(ages, drawn)]
        if p in ONCE:
            prefix, half = len(slots) - o["window"], o["kernel"] // 2
            result = []
            for i in range(len(slots)):
                near = [s.state for s in slots[max(0, i - half):min(prefix, i + half + 1)]]
                pooled = max(near, default=0.0) if o["max_pool"] else 0.0
                if not o["max_pool"]:
                    for n in near:
                        pooled = single(pooled + n)
                    pooled = single(pooled / o["kernel"])
                result.append(PROTECTED if i >= prefix else pooled)
            return result
        keep = tokens_to_keep(o, self.length)
        if p == "scissorhands":
            recent = min(10 if o["recent"] < 0 else o["recent"], keep)
            shares = [single(sum(s.state) / min(age, o["votes"] or age)) for s, age in zip(slots, ages)]
        else:
            default = {"h2o": keep // 2, "h2o-mean": keep // 2, "h2o-forgetting": keep // 2, "keyformer": keep * 3 // 10}
            recent = default.get(p, 0) if o["recent"] < 0 else o["recent"]
            shares = [single(s.state / age) if p == "h2o-mean" else -s.state if p.startswith("key-norm") else s.state
                      for s, age in zip(slots, ages)]
        return [PROTECTED if age <= recent else share for share, age in zip(shares, ages)]

    def evict(self, layer, kv, slots):
        keep = kept_of("full" if self.policy in ONCE and self.length != self.prompt else self.policy, self.options, layer,
                       self.model.layers, self.length, self.prompt)
        if self.policy in (*newer.SHARED, "duo"):
            ends = self.length == self.prompt or (self.policy == "duo" and self.length > self.prompt)
            keep = self.budgets[layer, kv] if ends else len(slots)
        if len(slots) <= keep:
            return
        self.whole = False
        ratings = self.ratings(layer, kv, slots)
        # The lowest go; of equal ones, those of later tokens.
        order = sorted(range(len(slots)), key=lambda i: (ratings[i], -slots[i].position))
        victims = set(order[:len(slots) - keep])
        behind = [s for i, s in enumerate(slots[keep:], keep) if i not in victims]
        for hole in sorted(v for v in victims if v < keep):
            slots[hole] = behind.pop(0)
        del slots[keep:]

    def kept(self, layer, kv):
        return sorted(s.position for s in self.slots[layer][kv])

    def mean_kept(self):
        counts = [len(slots) for of_layer in self.slots for slots in of_layer]
        return sum(counts) / len(counts)


def added(rows):
    total = rows[0]
    for row in rows[1:]:
        total = [single(a + b) for a, b in zip(total, row)]
    return total


def means(rows, count):
    return [single(n * single(1 / count)) for n in added(rows)]


def future_of(tokens, model=None):
    """What later queries will give, of a text that was run with everything kept: f(layer, kv, position, next)."""
    text = PolicyText(model or tiny(), "full")
    text.step(tokens)
    tables = []
    for of_layer in text.given:
        tables.append([])
        for rows in of_layer:
            sums, below = [None] * len(rows), [0.0] * len(rows)
            for q in range(len(rows) - 1, -1, -1):
                row = rows[q] + [0.0] * (len(rows) - 1 - q)
                below = [single(a + b) for a, b in zip(row, below)]
                sums[q] = below
            tables[-1].append(sums)

    def share(layer, kv, position, next):
        table = tables[layer][kv]
        return table[next][position] if position < len(table) and next < len(table) else 0.0
    share.given = text.given
    return share

