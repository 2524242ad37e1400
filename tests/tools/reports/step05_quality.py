"""Chapter 5: what forgetting costs, on the same text and the same questions, by the book in Python."""
import json

from reports import small_model
from reports.book_model import WEIGHTS, tiny
from reports.checked import case, number
from reports.policy_model import PolicyText, future_of
from reports.policy_shapes import POLICIES, allocated_bytes, held_bytes, rows_of
from reports.shapes import TINY, cache_bytes
from reports.spreads import claim_windows, near
from reports.step03_quality import bits, divergence, likeliest
from reports.step03_work import cpu

TEXT = (WEIGHTS / "heldout.txt").read_bytes()[:4096]
DRAWS = ("random", "random-fixed", "keyformer")  # policies whose figures depend on a seed


class Subject:
    """A model and a text in its tokens. bos: what each window begins with; None: with a token of the text."""

    def __init__(self, model, shape, tokens, lengths, bos):
        self.model, self.shape, self.lengths, self.bos = model, shape, lengths, bos
        self.tokens = [*([] if bos is None else [bos]), *tokens]

    def window(self, size, w):
        """(tokens that go in, tokens that are to come)"""
        tokens = self.tokens[w * size:(w + 1) * size]
        return [tokens[0] if self.bos is None else self.bos, *tokens[1:]], self.tokens[w * size + 1:(w + 1) * size + 1]


BYTES = Subject(tiny(), TINY, TEXT, [1] * 256, 0)


class Judged:
    """One policy against the run that keeps everything: what comes behind the prompt of each window is asked for."""

    def __init__(self, policy, options, window, prompt, windows, subject=BYTES):
        self.bits = self.full_bits = 0.0
        self.kl, self.same, self.mass, self.overlap = [], [], [], []
        self.scored, self.bytes, self.shape = windows * (window - prompt), 0, subject.shape
        for w in range(windows):
            tokens, targets = subject.window(window, w)
            self.bytes += sum(subject.lengths[token] for token in targets[prompt:])
            everything = PolicyText(subject.model, "full")
            expected = [everything.feed(token) for token in tokens]
            future = future_of(tokens, subject.model)
            store = PolicyText(subject.model, policy, prompt=prompt, future=future, capacity=window, **options)
            store.step(tokens[:prompt])
            self.behind = store.mean_kept()
            for i in range(prompt, window):
                self.judge_by_attention(store, everything, future, i)
                row = store.step([tokens[i]])
                self.full_bits += bits(expected[i], targets[i])
                self.bits += bits(row, targets[i])
                self.kl.append(divergence(expected[i], row))
                self.same.append(likeliest(expected[i]) == likeliest(row))
            self.end = store.mean_kept()
        self.agreement, self.mean_kl = sum(self.same) / self.scored, sum(self.kl) / self.scored
        each = window - prompt
        self.window_kl, self.window_agreement = ([sum(of[w * each:(w + 1) * each]) / each for w in range(windows)] for of in (self.kl, self.same))
        self.kl_99 = sorted(self.kl)[int(0.99 * (self.scored - 1))]
        self.retained, self.common = (sum(n) / len(n) for n in (self.mass, self.overlap))

    def judge_by_attention(self, store, everything, future, query):
        """Of the full run's attention of this query: what goes to tokens that are still there, or to its own; and how many
        of them are those that all later queries look at most."""
        for layer in range(self.shape["layers"]):
            for kv in range(self.shape["kv_heads"]):
                shares, kept = everything.given[layer][kv][query], store.kept(layer, kv)
                self.mass.append((sum(shares[p] for p in kept) + shares[query]) / sum(shares))
                wanted = sorted(range(query), key=lambda p: (-future(layer, kv, p, query), p))[:len(kept)]
                both = len(set(kept) & set(wanted))
                self.overlap.append(both / (len(kept) + len(wanted) - both))


# --- recall --------------------------------------------------------------------------------------

