"""Chapter 7: guesses that are right, a prompt in a file, and tokens per second."""
import re
import struct

from reports.book_model import WEIGHTS, bytes_of, printable
from reports.checked import case, number, reading
from reports.formats import Gguf, gguf_bytes
from reports.serving_model import Scheduler
from reports.serving_traces import CountingClock, WallSteps
from reports.shapes import TINY, cache_bytes, tile_bytes, weight_bytes
from reports.step03_speed import race_text
from reports.step03_work import cpu
from reports.step07_compare import go_on
from reports.times import quartiles

# --- guesses ----------------------------------------------------------------------------------------


def first_layer():
    """tiny without its second layer."""
    file = Gguf((WEIGHTS / "tiny.gguf").read_bytes())
    metadata = file.metadata | {"llama.block_count": (file.metadata["llama.block_count"][0], 1)}
    return gguf_bytes(metadata, {name: t for name, t in file.tensors.items() if not name.startswith("blk.1.")})


class Guessing(Scheduler):
    """guess(text so far, most): what somebody expects to follow; None: nobody guesses but the text itself."""
    guess_with = None

    def guesses_of(self, text, most):
        return self.guess_with(text.tokens, most) if self.guess_with else super().guesses_of(text, most)


def accepted(prompts, answers, length, guess_with):
    """By the names of a row."""
    most = len(answers[0])
    s = Guessing(len(prompts) * 9, len(prompts), 10**6, drafts=length)
    s.guess_with = guess_with
    for prompt, answer in zip(prompts, answers):
        s.add(prompt, most, answer)
    s.step()  # all prompts, and a token of each
    steps = 0
    while s.step():
        steps += len(s.parts)
    c, written = s.counts, s.counts["written"] - len(prompts)
    return {"length": length, "drafted": c["drafted"], "accepted": c["accepted"], "rate": c["accepted"] / c["drafted"] if c["drafted"] else 0,
            "steps": steps, "written": written, "tokens_per_step": written / steps}


def check_acceptance(run, count, prompt, steps, lengths, temperature=0, seed=42, sampling=()):
    heldout = (WEIGHTS / "heldout.txt").read_bytes().decode()
    texts = [heldout[w * (prompt + steps):w * (prompt + steps) + prompt] for w in range(count)]
    answers, known = [go_on(run, text, steps, sampling=sampling) for text in texts], {}
    run.start("kvlab_weights", "convert", WEIGHTS / "tiny.gguf", "SCRATCH/coarse.gguf", "--type", "q4_0")

    def by_model(model):
        def guess(tokens, most):  # a byte before the text, which every text of this model has
            key = model, tuple(tokens), most
            if key not in known:
                known[key] = go_on(run, bytes(tokens[1:]).decode(), most, model)
            return known[key]
        return guess

    run.head(seed=seed)
    for field, value in {"model": "kvlab-tiny", "engine": cpu(run, 1), "text": "heldout.txt", "prompts": count, "prompt": prompt,
                         "steps": steps}.items():
        run.given(field, value)
    run.given("temperature", struct.unpack("<f", struct.pack("<f", temperature))[0])
    run.says(f"kvlab-tiny, {cpu(run, 1)}: heldout.txt, {count} prompts of {prompt} tokens, {steps} tokens each, temperature {temperature:g}")
    drafters = {"look-up": None, "first 1 of 2 layers": by_model("SCRATCH/one.gguf"), "the same in q4_0": by_model("SCRATCH/coarse.gguf")}
    rows = 0
    for name, guess_with in drafters.items():
        for length in lengths:
            path = f"rows[{rows}]."
            row = accepted([bytes_of(text) for text in texts], answers, length, guess_with)
            run.given(path + "drafter", name)
            for field, value in row.items():
                run.second_route(path + field, value)
            run.closed_form(path + "written", count * (steps - 1))
            run.by_hand(path + "equal", True)
            run.says(f"{name} {length} {100 * row['rate']:.1f}% {row['drafted']} {row['tokens_per_step']:.2f}")
            rows += 1
    run.holds(len(run.json["rows"]) == rows, f"{len(run.json['rows'])} rows")
    run.holds(any(0 < row["accepted"] < row["drafted"] for row in run.json["rows"]), "no guess was right, or none was wrong")
    run.by_hand("equal", True)
    run.says(f"RESULT rows={rows} equal=yes")


