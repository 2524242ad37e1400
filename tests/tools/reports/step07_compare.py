"""Chapter 7: the same requests, served in six ways, on the counting clock."""
import re

from reports.book_model import bytes_of
from reports.checked import case, number
from reports.serving_model import Scheduler
from reports.serving_traces import CountingClock, CpuSteps, WallSteps, chats, longest, of_text, replay, summary, to_text
from reports.step03_work import cpu
from reports.times import quartiles

# (name, what, batching, prefixes, chunked, guesses)
WAYS = [("one-by-one", "each request alone, to its end", "one-by-one", False, False, False),
        ("static", "as many as fit, all until the last one's end", "static", False, False, False),
        ("continuous", "a request comes and goes at any step", "continuous", False, False, False),
        ("prefixes", "and uses pages of an earlier one that began alike", "continuous", True, False, False),
        ("chunked", "and a long prompt comes in pieces", "continuous", True, True, False),
        ("speculation", "and tokens are guessed first", "continuous", True, True, True)]
LIGHT = "And God said, Let there be light: and there was light. And God saw the light, that it was good"
TEXTS = [(0, LIGHT, 30), (2, LIGHT[:70] + " the men", 12), (3, "And the king said", 40), (9, LIGHT + " and the LORD said unto him", 9),
         (25, "I", 1), (190, "the son of", 24)]  # seconds, prompt, tokens to write


def texts_trace():
    return [of_text(seconds * 1000000, bytes_of(text), most) for seconds, text, most in TEXTS]


def go_on(run, text, most, model="tiny", sampling=()):
    """What chapter 2's program, which has no cache, writes behind a text, as bytes."""
    said = run.start("step02_attention", "-m", model, "-n", str(most), "-p", text, *sampling).stdout
    found = re.search(re.escape("\n\n" + text) + r"(.*?)\n\n  token ", said, re.DOTALL)[1]
    run.holds(len(found) == most and found.isascii(), f"'{found}' are not {most} bytes of ASCII")
    return list(found.encode())