def cases_of(file, most):
    """The first `most` of each distance."""
    taken, cases = {}, []
    for one in map(json.loads, file.decode().splitlines()):
        if one["kind"] == "recall" and taken.get(one["distance"], 0) < most:
            taken[one["distance"]] = taken.get(one["distance"], 0) + 1
            cases.append(one)
    return cases


_known = {}


def answers(*question):
    """answer_to(), of a question that was asked before from memory."""
    key = json.dumps(question)
    if key not in _known:
        _known[key] = answer_to(*question)
    return _known[key]


def answer_to(policy, options, recall, question, asked=None):
    """Whether the likeliest byte is the answer. The text goes in whole up to the last `question` tokens. asked: another
    (question, answer) instead."""
    text = recall["text"].encode()[:recall["answer"][0]]
    tokens = [0, *text]
    prompt = len(tokens) - question
    future = future_of(tokens) if policy == "oracle" else None
    store = PolicyText(tiny(), policy, prompt=prompt, future=future, capacity=len(tokens), **options)
    row = store.step(tokens[:prompt])
    for token in asked[0].encode() if asked else tokens[prompt:]:
        row = store.step([token])
    return likeliest(row) == ord(asked[1] if asked else recall["text"][recall["answer"][0]])


def shares_by_distance(cases, right):
    """{distance: share of right ones}"""
    found = {}
    for one, good in zip(cases, right):
        found.setdefault(one["distance"], []).append(good)
    return {distance: sum(of) / len(of) for distance, of in sorted(found.items())}


# --- compare -------------------------------------------------------------------------------------

def means_of(values):
    """Of lists of the same length, the mean place by place."""
    return [sum(of) / len(of) for of in zip(*values)]


def seeds_of(policy, options, seeds):
    """The options of each run of a policy: what draws has several."""
    return [options | {"seed": options["seed"] + s} for s in range(seeds if policy in DRAWS else 1)]


def check_compare(run, rows, window, prompt, windows, budget, recall=0, ratio=0, set_name="", cases="cases.jsonl", text="heldout.txt",
                  seed=42, subject=BYTES, seeds=5, baseline="sinks"):
    shape = subject.shape
    size, scored = cache_bytes(shape, window), windows * (window - prompt)
    run.head(seed=seed, experiment="step05_policies compare")
    for field, value in {"model": shape["name"], "engine": cpu(run, 1), "text": text, "windows": windows, "window": window,
                         "prompt": prompt, "baseline": baseline, "budget": budget, "ratio": ratio, "set": set_name}.items():
        run.given(field, value)
    run.says(f"{shape['name']}, {cpu(run, 1)}: {text}, {windows} windows of {window} tokens, of which {prompt} go in whole")
    asked = cases_of(run.files[cases], recall) if recall else []
    head = "policy kept, at end bytes share factor bits/byte same mean KL below KL 99 %"
    if asked:
        run.words(f"{head} recall at " + " ".join(str(d) for d in sorted({c["distance"] for c in asked})))
    else:
        run.words(head)
    compared_with = next((i for i, row in enumerate(rows) if row[0] == baseline), None)
    for i, (label, policy, options) in enumerate(rows):
        runs = seeds_of(policy, options, seeds)
        of_seeds = [Judged(policy, one, window, prompt, windows, subject) for one in runs]
        judged, figures, at = of_seeds[0], run.json["policies"][i], f"policies[{i}]."
        held = held_bytes(policy, options, prompt, window, shape)
        run.given(at + "policy", label)
        run.given(at + "seeds", len(runs))
        run.given(at + "paper", POLICIES[policy][1])
        run.closed_form(at + "kept_behind_prompt", judged.behind)
        run.closed_form(at + "kept_at_end", judged.end)
        run.closed_form(at + "bytes_held", held)
        run.closed_form(at + "share_of_full", held / size)
        run.closed_form(at + "bytes_allocated", allocated_bytes(policy, options, prompt, window, window, shape))
        bits_of, agreement = (sum(of) / len(runs) for of in zip(*((j.bits, j.agreement) for j in of_seeds)))
        run.second_route(at + "bits_per_byte", bits_of / judged.bytes, 1e-13)
        run.second_route(at + "agreement", agreement, 1e-12)
        shown, below = claim_seeds(run, at, of_seeds, None if compared_with in (None, i) else f"policies[{compared_with}].")
        line = (f"{label} {judged.behind:.1f}, {judged.end:.1f} {held} {held / size:.3f} {size / held:.2f} "
                f"{figures['bits_per_byte']:.4f} {100 * figures['agreement']:.2f}% {shown} {below} {number(figures['kl_99'])}")
        if asked:
            found = shares_by_distance(asked * len(runs), [answers(policy, one, case, 3) for one in runs for case in asked])
            run.holds({int(d) for d in figures["recall"]} == found.keys(), f"recall at {list(figures['recall'])}")
            for distance, share in found.items():
                run.second_route(f"{at}recall.{distance}", share)
                line += f" {share:.2f}"
        run.says(line)
    run.holds(len(run.json["policies"]) == len(rows), "a row more than asked for")
    full = run.json["full_bits_per_byte"]
    run.second_route("full_bits_per_byte", judged.full_bits / judged.bytes, 1e-13)
    run.closed_form("full_bytes", size)
    budget_line = f"set: {set_name}" if set_name else (f"budget: {ratio:g} of the tokens seen for each layer and KV head" if ratio
                                                       else f"budget: {budget} tokens for each layer and KV head")
    run.says(f"{budget_line}; everything kept: {full:.4f} bits per byte, {size} bytes")
    run.says(f"What is random: the mean of {seeds} seeds.")
    run.says(f"RESULT policies={len(rows)} positions={scored} full_is_full=yes")