@case("step07_serving", "acceptance -m tiny --count 2 --prompt 40 -n 9 --lengths 1,3", files={"one.gguf": first_layer})
def acceptance(run):
    check_acceptance(run, 2, 40, 9, [1, 3])


@case("step07_serving", "acceptance -m tiny --count 1 --prompt 30 -n 7 --lengths 2 -t 0.5 -s 3", files={"one.gguf": first_layer})
def acceptance_of_samples(run):
    check_acceptance(run, 1, 30, 7, [2], 0.5, 3, ("-t", "0.5", "-s", "3"))


# --- tokens per second ------------------------------------------------------------------------------


def check_serve_speed(run, clients, requests, budget=512, rounds=5, warm_up=1, at_least=0.2):
    run.head(seed=0)
    run.given("model", "kvlab-tiny")
    run.given("engine", cpu(run, 1))
    run.closed_form("weight_bytes", weight_bytes(TINY))
    s = Scheduler(clients * 3, clients, budget)
    for i in range(requests):
        s.add(race_text(i, 16 + 37 * i % 113), 8 + 29 * i % 57)
    while s.step():
        pass
    tokens, steps, pages = s.counts["written"], s.counts["steps"], s.pool.most_used * tile_bytes(TINY, 64) * TINY["layers"]
    clock, rates = CountingClock(), []
    WallSteps(clock)  # of the decoder
    for _ in range(warm_up + rounds):
        taken, passes = 0, 0
        while not passes or taken < at_least:
            start = clock.read()
            taken, passes = taken + clock.read() - start, passes + 1
        rates.append(passes * tokens / taken)
    q = quartiles(rates[warm_up:])
    run.given("serve.clients", clients)
    run.given("serve.requests", requests)
    run.second_route("serve.steps", steps)
    run.closed_form("serve.cache_bytes", pages)
    run.counted_clock("serve.rounds", rates[warm_up:], 1e-12)
    # Chapter 3's race begins with the same 16 tokens.
    run.second_route("serve.chosen", run.other("step03_kvcache", "speed -m tiny --prefill 0 --context 15 --tokens 8 --rounds 1 --seconds 0")["decode"]["chosen"])
    run.says(f"kvlab-tiny, {cpu(run, 1)}", f"{requests} requests of {clients} clients, {tokens} tokens in {steps} steps: {number(q['median'])} tokens per "
             f"second ({number(q['low'])} - {number(q['high'])}), pages {pages} bytes", f"RESULT tokens_per_second={number(q['median'], 4)}")


@case("step07_serving", "serve-speed -m tiny --clients 3 --requests 7 --rounds 4")
def serve_speed(run):
    check_serve_speed(run, 3, 7, rounds=4)


@case("step07_serving", "serve-speed -m tiny --clients 2 --requests 5 --budget 30 --rounds 2 --warm-up 2 --seconds 2.5")
def serve_speed_of_longer_rounds(run):
    check_serve_speed(run, 2, 5, 30, 2, 2, 2.5)


# --- a prompt in a file -----------------------------------------------------------------------------

GENESIS = "In the beginning God created the heaven and the earth."


def page_bytes(cache):
    return tile_bytes(TINY, 64, cache) * TINY["layers"]