def pages_of(trace, running):
    return running * -(-longest(trace) // 64)


def claim_unknown_guesses(run, path, before, trace, drafts):
    """Of random texts nobody here knows what the model writes, so which guesses are right is known to the program alone;
    what follows from how many there were is not."""
    at, tokens = lambda field: run.at(path + field), sum(r.most for r in trace)
    run.between(path + "seconds", 1, 2 * before["seconds"])
    run.same_report(path + "tokens_per_second", tokens / at("seconds"), 1e-12)
    for field in ("first_token", "per_token"):
        for p, low in (("p50", 0), ("p95", at(field + ".p50")), ("p99", at(field + ".p95"))):
            run.between(f"{path}{field}.{p}", low, at("seconds"))
    run.between(path + "steps", max(r.most for r in trace) / (1 + drafts), before["steps"])
    run.between(path + "mean_batch", 1, len(trace))
    run.between(path + "drafted", 1, drafts * tokens)
    run.between(path + "accepted", 0, min(at("drafted"), tokens - len(trace)))
    run.between(path + "pages_most_used", 1, before["pages"])
    for field in ("padded", "preempted"):
        run.by_hand(path + field, 0)
    run.second_route(path + "cached", before["cached"])
    # Every prompt, then a token a step and the guesses behind it, of which the right ones save a step.
    run.same_report(path + "fed", sum(r.prompt_tokens + r.most - 1 for r in trace) - at("cached") + at("drafted") - at("accepted"))


class Expected:
    """What a way comes to: its scheduler's counts, and what is noticed."""

    def __init__(self, way, trace, answers, steps, pages, running, budget, drafts, speed):
        _, _, batching, prefixes, chunked, guesses = way
        self.scheduler = Scheduler(pages, running, budget, batching, prefixes, chunked, drafts if guesses else 0)
        self.served, self.texts = replay(self.scheduler, steps, trace, speed, answers)
        self.counts, self.pool = self.scheduler.counts, self.scheduler.pool
        self.mean_batch = self.texts / self.counts["steps"]


def milliseconds(values, digits):
    return " ".join(f"{values[p] * 1e3:.{digits}f}" for p in ("p50", "p95", "p99"))


def claim_same(run, path, tokens, rounds=1):
    run.closed_form(path + "written", tokens)
    run.closed_form(path + "floats", rounds * tokens * 256)
    run.by_hand(path + "floats_differ", 0)
    run.by_hand(path + "tokens_differ", 0)


def says_way(run, way, s, c, rates):
    spread = quartiles(rates)
    run.says(f"{way[0]} {s['tokens_per_second']:.0f} {milliseconds(s['first_token'], 2)} {milliseconds(s['per_token'], 2)} {c['steps']} "
             f"{c['fed']} {c['padded']} {c['cached']} {c['drafted']} {c['accepted']}"
             + (f" {spread['low']:.0f}-{spread['high']:.0f}" if len(rates) > 1 else ""))


def serve_all(clock, ways, rounds, trace, answers, *options):
    """[way][round]: all ways take turns, and the clock goes on."""
    served = [[] for _ in ways]
    for _ in range(rounds):
        for w, way in enumerate(ways):
            WallSteps(clock)  # the decoder's own, which nobody reads any more
            served[w].append(Expected(way, trace, answers, CpuSteps(clock), *options))
    return served


def check_compare(run, name, trace, answers, running=8, budget=64, pages=0, drafts=4, speed=0, seed=42, rounds=1):
    run.head(seed=seed, experiment="step07_serving compare")
    pages = pages or 2 * pages_of(trace, running)
    for field, value in {"model": "kvlab-tiny", "trace": name, "requests": len(trace), "speed": speed, "max_running": running,
                         "token_budget": budget, "draft_tokens": drafts, "pages": pages, "rounds": rounds}.items():
        run.given(field, value)
    run.says(f"kvlab-tiny, {cpu(run, 1)}: {len(trace)} requests of '{name}', up to {running} at once, {budget} tokens in a step")
    run.words("way /s P50 ms P95 P99 P50 ms P95 P99 steps computed padded cached guessed right" + (" quartiles" if rounds > 1 else ""))
    shown, tokens = [], sum(r.most for r in trace)
    known = [way for way in WAYS if answers or not way[-1]]
    all_served = serve_all(CountingClock(), known, rounds, trace, answers, pages, running, budget, drafts, speed)
    for i, way in enumerate(WAYS):
        path = f"ways[{i}]."
        run.given(path + "way", way[0])
        run.given(path + "what", way[1])
        claim_same(run, path, tokens, rounds)
        if i == len(all_served):
            claim_unknown_guesses(run, path, {**s, **c, "pages": pages}, trace, drafts)
            s, c = run.json["ways"][i], run.json["ways"][i]
            run.same_report(path + "rates[0]", s["tokens_per_second"])
            says_way(run, way, s, c, [s["tokens_per_second"]])
            shown.append(number(s["tokens_per_second"]))
            continue
        summaries = [summary(one.served) for one in all_served[i]]
        rates = [s["tokens_per_second"] for s in summaries]
        middle = sorted(range(rounds), key=rates.__getitem__)[(rounds - 1) // 2]
        one, s = all_served[i][middle], summaries[middle]
        c = one.counts
        for r, rate in enumerate(rates):
            run.counted_clock(f"{path}rates[{r}]", rate, 1e-12)
        for field in ("tokens_per_second", "seconds", "first_token", "per_token"):
            run.counted_clock(path + field, s[field], 1e-12)
        for field, value in {**c, "mean_batch": one.mean_batch, "pages_most_used": one.pool.most_used}.items():
            run.second_route(path + field, value)
        says_way(run, way, s, c, rates)
        shown.append(number(s["tokens_per_second"]))
    run.holds(len(run.json["ways"]) == len(WAYS), f"{len(run.json['ways'])} ways")
    if rounds > 1:
        run.says(f"of {rounds} rounds in turns, each way's of the median speed")
    floats = rounds * len(WAYS) * tokens * 256
    run.says(f"against each request alone: {floats} floats of logits, 0 differ",
             f"RESULT requests={len(trace)} floats={floats} differ=0 one_by_one={shown[0]} continuous={shown[2]} all={shown[-1]}")


FILES = {"texts.jsonl": lambda: to_text("texts", texts_trace())}


def answers(run):
    return [go_on(run, text, most) for _, text, most in TEXTS]


@case("step07_serving", "compare -m tiny --trace SCRATCH/texts.jsonl --running 3 --budget 20 --draft-tokens 3", files=FILES)
def compare_texts(run):
    check_compare(run, "texts", texts_trace(), answers(run), 3, 20, drafts=3)
    last = run.json["ways"][-1]
    run.holds(0 < last["accepted"] < last["drafted"] and last["cached"] > 0, f"nothing happened: {last}")


@case("step07_serving", "compare -m tiny --trace SCRATCH/texts.jsonl --running 3 --budget 20 --rounds 4", files=FILES)
def compare_in_rounds(run):
    check_compare(run, "texts", texts_trace(), answers(run), 3, 20, rounds=4)
    rates = [w["rates"] for w in run.json["ways"]]
    run.holds(any(r != sorted(r) for r in rates) or all(len(set(r)) > 1 for r in rates), f"the clock told no rounds apart: {rates}")


@case("step07_serving", "compare -m tiny --trace SCRATCH/texts.jsonl --running 4 --budget 50 --pages 4 --speed 2 -s 7", files=FILES)
def compare_with_few_pages(run):
    """Few pages, requests that come later, and one that comes when nobody is there any more."""
    check_compare(run, "texts", texts_trace(), answers(run), 4, 50, 4, speed=2, seed=7)
    run.holds(sum(w["preempted"] for w in run.json["ways"]) > 0, "nobody was preempted")


@case("step07_serving", "compare -m tiny -n 6 -s 3")
def compare_chats(run):
    check_compare(run, "chat", chats(6, 3), None, seed=3)
    run.holds(run.json["ways"][3]["cached"] > 0, "no two of them begin alike")
