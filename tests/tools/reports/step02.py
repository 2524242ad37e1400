"""Chapter 2: text without a cache, and the scores of a byte model."""
import re

from reports.checked import case, reading


def forward_flops(c, past, rows, logits):
    """What a forward pass of `rows` tokens behind `past` others costs, an fma being two: from the shapes in the
    book, every product written out. c: the model's sizes. logits: rows of the head that are asked for."""
    q, kv = c["heads"] * c["head_dim"], c["kv_heads"] * c["head_dim"]
    projections = 2 * rows * c["width"] * (q + kv + kv + q)
    # Row r attends to the past + r + 1 positions that are not in its future: scores and weighted values.
    attention = sum(2 * 2 * q * (past + r + 1) for r in range(rows))
    feed_forward = 2 * rows * 3 * c["width"] * c["feed_forward"]
    return c["layers"] * (projections + attention + feed_forward) + 2 * logits * c["width"] * c["vocab"]


TINY = {"width": 64, "layers": 2, "heads": 4, "kv_heads": 2, "head_dim": 16, "feed_forward": 172, "vocab": 256}
PROMPT = "In the beginning God created the heaven and the earth. And "


def says_tiny(run):
    """Chapter 2's description of tiny; its sizes are those of the mission: V=256, d=64, 2 layers ..."""
    d, kv, f, v, layers = 64, 2 * 16, 172, 256, 2
    parameters = v * d + layers * (d * d + 2 * d * kv + d * d + 3 * d * f + 2 * d) + d + d * v
    run.says("file tiny.gguf", "vocabulary V 256", "width C 64", "layers L 2", "query heads Hq 4", "KV heads Hkv 2 (GQA)",
             "head width D 16", "feed-forward width F 172", "context 512", "positions RoPE, base 10000, 16 of each head",
             f"parameters {parameters}", f"cache per token {2 * layers * kv * 4} bytes (2 L Hkv D x 4)")
    run.words("engine cpu " + run.json["engine"].removeprefix("cpu "))
    held = int(run.line(r"weights in memory (\d+) bytes")[1])
    # Packed in panels, rows of which are filled up: between the numbers themselves and 10 % more.
    run.holds(4 * parameters <= held <= 4.4 * parameters, f"weights in memory: {held}")


def check_text(run, model, prompt, steps, seed=42, flags=()):
    """A report of generation without a cache: `steps` tokens behind a prompt that is one byte per token."""
    run.head(seed=seed, experiment="step02_attention")
    run.given("model", model)
    run.given("engine", run.json["engine"])
    run.holds(re.fullmatch(r"cpu \w+, 1 thread", run.json["engine"]), run.json["engine"])
    says_tiny(run)
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
