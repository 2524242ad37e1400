"""Chapter 3: times of generations, by length, batch and cache, on the counting clock."""
import math
import re

from reports.book_model import Sampler, book, generate, quoted, tiny
from reports.checked import case, number
from reports.shapes import LANES, TINY, all_bytes, cache_bytes, peak_of_generation, weight_bytes, work
from reports.step01 import memory_levels
from reports.step03_work import cpu
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


# --- regimes -------------------------------------------------------------------------------------

HEAD = ["phase tokens batch context FLOP/byte ms best, ms tokens/s GFLOP/s of roof bound by"]


def turn(one, ridge):
    """The least batch whose FLOPs over its bytes reach the ridge, tried one by one; none below a million."""
    weights, own = one["bytes of weights read"], all_bytes(one) - one["bytes of weights read"]
    if one["FLOPs"] <= ridge * own:
        return None
    return next(b for b in range(1, 10**6) if b * one["FLOPs"] >= ridge * (weights + b * own))


class Point:
    """A step of `batch` sequences of `tokens` behind `past`: its work, and the seconds of each round."""

    def __init__(self, batch, tokens, past):
        self.batch, self.tokens, self.past, self.seconds = batch, tokens, past, []
        counted = work(TINY, [(past, tokens)] * batch)
        self.one = counted
        self.flops, self.bytes = counted["FLOPs"], all_bytes(counted)
        self.intensity = self.flops / self.bytes

    def made_of(self, q, roof):
        """What follows from the quartiles of its times: rate, GFLOP/s, share of the roof."""
        peak, bandwidth = roof
        gflops = self.flops / q["median"] / 1e9
        return self.batch * self.tokens / q["median"], gflops, gflops / min(peak, self.intensity * bandwidth)


def check_regimes(run, prefill, batches, context, contexts, rounds, warm_up=1, passes=1, counted=True):
    """counted: on the counting clock. Else times and roofs are whatever the report says, and the rest follows."""
    run.head()
    run.given("model", "kvlab-tiny")
    engine = cpu(run, 1)
    run.given("engine", engine)
    run.says(f"kvlab-tiny, {engine}")
    points = {}

    def point(*shape):
        return points.setdefault(shape, Point(*shape))

    table = [("prefill", point(1, T, 0)) for T in prefill]
    decode = [point(batch, 1, context) for batch in sorted({1, *batches})]
    table += [("decode", p) for p in decode]
    by_context = [point(1, 1, past) for past in contexts]
    peaks, bandwidths, clock = [], [], Counting()
    lanes = LANES[engine.split()[1].rstrip(",")]
    for _ in points:
        clock.interval()  # each step is counted once
    for r in range(-warm_up, rounds):
        if r >= 0:
            # How often one has to work for two milliseconds, then five samples. A unit is a thousand steps of twelve
            # chains of fused multiply-adds; or all bytes, read once.
            for rates, unit in ((peaks, 1000 * 12 * lanes * 2), (bandwidths, memory_levels(1)["DRAM"])):
                clock.interval()
                rates.append(max(unit / clock.interval() for _ in range(5)) / 1e9)
        for p in points.values():
            taken = sum(clock.interval() for _ in range(passes)) / passes
            if r >= 0:
                p.seconds.append(taken)
    claim = run.counted_clock if counted else run.same_report
    if counted:
        for path, value in {"peak_gflops": max(peaks), "bandwidth_gb_s": max(bandwidths),
                            "medians.peak_gflops": median(peaks), "medians.bandwidth_gb_s": median(bandwidths)}.items():
            run.counted_clock(path, value, 1e-12)
    else:
        for name, least, most in (("peak_gflops", 0.5, 1000), ("bandwidth_gb_s", 0.5, 1000)):
            run.between(name, least, most)
            run.between(f"medians.{name}", least, run.json[name])
    j = run.json
    roof = peak, bandwidth = j["peak_gflops"], j["bandwidth_gb_s"]
    ridge = peak / bandwidth
    claim("ridge", ridge)
    run.says(f"roof: {number(peak)} GFLOP/s of fma, {number(bandwidth)} GB/s read: ridge at {number(ridge)} FLOP per byte",
             f"(the best of {rounds} rounds; their medians {number(j['medians']['peak_gflops'])} and "
             f"{number(j['medians']['bandwidth_gb_s'])})")
    rates = {}
    for i, (phase, p) in enumerate(table):
        path = f"points[{i}]."
        for name, value in {"phase": phase, "tokens": p.tokens, "batch": p.batch, "context": p.past}.items():
            run.given(path + name, value)
        run.closed_form(path + "flops", p.flops)
        run.closed_form(path + "bytes", p.bytes)
        run.closed_form(path + "intensity", p.intensity)
        if counted:
            run.counted_clock(path + "seconds", quartiles(p.seconds), 1e-12)
        else:
            run.quartiles(path + "seconds", 1e-6, 0.1, rounds)
        q = j["points"][i]["seconds"]
        rate, gflops, share = p.made_of(q, roof)
        rates[p] = rate
        bound = "memory" if p.intensity < ridge else "compute"
        claim(path + "gflops", gflops, 1e-12)
        claim(path + "share_of_roof", share, 1e-12)
        claim(path + "verdict", bound)
        run.says(f"{phase} {p.tokens} {p.batch} {p.past} {number(p.intensity)} {number(q['median'] * 1e3)} "
                 f"{number(q['smallest'] * 1e3)} {number(rate)} {number(gflops)} {100 * share:.1f}% {bound}")
    one, best = decode[0], max(decode, key=rates.get)
    predicted, measured = turn(one.one, ridge), math.ceil(rates[best] / rates[one])
    claim("turns_at.predicted", predicted)
    claim("turns_at.measured", measured)
    of_peak = best.flops / best.batch * rates[best] / 1e9 / peak  # a sequence is a token
    of_bandwidth = one.bytes * rates[one] / 1e9 / bandwidth
    run.says(f"Behind {context} tokens, decode turns compute-bound at a batch of",
             f"{predicted or 'none'} by prediction: the smallest whose intensity reaches the ridge",
             f"{measured} by measurement: the best rate over that of batch 1, {number(rates[best])} / {number(rates[one])}",
             f"They differ because the plateau has {100 * of_peak:.0f} % of the peak and batch 1 {100 * of_bandwidth:.0f} % of "
             "the bandwidth:",
             f"{number(ridge)} / {number(one.intensity)} FLOP/byte * {of_peak:.2f} / {of_bandwidth:.2f} = "
             f"{rates[best] / rates[one]:.1f}; and because the prediction also counts what each",
             f"An earlier report of this experiment: 0.49 FLOP per byte, ridge at 36.11; here {one.intensity:.2f} and {ridge:.2f}.")
    run.words(*HEAD, "sequence brings along, its cache and activations, which a straight line from batch 1 leaves out.")
    larger = "The largest batch was the fastest: the plateau may be higher (--batch)."
    run.holds((larger in run.lines) == (best is decode[-1]), larger)
    for i, p in enumerate(by_context):
        path = f"contexts[{i}]."
        run.given(path + "context", p.past)
        if counted:
            run.counted_clock(path + "tokens_per_second", 1 / median(p.seconds), 1e-12)
        else:
            run.between(path + "tokens_per_second", 10, 1e6)
        rate, limit, at = j["contexts"][i]["tokens_per_second"], bandwidth * 1e9 / p.bytes, turn(p.one, ridge)
        claim(path + "limit", limit, 1e-12)
        claim(path + "turns_at", at)
        run.says(f"{p.past} {p.bytes} {number(rate)} {number(limit)} {100 * rate / limit:.1f}% {at or 'none'}")
    if not by_context:
        run.given("contexts", [])
    run.holds(("The limit is bandwidth / bytes per token." in run.output) == bool(by_context), "a limit without a table")
    run.by_hand("equal", True)
    run.says("predicted = counted: yes", f"RESULT equal=yes ridge={number(ridge)} turns_at_predicted={predicted or 'none'} "
             f"turns_at_measured={measured}")