def claim_seeds(run, at, of_seeds, baseline):
    """What is said of KL, over seeds and windows. Returns what the table shows of it."""
    if len(of_seeds) == 1:
        claim_divergence(run, at, of_seeds[0])
    else:
        for name, values in (("mean_kl", [j.mean_kl for j in of_seeds]), ("kl_99", [j.kl_99 for j in of_seeds]), ("max_kl", [max(j.kl) for j in of_seeds])):
            near(run, at + name, sum(values) / len(values))
        for s, judged in enumerate(of_seeds):
            near(run, f"{at}seed_kl[{s}]", judged.mean_kl)
    return claim_windows(run, at, means_of([j.window_kl for j in of_seeds]), means_of([j.window_agreement for j in of_seeds]), baseline)


def claim_divergence(run, at, judged, names=("mean_kl", "kl_99", "max_kl")):
    """Exactly 0 where nothing was lost. Otherwise differences of nearly equal numbers, that have lost some digits; and
    where only the order of sums is another, hardly anything but such digits is left."""
    worst = max(judged.kl)
    for name, expected in zip(names, (judged.mean_kl, judged.kl_99, worst)):
        found = run.at(at + name)
        if worst == 0 or abs(found - expected) > 1e-13:  # bits
            run.second_route(at + name, expected, 1e-8)
        else:
            run.second_route(at + name, found)


CASES = "".join(json.dumps(one) + "\n" for one in [
    {"kind": "recall", "distance": 10, "text": "km=b;gf=4;km?b", "answer": [13]},
    {"kind": "first", "distance": 10, "text": "km=b;gf=4;km?b", "answer": [13]},  # of another kind: not asked
    {"kind": "recall", "distance": 5, "text": "gf=4;km=b;km?b", "answer": [13]},
    {"kind": "recall", "distance": 10, "text": "the gf=4;ja=q;gf?4", "answer": [17]},
    {"kind": "recall", "distance": 10, "text": "ab=c;de=f;ab?c", "answer": [13]},  # one more than asked for
])


@case("step05_policies", "compare -m tiny --window 30 --prompt 24 --tokens 60 --budget 16 --observe 5 --recall 2 --seeds 2 --cases SCRATCH/cases.jsonl",
      files={"cases.jsonl": CASES})
def compare_all(run):
    check_compare(run, rows_of(POLICIES, budget=16, window=5), 30, 24, 2, 16, recall=2, seeds=2)


