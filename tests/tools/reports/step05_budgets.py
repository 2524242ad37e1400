"""Chapter 5: what forgetting costs by budget, at equal tokens and at equal bytes; and which questions are still answered."""
import json

from reports.book_model import tiny
from reports.checked import case, number
from reports.policy_model import DEFAULTS, ONCE, PolicyText
from reports.policy_shapes import POLICIES, held_bytes
from reports.shapes import TINY
from reports.step03_work import cpu
from reports.step05_quality import CASES, TEXT, Judged, answers, cases_of, claim_divergence, shares_by_distance


def fitted(options, budget):
    """What a small budget has no room for becomes smaller."""
    return options | {"budget": budget, "window": min(options["window"], max(1, budget // 2)),
                      "sinks": min(options["sinks"], budget // 2),
                      "recent": -1 if options["recent"] > budget else options["recent"]}


def budget_for_bytes(policy, options, window, prompt, room):
    """The largest budget whose bytes fit; 0 if none does, or if it decides nothing."""
    if policy in ("full", "quest", "minicache", "indexer", "pyramidkv-ratios"):
        return 0
    least = options["window"] + 1 if policy in ONCE else 1
    return max((b for b in range(least, window + 1)
                if held_bytes(policy, options | {"budget": b}, prompt, window) <= room), default=0)


FIGURES = {"bits_per_byte": lambda j: j.bits / j.scored, "mean_kl": lambda j: j.mean_kl, "kl_99": lambda j: j.kl_99,
           "max_kl": lambda j: max(j.kl), "agreement": lambda j: j.agreement, "retained_mass": lambda j: j.retained,
           "oracle_overlap": lambda j: j.common, "kept_at_end": lambda j: j.end}


def check_row(run, at, policy, budget, options, window, prompt, windows, seeds):
    count = seeds if policy in ("random", "keyformer") else 1
    judged = [Judged(policy, options | {"seed": options["seed"] + s}, window, prompt, windows) for s in range(count)]
    held = held_bytes(policy, options, prompt, window)
    run.given(at + "policy", policy)
    run.by_hand(at + "budget", budget)
    run.given(at + "seeds", count)
    run.closed_form(at + "bytes_held", held)
    if count == 1:
        claim_divergence(run, at, judged[0])
    for name, of in FIGURES.items():
        values = [of(j) for j in judged]
        tolerance = {"bits_per_byte": 1e-13, "retained_mass": 1e-6}.get(name, 1e-15 if count == 1 else 1e-8)
        if count > 1 or "kl" not in name:
            run.second_route(at + name, sum(values) / count, tolerance)
        spread = max(values) - min(values)
        run.second_route(f"{at}{name}_spread", spread, 1e-6 if name == "retained_mass" else 1e-8)
    row = {name: run.at(at + name) for name in FIGURES}
    told = number(row["bits_per_byte"], 4) + (f" +{number(run.at(at + 'bits_per_byte_spread'), 2)}" if count > 1 else "")
    run.says(f"{policy} {budget} {row['kept_at_end']:.1f} {held} {told} {number(row['mean_kl'])} {number(row['kl_99'])} "
             f"{number(row['max_kl'])} {100 * row['agreement']:.2f}% {row['retained_mass']:.3f} {row['oracle_overlap']:.3f}")
    if policy == "full":
        run.holds(max(judged[0].kl) == 0 and row["retained_mass"] == row["oracle_overlap"] == 1, "everything kept is not everything")
    return judged[0].full_bits / judged[0].scored


def check_sinks(run, window):
    text = PolicyText(tiny(), "full")
    text.step([0, *TEXT[:window - 1]])
    asked = range(window // 2, window)
    even = sum(1 / (t + 1) for t in asked) / len(asked)
    line = "attention on the first token, per layer, second half of a window:"
    for layer, heads in enumerate(text.given):
        mass = sum(rows[t][0] for rows in heads for t in asked) / len(asked) / len(heads)
        run.second_route(f"sink_mass[{layer}]", mass, 1e-6)
        line += f" {run.json['sink_mass'][layer]:.3f}"
    run.closed_form("even_share", even, 1e-15)
    run.says(line, f"an even share would be {even:.4f}")


def check_quality(run, names, parts, window, prompt, windows, seeds=3, equal_bytes=True, seed=42, **options):
    base = DEFAULTS | {"seed": seed} | options
    run.head(seed=seed, experiment="step05_policies quality")
    for field, value in {"model": TINY["name"], "window": window, "prompt": prompt, "windows": windows}.items():
        run.given(field, value)
    run.says(f"kvlab-tiny, {cpu(run, 1)}: {windows} windows of {window} tokens, of which {prompt} go in whole")
    check_sinks(run, window)
    rows = 0
    for b, part in enumerate(parts):
        budget = max(1, window // part)
        own, at = fitted(base, budget), f"budgets[{b}]."
        room = held_bytes("window", own, prompt, window)
        run.given(at + "part", part)
        run.by_hand(at + "budget", budget)
        run.closed_form(at + "window_bytes", room)
        run.says(f"budget: 1/{part} of the text, {budget} tokens")
        run.words("policy budget at end bytes bits/byte mean KL KL 99 % max KL same mass overlap")
        for i, name in enumerate(names):
            full = check_row(run, f"{at}equal_tokens[{i}].", name, budget, own, window, prompt, windows, seeds)
        rows += len(names)
        if not equal_bytes:
            run.holds("equal_bytes" not in run.json["budgets"][b], "tables at equal bytes were not asked for")
            continue
        run.says(f"budget: 1/{part} of the text, {room} bytes at the end, as a window of it holds")
        run.words("policy budget at end bytes bits/byte mean KL KL 99 % max KL same mass overlap")
        fits = [(n, budget_for_bytes(n, own, window, prompt, room)) for n in names]
        fits = [(n, size) for n, size in fits if size]
        for i, (name, size) in enumerate(fits):
            check_row(run, f"{at}equal_bytes[{i}].", name, size, fitted(own, size), window, prompt, windows, seeds)
        rows += len(fits)
    run.second_route("full_bits_per_byte", full, 1e-13)
    run.says(f"everything kept: {run.json['full_bits_per_byte']:.4f} bits per byte. KL in bits. same: the same most likely next")
    run.says(f"RESULT rows={rows} full_is_full=yes")


@case("step05_policies", "quality -m tiny --policy full,window,sinks,random,keyformer,snapkv,quest --parts 3,7 --window 27 "
                         "--prompt 21 --tokens 60 --seeds 2 --policy-seed 5 --recent 6")
def quality_at_equal_bytes(run):
    """Two windows; a budget of 9 tokens and of 3, that has no room for four sinks nor six recent ones."""
    check_quality(run, ["full", "window", "sinks", "random", "keyformer", "snapkv", "quest"], [3, 7], 27, 21, 2, seeds=2, seed=5, recent=6)


@case("step05_policies", "quality -m tiny --parts 2 --window 16 --prompt 13 --tokens 16 --seeds 1 --no-bytes")
def quality_of_all(run):
    check_quality(run, list(POLICIES), [2], 16, 13, 1, seeds=1, equal_bytes=False)


# --- needle --------------------------------------------------------------------------------------

def another_pair(recall):
    """The first pair "xx=y;" of the text that is not the one asked for: (question, answer), or None."""
    text, answer = recall["text"], recall["answer"][0]
    for at in range(2, answer - 5):
        key = text[at - 2:at]
        if text[at] == "=" and text[at + 2] == ";" and all("a" <= c <= "z" for c in key) and key != text[answer - 3:answer - 1]:
            return key + "?", text[at + 1]
    return None


def check_needle(run, names, most, budget, cases, **options):
    options = DEFAULTS | {"budget": budget} | options
    asked = cases_of(cases, most)
    run.head(experiment="step05_policies needle")
    for field, value in {"model": TINY["name"], "budget": budget}.items():
        run.given(field, value)
    run.by_hand("cases", len(asked))
    run.says(f"kvlab-tiny, {cpu(run, 1)}: {len(asked)} cases, budget {budget}; share of right answers by distance")
    run.words("policy question " + " ".join(str(d) for d in sorted({one["distance"] for one in asked})) + " first second")
    for i, name in enumerate(names):
        at = f"policies[{i}]."
        run.given(at + "policy", name)
        outside, inside = ([answers(name, options, one, question) for one in asked] for question in (3, 1))
        # Two questions to the same compressed text; the oracle knows the future of one alone.
        two = [one for one in asked if another_pair(one) and name != "oracle"]
        first = [answers(name, options, one, 3) for one in two]
        second = [answers(name, options, one, 3, another_pair(one)) for one in two]
        lines = {}
        for where, right in (("outside", outside), ("inside", inside)):
            shares = shares_by_distance(asked, right)
            run.second_route(at + where, {str(d): share for d, share in shares.items()})
            lines[where] = f"{where} " + " ".join(f"{share:.2f}" for share in shares.values())
        run.by_hand(at + "asked_two", len(two))
        means = [sum(right) / len(two) if two else 0 for right in (first, second)]
        run.second_route(at + "first", means[0])
        run.second_route(at + "second", means[1])
        run.says(f"{name} {lines['outside']}" + (f" {means[0]:.2f} {means[1]:.2f}" if two else ""), lines["inside"])
    run.holds(len(run.json["policies"]) == len(names), "a row more than asked for")
    run.says(f"RESULT policies={len(names)} cases={len(asked)}")


MORE_CASES = CASES + "".join(json.dumps({"kind": "recall", "distance": distance, "text": text, "answer": [len(text) - 1]}) + "\n"
                             for distance, text in ((5, "and km=b;km?b"),  # no other pair
                                                    (7, "az=f;km=c;km?c"), (7, "Az=f;km=c;km?c"), (7, "`z=f;{a=g;km=c;km?c")))


@case("step05_policies", "needle -m tiny --budget 9 --observe 3 --recall 1 --cases SCRATCH/cases.jsonl", files={"cases.jsonl": MORE_CASES})
def needle_of_all(run):
    check_needle(run, list(POLICIES), 1, 9, run.files["cases.jsonl"], window=3)


@case("step05_policies", "needle -m tiny --policy full,window,oracle --budget 11 --recall 9 --cases SCRATCH/cases.jsonl",
      files={"cases.jsonl": MORE_CASES})
def needle_of_some(run):
    check_needle(run, ["full", "window", "oracle"], 9, 11, run.files["cases.jsonl"])
