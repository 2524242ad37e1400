"""Chapter 7's requests once more, in plain Python: how they are drawn, what their files say, how they are replayed on
a clock, and what the users of a service notice. No checks of its own."""
import functools
import json
import math
from fractions import Fraction

from reports.book_model import book, exp2, single
from reports.checked import reading

# Of each kind: requests, (median, below, above, most) of prompts and of answers, P90 of prompts and mean of answers as
# published, requests in a second and the deviation of their gaps by the mean, (per mille, tries, mean age) of reuse.
KINDS = {
    "azure-code": (8819, (1469, 1.718, 0.985, 8192), (13, 0.551, 1.115, 2048), 5194, 28, 2.57, 13.2, None),
    "azure-conversation": (19366, (1020, 1.516, 0.770, 16384), (129, 0.651, 1.052, 1024), 2735, 211, 5.53, 1.09, None),
    "mooncake-conversation": (12031, (6909, 1.326, 1.074, 131072), (350, 1.952, 0.653, 2048), 27367, 343, 3.40, 3.0, (590, 4, 750)),
    "mooncake-synthetic": (3993, (11587, 4.392, 0.939, 131072), (69, 2.148, 1.360, 2048), 38615, 149, 3.91, 1.01, (840, 8, 600)),
}


class Rng(book.Rng):
    def below(self, n):
        while True:
            product = self.next() * n
            if product % 2**32 >= (2**32 - n) % n:
                return product >> 32


def piece(seed, count, vocab=256):
    rng = Rng(seed)
    return [rng.below(vocab) for _ in range(count)]


@functools.cache
def seed_of(token):
    return next(seed for seed in range(10**6) if Rng(seed).below(256) == token)


class Request:
    def __init__(self, arrival_us, pieces, most, scope=""):
        self.arrival_us, self.pieces, self.most, self.scope = arrival_us, pieces, most, scope
        self.prompt_tokens = sum(count for _, count in pieces)

    @property
    def arrival(self):
        return self.arrival_us * 1e-6

    def tokens(self):
        return [token for seed, count in self.pieces for token in piece(seed, count)]


def of_text(arrival_us, tokens, most):
    """A request whose prompt is a text: a piece for every token."""
    return Request(arrival_us, [(seed_of(token), 1) for token in tokens], most)


def to_text(name, trace):
    """A trace's file."""
    lines = [{"kvlab_requests": 1, "trace": name}] + [
        {"arrival_us": r.arrival_us, "prompt": [list(p) for p in r.pieces], "max_tokens": r.most, "scope": r.scope, "priority": 0} for r in trace]
    return "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)


def longest(trace):
    return max(r.prompt_tokens + r.most for r in trace)


# --- drawn ----------------------------------------------------------------------------------------


def chats(requests, seed):
    """What `compare` asks for if nothing is said."""
    rng, trace = Rng(seed), []
    for i in range(requests):
        system = rng.below(4)
        question = 8 + rng.below(200 if rng.below(4) == 0 else 40)
        answer = 4 + rng.below(60 if rng.below(3) == 0 else 20)
        trace.append(Request(10000 * i, [(system, 96 + 32 * system), (1000 + i, question)], answer))
    return trace


def length(law, rng):
    median, below, above, most = law
    z = rng.normal()
    doublings = single(single(z * single(above if z > 0 else below)) * book.LOG2E)
    return min(max(int(median * exp2(doublings) + 0.5), 1), most)


def exponential(rng):
    """Von Neumann's draw, in units of 2^-32."""
    whole = 0
    while True:
        first = last = rng.next()
        odd, following = True, rng.next()
        while following < last:
            last, odd, following = following, not odd, rng.next()
        if odd:
            return (whole << 32) + first
        whole += 1


