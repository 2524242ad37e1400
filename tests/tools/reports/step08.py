"""Chapter 8: bytes, times, laws and text of models with other memories."""
from reports.checked import case, number
from reports.step03_work import cpu
from reports.step08_shapes import NAMES, kinds, layers_of, scores, state_bytes, trained
from reports.times import Counting, median, quartiles

# Figures of the engine and PyTorch's over the same windows and cases. Measured with gqa, delta, rwkv and s4d: bits differ by
# at most 4.95e-6, which the five digits of the scores leave out, and none of 2200 answers of each. A near tie of two bytes
# may fall either way in a model that is trained anew.
BITS_APART = 6e-6
ANSWERS_APART = 1


def check_laws(run, path, found, name, length, laws):
    """found: what stands at this path. laws: (name, tokens compared, how often it happened) of each."""
    for field in ("bytes_measured", "bytes_by_form"):
        run.closed_form(f"{path}.{field}", state_bytes(name, length))
    run.given(f"{path}.length", length)
    run.by_hand(f"{path}.differ", 0)
    run.closed_form(f"{path}.floats", 256 * sum(tokens for _, tokens, _ in laws))
    run.holds([law["law"] for law in found["laws"]] == [law for law, _, _ in laws], f"its laws: {[law['law'] for law in found['laws']]}")
    for i, (law, tokens, happened) in enumerate(laws):
        run.given(f"{path}.laws[{i}].law", law)
        run.closed_form(f"{path}.laws[{i}].floats", 256 * tokens)
        run.closed_form(f"{path}.laws[{i}].happened", happened)
        run.by_hand(f"{path}.laws[{i}].differ", 0)
        run.by_hand(f"{path}.laws[{i}].max_ulp", 0)


