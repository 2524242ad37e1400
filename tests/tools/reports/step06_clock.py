"""Chapter 6: times of tokens, by the counting clock: which readings they lie between is known."""
from reports import plain_model as plain, step06_trial as trial
from reports.checked import case, number, reading
from reports.step06_kv import cache_bytes, taken
from reports.step06_trial import FILES, NARROW, NARROW_FILES, SMALL
from reports.times import Counting, median, quartiles


def products(model):
    """(outputs, inputs) of the matrices as they are multiplied: q, k, v at once, and gate and up."""
    q, kv = model.heads * model.head_dim, model.kv_heads * model.head_dim
    layer = [(q + 2 * kv, model.width), (model.width, q), (2 * model.ffn, model.width), (model.width, model.ffn)]
    return layer * model.layers


def norms(model):
    return (2 * model.layers + 1) * model.width


def panels(rows):
    return -(-rows // 64) * 64


def float_bytes(model):
    """Panels of 64 outputs, the last filled up; the table by rows, the layers, the head and the norms."""
    return 4 * (model.vocab * model.width + panels(model.vocab) * model.width + sum(panels(n) * k for n, k in products(model))
                + norms(model))


def int8_bytes(model, head):
    """A byte for each number, four inputs side by side, and a float for each output; table and norms are floats. With
    the head in bytes the table is kept as bytes, too, whether or not it is the head: the engine cannot know yet."""
    codes = lambda n, k: panels(n) * (-(-k // 4) * 4 + 4)
    table, as_head = 4 * model.vocab * model.width, 4 * panels(model.vocab) * model.width
    return (table + (2 * codes(model.vocab, model.width) if head else as_head) + 4 * norms(model)
            + sum(codes(n, k) for n, k in products(model)))


# --- kv-clock -------------------------------------------------------------------------------------


def check_kv_clock(run, model, codes, lengths, tokens, rounds, warm_up, time, rotate=False):
    run.head()
    run.given("model", model.name)
    run.given("engine", trial.engine(run))
    run.given("rotate", rotate)
    run.given("time", time)
    run.closed_form("weight_bytes", float_bytes(model))
    run.says(f"{model.name}, {run.json['engine']}: a token behind so many others, {time} time, {rounds} rounds in turn; "
             f"weights {float_bytes(model)} bytes", f"RESULT rows={len(codes) * len(lengths)}")
    clock = Counting()
    for l, length in enumerate(lengths):
        medians = [[] for _ in codes]
        for round_ in range(rounds + 1):
            for samples in medians:
                for _ in range(warm_up):
                    clock.read()
                middle = median([clock.interval() for _ in range(tokens)])
                if round_ > 0:
                    samples.append(middle)
        for c, (code, samples) in enumerate(zip(codes, medians)):
            path, parts = f"rows[{l * len(codes) + c}]", quartiles(samples)
            size, to_first = cache_bytes(model, code, code, length), median([own / first for own, first in zip(samples, medians[0])])
            run.given(f"{path}.cache", code)
            run.given(f"{path}.length", length)
            run.closed_form(f"{path}.bytes_read", size)
            run.counted_clock(f"{path}.to_first", to_first, 1e-12)
            run.counted_clock(f"{path}.seconds", parts, 1e-12)
            run.says(f"{code} {length} {1e3 * parts['median']:.3f} {number(1e3 * parts['low'])} - {number(1e3 * parts['high'])} "
                     f"{to_first:.3f} {size}")


@case("step06_quant", "kv-clock -m SCRATCH/many.gguf --codes q4_1,f32,kivi2 --lengths 9,140 --tokens 4 --rounds 4 --warm-up 2 --threads 1",
      files=FILES)
def kv_clock(run):
    check_kv_clock(run, SMALL, ("q4_1", "f32", "kivi2"), (9, 140), 4, 4, 2, "processor")


@case("step06_quant", "kv-clock -m SCRATCH/narrow.gguf --codes f16,int8 --lengths 3 --tokens 1 --rounds 1 --warm-up 0 --rotate --threads 2",
      files=NARROW_FILES)
def kv_clock_of_threads(run):
    """The processor's time of one thread would not be that of two."""
    check_kv_clock(run, NARROW, ("f16", "int8"), (3,), 1, 1, 0, "wall", rotate=True)


# --- kv-speed -------------------------------------------------------------------------------------


def greedy(model, code, context, tokens):
    """What a model chooses behind a text that any program can make again."""
    text, chosen = [(7919 * i + 1) % model.vocab for i in range(context + 1)], []
    while len(chosen) < tokens:
        row = plain.forward(model, text + chosen, plain.Coded(code, code))[-1]
        chosen.append(row.index(max(row)))
    return chosen


def check_kv_speed(run, model, code, context, tokens, rounds, warm_up, seconds):
    run.head(seed=0)
    run.given("model", model.name)
    run.given("engine", run.lines[0].split(", ", 1)[1].rsplit(", ", 1)[0])
    run.closed_form("weight_bytes", float_bytes(model))
    run.given("decode.cache", code)
    size = taken(model, code, context + tokens, 128)[0]
    run.closed_form("decode.cache_bytes", size)
    run.second_route("decode.chosen", greedy(model, code, context, tokens))
    clock, rates = Counting(), []
    for _ in range(warm_up + rounds):
        took = passes = 0
        while passes == 0 or took < seconds:
            took, passes = took + clock.interval(), passes + 1
        rates.append(tokens * passes / took)
    rates = rates[warm_up:]
    run.counted_clock("decode.rounds", rates, 1e-12)
    parts = quartiles(rates)
    run.says(f"{model.name}, {run.json['engine']}, cache {code}",
             f"{tokens} tokens behind {context}: {number(parts['median'])} tokens per second ({number(parts['low'])} - "
             f"{number(parts['high'])}), cache {size} bytes", f"RESULT tokens_per_second={number(parts['median'], 4)}")


@case("step06_quant", "kv-speed -m SCRATCH/many.gguf --code q4_0 --context 9 --tokens 6 --rounds 4 --warm-up 2 --seconds 4", files=FILES)
def kv_speed(run):
    """A round has several passes until it lasts as long as was asked."""
    check_kv_speed(run, SMALL, "q4_0", 9, 6, 4, 2, 4)


@case("step06_quant", "kv-speed -m SCRATCH/narrow.gguf --code lloyd3 --context 0 --tokens 3 --rounds 9 --warm-up 0 --wait",
      stdin="\n\n\n", files=NARROW_FILES)
def kv_speed_in_turns(run):
    """A line of input asks for a round; three lines, three rounds of nine."""
    run.holds(run.lines[1:5] == ["READY", "ROUND", "ROUND", "ROUND"] and run.lines.count("ROUND") == 3, "turns: " + str(run.lines))
    check_kv_speed(run, NARROW, "lloyd3", 0, 3, 3, 0, 0.2)


@case("step06_quant", "kv-speed -m tiny --code f32 --context 20 --tokens 5 --rounds 2 --warm-up 1")
def kv_speed_like_chapter_3(run):
    """Chapter 3's program generates the same behind the same text."""
    other = run.other("step03_kvcache", "speed -m tiny --prefill 0 --context 20 --tokens 5 --rounds 1")
    run.second_route("decode.chosen", other["decode"]["chosen"])
    check_kv_speed(run, plain.tiny(), "f32", 20, 5, 2, 1, 0.2)


# --- smooth --clock -------------------------------------------------------------------------------


def check_smooth_clock(run, model, prompt, steps, rounds, time):
    run.head(seed=0, experiment="step06_quant smooth --clock")
    run.given("model", model.name)
    run.given("prompt", prompt)
    run.given("steps", steps)
    names = ("F32", "as in the file", "W8A8", "W8A8 and head")
    sizes = (float_bytes(model), float_bytes(model), int8_bytes(model, False), int8_bytes(model, True))
    floats = trial.engine(run)
    rates = []
    for i in range(4):  # each has read the clock once before, and reads it three times in each of its rounds
        starts = [4 + 3 * (4 * round_ + i) for round_ in range(1, rounds + 1)]
        rates.append(([prompt / (reading(n + 1) - reading(n)) for n in starts],
                      [steps / (reading(n + 2) - reading(n + 1)) for n in starts]))
    for i, (name, size, (whole, single)) in enumerate(zip(names, sizes, rates)):
        path, engine, parts = f"rows[{i}]", run.json["rows"][i]["engine"], quartiles(whole)
        run.given(f"{path}.products", name)
        run.holds(engine == floats if i < 2 else engine.startswith(floats + ", int8 "), f"the engine of {name}: {engine}")
        run.given(f"{path}.engine", engine)
        run.closed_form(f"{path}.weight_bytes", size)
        run.counted_clock(f"{path}.prompt_tokens_per_second", whole, 1e-12)
        run.counted_clock(f"{path}.tokens_per_second", single, 1e-12)
        run.says(f"{name} {parts['median']:.1f} {parts['low']:.1f} {parts['high']:.1f} "
                 f"{parts['median'] / median(rates[0][0]):.2f} {median(single):.1f} "
                 f"{median(single) / median(rates[0][1]):.2f} {size / 1e6:.1f} MB")
    run.says(f"{model.name}, {floats}: a prompt of {prompt}, then {steps} tokens; {rounds} rounds, {time}",
             f"RESULT prefill_times_f32={number(median(rates[2][0]) / median(rates[0][0]))}")
    run.words("tokens/s prompt quarter 3 quart. times decoding times weights")


@case("step06_quant", "smooth -m SCRATCH/many.gguf --clock --prompt 11 --steps 3 --rounds 4 --threads 1", files=FILES)
def smooth_clock(run):
    check_smooth_clock(run, SMALL, 11, 3, 4, "processor time")


@case("step06_quant", "smooth -m SCRATCH/narrow.gguf --clock --prompt 2 --steps 2 --rounds 1 --threads 2", files=NARROW_FILES)
def smooth_clock_of_threads(run):
    check_smooth_clock(run, NARROW, 2, 2, 1, "wall clock")
