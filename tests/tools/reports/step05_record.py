"""Chapter 5: one text with every policy, step by step, as the page for it reads it."""
import json

from reports import newer_policies as newer
from reports.book_model import Sampler, bytes_of, tiny
from reports.checked import case
from reports.policy_model import DEFAULTS, ONCE, PROTECTED, PolicyText, future_of
from reports.policy_shapes import POLICIES, held_bytes
from reports.shapes import TINY
from reports.step03_quality import bits, likeliest
from reports.step03_work import cpu

CLASSES = ["evicted", "kept", "sink", "recent", "heavy", "merged"]
EVICTED, KEPT, SINK, RECENT, HEAVY, MERGED = range(6)


def classes(store, layer, kv):
    """Why each token of the text is still there, or that it is gone."""
    slots, seen = store.slots[layer][kv], store.length
    if store.policy == "minicache":
        return [KEPT if p in store.retained[0][kv] else MERGED for p in range(seen)]
    if len(slots) == seen:
        return [KEPT] * seen
    found = [EVICTED] * seen
    if store.policy in ONCE:
        for slot in slots:
            window = 0 if store.policy in newer.KEEPS_SINKS else store.options["window"]
            found[slot.position] = RECENT if slot.position >= store.prompt - window else HEAVY
        return found
    ratings = store.ratings(layer, kv, slots)
    by_position = all(r in (PROTECTED, s.position) for r, s in zip(ratings, slots))
    for rating, slot in zip(ratings, slots):
        found[slot.position] = RECENT if by_position or rating == PROTECTED else HEAVY
    protected, first = {s.position for s, r in zip(slots, ratings) if r == PROTECTED}, 0
    while first in protected:  # an unbroken run from the first token on
        found[first] = SINK
        first += 1
    return found


def changes_of(place, before, now):
    """Runs of equal new classes, of tokens that are new or have another class."""
    runs = []
    for p, one in enumerate(now):
        if p < len(before) and before[p] == one:
            continue
        if runs and runs[-1][2] == p - 1 and runs[-1][3] == one:
            runs[-1][2] = p
        else:
            runs.append([place, p, p, one])
    return runs


def check_record(run, names, tokens, whole, recall, budget, seed=42, **options):
    """tokens: all of the text; its last one is never fed."""
    options = DEFAULTS | {"budget": budget, "seed": seed} | options
    lines = [json.loads(line) for line in run.files["out.jsonl"].decode().splitlines()]
    header = {"kvlab_policies": 1, "model": TINY["name"], "engine": cpu(run, 1),
              "config": {"layers": 2, "heads": 4, "kv_heads": 2, "head_dim": 16}, "whole": whole, "recall": recall, "budget": budget,
              "ratio": options["ratio"], "seed": seed, "pieces": [chr(t) for t in tokens], "classes": CLASSES,
              "policies": [{"name": n, "idea": POLICIES[n][0], "paper": POLICIES[n][1]} for n in names]}
    run.holds(lines[0] == header, f"the head is {lines[0]}, expected {header}")
    fed, n, answered = len(tokens) - 1, 1, 0
    run.says(f"kvlab-tiny, {cpu(run, 1)}: {fed} tokens, of which {whole} go in whole, then {fed - whole} steps")
    for name in names:
        future = future_of(tokens[:fed]) if name == "oracle" else None
        store = PolicyText(tiny(), name, prompt=whole, future=future, capacity=fed, **options)
        before, right = [[] for _ in range(4)], 0
        for step in range(fed - whole + 1):
            row = store.step(tokens[:whole] if step == 0 else [tokens[store.length]])
            following, guess = tokens[store.length], likeliest(row)
            right += guess == following
            now = [classes(store, layer, kv) for layer in range(2) for kv in range(2)]
            expected = {"policy": name, "step": step, "likeliest": chr(guess), "right": guess == following,
                        "bytes": held_bytes(name, options, whole, store.length), "held": [store.length - c.count(EVICTED) for c in now],
                        "changes": [change for place in range(4) for change in changes_of(place, before[place], now[place])]}
            line, before, n = lines[n], now, n + 1
            cost = line.pop("bits")
            run.holds(abs(cost - bits(row, following)) <= 1e-12 * cost, f"{name}, step {step}: {cost} bits, expected {bits(row, following)}")
            run.holds(line == expected, f"{name}, step {step}: {line}, expected {expected}")
        answered += guess == following
        run.says(f"{name} {right} of {fed - whole + 1} next tokens right, the last one: {'yes' if guess == following else 'no'}")
    run.holds(len(lines) == n, f"{len(lines)} lines, expected {n}")
    run.says(f"RESULT policies={len(names)} steps={fed - whole + 1} answered={answered}")


CASES = "".join(json.dumps(one) + "\n" for one in [
    {"kind": "recall", "distance": 10, "text": "ab=c;de=f;ab?c", "answer": [13]},
    {"kind": "first", "distance": 10, "text": "km=b;gf=4;km?b", "answer": [13]},  # of another kind
    {"kind": "recall", "distance": 10, "text": "is km=b;gf=4;km?b", "answer": [16]},
])


@case("step05_policies", "record -m tiny --distance 10 --case 2 --cases SCRATCH/cases.jsonl --budget 6 --observe 2 -o SCRATCH/out.jsonl",
      files={"cases.jsonl": CASES})
def record_of_a_case(run):
    """The second of this distance; half of it goes in whole."""
    tokens = bytes_of("is km=b;gf=4;km?b")
    recall = {"distance": 10, "needle": [4, 5, 6, 7], "question": [14, 15, 16]}
    check_record(run, list(POLICIES), tokens, 9, recall, 6, window=2)


@case("step05_policies", "record -m tiny --policy h2o,sinks,h2o,pyramidkv -n 9 --budget 7 --observe 2 --sinks 3 --recent 2 --policy-seed 3 "
                         "-o SCRATCH/out.jsonl -p And")
def record_of_a_prompt(run):
    """What everything kept writes behind it. A policy that is named twice runs once."""
    text, tokens, sampler = PolicyText(tiny(), "full"), bytes_of("And"), Sampler()
    for _ in range(9):
        row = text.step(tokens[text.length:])
        tokens.append(sampler.choose(row))
    check_record(run, ["h2o", "sinks", "pyramidkv"], tokens, 4, None, 7, seed=3, window=2, sinks=3, recent=2)


@case("step05_policies", "record -m tiny --policy tova,window --ratio 0.5 -n 4 --whole 2 -o SCRATCH/out.jsonl -p Andt")
def record_of_less_than_the_prompt(run):
    text, tokens, sampler = PolicyText(tiny(), "full"), bytes_of("Andt"), Sampler()
    for _ in range(4):
        row = text.step(tokens[text.length:])
        tokens.append(sampler.choose(row))
    check_record(run, ["tova", "window"], tokens, 2, None, 24, ratio=0.5)
