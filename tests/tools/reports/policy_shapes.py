"""Chapter 5: the bytes that a policy holds and takes, from the shapes in the book alone; and the sets of policies by name."""
import math

from reports import newer_policies as newer
from reports.policy_model import DEFAULTS, ONCE, QUESTS, kept_of, tokens_to_keep, whole_layers
from reports.shapes import TINY, cache_bytes, tile_bytes

# name: (what it is, paper), as the chapter lists them.
POLICIES = {
    "full": ("everything", ""),
    "window": ("the last tokens", "Beltagy et al. 2020, 2004.05150"),
    "sinks": ("the first and the last tokens", "Xiao et al. 2023, 2309.17453"),
    "sinks-relative": ("the same, positions counted in the cache", "Xiao et al. 2023, 2309.17453"),
    "h2o": ("the last tokens and those with the most attention so far", "Zhang et al. 2023, 2306.14048"),
    "h2o-mean": ("the same, attention per query that could see the token", "Zhang et al. 2023, 2306.14048"),
    "h2o-forgetting": ("the same, and the past fades", "Jo and Shin 2024, 2407.20485"),
    "tova": ("those that the last query looks at most", "Oren et al. 2024, 2401.06104"),
    "snapkv": ("once: those that the end of the prompt looks at", "Li et al. 2024, 2404.14469"),
    "pyramidkv": ("the same, more in lower layers", "Cai et al. 2024, 2406.02069"),
    "pyramidkv-ratios": ("the same, by a share of the prompt for each quarter of the layers", "Cai et al. 2024, 2406.02069"),
    "adakv-snapkv": ("as snapkv, and the heads of a layer share its budget by their ratings", "Feng et al. 2024, 2407.11550"),
    "expected-attention": ("once: those that queries like the prompt's would look at; heads share", "Devoto et al. 2025, 2510.00636"),
    "expected-attention-uniform": ("the same, with one budget for all heads", "Devoto et al. 2025, 2510.00636"),
    "kvzip": ("once: those that the model needs to repeat the prompt; all heads share", "Kim et al. 2025, 2505.23416"),
    "duo": ("some heads keep everything, the others the first and the last tokens", "Xiao et al. 2024, 2410.10819"),
    "key-norm": ("the shortest keys; the first two layers keep all", "Devoto et al. 2024, 2406.11430"),
    "key-norm-every-layer": ("the same, and every layer forgets", "Devoto et al. 2024, 2406.11430"),
    "scissorhands": ("those that recent queries gave more than an even share", "Liu et al. 2023, 2305.17118"),
    "keyformer": ("as h2o, of noisy scores at a rising temperature", "Adnan et al. 2024, 2403.09054"),
    "random": ("any, drawn anew in each step: the floor", ""),
    "random-fixed": ("any, drawn once for each token: most newcomers go at once", ""),
    "oracle": ("those that later queries will look at: the ceiling", ""),
    "quest": ("everything; above two layers the promising pages are read, and the newest", "Tang et al. 2024, 2406.10774"),
    "quest-every-layer": ("the same in every layer, the first two included", "Tang et al. 2024, 2406.10774"),
    "quest-by-bound": ("as quest, but the newest page has to win its place, too", "Tang et al. 2024, 2406.10774"),
    "indexer": ("everything; of it, only the best tokens by their 8-bit keys are read", "DeepSeek-AI 2025, 2512.02556"),
    "minicache": ("everything; pairs of layers share a direction", "Liu et al. 2024, 2405.14366"),
}
PYRAMID = {"1,1,.5,.25": [1, 1, .5, .25], "inverted": [.25, .5, 1, 1], "uniform .6875": [.6875]}
# name: [(label, policy, what differs from the options given)]
SETS = {
    "catalogue": [("full", "full", {}), *((f"window {b}", "window", {"budget": b}) for b in (128, 160, 256)),
                  *((f"{p} 4+{r}", p, {"sinks": 4, "budget": 4 + r}) for p in ("sinks", "sinks-relative") for r in (128, 252)),
                  ("h2o 32+128", "h2o", {"budget": 160, "recent": 128}), ("h2o 224+32", "h2o", {"budget": 256, "recent": 32}),
                  ("pyramid 1,1,.5,.25", "pyramidkv-ratios", {"ratios": [1, 1, .5, .25]}),
                  ("pyramid schedule 128", "pyramidkv", {"budget": 128}),
                  ("minicache t .6, 5 %", "minicache", {"direction": .6, "retained": .05})],
    "minicache": [(f"t {t:g}, {100 * r:g} %", "minicache", {"direction": t, "retained": r})
                  for t, r in [(0, .05), (.25, .05), (.5, .05), (.6, .05), (1, .05), (.6, 0), (.6, .1), (.6, .2), (.6, .5), (.6, 1)]],
    "pyramid": [*((label, "pyramidkv-ratios", {"ratios": ratios}) for label, ratios in PYRAMID.items()),
                ("schedule of .6875", "pyramidkv", {"ratio": .6875}), ("uniform 64", "snapkv", {"budget": 64}),
                ("schedule 64", "pyramidkv", {"budget": 64}), ("uniform 32", "snapkv", {"budget": 32}),
                ("schedule 32", "pyramidkv", {"budget": 32})],
}


