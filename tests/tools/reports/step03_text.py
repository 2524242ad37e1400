"""Chapter 3: texts with the cache and without, and what a trace records of them."""
import json
import struct

from reports.book_model import OPS, Checksum, Sampler, Text, bytes_of, generate, printable, tiny, tiny_file
from reports.checked import case
from reports.shapes import TINY, cache_bytes, tile_bytes, work
from reports.step03_work import cpu
from reports.times import Counting

UNTIL_SPACE = {"spaces.gguf": lambda: tiny_file(eos_token_id=32)}  # a space ends a text
SHORT = {"short.gguf": lambda: tiny_file(context_length=20)}


class Side:
    """What a run of all sequences makes, by the book."""

    def __init__(self, prompt, steps, seed, sampling, batch, end, context):
        self.P, self.steps, self.context = len(prompt), steps, context
        # The last token is never fed: a text can be one longer than the context.
        most = min(steps, context - self.P + 1)
        samplers = [Sampler(**sampling, seed=seed + i) for i in range(batch)]
        self.said, total, _ = generate(tiny(), [prompt] * batch, most, samplers, end=end)
        self.checksum = total.hex()
        self.finish = ["end token" if text and text[-1] in end else "length" if len(text) == steps else "context full"
                       for text in self.said]
        self.tokens = sum(map(len, self.said))
        self.later = sum(max(0, len(text) - 1) for text in self.said)

    def bytes(self, cached, fed_before):
        """Held and allocated, of all sequences."""
        capacity = min(self.context, self.P + self.steps)
        if not cached:
            return 0, len(self.said) * tile_bytes(TINY, capacity)
        rows = sum(self.P + len(text) - 1 if text else fed_before for text in self.said)
        return cache_bytes(TINY, rows), len(self.said) * TINY["layers"] * tile_bytes(TINY, capacity)


def check_side(run, name, side, clock, reads, fed_before):
    """One run in the report and as it is printed; returns its seconds. reads: how often a trace reads the clock."""
    start = clock.read()
    clock.read()  # the watch of a trace's steps
    steps = max(map(len, side.said))
    if steps:
        reads(0)
    prefill = clock.read() - start
    start = clock.read()
    for step in range(1, steps):
        reads(step)
    decode = clock.read() - start
    rate = side.later / decode
    held, allocated = side.bytes(name == "cached", fed_before)
    run.second_route(f"{name}.tokens", side.said)
    run.by_hand(f"{name}.finish", side.finish)
    run.second_route(f"{name}.checksum", side.checksum)
    run.counted_clock(f"{name}.prefill_seconds", prefill)
    run.counted_clock(f"{name}.decode_seconds", decode)
    run.counted_clock(f"{name}.tokens_per_second", rate)
    run.closed_form(f"{name}.cache_bytes_held", held)
    run.closed_form(f"{name}.cache_bytes_allocated", allocated)
    ends = side.finish if len(set(side.finish)) > 1 else side.finish[:1]
    if len(side.said) > 1:
        run.says(f"(the first of {len(side.said)} sequences; the figures are for all)")
    run.says(f"{side.tokens} tokens ({', '.join(ends)}), {rate:.1f} tokens/s; prompt of {side.P} tokens in {prefill:.3f} s")
    if name == "cached":
        run.says(f"cache: {held} bytes held, {allocated} allocated")
    run.says(f"checksum of all logits {side.checksum}")
    return prefill + decode, rate


def check_generate(run, text, steps, sides=("cached",), *, seed=42, batch=1, end=(), context=512, reads=None, fed_before=0,
                   ignored=False, **sampling):
    """end: tokens that are not written, and end a text unless they are ignored."""
    run.head(seed=seed)
    run.given("model", "kvlab-tiny")
    run.given("engine", cpu(run, 1))
    run.says(f"kvlab-tiny, {cpu(run, 1)}")
    side = Side(bytes_of(text), steps, seed, sampling, batch, () if ignored else end, context)
    clock, seconds, rates = Counting(), [], []
    for name in sides:
        # What the first sequence says follows the prompt; it may have lines of its own.
        written = text + printable(bytes(token for token in side.said[0] if token not in end).decode("utf-8", "replace"))
        title = "with the cache" if name == "cached" else "without a cache"
        run.holds(f"\n{title}\n{written}\n" in run.output, f"{title}: the text is not '{written}'")
        run.words(*[line for line in written.splitlines() if any(c.isdigit() for c in line)])
        traced = (lambda step, name=name: reads(clock, name, step)) if reads else (lambda step: 0)
        taken, rate = check_side(run, name, side, clock, traced, fed_before)
        seconds.append(taken)
        rates.append(rate)
    more = ""
    if len(sides) == 2:
        ratio = seconds[1] / seconds[0]
        run.by_hand("identical", True)
        run.says(f"the cache is {ratio:.1f} times faster in all", "bit-identical: yes")
        more = f" uncached_tokens_per_second={rates[1]:.6g} ratio={ratio:.6g} identical=yes"
    run.says(f"RESULT tokens={side.tokens} tokens_per_second={rates[0]:.6g} checksum={side.checksum}{more}")
    return side


def words(prompt, flags, model="tiny"):
    return ["generate", "-m", model, "-p", prompt, *flags.split()]


@case("step03_kvcache", words("In the 7 days", "-n 6"))
def generate_greedy(run):
    check_generate(run, "In the 7 days", 6)


@case("step03_kvcache", words("In the 7 days", "-n 6 --no-cache -t 0.9 --top-p 0.8"))
def generate_without_a_cache(run):
    check_generate(run, "In the 7 days", 6, ["uncached"], temperature=0.9, top_p=0.8)


