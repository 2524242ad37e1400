"""Chapter 2: text without a cache, and the scores of a byte model."""
import json
import re
import tempfile
from collections import Counter
from pathlib import Path

from reports.checked import case, reading
from reports.shapes import TINY, forward_flops, weight_bytes

PROMPT = "In the beginning God created the heaven and the earth. And "


def describes_tiny(run):
    """Chapter 2's description of tiny; its sizes are those of the mission: V=256, d=64, 2 layers ..."""
    d, kv, f, v, layers = 64, 2 * 16, 172, 256, 2
    parameters = v * d + layers * (d * d + 2 * d * kv + d * d + 3 * d * f + 2 * d) + d + d * v
    run.says("file tiny.gguf", "vocabulary V 256", "width C 64", "layers L 2", "query heads Hq 4", "KV heads Hkv 2 (GQA)",
             "head width D 16", "feed-forward width F 172", "context 512", "positions RoPE, base 10000, 16 of each head",
             f"parameters {parameters}", f"cache per token {2 * layers * kv * 4} bytes (2 L Hkv D x 4)")
    run.says(f"weights in memory {weight_bytes(TINY)} bytes")


def check_text(run, model, prompt, steps, seed=42, flags=()):
    """A report of generation without a cache: `steps` tokens behind a prompt that is one byte per token."""
    run.head(seed=seed, experiment="step02_attention")
    run.given("model", model)
    run.given("engine", run.json["engine"])
    run.holds(re.fullmatch(r"cpu \w+, 1 thread", run.json["engine"]), run.json["engine"])
    describes_tiny(run)
    run.words("engine " + run.json["engine"])
    # Chapter 3's program makes the same text with a cache, and its checksum is of the same logits.
    cached = run.start("step03_kvcache", "generate", "-m", "tiny", "-n", steps, "-p", prompt, *flags).stdout
    run.second_route("checksum", re.search(r"checksum=(\w+)", cached)[1])
    written = run.output[run.output.index("\n" + prompt):run.output.index("\n  token")].strip("\n")
    run.holds(written in cached, "with a cache another text is written")
    run.words(*written.splitlines())
    seconds = flops = 0
    every = max(1, steps // 8)
    for i in range(steps):
        length = 1 + len(prompt) + i  # a BOS and the text's bytes went in, and what was generated before
        # One reading starts the watch, one starts it again; then two for each token.
        taken = reading(2 + 2 * i) - reading(1 + 2 * i)
        work = forward_flops(TINY, 0, length, 1)
        run.by_hand(f"tokens[{i}].length", length)
        run.closed_form(f"tokens[{i}].flops", work)
        run.counted_clock(f"tokens[{i}].seconds", taken)
        if i % every == 0 or i + 1 == steps:
            run.says(f"{i + 1} {length} {1e3 * taken:.3f} {1e-6 * work:.2f}")
        seconds, flops = seconds + taken, flops + work
    run.says(f"every token runs the whole text again: {steps} tokens, {seconds:.3f} s, {1e-9 * flops:.3f} GFLOP in all",
             f"RESULT tokens={steps} seconds={seconds:.6g} finish='length' checksum={run.json['checksum']}")


@case("step02_attention", "-n 9 -m tiny")
def generation(run):
    check_text(run, "kvlab-tiny", PROMPT, 9)


@case("step02_attention", "-m tiny -n 17 -t 0.9 --seed 7 -p And")
def rows_between(run):
    """Of many tokens every second or third is shown, and always the last."""
    check_text(run, "kvlab-tiny", "And", 17, 7, ("-t", 0.9, "--seed", 7))


# --- scores --------------------------------------------------------------------------------------

WEIGHTS = Path(__file__).resolve().parents[3] / "weights"
WINDOW = 512


def score_head(run, windows):
    run.head(seed=0)
    run.given("model", "kvlab-tiny")
    engine = re.fullmatch(r"tiny.gguf, (cpu \w+, 1 thread)", run.lines[0])
    run.holds(engine, run.lines[0])
    run.says(run.lines[0])
    bits = run.json["bits_per_byte"]
    run.says(f"{bits:.5f} bits per byte over {windows * WINDOW} bytes in {windows} windows of {WINDOW}")
    return bits


def says_scores(run, cases):
    """The printed table of a report: `cases` are the lines of the file that were asked."""
    asked = Counter()
    for one in cases:
        asked[one["kind"], one["distance"]] += len(one["answer"])
    run.says("attention on position 0 by layer (even attention: 0.0046): "
             + " ".join(f"{mass:.6f}" for mass in run.json["sink_mass"]))
    shares = {(kind, int(distance)): share for kind, row in run.json["accuracy"].items() for distance, share in row.items()}
    run.holds(shares.keys() == asked.keys(), f"tasks: {sorted(shares)}, asked: {sorted(asked)}")
    for key, share in shares.items():
        run.says(f"{key[0]} {key[1]} {asked[key]} {share:.4f}")
        right = share * asked[key]
        run.holds(abs(right - round(right)) < 1e-9, f"{key}: {share} of {asked[key]} answers is no whole number")
    recall = [share for (kind, _), share in shares.items() if kind == "recall"]
    mean, worst = (sum(recall) / len(recall), min(recall)) if recall else (0, 1)
    run.same_report("recall_mean", mean, 1e-15)
    run.says(f"RESULT bits_per_byte={run.json['bits_per_byte']:.6g} recall_mean={mean:.6g} recall_worst={worst:.6g}")
    return shares


@case("step02_attention", "score -m tiny", clock=None)
def scores_of_pytorch(run):
    """Against what PyTorch measured when tiny was trained (weights/evaluate.py, the same definitions). Bits and the sink
    agree to the digits that the log holds, up to float32 sums in another order; of the answers one may differ, where
    two logits are nearly equal."""
    expected = json.loads((WEIGHTS / "logs/tiny_scores.json").read_text())
    windows = (WEIGHTS / "heldout.txt").stat().st_size // WINDOW
    bits = score_head(run, windows)
    run.second_route("bits_per_byte", expected["bits_per_byte"], 2e-5 / bits)
    for layer, mass in enumerate(expected["sink_mass"]):
        run.second_route(f"sink_mass[{layer}]", mass, 2e-6 / mass)
    shares = says_scores(run, map(json.loads, (WEIGHTS / "recall_cases.jsonl").read_text().splitlines()))
    for (kind, distance), share in shares.items():
        path = f"accuracy.{kind}.\"{distance}\"" if not re.fullmatch(r"\w+", str(distance)) else f"accuracy.{kind}.{distance}"
        run.second_route(path, expected["accuracy"][kind][str(distance)], 0.0101 / share)


def bits_of(run, text):
    with tempfile.NamedTemporaryFile() as file, tempfile.NamedTemporaryFile("w") as cases:
        file.write(text)
        file.flush()
        cases.write((WEIGHTS / "recall_cases.jsonl").read_text().splitlines()[0] + "\n")
        cases.flush()
        return run.other("step02_attention", f"score -m tiny --text {file.name} --cases {cases.name}")


@case("step02_attention", "score -m tiny --windows 2 --cases SCRATCH/cases.jsonl", files={
    "cases.jsonl": lambda: "\n".join((WEIGHTS / "recall_cases.jsonl").read_text().splitlines()[:3] + [
        '{"kind": "first", "distance": 5, "text": "abcabc", "answer": [3, 4]}']) + "\n"})
def scores_of_parts(run):
    """Two windows are the mean of each alone; a task of another name does not count as recall."""
    score_head(run, 2)
    text = (WEIGHTS / "heldout.txt").read_bytes()
    alone = [bits_of(run, text[WINDOW * w:WINDOW * (w + 1) + 100]) for w in (0, 1)]
    run.second_route("bits_per_byte", sum(one["bits_per_byte"] for one in alone) / 2, 1e-12)
    first16 = bits_of(run, text[:16 * WINDOW])  # the sink looks at sixteen windows, however many are scored
    run.second_route("sink_mass", first16["sink_mass"])
    two = bits_of(run, text[:2 * WINDOW + 100])["sink_mass"]  # of a shorter text, the mean over what there is
    means = [sum(layer) / 2 for layer in zip(*(one["sink_mass"] for one in alone))]
    run.holds(all(abs(a - b) < 1e-12 for a, b in zip(two, means)), f"the sink of two windows: {two}, of each alone: {means}")
    says_scores(run, map(json.loads, run.files["cases.jsonl"].decode().splitlines()))
    for path in [p for p in run.values if p.startswith("accuracy.")]:
        run.between(path, 0, 1)
    run.holds(run.json["accuracy"].keys() == {"recall", "first"}, "two tasks were asked")


@case("step02_attention", "score -m tiny --windows 1 --cases SCRATCH/cases.jsonl", files={
    "cases.jsonl": '{"kind": "first", "distance": 5, "text": "abcabc", "answer": [3, 4]}\n'})
def scores_without_recall(run):
    """No task of that name: the mean is 0, not a number divided by nothing."""
    score_head(run, 1)
    says_scores(run, [json.loads(run.files["cases.jsonl"])])
    for path in [p for p in run.values if p.startswith(("accuracy.", "sink_mass", "bits_per"))]:
        run.between(path, 0, 8)
    run.holds(run.json["recall_mean"] == 0, "a mean over nothing")
