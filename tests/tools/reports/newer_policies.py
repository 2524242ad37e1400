"""Chapter 5's methods that allot budgets to heads, and the indexer, once more, for policy_model.py: what is rated, and which
heads keep how much. Their numbers decide an order alone, so they are plain Python ones."""
import math

from reports.book_model import single

SHARED = ("adakv-snapkv", "expected-attention", "kvzip")  # heads share a budget
EXPECTED = ("expected-attention", "expected-attention-uniform")
KEEPS_SINKS = (*EXPECTED, "kvzip", "duo")  # of those that wait for the end of the prompt
FLOOR, FUTURE, RETRIEVAL, CHUNK, LEAD = 0.2, 512, 0.5, 2048, 8
PROTECTED = math.inf


def shared_budgets(heads, floor, keep):
    """Slots of each head, of which each has a list of (rating, position): the best of all, but safe ones for each."""
    ranked = [sorted(((-rating, position, h) for rating, position in head)) for h, head in enumerate(heads)]
    kept, rivals = [], []
    for head in ranked:
        own = min(keep, len(head))
        beside = min(own, sum(rating == -PROTECTED for rating, _, _ in head))
        kept.append(beside + math.floor(floor * (own - beside)))
        rivals += head[kept[-1]:]
    left = sum(min(keep, len(head)) for head in ranked) - sum(kept)
    for _, _, h in sorted(rivals)[:left]:
        kept[h] += 1
    return kept


def budgets(text, keep):
    """{(layer, KV head): slots that it keeps from the end of the prompt on}"""
    m = text.model
    places = [(layer, kv) for layer in range(m.layers) for kv in range(m.kv_heads)]
    if text.policy == "duo":
        outside = {place: math.fsum(s.state for s in text.slots[place[0]][place[1]]) for place in places}
        order = sorted(places, key=lambda place: (-outside[place], place))
        whole = set(order[:math.floor(RETRIEVAL * len(places) + 0.5)])
        return {place: math.inf if place in whole else keep for place in places}
    if text.policy not in SHARED:
        return {place: keep for place in places}
    rated = {}
    for layer, kv in places:
        slots = text.slots[layer][kv]
        rated[layer, kv] = [(rating, s.position) for rating, s in zip(text.ratings(layer, kv, slots), slots)]
    groups = [places] if text.policy == "kvzip" else [[(layer, kv) for kv in range(m.kv_heads)] for layer in range(m.layers)]
    found = {}
    for group in groups:
        floor = 0 if text.policy == "kvzip" else FLOOR
        found |= dict(zip(group, shared_budgets([rated[place] for place in group], floor, keep)))
    return found


def average_rotation(model, first):
    """RoPE averaged over the positions to come, as far as the context goes."""
    begin = min(first, model.context - 1)
    turns = [model.turns(p) for p in range(begin, min(begin + FUTURE, model.context))]
    return [tuple(math.fsum(t[i][part] for t in turns) / len(turns) for part in range(2)) for i in range(len(turns[0]))]


def turned(x, average):
    result = list(x)
    for i, (cos, sin) in enumerate(average):
        a, b = x[2 * i], x[2 * i + 1]
        result[2 * i], result[2 * i + 1] = a * cos - b * sin, b * cos + a * sin
    return result


def expected_attention(text, layer, kv, slots):
    """The share of E exp(q . k / sqrt(D)), q normal as the prompt's queries are, times the value's length."""
    m, sinks = text.model, text.options["sinks"]
    rest = slots[sinks:]
    if not rest:
        return [PROTECTED] * len(slots)
    d, group = len(slots[0].key), m.heads // m.kv_heads
    average, found = average_rotation(m, text.length), [0.0] * len(rest)
    for h in range(kv * group, kv * group + group):
        queries = [turned(asked[h], average) for asked in text.asked[layer][sinks:text.length]]
        mean = [math.fsum(column) / len(queries) for column in zip(*queries)]
        scores = []
        for slot in rest:
            products = [math.fsum(a * b for a, b in zip(q, slot.key)) for q in queries]
            middle = math.fsum(a * b for a, b in zip(mean, slot.key))
            spread = math.fsum((p - middle) ** 2 for p in products) / len(products)
            scores.append(middle / math.sqrt(d) + spread / (2 * d))
        most = max(scores)
        weights = [math.exp(s - most) for s in scores]
        total = math.fsum(weights)
        found = [f + w / total / group for f, w in zip(found, weights)]
    return [PROTECTED] * min(sinks, len(slots)) + [f * math.sqrt(math.fsum(n * n for n in s.value)) for f, s in zip(found, rest)]


def reconstruction(make_text, tokens, context):
    """{(layer, KV head): by position, the largest share while the prompt was repeated}. make_text(): everything kept."""
    n, found = len(tokens), {}
    left = context - n
    lead = 0 if n <= min(CHUNK, left) else min(LEAD, left // 2)
    size = n if lead == 0 else min(CHUNK, left - lead)
    for begin in range(0, n, size):
        end, text = min(begin + size, n), make_text()
        text.step([*tokens, *tokens[max(0, begin - lead):end]])
        group = text.model.heads // text.model.kv_heads
        for layer, queries in enumerate(text.by_head):
            for kv in range(text.model.kv_heads):
                most = found.setdefault((layer, kv), [0.0] * n)
                for position in range(begin, end):
                    most[position] = max(shares[h][position] for shares in queries[n:] for h in range(kv * group, kv * group + group))
    return found


def index_choice(text, slots_by_head, queries):
    """The slots that all query heads of a layer read: the best by ReLU products with keys in 8 bits."""
    count, group = len(slots_by_head[0]), len(queries) // len(slots_by_head)
    scores = [0.0] * count
    for h, query in enumerate(queries):
        for i, slot in enumerate(slots_by_head[h // group]):
            scale = single(max(abs(n) for n in slot.key) / 127)
            product = math.fsum(q * round(single(n / scale)) for q, n in zip(query, slot.key)) * scale if scale else 0.0
            scores[i] += max(0.0, product)
    return sorted(range(count), key=lambda i: (-scores[i], i))


def duo_observe(text, slots, shares):
    """What a streaming head would not have held, as far as its budget of the prompt goes."""
    o = text.options
    query = slots[-1].position
    if query >= text.prompt:
        return
    keep = max(o["sinks"], math.ceil(o["ratio"] * text.prompt) if o["ratio"] else o["budget"])
    for slot, share in zip(slots, shares):
        if o["sinks"] <= slot.position < query - (keep - o["sinks"]):
            slot.state = single(slot.state + share)
