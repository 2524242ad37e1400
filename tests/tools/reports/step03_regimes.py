"""Chapter 3: prefill and decode under the roof of the machine."""
import math

from reports.checked import case, number
from reports.shapes import LANES, TINY, all_bytes, work
from reports.step01 import memory_levels
from reports.step03_work import cpu, fast
from reports.times import Counting, median, quartiles

HEAD = "phase tokens batch context FLOP/byte ms best, ms tokens/s GFLOP/s of roof bound by"


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
        for name, least, most in (("peak_gflops", 0.1, 1000), ("bandwidth_gb_s", 0.1, 1000)):
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
            run.quartiles(path + "seconds", 1e-6, 10, rounds)
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
    run.says(f"After {context} tokens, decode turns compute-bound at a batch of",
             f"{predicted or 'none'} by prediction: the smallest whose intensity reaches the ridge",
             f"{measured} by measurement: the best rate over that of batch 1, {number(rates[best])} / {number(rates[one])}",
             f"They differ because the plateau has {100 * of_peak:.0f} % of the peak and batch 1 {100 * of_bandwidth:.0f} % of "
             "the bandwidth:",
             f"{number(ridge)} / {number(one.intensity)} FLOP/byte * {of_peak:.2f} / {of_bandwidth:.2f} = "
             f"{rates[best] / rates[one]:.1f}; and because the prediction also counts what each")
    run.words(HEAD, "sequence brings along, its cache and activations, which a straight line from batch 1 leaves out.")
    larger = "The largest batch was the fastest: the plateau may be higher (--batch)."
    run.holds((larger in run.lines) == (best is decode[-1]), larger)
    for i, p in enumerate(by_context):
        path = f"contexts[{i}]."
        run.given(path + "context", p.past)
        if counted:
            run.counted_clock(path + "tokens_per_second", 1 / median(p.seconds), 1e-12)
        else:
            run.between(path + "tokens_per_second", 1, 1e6)
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


@case("step03_kvcache", "regimes -m tiny --prefill 4,70 --batch 2,4,3 --context 6 --contexts 0,6,9 --rounds 3 --warm-up 2 "
      "--seconds 0")
def regimes_counted(run):
    """The decode step behind 6 tokens serves both tables; batch 1 is there though nobody asked for it."""
    check_regimes(run, [4, 70], [2, 4, 3], 6, [0, 6, 9], 3, warm_up=2)


@case("step03_kvcache", "regimes -m tiny --prefill 5 --batch 1 --context 0 --rounds 2 --seconds 2.5")
def regimes_of_several_passes(run):
    """Each round takes three passes, since two last less than 2.5 s; of the default contexts those of 512 and more do not
    fit the model."""
    run.words(*[f"(--contexts {n} left out: it does not fit the model's context)" for n in (512, 1024, 2048)])
    check_regimes(run, [5], [1], 0, [0, 128], 2, passes=3)


@case("step03_kvcache", "regimes -m tiny --prefill 512 --batch 1,2 --context 500 --contexts 0,511 --rounds 2 --seconds 0.01",
      clock=None)
def regimes_under_a_real_roof(run):
    """A ridge of a few FLOP per byte, so that decode is bound by memory, and, where the memory is slow, at every batch."""
    check_regimes(run, [512], [1, 2], 500, [0, 511], 2, counted=False)
    run.holds(not fast(run) or run.json["points"][1]["verdict"] == "memory", "no step bound by memory")
