"""Chapter 6: groups of keys that share a scale, made and measured again in Python."""
import math

from reports import formats, plain_model as plain, step06_trial as trial
from reports.checked import case, number
from reports.step06_kv import with_outliers
from reports.step06_trial import FILES, HELDOUT, SMALL


class Kept(plain.Plain):
    """Keeps the keys behind RoPE of one layer and head."""

    def __init__(self, layer, head):
        self.place, self.keys = (layer, head), None

    def seen(self, layer, head, side, rows):
        if side == "keys" and (layer, head) == self.place:
            self.keys = rows
        return super().seen(layer, head, side, rows)


def groups_of(keys, channels):
    """Places (token, channel) of each group of 32."""
    D = len(keys[0])
    if channels:
        return [[(s + i, c) for i in range(32)] for s in range(0, len(keys), 32) for c in range(D)]
    return [[(s, c + i) for i in range(32)] for s in range(len(keys)) for c in range(0, D, 32)]


def error(kept, keys, channels):
    """Root mean square of what is lost, of that of the keys."""
    off = sum((kept[s][c] - keys[s][c]) ** 2 for s in range(len(keys)) for c in channels)
    return math.sqrt(off / sum(keys[s][c] ** 2 for s in range(len(keys)) for c in channels))


def study(keys, bits, rotate, channels):
    """(fields of a row, counts by sixtieths of a group's range)"""
    seen = [plain.hadamard(row) for row in keys] if rotate else keys
    kept, counts = [list(row) for row in seen], [0] * 60
    groups = groups_of(seen, channels)
    ranges, spreads, used = [], [], []
    for places in groups:
        x = [seen[s][c] for s, c in places]
        low, high, mean = min(x), max(x), sum(x) / 32
        ranges.append(high - low)
        spreads.append(math.sqrt(sum((v - mean) ** 2 for v in x) / 32))
        back = formats.kivi(bits, x)
        used.append(len(set(back)))
        for v in x:
            counts[min(59, int(60 * (v - low) / (high - low)))] += 1
        for (s, c), v in zip(places, back):
            kept[s][c] = v
    if rotate:
        kept = [plain.hadamard(row) for row in kept]
    D = len(keys[0])
    mean = lambda values: sum(values) / len(groups)
    return {"range": mean(ranges), "spread": mean(spreads), "codes_used": mean(used), "error": error(kept, keys, range(D)),
            "error_quiet": error(kept, keys, range(D - 2))}, counts, len(groups)


def check_histogram(run, model, tokens, layer, head, bits):
    run.head(seed=0)
    for name, value in {"model": model.name, "layer": layer, "head": head, "bits": bits}.items():
        run.given(name, value)
    run.by_hand("tokens", tokens)
    text = [0, *HELDOUT[:tokens - 1]]
    i = 0
    for inject in (False, True):
        cache = Kept(layer, head)
        plain.forward(with_outliers(model) if inject else model, text, cache)
        for rotate in (False, True):
            for channels in (False, True):
                path, row = f"rows[{i}]", run.json["rows"][i]
                fields, counts, groups = study(cache.keys, bits, rotate, channels)
                for name, value in {"inject": inject, "rotated": rotate, "group": "channel" if channels else "token"}.items():
                    run.given(f"{path}.{name}", value)
                run.closed_form(f"{path}.groups", tokens * model.head_dim // 32)
                run.holds(groups == tokens * model.head_dim // 32, "groups")
                for name, value in fields.items():
                    run.second_route(f"{path}.{name}", value, 0 if name == "codes_used" else 1e-4)
                run.second_route(f"{path}.counts", counts)
                run.says(f"{'x20' if inject else 'as is'} {'yes' if rotate else 'no'} {row['group']} {number(row['range'])} "
                         f"{number(row['spread'])} {row['codes_used']:.1f} {100 * row['error']:.2f}% {100 * row['error_quiet']:.2f}%")
                i += 1
    run.says(f"{model.name}, layer {layer}, KV head {head}: keys of {tokens} tokens in groups of 32, {bits} bits",
             f"codes: different ones in a group, of {2 ** bits}. error: root mean square, of that of the keys, turned",
             "channels: x20: two of them made 20 times as large. group: 32 channels of a token, or 32 tokens of", "RESULT rows=8")


@case("step06_quant", "histogram -m SCRATCH/many.gguf --tokens 95 --layer 0 --head 1 --bits 2", files=FILES)
def histogram(run):
    """Of 95 tokens, two whole groups."""
    check_histogram(run, SMALL, 64, 0, 1, 2)


@case("step06_quant", "histogram -m SCRATCH/many.gguf --tokens 32", files=FILES)
def histogram_of_16_codes(run):
    check_histogram(run, SMALL, 32, 0, 0, 4)
