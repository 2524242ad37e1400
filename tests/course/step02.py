"""The judge of chapter 2's tasks. Mathematics is held against a decoder in double; only where the chapter fixes the order of sums
(2.1, 2.3) bits are asked for. The loop of generation is played once more here, step by step."""
import math

import contract_by_the_book as contract
import decoder_in_double as double
from course.judge import Floats, case, close, exact, integers, number, text

SUM = "a score of a few terms, a softmax and a weighted mean, each rounded to a float"


def attention_question(p, random):
    """q and rows [S, 2, D]: the key and the value of each slot."""
    return random.floats(p.D, scale=p.get("scale", 1.0)), random.floats(p.S, 2, p.D)


def strides_of(p):
    """How far the numbers of a query, and those of a key or a value, lie apart."""
    return {"q_stride": p.get("q_stride", 1), "stride": p.get("stride", 1)}


@case("2.1 attention: the weighted mean of the values",
      "S=1 D=1", "S=1 D=4", "S=2 D=2", "S=7 D=3", "S=64 D=2", "S=65 D=5", "S=9 D=16 scale=8", "S=5 D=1 scale=40",
      "S=6 D=3 q_stride=3", "S=5 D=4 stride=2", "S=70 D=3 q_stride=2 stride=3")
def attention(p, random):
    q, rows = attention_question(p, random)
    keys, values = ([rows[s, which].values for s in range(p.S)] for which in (0, 1))
    out = double.attention(q.values, keys, values)
    return {"q": q, "rows": rows, **strides_of(p)}, {"out": close(Floats([p.D], out), "component", 2e-5, SUM)}


@case("2.1 attention: sums and the division come in the contract's order", "S=3 D=2", "S=10 D=3", "S=66 D=2", "S=4 D=70",
      "S=130 D=8")
def attention_bits(p, random):
    q, rows = attention_question(p, random)
    scores = [contract.total(list(zip(q.values, rows[s, 0].values))) for s in range(p.S)]
    weights, total = contract.softmax(scores)
    out = [contract.div(contract.total([(w, rows[s, 1, i]) for s, w in enumerate(weights)]), total) for i in range(p.D)]
    return {"q": q, "rows": rows, **strides_of(p)}, {"out": exact(Floats([p.D], out), "component")}


@case("2.2 visible rows: the KV head of the group and the tokens so far",
      "T=1 Hkv=1 D=1 group=1", "T=4 Hkv=2 D=3 group=2", "T=3 Hkv=3 D=2 group=3", "T=5 Hkv=1 D=2 group=4",
      "T=3 Hkv=4 D=1 group=1", "T=6 Hkv=2 D=4 group=4", "T=4 Hkv=2 D=3 group=2 wider=5", "T=3 Hkv=3 D=2 group=1 wider=1 stride=2")
def visible(p, random):
    rows = random.floats(p.T, p.Hkv * p.D)
    asked = random.shuffled([(h, t) for h in range(p.Hkv * p.group) for t in range(p.T)])[:12]
    asked += [(p.Hkv * p.group - 1, p.T - 1), (0, 0)]
    expected = {}
    for h, t in asked:
        kv = [g for g in range(p.Hkv) for _ in range(p.group)][h]  # each KV head as often as its group has query heads
        seen = [rows[s, kv * p.D + i] for s in range(t + 1) for i in range(p.D)]
        expected[f"head {h} of token {t}"] = exact(Floats([t + 1, p.D], seen), "slot component")
    return ({"rows": rows, "D": p.D, "group": p.group, "wider": p.get("wider", 0), "stride": p.get("stride", 1), "heads": [h for h, _ in asked], "tokens": [t for _, t in asked]},
            expected)


@case("2.3 swiglu: the gate decides what gets through",
      "T=1 C=1 F=1", "T=3 C=4 F=6", "T=2 C=6 F=3", "T=1 C=65 F=70", "T=4 C=2 F=5 scale=6")
def swiglu(p, random):
    x = random.floats(p.T, p.C, scale=p.get("scale", 1.0))
    w = {"gate": random.floats(p.F, p.C, scale=p.C ** -0.5), "up": random.floats(p.F, p.C, scale=p.C ** -0.5),
         "down": random.floats(p.C, p.F, scale=p.F ** -0.5)}
    lists = {name: [row.values for row in matrix] for name, matrix in w.items()}
    y = [v for row in x for v in double.feed_forward(lists, row.values)]
    why = "three products of up to 70 terms and a sigmoid, rounded to floats; sums of size 1 may cancel"
    return {"x": x, **w}, {"y": close(Floats([p.T, p.C], y), "token component", 1e-5 * p.get("scale", 1) ** 2, why)}


@case("2.3 swiglu: sums and products are rounded as the chapter's plain loops do it",
      "T=1 C=1 F=1", "T=3 C=4 F=6", "T=2 C=6 F=3 scale=4", "T=1 C=5 F=70", "T=1 C=66 F=2")