def check_save(run, prompt, cache="f32"):
    run.head(seed=0)
    tokens = bytes_of(prompt)
    pages = -(-len(tokens) // 64)
    for field, value in {"model": "kvlab-tiny", "format": cache}.items():
        run.given(field, value)
    run.closed_form("tokens", len(tokens))
    run.closed_form("bytes", pages * page_bytes(cache))
    computed, saved = reading(1) - reading(0), reading(3) - reading(2)
    run.counted_clock("seconds_computed", computed)
    run.counted_clock("seconds_saved", saved)
    run.says(f"kvlab-tiny, {cpu(run, 1)}, {cache}: {len(tokens)} tokens", f"computed in {computed:.3f} s, saved in {saved:.3f} s",
             f"{pages} pages, {pages * page_bytes(cache)} bytes, of which {cache_bytes(TINY, len(tokens), cache)} are the tokens'",
             f"RESULT tokens={len(tokens)} pages={pages} bytes={pages * page_bytes(cache)}")
    file = run.files["prompt.kv"]
    # A fingerprint that only the program knows, then what the book says of the file, and a checksum in the end.
    name, form = b"kvlab-tiny", cache.encode()
    head = [struct.pack("<q", len(name)), name, struct.pack("<q", 256), struct.pack("<q", len(form)), form,
            struct.pack("<5q", TINY["layers"], TINY["heads"], TINY["kv_heads"], TINY["head_dim"], 64),
            struct.pack(f"<q{len(tokens)}i", len(tokens), *tokens), struct.pack("<q", pages * page_bytes(cache))]
    run.holds(file[:8] == b"kvlabkv1" and file[16:].startswith(b"".join(head)), "the file begins otherwise")
    run.holds(len(file) == 16 + sum(map(len, head)) + pages * page_bytes(cache) + 8, f"a file of {len(file)} bytes")


@case("step07_serving", "save -m tiny -o SCRATCH/prompt.kv")
def save(run):
    check_save(run, GENESIS)


@case("step07_serving", ["save", "-m", "tiny", "--format", "f16", "-o", "SCRATCH/prompt.kv", "-p", GENESIS + " And the earth"])
def save_halves(run):
    check_save(run, GENESIS + " And the earth", "f16")


def check_resume(run, prompt, steps, compared=False, seed=42, sampling=()):
    run.head(seed=seed)
    said = run.start("step02_attention", "-m", "tiny", "-n", str(steps), "-p", prompt, *sampling).stdout
    found, checksum = go_on(run, prompt, steps, sampling=sampling), re.search(r"checksum=(\w+)", said)[1]
    tokens, loaded, computed = len(bytes_of(prompt)), reading(1) - reading(0), reading(3) - reading(2)
    for field, value in {"model": "kvlab-tiny", "format": "f32"}.items():
        run.given(field, value)
    run.closed_form("prompt", tokens)
    run.counted_clock("seconds_loaded", loaded)
    run.second_route("tokens", found)
    run.second_route("checksum", checksum)
    run.says(*(line for line in printable(prompt + bytes(found).decode()).split("\n") if line))
    run.says(f"kvlab-tiny, {cpu(run, 1)}, f32: {tokens} tokens from a file in {loaded:.3f} s",
             f"{steps} tokens (length), checksum of their logits {checksum}")
    if compared:
        run.counted_clock("seconds_computed", computed)
        run.by_hand("same_bits", True)
        run.says(f"computed anew in {computed:.3f} s, {computed / loaded:.1f} times as long; the same bits: yes")
    run.holds(compared == ("same_bits" in run.json), "compared or not")
    run.says(f"RESULT prompt={tokens} tokens={steps} checksum={checksum} same={'yes' if compared else 'not_compared'}")


@case("step07_serving", "resume -m tiny -i SCRATCH/prompt.kv -n 6 --compare", before=[["save", "-m", "tiny", "-o", "SCRATCH/prompt.kv"]])
def resume(run):
    check_resume(run, GENESIS, 6, compared=True)


@case("step07_serving", "resume -m tiny -i SCRATCH/prompt.kv -n 5 -t 0.6 -s 8",
      before=[["save", "-m", "tiny", "-o", "SCRATCH/prompt.kv", "-p", GENESIS + " And the earth"]])
def resume_samples(run):
    check_resume(run, GENESIS + " And the earth", 5, seed=8, sampling=("-t", "0.6", "-s", "8"))
