"""Chapter 3: times of generations, by length, batch and cache, on the counting clock."""
import re

from reports.book_model import Sampler, book, generate, quoted, tiny
from reports.checked import case, number
from reports.shapes import TINY, cache_bytes, peak_of_generation, weight_bytes
from reports.step03_work import code_bytes, cpu
from reports.times import Counting, median, quartiles


def random_text(length):
    """Tokens of tiny by the generator with seed 42: of 256 choices the highest bits of each number."""
    rng = book.Rng(42)
    return [rng.next() >> 24 for _ in range(length)]


def check_clock(run, prompt, lengths, batches, caches, rounds, warm_up, uncached=True):
    run.head()
    run.given("model", "kvlab-tiny")
    run.given("engine", cpu(run, 1))
    run.given("prompt", prompt)
    run.says(f"kvlab-tiny, {cpu(run, 1)}: a prompt of {prompt} tokens, {rounds} rounds")
    rows = [(cache, batch, steps) for batch in batches for steps in lengths for cache in [*caches, *["none"] * uncached]]
    clock, times, whole = Counting(), {row: [] for row in rows}, {row: [] for row in rows}
    for r in range(warm_up + rounds):
        for row in rows:
            start = clock.read()
            if r < warm_up:  # the watches start, and nobody looks at them
                for _ in range(row[2]):
                    clock.read()
                continue
            times[row].append([clock.interval() for _ in range(row[2])])
            whole[row].append(clock.read() - start)
    run.words("cache batch tokens tokens/s quartiles P50, ms P95, ms last, ms held, MB peak, MB per MB")
    sums = {}
    for i, row in enumerate(rows):
        cache, batch, steps = row
        held = 0 if cache == "none" else batch * (prompt + steps - 1)
        peak = peak_of_generation(TINY, batch, prompt, steps, cache)
        # All sequences go on with the same text, so that the bits of one stand for all.
        sums[row] = generate(tiny(), [random_text(prompt)] * batch, steps, [Sampler()] * batch,
                             "f32" if cache == "none" else cache)[1].hex()
        tokens, q = batch * steps, quartiles(whole[row])
        later = sorted(t for one in times[row] for t in (one[1:] if steps > 1 else one))
        p50, p95 = (later[int(p * (len(later) - 1) + 0.5)] for p in (0.5, 0.95))
        steps_in_order = [median([one[s] for one in times[row]]) for s in range(steps)]
        path = f"rows[{i}]."
        run.given(path + "cache", cache)
        run.given(path + "batch", batch)
        run.given(path + "steps", steps)
        run.counted_clock(path + "seconds", q)
        run.counted_clock(path + "tokens_per_second", tokens / q["median"])
        run.counted_clock(path + "step_seconds_p50", p50)
        run.counted_clock(path + "step_seconds_p95", p95)
        run.counted_clock(path + "median_step_seconds", steps_in_order)
        bytes_held = cache_bytes(TINY, held, cache) if held else 0
        run.closed_form(path + "cache_bytes", bytes_held)
        run.closed_form(path + "peak_bytes", peak)
        run.by_hand(path + "tokens_held", held)
        run.second_route(path + "checksum", sums[row])
        rate, mb = tokens / q["median"], 2**20
        run.says(f"{cache} {batch} {steps} {number(rate)} {number(tokens / q['high'])} - {number(tokens / q['low'])} "
                 f"{p50 * 1e3:.3f} {p95 * 1e3:.3f} {steps_in_order[-1] * 1e3:.3f} {bytes_held / mb:.4f} {peak / mb:.2f} "
                 f"{number(rate / (peak / mb))}")
    for cache, batch, steps in rows:
        if cache == "f32" and uncached:
            a, b = (median(whole[c, batch, steps]) for c in ("f32", "none"))
            run.says(f"{steps} tokens, batch {batch}: {b / a:.2f} times as fast with the cache; checksum of all logits the same")
    fits = []
    for cache in caches:
        # Bytes against tokens of one sequence: exactly on a line, whose slope is a token's bytes.
        if 1 in batches and len(set(lengths)) > 1:
            slope = cache_bytes(TINY, 1, cache)
            fits.append(cache)
            run.given(f"fits[{len(fits) - 1}].cache", cache)
            run.closed_form(f"fits[{len(fits) - 1}].bytes_per_token", slope, 1e-12)
            run.by_hand(f"fits[{len(fits) - 1}].r", 1.0, 1e-12)
            run.says(f"cache {cache}: {slope:.1f} bytes ({slope / mb:.4f} MB) for each token held, r = 1.0000")
    run.holds(len(fits) == len(run.json.get("fits", [])), "a line through fewer than two lengths")
    run.by_hand("same_bits", True)
    run.says(f"RESULT rows={len(rows)} identical=yes")