def swiglu_bits(p, random):
    x = random.floats(p.T, p.C, scale=p.get("scale", 1.0))
    w = {"gate": random.floats(p.F, p.C), "up": random.floats(p.F, p.C), "down": random.floats(p.C, p.F)}
    y = []
    for row in x:
        gate, up = ([contract.total(list(zip(row.values, of.values))) for of in w[name]] for name in ("gate", "up"))
        hidden = [contract.mul(contract.silu(g), u) for g, u in zip(gate, up)]
        y += [contract.total(list(zip(hidden, of.values))) for of in w["down"]]
    return {"x": x, **w}, {"y": exact(Floats([p.T, p.C], y), "token component")}


def tensors_of(p):
    """Of the two families, by name: what a file of such a model holds."""
    q, kv = p.Hq * p.D, p.Hkv * p.D
    if p.architecture == "llama":
        layer = {"attn_norm": [p.C], "attn_q": [q, p.C], "attn_k": [kv, p.C], "attn_v": [kv, p.C], "attn_output": [p.C, q],
                 "ffn_norm": [p.C], "ffn_gate": [p.F, p.C], "ffn_up": [p.F, p.C], "ffn_down": [p.C, p.F]}
        ends = {"token_embd": [p.V, p.C], "output_norm": [p.C]}
    else:
        layer = {"attn_norm": [p.C], "attn_norm.bias": [p.C], "attn_qkv": [3 * p.C, p.C], "attn_qkv.bias": [3 * p.C],
                 "attn_output": [p.C, p.C], "attn_output.bias": [p.C], "ffn_norm": [p.C], "ffn_norm.bias": [p.C],
                 "ffn_up": [p.F, p.C], "ffn_up.bias": [p.F], "ffn_down": [p.C, p.F], "ffn_down.bias": [p.C]}
        ends = {"token_embd": [p.V, p.C], "position_embd": [p.context, p.C], "output_norm": [p.C],
                "output_norm.bias": [p.C]}
    if not p.tied:
        ends["output"] = [p.V, p.C]
    return [layer] * p.L + [ends]


@case("2.4 parameters: every number of every tensor",
      "architecture=llama V=256 C=64 L=2 Hq=4 Hkv=2 D=16 F=172 context=512 tied=0",
      "architecture=llama V=49152 C=576 L=30 Hq=9 Hkv=3 D=64 F=1536 context=8192 tied=1",
      "architecture=llama V=7 C=5 L=1 Hq=3 Hkv=1 D=2 F=11 context=4 tied=0",
      "architecture=llama V=9 C=8 L=3 Hq=4 Hkv=4 D=6 F=13 context=32 tied=1",
      "architecture=gpt2 V=50257 C=768 L=6 Hq=12 Hkv=12 D=64 F=3072 context=1024 tied=1",
      "architecture=gpt2 V=11 C=6 L=2 Hq=3 Hkv=3 D=2 F=13 context=17 tied=1",
      "architecture=gpt2 V=11 C=6 L=2 Hq=3 Hkv=3 D=2 F=13 context=17 tied=0")
def parameters(p, random):
    floats = sum(math.prod(shape) for part in tensors_of(p) for shape in part.values())
    return {**p, "rope_dim": 2}, {"parameters": number(floats)}


def listed(value):
    return [int(word) for word in str(value).split(",")]


@case("2.5 generator: what is fed, what is kept, and when it ends",
      "lengths=3 steps=0", "lengths=3 steps=1", "lengths=1 steps=4", "lengths=4 steps=5 remembers=0",
      "lengths=2,5,1 steps=4,2,6", "lengths=3,2 steps=2,5 remembers=0", "lengths=6 steps=9 context=9",
      "lengths=6 steps=9 context=9 remembers=0", "lengths=3,2 steps=9,9 capacities=5,7",
      "lengths=4 steps=9 capacities=6 remembers=0", "lengths=2 steps=9 ends=3", "lengths=2,3 steps=6,6 ends=2",
      "lengths=3 steps=4 ends=4", "lengths=3 steps=1 ends=1", "lengths=5 steps=3 capacities=4", "lengths=4 steps=1 capacities=4",
      "lengths=6 steps=3 seen=2", "lengths=5,4 steps=2,3 seen=4,0", "lengths=6 steps=7 context=9 unrotated=1",
      "lengths=3,2 steps=5,1 context=5 capacities=6,9 unrotated=1")
