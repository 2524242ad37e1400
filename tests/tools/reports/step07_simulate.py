"""Chapter 7: the cost of a step, fitted to steps on the counting clock; and the scheduler on machines that are not here."""
from reports.checked import case, number
from reports.serving_costs import NAMES, TINY_SERVED, SimulatedSteps, calibrated, errors, seconds, workloads
from reports.serving_model import Scheduler
from reports.serving_traces import KINDS, CountingClock, CpuSteps, WallSteps, made, replay, summary
from reports.shapes import cache_bytes, step_weight_bytes
from reports.step03_work import cpu
from reports.times import median, quartiles


def claim_cost(run, claim, cost):
    for name, value in zip(NAMES, cost):
        claim(f"cost.{name}", value)


def claim_fit(run, cost, samples):
    """All steps read the same weights, so that nobody can tell a second a step from seconds per byte of them: rounding
    decides between the two. Whichever it is, every step is predicted alike."""
    reported = [run.json["cost"][name] for name in NAMES]
    run.holds(min(reported) >= 0, f"these coefficients: {reported}")
    for work, _ in samples:
        one, other = seconds(reported, work), seconds(cost, work)
        run.holds(abs(one - other) <= 1e-9 * other, f"a step is predicted to take {one} s, expected {other}")
    if cost[0] == 0 or reported[0] == 0:
        cost = [reported[0], cost[1], reported[2], *cost[3:]]
    claim_cost(run, lambda path, value: run.second_route(path, value, 1e-6), cost)


def says_cost(run, cost):
    what = ["a step", "a text in it", "matrices: a byte", "matrices: a FLOP", "attention: a byte", "attention: a FLOP"]
    for i, (name, value) in enumerate(zip(what, cost)):
        rate = f" {number(1e-9 / value)} {('GB/s', 'GFLOP/s')[i % 2]}" if i > 1 and value > 0 else ""
        run.says(f"{name} {number(value)} s{rate}")


def cpu_steps(clock):
    WallSteps(clock)  # the decoder's own watch, started before
    return CpuSteps(clock)


def check_calibrate(run, most, repeats, budget=256):
    run.head(seed=0, experiment="step07_serving calibrate")
    run.given("model", "kvlab-tiny")
    run.given("engine", cpu(run, 1))
    run.closed_form("weight_bytes", TINY_SERVED["weight_bytes"])
    run.closed_form("bytes_per_token", TINY_SERVED["bytes_per_token"])
    cost, fitted, held_out = calibrated(cpu_steps(CountingClock()), 512, most, repeats, budget)
    claim_fit(run, cost, fitted + held_out)
    shown = {}
    for name, samples in (("fitted_errors", fitted), ("held_out_errors", held_out)):
        shown[name] = quartiles(errors([run.json["cost"][n] for n in NAMES], samples))
        run.second_route(name, shown[name], 1e-9)
    run.says(f"kvlab-tiny, {cpu(run, 1)}: {len(fitted) + len(held_out)} steps of {len(workloads(512, most))} workloads, of each the mean of {repeats} runs")
    says_cost(run, [run.json["cost"][n] for n in NAMES])
    for what, samples, name in (("of the fit", fitted, "fitted_errors"), ("held out", held_out, "held_out_errors")):
        q = shown[name]
        run.says(f"{len(samples)} steps {what} {number(100 * q['median'])} % {number(100 * q['high'])} %")
    run.says(f"RESULT steps={len(fitted) + len(held_out)} held_out_error={number(shown['held_out_errors']['median'])}")


@case("step07_serving", "calibrate -m tiny --most-tokens 300 --repeats 2")
def calibrate(run):
    check_calibrate(run, 300, 2)


@case("step07_serving", "calibrate -m tiny --most-tokens 240 --repeats 1 --budget 20")
def calibrate_with_small_steps(run):
    check_calibrate(run, 240, 1, 20)


# --- how near a simulation comes --------------------------------------------------------------------