@case("step03_kvcache", "regimes -m tiny --prefill 4,70 --batch 2,4,3 --context 6 --contexts 0,6,9 --rounds 3 --warm-up 2 --seconds 0")
def regimes_counted(run):
    """The decode step behind 6 tokens serves both tables; batch 1 is there though nobody asked for it."""
    check_regimes(run, [4, 70], [2, 4, 3], 6, [0, 6, 9], 3, warm_up=2)


@case("step03_kvcache", "regimes -m tiny --prefill 5 --batch 1 --context 0 --rounds 2 --seconds 2.5")
def regimes_of_several_passes(run):
    """Each round takes three passes, since two last less than 2.5 s; of the default contexts those of 512 and more do not
    fit the model."""
    run.words(*[f"(--contexts {n} left out: it does not fit the model's context)" for n in (512, 1024, 2048)])
    check_regimes(run, [5], [1], 0, [0, 128], 2, passes=3)


@case("step03_kvcache", "regimes -m tiny --prefill 512 --batch 1,2 --context 500 --contexts 0,511 --rounds 2 --seconds 0.01", clock=None)
def regimes_under_a_real_roof(run):
    """A ridge of a few FLOP per byte, so that decode is bound by memory, and, where the memory is slow, at every batch."""
    check_regimes(run, [512], [1, 2], 500, [0, 511], 2, counted=False)
    run.holds(run.json["points"][1]["verdict"] == "memory", "no step bound by memory")


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
    # What tensors took at most is resident, as code and libraries are, of up to 16 MB.
    least = (weight_bytes(TINY) + max(run.json["rows"][k]["peak_bytes"] for k in range(len(seconds)))) / mb
    run.holds(said_peak and least <= float(said_peak[1]) <= least + 16, f"{last}, at least {least:.2f}")


@case("step03_kvcache", "ablate -m tiny --quick --rounds 3")
def ablate_quick(run):
    check_ablate(run, 24, 6, [1, 4], ["on", "off"], 3)


@case("step03_kvcache", "ablate -m tiny --input 60 -n 4 --batch 1 --cache both -s 7 -t 1.5 --top-k 30")
def ablate_behind_the_passage(run):
    """Prompts that are shorter than the input; no batch has them all, so that they are run once more."""
    check_ablate(run, 60, 4, [1], ["on", "off"], 1, 7, {"temperature": 1.5, "top_k": 30, "top_p": 0.95})


@case("step03_kvcache", "ablate -m tiny --quick -n 2 --batch 2,5 --cache on")
def ablate_with_the_cache_alone(run):
    check_ablate(run, 24, 2, [2, 5], ["on"], 1)


@case("step03_kvcache", "ablate -m tiny --quick --input 9 --batch 6 --cache off --rounds 2")
def ablate_without_the_cache(run):
    """The fifth and sixth sequence begin with the prompts again."""
    check_ablate(run, 9, 6, [6], ["off"], 2)
