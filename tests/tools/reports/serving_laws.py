"""Chapter 7's random schedules once more, in plain Python: what is drawn, and what happens in it as long as no guess is
made and no token ends a text. No checks of its own."""
from reports.book_model import WEIGHTS
from reports.serving_model import Scheduler
from reports.serving_traces import Rng


# What pages hold: chapter 3's formats, then those of chapter 6 that keep every token by itself, for rows of 16 numbers.
PAGES_OF = ["f32", "f16", "int8", "bf16", "e4m3", "e5m2", "lloyd4", "lloyd3", "lloyd2", "turbo4", "turbo3", "turbo2", "turbo4-mse",
            "turbo3-mse", "turbo2-mse", "lloyd4 sinks 70"]


class Drawn(Rng):
    def one_in(self, n):
        return self.below(n) == 0

    def from_to(self, least, most):
        return least + self.below(most - least + 1)

    def one_of(self, *choices):
        return choices[self.below(len(choices))]

    def length(self, most):
        if self.one_in(3) and most >= 64:
            return min(most, 64 * self.from_to(1, most // 64))
        return self.from_to(1, most)

    def text(self, count):
        heldout = (WEIGHTS / "heldout.txt").read_bytes()
        first = self.below(len(heldout) - count + 1)
        return list(heldout[first:first + count])

    def prompt(self, beginnings, most):
        prompt = list(self.one_of(*beginnings))
        if self.one_in(4):
            prompt = []
        if prompt and self.one_in(4):
            prompt = prompt[:self.length(len(prompt))]
        if prompt and (len(prompt) == most or self.one_in(3)):
            return prompt
        return prompt + self.text(self.length(most - len(prompt)))

    def choice(self):
        """How tokens are chosen; what was drawn is of no account here."""
        self.next()
        if self.one_in(3):
            return
        self.uniform()
        for draw in (lambda: self.from_to(1, 40), self.uniform, self.uniform, self.uniform):
            if self.one_in(3):
                draw()


class Schedule:
    def __init__(self, seed, number, most_requests, most_prompt, most_tokens):
        r = self.rng = Drawn(seed, number)
        beginnings = [r.text(r.length(most_prompt)) for _ in range(3)]
        self.requests, self.comes, comes = [], [], 0
        for _ in range(r.from_to(1, most_requests)):
            prompt, most = r.prompt(beginnings, most_prompt), r.from_to(1, most_tokens)
            r.choice()
            if r.one_in(2):
                r.text(2)  # that end it
            priority = r.from_to(-1, 1) if r.one_in(3) else 0
            self.requests.append((prompt, most, "another" if r.one_in(6) else "", priority))
            comes += 0 if r.one_in(2) else r.below(6)
            self.comes.append(comes)
        self.batching = {0: "one-by-one", 1: "static"}.get(r.below(10), "continuous")
        self.running = r.from_to(1, 8)
        self.budget = self.running + r.one_of(0, 3, 20, 64, 300)
        self.chunked = not r.one_in(3)
        self.shortest, self.swap, self.patience = r.one_of(False, True), r.one_of(False, True), r.below(4)
        self.prefixes = self.batching != "static" and r.below(3) > 0
        self.drafter = 0 if self.batching == "static" else r.below(4)
        if self.drafter:
            r.from_to(1, 5)
        self.pages_of = r.one_of(*PAGES_OF)
        self.pages = max(-(-(len(p) + most) // 64) for p, most, _, _ in self.requests) + r.one_of(0, 0, 1, 1, 2, 4, 20)
        r.one_in(2)  # whether free pages are poisoned
        self.cancel_one_in = 0 if r.one_in(2) else r.from_to(10, 60)
        if self.drafter == 3:
            r.uniform()  # how often guesses are wrong


class Ordered(Scheduler):
    """With priorities, and the shortest first as far as patience goes."""

    def __init__(self, schedule):
        s = self.schedule = schedule
        super().__init__(s.pages, s.running, s.budget, s.batching, s.prefixes, s.chunked, swap=s.swap)

    def next_waiting(self):
        following = self.waiting[0]
        if not self.schedule.shortest or following.age is not None:
            return following
        for text in self.waiting:
            if text.priority != following.priority:
                break
            if text.overtaken >= self.schedule.patience:
                return text
            if text.prompt + text.most < following.prompt + following.most:
                following = text
        return following

    def start(self, text):
        for other in self.waiting if self.schedule.shortest and text.age is None else []:
            other.overtaken += other.priority == text.priority and other.number < text.number
        super().start(text)


def happened(*drawn):
    """By the names of the reports, of the schedule with this seed and number."""
    schedule = Schedule(*drawn)
    s, rng, step, pieces = Ordered(schedule), schedule.rng, 0, {}
    found = dict.fromkeys(("evicted", "swapped", "preempted", "cancelled", "overtaken", "chunked", "tokens"), 0)

    def on_event(kind, request, count):
        if kind == "evicted":
            found[kind] += count
        elif kind in found:
            found[kind] += 1
        elif kind == "admitted":
            found["overtaken"] += sum(t.outcome == "waiting" and t.age is None and t.priority == s.texts[request].priority for t in s.texts[:request])

    def cancel_somebody():
        if schedule.cancel_one_in and rng.one_in(schedule.cancel_one_in) and s.texts:
            s.cancel(s.texts[rng.below(len(s.texts))])

    def on_token(text):
        found["tokens"] += 1
        cancel_somebody()

    s.on_event, s.on_token = on_event, on_token
    while True:
        while len(s.texts) < len(schedule.requests) and schedule.comes[len(s.texts)] <= step:
            prompt, most, scope, priority = schedule.requests[len(s.texts)]
            s.add(prompt, most, [("written", len(s.texts), i) for i in range(most)], scope, priority)
        cancel_somebody()
        s.end_batch()
        for part in s.parts if s.step() else []:
            pieces[part.text.number] = pieces.get(part.text.number, 0) + (part.wanted == 0)
            found["chunked"] += part.wanted == 0 and pieces[part.text.number] == 2
        step += 1
        if not s.waiting and not any(t.outcome == "running" for t in s.running) and len(s.texts) == len(schedule.requests):
            break
    c = s.counts
    return {"requests": len(s.texts), "steps": c["steps"], "tokens": found["tokens"], "tokens from pages of the index": c["cached"],
            "pages copied before they were written": s.pool.copied, "pages evicted from the index": found["evicted"],
            "preemptions, fed again later": found["preempted"], "preemptions, swapped out and in": found["swapped"],
            "requests cancelled": found["cancelled"], "requests overtaken by later ones": found["overtaken"],
            "prompts fed in pieces": found["chunked"], "tokens of padding": c["padded"]}