@case("step03_kvcache", words("And", "-n 5 --compare -t 1.2 --top-k 40 -s 9"))
def generate_compared(run):
    check_generate(run, "And", 5, ["cached", "uncached"], seed=9, temperature=1.2, top_k=40)


@case("step03_kvcache", words("In the 7 days", "-n 4 --batch 3 --compare -t 1 -s 3 --chunk 4"))
def generate_batch(run):
    """The prompt goes in four tokens at a time, which changes no number."""
    check_generate(run, "In the 7 days", 4, ["cached", "uncached"], seed=3, batch=3, temperature=1.0)


@case("step03_kvcache", words("In the 7 days", "-n 0 --chunk 5"))
def generate_nothing(run):
    """All but the prompt's last token are in the cache nevertheless: they went in as pieces."""
    side = check_generate(run, "In the 7 days", 0, fed_before=13)
    run.holds(side.tokens == 0, "no token was asked for")


@case("step03_kvcache", words("In the ", "-n 7 --batch 4 -t 1 -s 10", "SCRATCH/spaces.gguf"),
      files=UNTIL_SPACE)
def generate_until_the_end(run):
    """Some sequences end before others: each has a reason of its own."""
    side = check_generate(run, "In the ", 7, seed=10, batch=4, end=(32,), temperature=1.0)
    run.holds(len({*side.finish}) == 2 and len({len(text) for text in side.said}) > 2, f"ends alike: {side.said}")


@case("step03_kvcache", words("God created", "-n 3 --ignore-end", "SCRATCH/spaces.gguf"),
      files=UNTIL_SPACE)
def generate_beyond_the_end(run):
    side = check_generate(run, "God created", 3, end=(32,), ignored=True)
    run.holds(side.said[0][0] == 32, "no end to be ignored")


@case("step03_kvcache", words("In the beginning", "-n 9 --compare", "SCRATCH/short.gguf"), files=SHORT)
def generate_until_the_context_is_full(run):
    """A context of 20: behind a BOS and 16 bytes there is room for three tokens more, and a fourth is never fed."""
    side = check_generate(run, "In the beginning", 9, ["cached", "uncached"], context=20)
    run.holds(side.finish == ["context full"] and side.tokens == 4, f"{side.finish}, {side.tokens}")


def rows_in_hex(rows):
    return "".join(struct.pack(f">{len(row)}f", *row).hex() for row in rows)


@case("step03_kvcache", words("In 7", "-n 3 --compare --trace SCRATCH/run.jsonl"))
def generate_traced(run):
    """Every number of the trace, by the book; the uncached run computes all rows in each step, but adds only new ones."""
    lines = [json.loads(line) for line in run.files["run.jsonl"].decode().splitlines()]
    at = iter(lines)

    def found(expected):
        line = next(at)
        run.holds(line == expected, f"the trace has {json.dumps(line)[:300]}, expected {json.dumps(expected)[:300]}")

    prompt = bytes_of("In 7")
    text, rows = Text(tiny()), {}
    tokens = prompt + generate(tiny(), [prompt], 3, [Sampler()])[0][0]
    for position, token in enumerate(tokens[:-1]):
        text.feed(token)
        for op, layer, row in text.rows:
            rows[op, layer, position] = row
    shapes = {"architecture": "llama", "layers": 2, "heads": 4, "kv_heads": 2, "head_dim": 16, "dim": 64, "ffn": 172,
              "vocab": 256, "context": 512}
    found({"kvlab_trace": 1, "model": "kvlab-tiny", "config": shapes, "engine": cpu(run, 1),
           "runs": [{"name": "cached", "cache": "f32"}, {"name": "uncached", "cache": "none"}],
           "prompt": prompt, "prompt_pieces": [chr(token) for token in prompt]})
    started = {}

    def step(clock, name, number):
        length = len(prompt) + number  # tokens that have been fed after this step
        new = list(range(len(prompt) if number else 0, length)) if not number else [length - 1]
        every = new if name == "cached" else list(range(length))
        labels = [("embedding", -1), *[(op, layer) for layer in range(2) for op in OPS], ("final_norm", -1), ("logits", -1)]
        for op, layer in labels:
            of = every[-1:] if op in ("final_norm", "logits") else every
            numbers, total = [rows[op, layer, p] for p in of], Checksum()
            for row in numbers:
                total.add(row)
            fresh = [p for p in of if p in new]
            found({"run": name, "step": number, "op": op, "layer": layer, "positions": of, "fresh": fresh,
                   "width": len(numbers[0]), "sum": total.hex(), "bits": rows_in_hex(rows[op, layer, p] for p in fresh)})
        counted = work(TINY, [(length - len(every), len(every))])
        token, since = tokens[length], started.pop(name, None)
        # The watch of the steps starts when the run does, and again behind each token.
        seconds = clock.read() - (since if since is not None else clock_start(clock))
        started[name] = clock.read()
        found({"run": name, "step": number, "token": token, "piece": chr(token), "logits_sum": total.hex(),
               "work": {"flops": counted["FLOPs"], "kv_projections": counted["projections of keys and values"],
                        "weight_bytes": counted["bytes of weights read"], "cache_read": counted["bytes of the cache read"],
                        "cache_written": counted["bytes of the cache written"],
                        "activation_bytes": counted["bytes of activations written"]},
               "cache_bytes": cache_bytes(TINY, length) if name == "cached" else 0, "seconds": seconds})

    def clock_start(clock):
        before = Counting()
        before.readings = clock.readings - 2  # of this run's own
        return before.read()

    check_generate(run, "In 7", 3, ["cached", "uncached"], reads=step)
    run.holds(next(at, None) is None, "the trace goes on")