def rows_of(names_or_set, **options):
    """[(label, policy, all its options)]"""
    if isinstance(names_or_set, str):
        return [(label, policy, DEFAULTS | options | own) for label, policy, own in SETS[names_or_set]]
    return [(name, name, DEFAULTS | options) for name in names_or_set]


def state_rows(policy, options, c=TINY, behind=True):
    """Numbers that a policy remembers of a token. behind: after its prompt, where newer methods need them no more."""
    if policy in ("full", "window", "sinks", "sinks-relative", "random", "oracle", "kvzip"):
        return 0
    if policy in ("adakv-snapkv", "duo", *newer.EXPECTED):
        return 0 if behind else c["heads"] // c["kv_heads"] * c["head_dim"] if policy in newer.EXPECTED else 1
    if policy == "scissorhands":  # how many votes; whose, a bit for each of the last queries
        return 1 + -(-options["votes"] // 32)
    return 2 if policy == "keyformer" else 1


def merged_pairs(c, options):
    first = options["merge_from"] if options["merge_from"] >= 0 else min(c["layers"] // 2, c["layers"] - 2)
    return max(0, c["layers"] - first) // 2


def choosing_layers(policy, options, c):
    """The layers in which Quest chooses pages."""
    return max(0, c["layers"] - whole_layers(policy, options))


def held_bytes(policy, options, prompt, length, c=TINY):
    """Keys, values and what describes a token."""
    slot = 2 * c["head_dim"]
    if policy in QUESTS:  # of every page the smallest and the largest number of each component
        return cache_bytes(c, length) + choosing_layers(policy, options, c) * 4 * c["kv_heads"] * slot * -(-length // options["page"])
    if policy == "indexer":  # of every key 8 bits a number, and a scale
        return cache_bytes(c, length) + c["layers"] * c["kv_heads"] * length * (c["head_dim"] + 4)
    if policy == "minicache":
        pairs, retained = merged_pairs(c, options), math.ceil(options["retained"] * length)
        # Two layers have one key and value, with a factor each; a retained token's others, and where it is.
        numbers = (c["layers"] - 2 * pairs) * length * slot + pairs * (length * (slot + 2) + retained * (slot + 1))
        return 4 * c["kv_heads"] * numbers
    # A position; its rank where positions are counted in the cache.
    slot += 1 + (policy == "sinks-relative") + state_rows(policy, options, c, length >= prompt)
    return 4 * slot * round(c["kv_heads"] * sum(kept_of(policy, options, layer, c["layers"], length, prompt) for layer in range(c["layers"])))


def whole_tiles(slots):
    return -(-slots // 64) * 64


def allocated_bytes(policy, options, prompt, length, capacity, c=TINY):
    """Of a store for `capacity` tokens that has seen `length`."""
    heads, d = c["kv_heads"], c["head_dim"]
    if policy in QUESTS:
        pages = 4 * heads * 2 * d * -(-capacity // options["page"])
        return c["layers"] * tile_bytes(c, capacity) + choosing_layers(policy, options, c) * pages
    if policy == "indexer":
        return c["layers"] * (tile_bytes(c, capacity) + heads * whole_tiles(capacity) * (d + 4))
    if policy == "minicache":
        pairs, slots = merged_pairs(c, options), whole_tiles(capacity)
        rows = max(1, math.ceil(options["retained"] * capacity))
        # The lower layer's tiles, one tile for the upper layer's open step, two factors a slot; rows of retained keys
        # and values with their positions; how many of these lie before each tile.
        pair = tile_bytes(c, capacity) + tile_bytes(c, 1) + 4 * heads * (2 * slots + rows * (2 * d + 1) + slots // 64 + 1)
        return (c["layers"] - 2 * pairs) * tile_bytes(c, capacity) + pairs * pair
    if policy == "sinks-relative":
        capacity = min(capacity, c["context"])
    # Beside a slot: its position, perhaps its rank, and the policy's state before and behind the open step.
    beside = 1 + (policy == "sinks-relative") + 2 * state_rows(policy, options, c, length >= prompt)
    if policy == "duo" and length >= prompt:
        keep = max(options["sinks"], tokens_to_keep(options, prompt))
        return sum(round(share * c["layers"] * heads) * (tile_bytes(c, slots) // heads + 4 * beside * whole_tiles(slots))
                   for share, slots in ((newer.RETRIEVAL, capacity), (1 - newer.RETRIEVAL, min(keep + 1, capacity))))
    total = 0
    for layer in range(c["layers"]):
        def kept(seen):
            return kept_of(policy, options, layer, c["layers"], seen, prompt)
        # Heads that share a budget: as if each had the mean, since here none has a tile more or less by it.
        slots = capacity if policy == "duo" else kept(length) + capacity - length if policy in ONCE else min(kept(capacity) + 1, capacity)
        total += tile_bytes(c, slots) + 4 * beside * heads * whole_tiles(slots)
    return total