def summary_of(trace, make_steps, budget=256, running=16, pages=16 * 8):
    s = Scheduler(pages, running, budget)
    return summary(replay(s, make_steps(s), trace)[0])


def check_nearness(run, requests, rounds, repeats, most, tolerance, seed=1):
    run.head(seed=seed, experiment="step07_serving simulate --check")
    run.given("model", "kvlab-tiny")
    run.given("engine", cpu(run, 1))
    steps = cpu_steps(CountingClock())
    names = ["azure-conversation", "azure-code", "mooncake-conversation"]
    fields = ["tokens_per_second", "simulated_tokens_per_second", "ratios", "first_token_p50", "simulated_first_token_p50"]
    found = [{field: [] for field in fields} for _ in names]
    for _ in range(rounds):
        cost, fitted, _ = calibrated(steps, 512, most, repeats)
        for name, to in zip(names, found):
            trace = made(name, requests, 512, seed)
            real = summary_of(trace, lambda s: steps)
            simulated = summary_of(trace, lambda s: SimulatedSteps(TINY_SERVED, cost, s))
            rates = [real["tokens_per_second"], simulated["tokens_per_second"]]
            for field, value in zip(fields, [*rates, rates[1] / rates[0], real["first_token"]["p50"], simulated["first_token"]["p50"]]):
                to[field].append(value)
    run.says(f"kvlab-tiny, {cpu(run, 1)}: {rounds} rounds, each with a fit of its own; of the last one")
    claim_fit(run, cost, fitted)
    says_cost(run, [run.json["cost"][n] for n in NAMES])
    run.words("all requests at once tokens/s simulated ratio P50 first simulated")
    for i, (name, values) in enumerate(zip(names, found)):
        run.given(f"traces[{i}].trace", name)
        for field in fields:
            claim = run.second_route if "simulated" in field or field == "ratios" else run.counted_clock
            claim(f"traces[{i}].{field}", values[field], 1e-9)
        rate, simulated, ratio, first, simulated_first = (median(values[f]) for f in fields)
        run.says(f"{name} {number(rate)} {number(simulated)} {ratio:.3f} {number(first)} s {number(simulated_first)} s")
    worst = max(abs(median(values["ratios"]) - 1) for values in found)
    run.second_route("worst", worst, 1e-9)
    run.says(f"RESULT worst_error={number(worst)} within={tolerance:g} holds={'yes' if worst <= tolerance else 'no'}")


@case("step07_serving", "simulate --check -m tiny --requests 3 --rounds 2 --repeats 1 --most-tokens 300 --tolerance 4")
def simulate_check(run):
    """On the counting clock a step takes as long as it reads the clock, so that no cost of work fits it."""
    check_nearness(run, 3, 2, 1, 300, 4)


@case("step07_serving", "simulate --check -m tiny --requests 2 --rounds 1 --repeats 1 --most-tokens 300 --tolerance 0.1 -s 6", code=1)
def simulate_check_that_does_not_hold(run):
    check_nearness(run, 2, 1, 1, 300, 0.1, 6)


# --- machines that are not here ---------------------------------------------------------------------

LLAMA = {"width": 8192, "layers": 80, "heads": 64, "kv_heads": 8, "head_dim": 128, "feed_forward": 28672, "vocab": 128256}