def generator(p, random):
    shape = double.Shape(weights=random.below(1000), L=1, context=p.get("context", 40))
    lengths, steps, remembers = listed(p.lengths), listed(p.steps), p.get("remembers", 1)
    capacities = listed(p.get("capacities", ",".join(["40"] * len(lengths))))
    prompts = [[random.below(shape.V) for _ in range(n)] for n in lengths]
    end = -1
    if "ends" in p:  # the token that the first text would get so far on
        free, *_ = played(p, shape, prompts, steps, capacities, remembers, -1)
        end = free[0][lengths[0] + p.ends - 1]
    tokens, ends, rows, told, running = played(p, shape, prompts, steps, capacities, remembers, end)
    expected = {"rows of each step": integers(rows, "step"), "tokens told to": integers(told, "token"),
                "calls of step() that took tokens": number(len(rows)), "sequences running after each step": integers(running, "step")}
    for s, (of, why) in enumerate(zip(tokens, ends)):
        # A store that wants keys before RoPE rotates them itself; the one of this case does not, and so writes another text.
        if p.get("unrotated", 0):
            expected[f"length of sequence {s}"] = number(len(of))
        else:
            expected[f"tokens of sequence {s}"] = integers(of, "position")
        expected[f"end of sequence {s}"] = text(why)
    return ({**shape.given(), "prompts": [t for prompt in prompts for t in prompt], "lengths": lengths, "steps": steps,
             "capacities": capacities, "remembers": remembers, "end token": end, "seen": seen_of(p), "unrotated": p.get("unrotated", 0)},
            expected)


def seen_of(p):
    """How much of its prompt each store has seen before."""
    return listed(p.get("seen", ",".join(["0"] * len(listed(p.lengths)))))


def played(p, shape, prompts, steps, capacities, remembers, end):
    """The whole generation: (texts, why each ended, rows of each step, sequences in the order in which they got tokens, how many
    were running after each step)."""
    texts, seen = [list(prompt) for prompt in prompts], seen_of(p)
    ends = ["length" if n == 0 else "running" for n in steps]
    rows, told, running = [], [], []
    while True:
        batch = []
        for s, of in enumerate(texts):
            if ends[s] != "running":
                continue
            if len(of) - seen[s] > capacities[s] - seen[s] or (len(of) > shape.context and not p.get("unrotated", 0)):
                ends[s] = "context full"
            else:
                batch.append(s)
        if not batch:
            return texts, ends, rows, told, running
        rows.append(sum(len(texts[s]) - seen[s] for s in batch))
        for s in batch:
            last = double.logits(shape, texts[s])[-1]
            seen[s] = len(texts[s]) if remembers else 0
            texts[s].append(last.index(max(last)))
            told.append(s)
            if texts[s][-1] == end:
                ends[s] = "end token"
            elif len(texts[s]) == len(prompts[s]) + steps[s]:
                ends[s] = "length"
        running.append(ends.count("running"))


def bits_of_share(logits, token):
    """-log2 of a token's share."""
    top = max(logits)
    return (top + math.log(sum(math.exp(x - top) for x in logits)) - logits[token]) / math.log(2)


@case("2.7 bits: the surprise of a token is minus the logarithm of its share",
      "V=1", "V=2", "V=10", "V=50 scale=5", "V=6 scale=400", "V=4 shift=-2000", "V=4 shift=2000")
def surprise(p, random):
    logits = random.floats(p.V, scale=p.get("scale", 1.0))
    logits = Floats([p.V], [float(round(x * 64) / 64 + p.get("shift", 0)) for x in logits.values])
    bits = [bits_of_share(logits.values, token) for token in range(p.V)]
    why = "computed in double and sent as a float"
    top = max(logits.values)
    total = top + math.log(sum(math.exp(x - top) for x in logits.values))
    return {"logits": logits}, {"bits": close(Floats([p.V], bits), "token", 1e-6, why),
                                "log of the sum": close(Floats([1], [total]), "sum", 1e-6, why)}


@case("2.7 bits: the mean over all windows of a text",
      "text=4 window=4", "text=12 window=4", "text=11 window=4", "text=9 window=3 bos=-1", "text=12 window=5 bos=-1",
      "text=12 window=3 most=2", "text=3 window=1", "text=9 window=4 remembers=0")
def bits_per_byte(p, random):
    shape = double.Shape(weights=random.below(1000), L=1, V=256, C=4)
    of, bos, total, windows = [random.below(256) for _ in range(p.text)], p.get("bos", 7), 0.0, 0
    # Where there is no BOS, the token before a window goes in first; the first of all has none before it.
    tokens = ([bos] if bos >= 0 else []) + of
    for begin in range(0, len(tokens) - p.window, p.window):
        if windows == p.get("most", 10 ** 6):
            break
        fed = tokens[begin:begin + p.window]
        if bos >= 0:
            fed[0] = bos
        rows = double.logits(shape, fed)
        targets = tokens[begin + 1:begin + 1 + p.window]
        total += sum(bits_of_share(row, token) for row, token in zip(rows, targets))
        windows += 1
    count = windows * p.window
    return ({**shape.given(), "text": of, "bos": bos, "window": p.window, "most": p.get("most", 0),
             "remembers": p.get("remembers", 1)},
            {"bits per byte": close(Floats([1], [total / count]), "mean", 1e-4, double.WHY), "bytes": number(count),
             "windows": number(windows)})


import step02_protocol  # noqa: E402, F401  the case of 2.6, after these
