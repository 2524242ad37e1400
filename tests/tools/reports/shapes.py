"""The work and the memory of a model, from the shapes in the book alone: every product written out."""

TINY = {"name": "kvlab-tiny", "width": 64, "layers": 2, "heads": 4, "kv_heads": 2, "head_dim": 16, "feed_forward": 172,
        "vocab": 256, "context": 512}
DISTILGPT2 = {"name": "distilgpt2's shape, random weights", "width": 768, "layers": 6, "heads": 12, "kv_heads": 12,
              "head_dim": 64, "feed_forward": 3072, "vocab": 50257, "context": 1024, "gpt2": True}
SMOLLM2 = {"width": 576, "layers": 30, "heads": 9, "kv_heads": 3, "head_dim": 64, "feed_forward": 1536, "vocab": 49152,
           "context": 2048}
LANES = {"portable": 4, "avx2": 8, "avx512": 16}  # floats of a register


def widths(c):
    """Of all query heads, and of all KV heads: numbers of one token."""
    return c["heads"] * c["head_dim"], c["kv_heads"] * c["head_dim"]


def up_matrices(c):
    """What a token's row goes through before the activation: gate and up, or up alone in GPT-2."""
    return 1 if c.get("gpt2") else 2


def flops(c, past, rows, logits):
    """What a forward pass of `rows` tokens behind `past` others costs, an fma being two. logits: rows of the output matrix
    that are asked for."""
    q, kv = widths(c)
    return {
        "projections": c["layers"] * 2 * rows * c["width"] * (q + kv + kv + q),
        # Row r attends to the past + r + 1 positions that are not in its future: scores and weighted values.
        "attention": c["layers"] * sum(2 * 2 * q * (past + r + 1) for r in range(rows)),
        "feed-forward": c["layers"] * 2 * rows * (up_matrices(c) + 1) * c["width"] * c["feed_forward"],
        "the output matrix": 2 * logits * c["width"] * c["vocab"],
    }


def forward_flops(c, past, rows, logits):
    return sum(flops(c, past, rows, logits).values())


def matrices(c):
    """(outputs, depth) of what a step reads: per layer, and of the output matrix. Queries, keys and values are one matrix."""
    q, kv = widths(c)
    layer = [(q + 2 * kv, c["width"]), (c["width"], q), (up_matrices(c) * c["feed_forward"], c["width"]),
             (c["width"], c["feed_forward"])]
    return layer * c["layers"] + [(c["vocab"], c["width"])]


