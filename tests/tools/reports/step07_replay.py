"""Chapter 7: the requests of a trace, served in six ways: what users notice, and the bits of all logits."""
from reports.book_model import Checksum, Sampler, Text, tiny
from reports.checked import case, number
from reports.serving_traces import CountingClock, Request, WallSteps, made, summary, to_text
from reports.step03_work import cpu
from reports.step07_compare import FILES, WAYS, Expected, answers, pages_of, texts_trace


def shown(way, s, one):
    def columns(values, digits):
        return "".join(f"{1e3 * values[p]:8.{digits}f}" for p in ("p50", "p95", "p99"))
    c = one.counts
    return (f"{way} {number(s['tokens_per_second'], 4)} {s['in_time']} {columns(s['first_token'], 1)} {columns(s['per_token'], 3)} "
            f"{one.mean_batch:6.1f} {c['cached']} {c['accepted']}/{c['drafted']}")


def check_replay(run, name, trace, answers=None, checksum=None, ways=WAYS, running=16, budget=256, drafts=4, pages=0, speed=0, seed=1,
                 deadlines=(0.5, 0.01)):
    run.head(seed=seed, experiment="step07_serving replay")
    for field, value in {"model": "kvlab-tiny", "engine": cpu(run, 1), "trace": name, "requests": len(trace)}.items():
        run.given(field, value)
    run.says(f"kvlab-tiny: {len(trace)} requests of {name}, {f'{speed} times as fast' if speed else 'all at once'}; in time: first token in "
             f"{deadlines[0]:g} s, then {1e3 * deadlines[1]:g} ms a token")
    run.words("P50 P95 P99 P50 P95 P99")
    clock, pages = CountingClock(), pages or pages_of(trace, running)
    found = run.json["ways"][0]["checksum"]
    for i, way in enumerate(ways):
        path = f"ways[{i}]."
        run.given(path + "way", way[0])
        one = Expected(way, trace, answers, WallSteps(clock), pages, running, budget, drafts, speed)
        s, c = summary(one.served, *deadlines), one.counts
        run.closed_form(path + "requests", len(trace))
        run.closed_form(path + "tokens", sum(r.most for r in trace))
        for field in ("seconds", "tokens_per_second", "first_token", "per_token", "in_time", "goodput", "in_system"):
            run.counted_clock(path + field, s[field], 1e-12)
        for field in ("steps", "fed", "padded", "cached", "drafted", "accepted", "preempted"):
            run.second_route(path + field, c[field])
        run.second_route(path + "mean_batch", one.mean_batch)
        run.second_route(path + "most_pages", one.pool.most_used)
        # The same bits whichever way they are served; and which bits, where the texts are short enough.
        run.same_report(path + "checksum", found)
        if checksum:
            run.second_route(path + "checksum", checksum)
        run.says(shown(way[0], s, one))
    run.holds(len(run.json["ways"]) == len(ways), f"{len(run.json['ways'])} ways")
    run.by_hand("same_bits", True)
    run.says(f"RESULT ways={len(ways)} checksum={found} same_bits=yes")


@case("step07_serving", "replay -m tiny --trace SCRATCH/texts.jsonl --running 3 --budget 40 --drafts 5 --pages 5 --speed 0.5 "
                        "--first-token 150 --per-token 11.5 -s 9", files=FILES)
def replay_of_texts(run):
    """Some are in time, and some are not."""
    check_replay(run, "texts", texts_trace(), answers(run), None, WAYS, 3, 40, 5, 5, 0.5, 9, (150, 11.5))
    for way in run.json["ways"]:
        run.holds(0 < way["in_time"] < way["requests"], f"in time: {way}")


@case("step07_serving", "replay -m tiny --kind mooncake-synthetic --requests 6 --way chunked -s 4")
def replay_of_a_drawn_trace(run):
    check_replay(run, "mooncake-synthetic", made("mooncake-synthetic", 6, 512, 4), ways=WAYS[4:5], seed=4)


@case("step07_serving", "replay -m tiny --kind azure-code --requests 2 --way continuous")
def replay_of_another_kind(run):
    check_replay(run, "azure-code", made("azure-code", 2, 512, 1), ways=WAYS[2:3])


SHORT = [Request(0, [(5, 2)], 2), Request(1000, [(5, 1), (8, 1)], 1), Request(1000, [(11, 1)], 3)]


def short_checksum():
    """Of every request's rows of logits and the tokens that are the most likely ones, request by request."""
    whole = Checksum()
    for request in SHORT:
        text, one = Text(tiny()), Checksum()
        for token in request.tokens():
            row = text.feed(token)
        for i in range(request.most):
            one.add(row)
            one.add_bits(Sampler().choose(row))
            if i + 1 < request.most:
                row = text.feed(Sampler().choose(row))
        whole.add_bits(one.value & 0xffffffff)
        whole.add_bits(one.value >> 32)
    return whole.hex()


@case("step07_serving", "replay -m tiny --trace SCRATCH/short.jsonl --running 2 --way prefixes", files={"short.jsonl": lambda: to_text("short", SHORT)})
def replay_of_short_texts(run):
    check_replay(run, "short", SHORT, None, short_checksum(), WAYS[3:4], 2)