def made(kind, requests=0, context=0, seed=1):
    """A trace of one of the four services."""
    count, inputs, outputs, p90, mean, per_second, cv, reuse = KINDS[kind]
    gaps, prompts, answers, reused = (Rng(seed, stream) for stream in (1, 2, 3, 4))
    share = (1 + math.sqrt((cv * cv - 1) / (cv * cv + 1))) / 2
    means = [int(1e6 / per_second / (2 * s) + 0.5) for s in (share, 1 - share)]
    factor = context / (p90 + mean) if context else 1
    shrunk = lambda law, rng, most: min(max(1, int(length(law, rng) * factor + 0.5)), most if context else 2**40)
    trace, now = [], 0
    for i in range(requests or count):
        own = shrunk(inputs, prompts, context - context // 8)
        seed_of_own, pieces = seed * 100000 + i, []
        if reused.below(1000) < (reuse or (0,))[0] and trace:
            ages = [(exponential(reused) * reuse[2] >> 32) % len(trace) + 1 for _ in range(reuse[1])]
            nearest = min((trace[-age] for age in ages), key=lambda r: abs(r.prompt_tokens - own))
            shared = min(nearest.prompt_tokens, own - 1)
            for number, tokens in nearest.pieces:
                taken = min(tokens, shared - sum(c for _, c in pieces))
                pieces += [(number, taken)] * (taken > 0)
        pieces.append((seed_of_own, own - sum(c for _, c in pieces)))
        trace.append(Request(now, pieces, shrunk(outputs, answers, context - own)))
        short = gaps.next() < int(share * 2**32)
        now += exponential(gaps) * means[0 if short else 1] >> 32
    return trace


def blocks(trace, size):
    """Of each prompt its whole blocks, as numbers: the same for the same tokens with the same tokens before them."""
    known, prompts = {}, []
    for request in trace:
        numbers, before, held, missing = [], -1, [], size
        for seed, count in request.pieces:
            at = 0
            while at < count:
                part = min(missing, count - at)
                held.append((seed, at, part))
                at, missing = at + part, missing - part
                if not missing:
                    before = known.setdefault((before, tuple(held)), len(known))
                    numbers.append(before)
                    held, missing = [], size
        prompts.append(numbers)
    return prompts


# --- replayed ---------------------------------------------------------------------------------------


class CountingClock:
    """The counting clock as every reader of it in the program moves it."""

    def __init__(self):
        self.readings = 0

    def read(self):
        self.readings += 1
        return reading(self.readings - 1)


class WallSteps:
    """The time of a decoder: what is read since it was made; a wait reads on until the time has come."""

    def __init__(self, clock):
        self.clock, self.start = clock, clock.read()

    def now(self):
        return self.clock.read() - self.start

    def wait_until(self, seconds):
        while seconds - self.now() > 0:
            pass


class CpuSteps:
    """Processor time, and what would have been slept."""

    def __init__(self, clock):
        self.clock, self.start, self.slept = clock, clock.read(), 0

    def now(self):
        return self.clock.read() - self.start + self.slept

    def wait_until(self, seconds):
        self.slept += max(0.0, seconds - self.now())


class Served:
    def __init__(self, arrival):
        self.arrival, self.first, self.last, self.written = arrival, 0, 0, 0


def replay(scheduler, steps, trace, speed=0, answers=None, prompts=True):
    """Serves all; (what was noticed of each request, texts of all steps). prompts: whether the tokens matter."""
    start, served, texts = steps.now(), [], 0

    def on_token(text):
        one = served[text.number]
        one.last = steps.now() - start
        one.first = one.first if one.written else one.last
        one.written += 1

    scheduler.on_token = on_token
    arrival = lambda: trace[len(served)].arrival / speed if speed else 0
    while True:
        while len(served) < len(trace) and arrival() <= steps.now() - start:
            request = trace[len(served)]
            tokens = request.tokens() if prompts else [0] * request.prompt_tokens
            answer = answers[len(served)] if answers else None
            served.append(Served(arrival()))
            scheduler.add(tokens, request.most, answer, request.scope)
        if scheduler.step():
            texts += len(scheduler.parts)
        elif len(served) == len(trace):
            return served, texts
        else:
            steps.wait_until(start + arrival())


def percentile(samples, percent):
    """Nearest rank."""
    return sorted(samples)[math.ceil(Fraction(percent * len(samples), 100)) - 1]


def percentiles(samples):
    return {f"p{p}": percentile(samples, p) if samples else 0 for p in (50, 95, 99)}


def summary(served, first_token=1, per_token=0.1):
    """By the names of the reports."""
    firsts = [s.first - s.arrival for s in served]
    gaps = [(s.last - s.first) / (s.written - 1) if s.written > 1 else 0 for s in served]
    seconds, tokens = max(s.last for s in served) - min(s.arrival for s in served), sum(s.written for s in served)
    in_time = sum(f <= first_token and g <= per_token for f, g in zip(firsts, gaps))
    return {"requests": len(served), "tokens": tokens, "seconds": seconds, "tokens_per_second": tokens / seconds,
            "first_token": percentiles(firsts), "per_token": percentiles([g for g, s in zip(gaps, served) if s.written > 1]),
            "in_time": in_time, "goodput": in_time / seconds, "in_system": sum(s.last - s.arrival for s in served) / seconds}