def step_weight_bytes(c, per_number=(4, 4)):
    """In panels of 64 outputs, the last of them filled up. per_number: bytes, of a layer's matrices and of the output matrix."""
    panels = [-(-outputs // 64) * 64 * depth for outputs, depth in matrices(c)]
    return int(sum(panels[:-1]) * per_number[0] + panels[-1] * per_number[1])


def weight_bytes(c):
    """All tensors in memory: what a step reads, two norms a layer and the last one, and the embedding by rows."""
    return step_weight_bytes(c) + 4 * ((2 * c["layers"] + 1) * c["width"] + c["vocab"] * c["width"])


def cache_bytes(c, rows, cache="f32"):
    """Keys and values of `rows` tokens; int8 has a float of scale for each head's key and value as well."""
    numbers = {"f32": 4 * c["head_dim"], "f16": 2 * c["head_dim"], "int8": c["head_dim"] + 4}[cache]
    return rows * 2 * c["layers"] * c["kv_heads"] * numbers


def tile_bytes(c, capacity, cache="f32"):
    """What a layer's tiles take: 64 slots each; values fill up whole lines of 16 numbers, keys need not."""
    d, padded = c["head_dim"], -(-c["head_dim"] // 16) * 16
    slot = {"f32": 4 * (d + padded), "f16": 2 * (d + padded), "int8": d + padded + 8}[cache]
    return -(-capacity // 64) * 64 * c["kv_heads"] * slot


def activation_row(c):
    """Numbers that a token's way through a layer writes where an observer sees them."""
    q, kv = widths(c)
    return sum([c["width"], q, kv, kv, q, c["width"], c["width"],  # norm, q, k, v, mixed, out, sum
                c["width"], c["feed_forward"], c["width"], c["width"]])  # norm, hidden, out, sum


def work(c, sequences, per_number=(4, 4)):
    """One step: (past, tokens) of each sequence, logits for its last token. By the names of the reports."""
    q, kv = widths(c)
    row = 2 * c["layers"] * kv * 4  # of the cache, in floats
    parts = [flops(c, past, rows, 1) for past, rows in sequences]
    tokens = sum(rows for _, rows in sequences)
    result = {"steps": 1, "projections of keys and values": c["layers"] * tokens}
    result |= {f"FLOPs of {name}": sum(p[name] for p in parts) for name in parts[0]}
    result["FLOPs"] = sum(sum(p.values()) for p in parts)
    result["bytes of weights read"] = step_weight_bytes(c, per_number)
    result["bytes of the cache read"] = sum(past + rows for past, rows in sequences) * row
    result["bytes of the cache written"] = tokens * row
    ends = len(sequences) * (c["width"] + c["vocab"])  # the last norm, and the logits
    result["bytes of activations written"] = 4 * (tokens * (c["width"] + c["layers"] * activation_row(c)) + ends)
    return result


def all_bytes(counted):
    """What crosses the border of the processor: activations go out and come in."""
    return (counted["bytes of weights read"] + counted["bytes of the cache read"] + counted["bytes of the cache written"]
            + 2 * counted["bytes of activations written"])


def summed(works):
    works = list(works)
    return {name: sum(w[name] for w in works) for name in works[0]}


def generation(c, prompt, steps, cached, per_number=(4, 4)):
    """The prompt in one step, and a step for each token but the last, which is never fed."""
    later = [[(prompt + i, 1)] if cached else [(0, prompt + i + 1)] for i in range(steps - 1)]
    return summed(work(c, step, per_number) for step in [[(0, prompt)], *later])


def apart(width):
    """Of rows that are to lie an odd number of cache lines apart."""
    lines = -(-width // 16)
    return 16 * (lines if lines % 2 else lines + 1)


def room(rows):
    """Rows that a decoder makes room for: one, or whole 64s."""
    return rows if rows == 1 else -(-rows // 64) * 64


def row_widths(c):
    """Of the buffers with a row for each token: the residual stream, normed, queries with keys and values, mixed, the
    way out, and the two wide ones of the feed-forward network."""
    q, kv = widths(c)
    return [c["width"], c["width"], q + 2 * kv, q, c["width"], apart(up_matrices(c) * c["feed_forward"]), apart(c["feed_forward"])]


def buffers(c, rows, logits=1):
    """Bytes of a decoder's activations after a step of `rows` tokens."""
    return 4 * (room(rows) * sum(row_widths(c)) + logits * (c["width"] + c["vocab"]))


def peak_of_buffers(c, steps, logits=1):
    """The most that steps of so many rows take. The buffers grow one by one, in this order, each before the smaller one
    is given back."""
    peak, have = 0, 0
    for rows in steps:
        if room(rows) > have:
            taken = [room(rows) * sum(row_widths(c)[:i + 1]) + have * sum(row_widths(c)[i:]) for i in range(7)]
            # The logits come last in the first step, and are there in the later ones.
            peak = max(peak, 4 * (max(taken) + (logits * (c["width"] + c["vocab"]) if have else 0)), buffers(c, rows, logits))
            have = room(rows)
    return peak


def peak_of_generation(c, batch, prompt, steps, cache):
    """Buffers and stores. Without a cache, the text comes in every step, and one layer's tiles are enough."""
    longest = prompt + steps - 1
    texts = [prompt + k if cache == "none" else 1 for k in range(1, steps)]
    stores = tile_bytes(c, longest) if cache == "none" else c["layers"] * tile_bytes(c, longest, cache)
    return peak_of_buffers(c, [batch * rows for rows in [prompt, *texts]], batch) + batch * stores