def in_steps(length, size):
    return -(-length // size)


@case("step08_architectures", "bytes --lengths 1,64,100,8192")
def lengths(run):
    run.head(seed=0)
    asked = [1, 64, 100, 8192]
    run.given("lengths", asked)
    run.says(f"bytes after tokens {' '.join(map(str, asked))}")
    run.holds([m["model"] for m in run.json["models"]] == NAMES, "other models, or in another order")
    for i, name in enumerate(NAMES):
        expected = [state_bytes(name, N) for N in asked]
        run.given(f"models[{i}].model", name)
        run.given(f"models[{i}].mixers", layers_of(name))
        run.closed_form(f"models[{i}].bytes", expected)
        run.says(f"{name} {kinds(name)} {' '.join(map(str, expected))}")
    run.says("32 layers, heads of 128 numbers of 16 bits, 8192 tokens:")
    for i, (kind, heads) in enumerate((("MHA", 32), ("GQA", 8), ("MQA", 1))):
        size = 8192 * 32 * 2 * heads * 128 * 2
        run.given(f"full_size[{i}].kv_heads", heads)
        run.closed_form(f"full_size[{i}].bytes", size)
        run.closed_form(f"full_size[{i}].gib", size / 2**30)
        run.says(f"{kind} {heads} KV heads {size} bytes {size / 2**30:.3f} GiB")
    run.says(f"RESULT models={len(NAMES)} as_trained=yes")


@case("step08_architectures", "clock --lengths 8,100 --tokens 2 --rounds 2 --prefills 2 --mixer delta,yoco")
def clock(run):
    run.head(seed=0)
    names, lengths, tokens, rounds, warm_up = ["gqa", "delta", "yoco"], [8, 100], 2, 2, 4
    for name in names:
        if not trained(name):
            run.says(f"{name}: no trained model is there, its weights are drawn")
    run.given("engine", cpu(run, 1))
    run.given("threads", 1)
    run.says(f"{cpu(run, 1)}; the median of the rounds, {rounds} of {tokens} tokens")
    time, i = Counting(), 0
    for length in lengths:
        prefills, seconds = {name: [] for name in names}, {name: [] for name in names}
        for _ in range(2):
            for name in names:
                prefills[name].append(time.interval())
        for a_round in range(-1, rounds):  # the first one does not count
            for name in names:
                for _ in range(warm_up):
                    time.read()  # a watch that nobody asks
                of_round = median([time.interval() for _ in range(tokens)])
                if a_round >= 0:
                    seconds[name].append(of_round)
        for name in names:
            q = quartiles(seconds[name])
            ratio = median([a / b for a, b in zip(seconds[name], seconds["gqa"])])
            rate = length / median(prefills[name])
            path = f"rows[{i}]"
            run.given(f"{path}.model", name)
            run.second_route(f"{path}.drawn", not trained(name))
            run.given(f"{path}.length", length)
            run.counted_clock(f"{path}.seconds", q)
            run.counted_clock(f"{path}.time_of_gqa", ratio)
            run.counted_clock(f"{path}.prefill_tokens_per_second", rate)
            run.closed_form(f"{path}.bytes_held", state_bytes(name, length))
            run.says(f"{name} {length} {q['median'] * 1e3:.4f} {number(q['low'] * 1e3)} - {number(q['high'] * 1e3)} {ratio:.3f} {rate:.0f} {state_bytes(name, length)} yes")
            i += 1
    run.says(f"RESULT rows={i} form=yes")


def law_cases(length, chunks, backs, forks):
    return [("token by token", length, length), *[(f"steps of {n}", length, in_steps(length, n)) for n in chunks],
            *[(f"back by {n}", n, n) for n in backs], *[(f"fork at {n}", length - n, length - n) for n in forks]]


@case("step08_architectures", "verify --mixer gqa,mamba --length 100")
def verify(run):
    run.head(seed=0)
    run.given("missing", [])
    run.by_hand("hold", True)
    laws = law_cases(100, (3, 7, 16, 64, 65), (1, 33, 99, 100), (1, 50))
    laws.append(("in a batch", 100, in_steps(100, 16)))
    engines = [law["law"] for law in run.json["models"][0]["laws"] if ", threads: " in law["law"]]
    run.holds(engines[0] == "portable, threads: 1" and [e[-1] for e in engines[-2:]] == ["2", "3"], f"engines: {engines}")
    laws += [(engine, 100, 1) for engine in engines]
    other = run.other("step08_architectures", "verify --mixer gqa,mamba --length 100 --simd portable --threads 2")
    floats = 0
    for i, name in enumerate(("gqa", "mamba")):
        check_laws(run, f"models[{i}]", run.json["models"][i], name, 100, laws)
        run.given(f"models[{i}].model", name)
        run.second_route(f"models[{i}].checksum", other["models"][i]["checksum"])
        run.says(*[f"{law} {happened} x 0 of {256 * tokens} floats differ" for law, tokens, happened in laws])
        run.says(f"memory {state_bytes(name, 100)} bytes held, {state_bytes(name, 100)} by the closed form",
                 f"checksum of all logits {run.json['models'][i]['checksum']}; bit-identical: yes")
        floats += 256 * sum(tokens for _, tokens, _ in laws)
    run.says(f"RESULT models=2 floats={floats} differ=0 laws=yes")


def check_row(run, i, name, law, timed, to_gqa, distances, bits, answers):
    """bits(found) and answers(distance, found) judge what PyTorch knows."""
    path, model = f"models[{i}]", run.json["models"][i]
    run.given(f"{path}.model", name)
    run.given(f"{path}.mixers", layers_of(name))
    for length in (512, 8192):
        run.closed_form(f"{path}.bytes_{length}", state_bytes(name, length))
    run.closed_form(f"{path}.bytes_512_measured", state_bytes(name, 512))
    run.counted_clock(f"{path}.ms_per_token", timed * 1e3)
    run.counted_clock(f"{path}.time_of_gqa", to_gqa)
    run.between(f"{path}.bits_per_byte", *bits)
    for distance in distances:
        run.between(f"{path}.recall.{distance}", *answers(distance))
    run.same_report(f"{path}.recall_mean", sum(model["recall"][d] for d in distances) / len(distances), 1e-12)
    laws = law_cases(law, (7, 64), (1, law // 2), (law // 2,))
    check_laws(run, f"{path}.laws", model["laws"], name, law, laws)
    other = run.other("step08_architectures", f"verify --mixer {name} --length {law}")
    run.second_route(f"{path}.laws.checksum", other["models"][0]["checksum"])
    floats = 256 * sum(tokens for _, tokens, _ in laws)
    run.says(f"{name} {kinds(name)} {state_bytes(name, 512)} {state_bytes(name, 8192)} yes {timed * 1e3:.4f} {number(to_gqa)} "
             f"{model['bits_per_byte']:.4f} {number(model['recall_mean'], 4)} 0 of {floats}")
    return floats


def check_compare(run, names, windows, cases, law, tokens, rounds, warm_up, bits, answers):
    run.head(seed=0, experiment="step08_architectures compare")
    run.given("engine", cpu(run, 1))
    run.given("threads", 1)
    run.given("windows", windows)
    run.given("missing", [])
    distances = list(scores("gqa")["accuracy"]["recall"])
    run.given("recall_cases", cases * len(distances))
    run.says(f"{len(names)} models, {cpu(run, 1)}; {windows} windows of 512 bytes, {cases * len(distances)} recall cases",
             "model layers bytes, 512 bytes, 8192 form ms/token of gqa's bits/byte recall floats differ", " ".join(["model", *distances]))
    time, seconds = Counting(), {name: [] for name in names}
    for _ in names:
        time.interval()  # a prefill
    for a_round in range(-1, rounds):
        for name in names:
            for _ in range(warm_up):
                time.read()
            of_round = median([time.interval() for _ in range(tokens)])
            if a_round >= 0:
                seconds[name].append(of_round)
    floats = 0
    for i, name in enumerate(names):
        ratio = median([a / b for a, b in zip(seconds[name], seconds["gqa"])])
        floats += check_row(run, i, name, law, median(seconds[name]), ratio, distances, bits(name), lambda d: answers(name, d))
        run.says(" ".join([name, *(f"{run.json['models'][i]['recall'][d]:.2f}" for d in distances)]))
    run.words("bytes: what a text of so many tokens leaves behind, by the closed form; form: that is what",
              f"texts of {law} and of 512 tokens held. ms/token: at the end of a text of 512 tokens, the median of",
              f"{rounds} rounds in which all models take turns. floats differ: of logits, token by token, in")
    run.says(f"RESULT models={len(names)} floats={floats} differ=0 laws=yes")


@case("step08_architectures", "compare --mixer gqa --windows 0 --recall 200 --law 100 --tokens 2 --rounds 2")
def compare_with_pytorch(run):
    """All windows and all cases of one model: PyTorch's figures of the same file."""
    def bits(name):
        return scores(name)["bits_per_byte"] - BITS_APART, scores(name)["bits_per_byte"] + BITS_APART

    def answers(name, distance):
        share = scores(name)["accuracy"]["recall"][distance]
        return share - (ANSWERS_APART + 0.5) / 200, share + (ANSWERS_APART + 0.5) / 200
    check_compare(run, ["gqa"], 220220 // 512, 200, 100, 2, 2, 4, bits, answers)


@case("step08_architectures", "compare --quick --mixer gqa,local,delta,mamba")
def compare_quickly(run):
    """Of two windows and cases only that they are figures of this model: a quarter around PyTorch's bits."""
    def bits(name):
        return 0.75 * scores(name)["bits_per_byte"], 1.25 * scores(name)["bits_per_byte"]
    check_compare(run, ["gqa", "local", "delta", "mamba"], 2, 2, 100, 8, 1, 1, bits, lambda name, distance: (0, 1))


@case("step08_architectures", ["generate", "--mixer", "delta", "-n", "10", "-p", "In the"])
def generate(run):
    run.head()
    run.given("model", "delta")
    other = run.other("step08_architectures", ["generate", "--mixer", "delta", "-n", "10", "-p", "In the", "--simd", "portable", "--threads", "2"])
    r = run.json
    for field in ("tokens", "checksum"):
        run.second_route(field, other[field])
    seen = 1 + len("In the") + 10 - 1  # BOS; the last token is not fed
    run.closed_form("seen", seen)
    run.closed_form("bytes_held", state_bytes("delta", seen))
    run.between("bytes_allocated", r["bytes_held"], 2 * r["bytes_held"])
    run.between("seconds", 1, 2)
    run.says(f"delta (delta), {cpu(run, 1)}", f"10 tokens (length) behind a prompt of 7, in {r['seconds']:.3f} s",
             f"memory of {seen} tokens: {r['bytes_held']} bytes held, {r['bytes_allocated']} allocated",
             f"RESULT tokens=10 bytes={r['bytes_held']} checksum={r['checksum']}")