def check_simulate(run, loads, requests, kind="azure-conversation", gpus=1, weight=1, cache=1, running=256, budget=512, seed=1, deadlines=(2, 0.1)):
    run.head(seed=seed, experiment="step07_serving simulate")
    run.given("predicted", True)
    machine = "one H100" if gpus == 1 else f"{gpus} H100"
    table = LLAMA["vocab"] * LLAMA["width"]
    served = {"shape": LLAMA, "weight_bytes": step_weight_bytes(LLAMA, (1, 1)) * weight, "bytes_per_token": cache_bytes(LLAMA, 1) // 4 * cache}
    resident = served["weight_bytes"] + table * weight
    fit = (gpus * 78 * 10**9 - resident) // served["bytes_per_token"]
    # Of the data sheet: 3.35 TB/s, of which 80 % are reached, and 989 TFLOP/s, of which 60 %.
    byte, flop = 1 / (gpus * 3.35e12 * 0.8), 1 / (gpus * 989e12 * 0.6)
    cost = [2e-3 + (2 * 12e-6 * 80 if gpus > 1 else 0), 0, byte, flop, byte, flop]
    for field, value in {"machine": machine, "model": "70B", "trace": kind}.items():
        run.given(field, value)
    for field, value in {"weight_bytes": served["weight_bytes"], "resident_bytes": resident, "bytes_per_token": served["bytes_per_token"],
                         "tokens_that_fit": fit}.items():
        run.closed_form(field, value)
    claim_cost(run, lambda path, value: run.closed_form(path, value, 1e-15), cost)
    parameters = step_weight_bytes(LLAMA, (1, 1)) + table + (2 * LLAMA["layers"] + 1) * LLAMA["width"]
    giga = lambda n: number(n * 1e-9)
    run.says(f"predicted, not measured: {machine} and a model of {giga(parameters)} billion parameters",
             f"{giga(gpus * 80e9)} GB of memory - {giga(gpus * 2e9)} GB for activations - {giga(resident)} GB of weights = "
             f"{giga(gpus * 78e9 - resident)} GB for pages",
             f"{served['bytes_per_token']} bytes of keys and values a token: room for {fit} tokens",
             f"reading the weights takes {1e3 * byte * served['weight_bytes']:.1f} ms a step, whatever is in it",
             f"{kind}, {requests} requests; in time: first token in {deadlines[0]:g} s, then {1e3 * deadlines[1]:g} ms a token")
    run.words("load tokens goodput in time TTFT P50 TTFT P99 TPOT P50 TPOT P99 batch")
    trace, best = made(kind, requests, 0, seed), 0
    for i, load in enumerate(loads):
        s = Scheduler(fit // 64, running, budget)
        served_requests, texts = replay(s, SimulatedSteps(served, cost, s), trace, load / KINDS[kind][5], prompts=False)
        found, path, batch = summary(served_requests, *deadlines), f"loads[{i}].", texts / s.counts["steps"]
        run.given(path + "load", load)
        run.closed_form(path + "tokens", sum(r.most for r in trace))
        for field, value in {**found, "mean_batch": batch, "preempted": s.counts["preempted"]}.items():
            run.second_route(path + field, value, 1e-9)
        first, gap = found["first_token"], found["per_token"]
        run.says(f"{load:g} {found['tokens_per_second']:.0f} {found['goodput']:.2f} {100 * found['in_time'] / requests:.1f} {first['p50']:.2f} {first['p99']:.2f} "
                 f"{1e3 * gap['p50']:.1f} {1e3 * gap['p99']:.1f} {batch:.2f}")
        best = max(best, found["goodput"])
    run.holds(len(run.json["loads"]) == len(loads), f"{len(run.json['loads'])} loads")
    run.says(f"RESULT predicted=yes loads={len(loads)} best_goodput={number(best)}")


@case("step07_serving", "simulate --requests 60 --loads 0.5,100 --first-token 1.5 --per-token 0.06")
def simulate_one_gpu(run):
    check_simulate(run, [0.5, 100], 60, deadlines=(1.5, 0.06))
    slow, fast = run.json["loads"]
    run.holds(slow["in_time"] > fast["in_time"] and fast["preempted"] > 0, f"nothing happened: {fast}")


@case("step07_serving", "simulate --kind azure-code --requests 60 --gpus 4 --weight-bytes 2 --cache-bytes 2 --running 20 --budget 700 --loads 3 -s 8")
def simulate_four_gpus(run):
    check_simulate(run, [3], 60, "azure-code", 4, 2, 2, 20, 700, 8)
