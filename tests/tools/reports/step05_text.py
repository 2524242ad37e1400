"""Chapter 5: text with one policy, and a text longer than the model's context, by the book in Python."""
from reports.book_model import Checksum, Sampler, bytes_of, printable, tiny, tiny_file
from reports.checked import case, reading
from reports.policy_model import DEFAULTS, PolicyText
from reports.policy_shapes import POLICIES, allocated_bytes, held_bytes
from reports.shapes import TINY
from reports.step03_quality import bits
from reports.step03_work import cpu
from reports.step05_quality import TEXT


def check_generation(run, policy, prompt, steps, sampler=None, seed=42, context=512, finish="length", **options):
    options, tokens = DEFAULTS | options, bytes_of(prompt)
    capacity, length = min(context, len(tokens) + steps), len(tokens)
    text, total, said, fed = PolicyText(tiny(), policy, prompt=length, capacity=capacity, **options), Checksum(), [], 0
    sampler = sampler or Sampler()

    def room():
        return capacity - max(len(slots) for of_layer in text.slots for slots in of_layer)
    while length - fed > room():  # more than there is memory for goes in in pieces
        text.step(tokens[fed:fed + room()])
        fed = text.length
    for _ in range(steps):
        total.add(text.step(tokens[fed:] if not said else said[-1:]))
        said.append(sampler.choose(text.last))
    seen = length + steps - 1
    run.holds(text.length == seen, "the last token is not fed")
    held = held_bytes(policy, options, length, seen)
    run.head(seed=seed, experiment="step05_policies generate")
    run.given("model", TINY["name"])
    run.given("policy", policy)
    run.second_route("tokens", said)
    run.closed_form("seen", seen)
    run.second_route("kept", text.mean_kept())
    run.closed_form("bytes_held", held)
    run.closed_form("bytes_allocated", allocated_bytes(policy, options, length, seen, capacity, TINY | {"context": context}))
    run.second_route("checksum", total.hex())
    run.counted_clock("seconds", reading(1) - reading(0))
    run.says(f"kvlab-tiny, {cpu(run, 1)}, {policy}: {POLICIES[policy][0]}")
    written = printable(prompt + bytes(said).decode("latin-1"))
    run.holds("\n\n" + written + "\n" in run.output, f"the text is not '{written}'")
    run.words(*[line for line in written.splitlines() if line])
    run.says(f"{steps} tokens ({finish}) behind a prompt of {length}, in {reading(1) - reading(0):.3f} s",
             f"kept: {text.mean_kept():.1f} of {seen} tokens per layer and KV head; {held} bytes held, "
             f"{run.json['bytes_allocated']} allocated", f"checksum of all logits {total.hex()}",
             f"RESULT tokens={steps} kept={text.mean_kept():g} bytes={held} checksum={total.hex()}")


BEGINNING = "In the beginning God created the heaven"


@case("step05_policies", "generate -m tiny -n 7 --budget 20 --policy h2o -p".split() + [BEGINNING])
def generate_with_h2o(run):
    check_generation(run, "h2o", BEGINNING, 7, budget=20)


@case("step05_policies", "generate -m tiny -n 5 --policy pyramidkv --budget 12 --observe 3 --beta 3 -t 0.9 --seed 7 -p".split() + [BEGINNING])
def generate_with_pyramidkv(run):
    """Layers keep unlike many: the mean is told. The sampler has a seed of its own."""
    check_generation(run, "pyramidkv", BEGINNING, 5, Sampler(0.9, seed=7), seed=7, budget=12, window=3, beta=3)


@case("step05_policies", "generate -m SCRATCH/short.gguf -n 6 --policy sinks-relative --budget 10 -p".split() + [BEGINNING],
      files={"short.gguf": lambda: tiny_file(context_length=24)})
def generate_in_pieces(run):
    """A prompt of 40 tokens where there is room for 24."""
    check_generation(run, "sinks-relative", BEGINNING, 6, context=24, budget=10)


# --- stream --------------------------------------------------------------------------------------

def check_stream(run, tokens, every, budget, context, **options):
    options = DEFAULTS | {"budget": budget} | options
    run.head(experiment="step05_policies stream")
    for field, value in {"model": TINY["name"], "context": context, "budget": budget, "every": every}.items():
        run.given(field, value)
    run.words(f"kvlab-tiny: {tokens} tokens one by one, trained for {context}; budget {budget}; bits per byte of each {every} tokens")
    labels = [(f"{policy}, {scheme}", policy, scheme == "relative") for scheme in ("relative", "absolute")
              for policy in ("sinks", "window", "h2o")]
    for i, (label, policy, relative) in enumerate(labels):
        store, at = PolicyText(tiny(), policy, relative=relative, **options), f"policies[{i}]."
        last = tokens if relative else min(tokens, context)
        run.given(at + "policy", label)
        run.closed_form(at + "seen", last)
        costs, line, n = [], label, 0
        for k in range(last):
            costs.append(bits(store.step([([0] + list(TEXT))[k]]), TEXT[k]))
            end = k + 1
            if end % every and end != tokens:
                continue
            # Beside a window's or H2O's slot stands its rank, where positions are counted in the cache.
            held = held_bytes(policy, options, 1, end) + (4 * 2 * 2 * min(end, budget) if relative else 0)
            run.closed_form(f"{at}stretches[{n}].end", end)
            run.second_route(f"{at}stretches[{n}].bits_per_byte", sum(costs) / len(costs), 1e-13)
            run.closed_form(f"{at}stretches[{n}].bytes_held", held)
            line += f" {sum(costs) / len(costs):.3f}"
            costs, n = [], n + 1
        run.holds(len(run.json["policies"][i]["stretches"]) == n, f"{label}: {n} stretches")
        ends = "; ends: no angles behind the context" if last < tokens else ""
        at_end = held_bytes(policy, options, 1, last) + (4 * 2 * 2 * min(last, budget) if relative else 0)
        run.says(f"{line} {at_end} bytes{ends}")
    run.by_hand("memory_constant", True)
    run.says(f"RESULT tokens={tokens} memory_constant=yes")


SHORT = {"short.gguf": lambda: tiny_file(context_length=20)}


@case("step05_policies", "stream -m SCRATCH/short.gguf --tokens 31 --every 7 --budget 10", files=SHORT)
def stream_beyond_the_context(run):
    """The last stretch is a shorter one; positions of the text end at 20, within a stretch."""
    check_stream(run, 31, 7, 10, 20)


@case("step05_policies", "stream -m tiny --tokens 9 --every 3 --budget 5 --sinks 2 --recent 1")
def stream_within_the_context(run):
    check_stream(run, 9, 3, 5, 512, sinks=2, recent=1)