@case("step03_kvcache", "clock -m tiny --prompt 3 -n 2,5 --batch 1,2 --cache f32,int8 --rounds 3 --warm-up 1")
def clock_of_lengths(run):
    check_clock(run, 3, [2, 5], [1, 2], ["f32", "int8"], 3, 1)


@case("step03_kvcache", "clock -m tiny --prompt 4 -n 1 --batch 3 --cache f16 --rounds 4 --warm-up 0 --no-uncached")
def clock_of_one_step(run):
    """A single step is the prompt's, and still has percentiles; there is nothing to compare with, and no line."""
    check_clock(run, 4, [1], [3], ["f16"], 4, 0, False)


@case("step03_kvcache", "clock -m tiny --prompt 1 -n 21,2,3 --batch 1 --cache f32 --rounds 2 --warm-up 2")
def clock_of_many_steps(run):
    """Enough steps for the 95th of a hundred to lie apart from the last."""
    check_clock(run, 1, [21, 2, 3], [1], ["f32"], 2, 2)


# --- ablate --------------------------------------------------------------------------------------

PROMPTS = {
    "sentence": "The old bridge was closed last winter, and since then",
    "explanation": "Question: Why does the moon change its shape in the course of a month? Explain it to a child.\nAnswer:",
    "e-mail": "Write an e-mail to a neighbour who has a ladder that you would like to borrow.\n\nSubject: Your ladder\n\n"
              "Dear neighbour,\n",
    "word list": "English to French:\ncat - chat\nhouse - maison\nbread - pain\nwater -"}
BEFORE = "Nothing much has happened, and all of it is in the book.\n\n"  # the end of the passage


