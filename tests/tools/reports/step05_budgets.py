"""Chapter 5: what forgetting costs by budget, at equal tokens and at equal bytes; and which questions are still answered."""
import json
import statistics

from reports.book_model import tiny
from reports.checked import case, number
from reports.policy_model import DEFAULTS, ONCE, QUESTS, PolicyText
from reports.policy_shapes import POLICIES, held_bytes
from reports.shapes import TINY
from reports.step03_work import cpu
from reports.step05_quality import CASES, TEXT, Judged, answers, cases_of, claim_seeds, seeds_of, shares_by_distance


def fitted(options, budget):
    """What a small budget has no room for becomes smaller."""
    return options | {"budget": budget, "window": min(options["window"], max(1, budget // 2)),
                      "sinks": min(options["sinks"], budget // 2),
                      "recent": -1 if options["recent"] > budget else options["recent"]}


def budget_for_bytes(policy, options, window, prompt, room):
    """The largest budget whose bytes fit; 0 if none does, or if it decides nothing."""
    if policy in ("full", "minicache", "indexer", "pyramidkv-ratios", *QUESTS):
        return 0
    least = options["window"] + 1 if policy in ONCE else 1
    return max((b for b in range(least, window + 1)
                if held_bytes(policy, options | {"budget": b}, prompt, window) <= room), default=0)


FIGURES = {"bits_per_byte": lambda j: j.bits / j.scored, "agreement": lambda j: j.agreement, "retained_mass": lambda j: j.retained,
           "oracle_overlap": lambda j: j.common, "kept_at_end": lambda j: j.end}


def check_row(run, at, policy, budget, options, window, prompt, windows, seeds, baseline):
    """baseline: the path of the row that this one is compared with, or None."""
    runs = seeds_of(policy, options, seeds)
    judged = [Judged(policy, one, window, prompt, windows) for one in runs]
    held = held_bytes(policy, options, prompt, window)
    run.given(at + "policy", policy)
    run.by_hand(at + "budget", budget)
    run.given(at + "seeds", len(runs))
    run.closed_form(at + "bytes_held", held)
    shown, below = claim_seeds(run, at, judged, baseline)
    for name, of in FIGURES.items():
        tolerance = {"bits_per_byte": 1e-13, "retained_mass": 1e-6}.get(name, 1e-12)
        run.second_route(at + name, sum(map(of, judged)) / len(runs), tolerance)
    row = {name: run.at(at + name) for name in (*FIGURES, "kl_99", "max_kl")}
    run.says(f"{policy} {budget} {row['kept_at_end']:.1f} {held} {number(row['bits_per_byte'], 4)} {shown} {below} "
             f"{number(row['kl_99'])} {number(row['max_kl'])} {100 * row['agreement']:.2f}% {row['retained_mass']:.3f} {row['oracle_overlap']:.3f}")
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


def compared_with(names, name, baseline, table):
    """The path of the baseline's row; None for itself, and where it is not there."""
    return f"{table}[{names.index(baseline)}]." if baseline in names and name != baseline else None


def check_quality(run, names, parts, window, prompt, windows, seeds=5, equal_bytes=True, seed=42, baseline="sinks", **options):
    base = DEFAULTS | {"seed": seed} | options
    run.head(seed=seed, experiment="step05_policies quality")
    for field, value in {"model": TINY["name"], "text": "heldout.txt", "window": window, "prompt": prompt, "windows": windows,
                         "baseline": baseline}.items():
        run.given(field, value)
    run.says(f"kvlab-tiny, {cpu(run, 1)}: heldout.txt, {windows} windows of {window} tokens, of which {prompt} go in whole")
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
        run.words("policy budget at end bytes bits/byte mean KL below KL 99 % max KL same mass overlap")
        for i, name in enumerate(names):
            full = check_row(run, f"{at}equal_tokens[{i}].", name, budget, own, window, prompt, windows, seeds,
                             compared_with(names, name, baseline, f"{at}equal_tokens"))
        rows += len(names)
        if not equal_bytes:
            run.holds("equal_bytes" not in run.json["budgets"][b], "tables at equal bytes were not asked for")
            continue
        run.says(f"budget: 1/{part} of the text, {room} bytes at the end, as a window of it holds")
        run.words("policy budget at end bytes bits/byte mean KL below KL 99 % max KL same mass overlap")
        fits = [(n, budget_for_bytes(n, own, window, prompt, room)) for n in names]
        fits = [(n, size) for n, size in fits if size]
        for i, (name, size) in enumerate(fits):
            check_row(run, f"{at}equal_bytes[{i}].", name, size, fitted(own, size), window, prompt, windows, seeds,
                      compared_with([n for n, _ in fits], name, baseline, f"{at}equal_bytes"))
        rows += len(fits)
    run.second_route("full_bits_per_byte", full, 1e-13)
    run.says(f"everything kept: {run.json['full_bits_per_byte']:.4f} bits per byte. KL in bits: mean and standard deviation of the windows.",
             f"look at most (Jaccard). What is random: the mean of {seeds} seeds. Not at equal bytes: what no budget")
    run.says(f"RESULT rows={rows} full_is_full=yes")


@case("step05_policies", "quality -m tiny --policy full,window,sinks,random,random-fixed,keyformer,snapkv,quest-every-layer --parts 3,7 --window 27 "
                         "--prompt 21 --tokens 60 --seeds 2 --policy-seed 5 --recent 6")
def quality_at_equal_bytes(run):
    """Two windows; a budget of 9 tokens and of 3, that has no room for four sinks nor six recent ones."""
    check_quality(run, ["full", "window", "sinks", "random", "random-fixed", "keyformer", "snapkv", "quest-every-layer"], [3, 7], 27, 21, 2, seeds=2, seed=5, recent=6)


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


def check_needle(run, names, most, budget, cases, seeds=5, **options):
    options = DEFAULTS | {"budget": budget} | options
    asked = cases_of(cases, most)
    run.head(experiment="step05_policies needle")
    for field, value in {"model": TINY["name"], "budget": budget}.items():
        run.given(field, value)
    run.by_hand("cases", len(asked))
    fewest = min(sum(one["distance"] == d for one in asked) for d in {one["distance"] for one in asked})
    error = statistics.pstdev([0, 1]) / fewest ** 0.5  # of a coin: p = 1/2
    run.closed_form("largest_standard_error", error, 1e-12)
    run.says(f"{fewest} cases or more at a distance: a share's standard error is at most {error:.2f}. What is random: of", f"{seeds} seeds.")
    run.says(f"kvlab-tiny, {cpu(run, 1)}: {len(asked)} cases, budget {budget}; share of right answers by distance")
    run.words("policy question " + " ".join(str(d) for d in sorted({one["distance"] for one in asked})) + " first second")
    for i, name in enumerate(names):
        at = f"policies[{i}]."
        run.given(at + "policy", name)
        runs = seeds_of(name, options, seeds)
        outside, inside = ([answers(name, own, one, question) for own in runs for one in asked] for question in (3, 1))
        # Two questions to the same compressed text; the oracle knows the future of one alone.
        two = [one for one in asked if another_pair(one) and name != "oracle"]
        first = [answers(name, own, one, 3) for own in runs for one in two]
        second = [answers(name, own, one, 3, another_pair(one)) for own in runs for one in two]
        lines = {}
        for where, right in (("outside", outside), ("inside", inside)):
            shares = shares_by_distance(asked * len(runs), right)
            run.second_route(at + where, {str(d): share for d, share in shares.items()})
            lines[where] = f"{where} " + " ".join(f"{share:.2f}" for share in shares.values())
        run.by_hand(at + "asked", len(runs) * sum(one["distance"] == min(c["distance"] for c in asked) for one in asked))
        run.by_hand(at + "asked_two", len(two) * len(runs))
        means = [sum(right) / len(right) if two else 0 for right in (first, second)]
        run.second_route(at + "first", means[0])
        run.second_route(at + "second", means[1])
        run.says(f"{name} {lines['outside']}" + (f" {means[0]:.2f} {means[1]:.2f}" if two else ""), lines["inside"])
    run.holds(len(run.json["policies"]) == len(names), "a row more than asked for")
    run.says(f"RESULT policies={len(names)} cases={len(asked)}")


MORE_CASES = CASES + "".join(json.dumps({"kind": "recall", "distance": distance, "text": text, "answer": [len(text) - 1]}) + "\n"
                             for distance, text in ((5, "and km=b;km?b"),  # no other pair
                                                    (7, "az=f;km=c;km?c"), (7, "Az=f;km=c;km?c"), (7, "`z=f;{a=g;km=c;km?c")))


@case("step05_policies", "needle -m tiny --budget 9 --observe 3 --recall 1 --seeds 2 --cases SCRATCH/cases.jsonl", files={"cases.jsonl": MORE_CASES})
def needle_of_all(run):
    check_needle(run, list(POLICIES), 1, 9, run.files["cases.jsonl"], seeds=2, window=3)


@case("step05_policies", "needle -m tiny --policy full,window,oracle --budget 11 --recall 9 --cases SCRATCH/cases.jsonl",
      files={"cases.jsonl": MORE_CASES})
def needle_of_some(run):
    check_needle(run, ["full", "window", "oracle"], 9, 11, run.files["cases.jsonl"])