WORDS = " ".join(["low lower new newer", "owl", "flew", "lower and lower.", "a new low", "zebras jump"] * 2)
LAYERS = small_model.SHAPE | {"layers": 4}


@case("step05_policies", "compare -m SCRATCH/words.gguf --text SCRATCH/words.txt --window 34 --prompt 26 --tokens 68 --budget 11 --observe 3 "
                         "--beta 4 --merge-from 0 --retained 0.2 --recall 0 --seeds 1 --baseline window",
      files={"words.txt": WORDS, "words.gguf": lambda: small_model.file(4)})
def compare_words_in_four_layers(run):
    """A token is one byte or up to four, and of no window the first: bits are of the targets' bytes. Four layers have
    budgets of four sizes, and two pairs."""
    lengths = [len(small_model.decode([t])) for t in range(LAYERS["vocab"])]
    subject = Subject(small_model.model(4), LAYERS, small_model.encode(WORDS), lengths, None)
    run.holds(len(subject.tokens) > 68, f"{len(subject.tokens)} tokens hold no two windows")
    options = {"budget": 11, "window": 3, "beta": 4, "merge_from": 0, "retained": 0.2}
    check_compare(run, rows_of(POLICIES, **options), 34, 26, 2, 11, text="words.txt", subject=subject, seeds=1, baseline="window")


@case("step05_policies", "compare -m tiny --set minicache --window 26 --prompt 21 --tokens 26 --recall 0")
def compare_minicaches(run):
    """With every token retained it is the full cache."""
    check_compare(run, rows_of("minicache", budget=64), 26, 21, 1, 64, set_name="minicache")
    run.holds(run.json["policies"][-1]["max_kl"] == 0, "a token that is retained is merged")


@case("step05_policies", "compare -m tiny --set pyramid --window 41 --prompt 37 --tokens 81 --recall 0")
def compare_pyramids(run):
    check_compare(run, rows_of("pyramid", budget=64), 41, 37, 1, 64, set_name="pyramid")


@case("step05_policies", "compare -m tiny --policy quest,quest-by-bound,key-norm,h2o,h2o-mean,h2o-forgetting,random,random-fixed,snapkv,scissorhands,keyformer --ratio 0.4 --whole-layers 1 --page 4 "
                         "--forget 0.5 --recent 3 --max-pool --kernel 3 --votes 5 --observe 4 --policy-seed 9 --tau-first 0.5 --tau-step 0.25 --window 25 --prompt 22 --tokens 25 "
                         "--recall 0 --seeds 1 --text SCRATCH/text.txt", files={"text.txt": TEXT})
def compare_by_ratio(run):
    options = {"ratio": 0.4, "whole_layers": 1, "page": 4, "forget": 0.5, "recent": 3, "max_pool": True, "kernel": 3, "votes": 5,
               "window": 4, "seed": 9, "tau-first": 0.5, "tau-step": 0.25}
    rows = rows_of(["quest", "quest-by-bound", "key-norm", "h2o", "h2o-mean", "h2o-forgetting", "random", "random-fixed", "snapkv", "scissorhands", "keyformer"],
                   budget=64, **options)
    check_compare(run, rows, 25, 22, 1, 64, ratio=0.4, text="text.txt", seed=9, seeds=1)


@case("step05_policies", "compare -m tiny --policy full,quest,minicache,window,sinks-relative,tova,snapkv --budget 99 --merge-from 2 "
                         "--window 22 --prompt 18 --tokens 22 --recall 0")
def compare_with_room_for_all(run):
    """A budget beyond the text, layers that are read whole, no pair to merge: everything is kept, to the bit."""
    names = ["full", "quest", "minicache", "window", "sinks-relative", "tova", "snapkv"]
    check_compare(run, rows_of(names, budget=99, merge_from=2), 22, 18, 1, 99)
    run.holds(all(row["max_kl"] == 0 and row["kept_at_end"] == 22 for row in run.json["policies"]), "something is lost")