def check_ablate(run, length, output, batches, ways, rounds, seed=42, sampling=None):
    """ways: of caching, 'on' and 'off'. sampling: of the texts that are not greedy."""
    sampling = sampling or {"temperature": 0.8, "top_p": 0.95}
    run.head(seed=seed)
    run.given("model", "kvlab-tiny")
    run.given("engine", cpu(run, 1))
    run.given("input", length)
    run.given("output", output)
    run.closed_form("weight_bytes", weight_bytes(TINY))
    run.says(f"kvlab-tiny, {cpu(run, 1)}: input {length} tokens, output {output}")
    prompts = [[0, *(BEFORE + text).encode()[-length:][1:]] for text in PROMPTS.values()]

    def texts(batch, sampled):
        samplers = [Sampler(**sampling, seed=seed + i) if sampled else Sampler() for i in range(batch)]
        said, total, _ = generate(tiny(), [prompts[i % 4] for i in range(batch)], output, samplers)
        return said, total.hex()

    clock = Counting()
    clock.interval()  # the run that warms up
    seconds = {(batch, way): [] for batch in batches for way in ways}
    progress = []
    for _ in range(rounds):
        for (batch, way), taken in seconds.items():
            taken.append(clock.interval())
            progress.append(f"batch {batch}, greedy, cache {way}: {taken[-1]:.2f} s")
    # The texts are those of the first batch that has all four prompts, or of another run; and of a sampled one.
    complete = next((b for b in batches if b >= 4), 4)
    if complete not in batches:
        progress += [f"batch 4, greedy, cache {way}: {clock.interval():.2f} s" for way in ways]
    progress += [f"batch 4, sampled, cache {way}: {clock.interval():.2f} s" for way in ways]
    run.words("cache batch seconds tokens/s peak, MB cache, MB checksum of all logits")
    mb = 2**20
    for i, ((batch, way), taken) in enumerate(seconds.items()):
        path, q = f"rows[{i}].", quartiles(taken)
        held = batch * cache_bytes(TINY, length + output - 1) if way == "on" else 0
        peak = peak_of_generation(TINY, batch, length, output, "f32" if way == "on" else "none")
        checksum, rate = texts(batch, False)[1], batch * output / q["median"]
        run.given(path + "batch", batch)
        run.given(path + "cached", way == "on")
        run.counted_clock(path + "seconds", q)
        run.counted_clock(path + "tokens_per_second", rate)
        run.closed_form(path + "peak_bytes", peak)
        run.closed_form(path + "cache_bytes", held)
        run.second_route(path + "checksum", checksum)
        run.says(f"{way} {batch} {number(q['median'])} {number(rate)} {peak / mb:.2f} {held / mb:.2f} {checksum}")
    both = len(ways) == 2
    for batch in batches if both else []:
        ratio = median(seconds[batch, "off"]) / median(seconds[batch, "on"])
        run.says(f"batch {batch}: {ratio:.2f} times as fast with the cache")
    i = 0
    for sampled, way in ((False, "greedy"), (True, "sampled")):
        said, _ = texts(complete if not sampled else 4, sampled)
        for name, tokens in zip(PROMPTS, said):
            text = bytes(tokens[:tokens.index(0)] if 0 in tokens else tokens).decode("utf-8", "replace")
            run.given(f"texts[{i}].prompt", name)
            run.given(f"texts[{i}].sampling", way)
            run.by_hand(f"texts[{i}].same", True if both else None)
            run.second_route(f"texts[{i}].text", text)
            run.says(f"{name}, {way}: {quoted(text)}", f"text the same: {'yes' if both else 'not compared'}")
            i += 1
        if both:
            run.says(f"all logits of these, {way}, the same: yes")
    run.by_hand("identical", True if both else None)
    run.says(f"RESULT rows={len(seconds)} identical={'yes' if both else 'not_compared'}")
    *lines, last = run.errors.splitlines()
    run.holds(lines == progress, f"what it says meanwhile: {lines}, expected {progress}")
    said_peak = re.fullmatch(r"the process: at most ([\d.]+) MB resident, weights and code included", last)
    # What tensors took at most is resident, and so are code and libraries.
    least = (weight_bytes(TINY) + max(row["peak_bytes"] for row in run.json["rows"])) / mb
    run.holds(said_peak and least <= float(said_peak[1]) <= least + code_bytes(run) / mb, f"{last}, at least {least:.2f}")


@case("step03_kvcache", "ablate -m tiny --quick --rounds 3")
def ablate_quick(run):
    check_ablate(run, 24, 6, [1, 4], ["on", "off"], 3)


@case("step03_kvcache", "ablate -m tiny --input 60 -n 5 --batch 1 --cache both -s 7 -t 1.5 --top-k 30")
def ablate_behind_the_passage(run):
    """Prompts that are shorter than the input; no batch has them all, so that they are run once more. The last token is
    not fed: a tile is full, and there is no second one."""
    check_ablate(run, 60, 5, [1], ["on", "off"], 1, 7, {"temperature": 1.5, "top_k": 30, "top_p": 0.95})


@case("step03_kvcache", "ablate -m tiny --quick -n 2 --batch 2,5 --cache on")
def ablate_with_the_cache_alone(run):
    check_ablate(run, 24, 2, [2, 5], ["on"], 1)


@case("step03_kvcache", "ablate -m tiny --quick --input 9 --batch 6 --cache off --rounds 2")
def ablate_without_the_cache(run):
    """The fifth and sixth sequence begin with the prompts again."""
    check_ablate(run, 9, 6, [6], ["off"], 2)
