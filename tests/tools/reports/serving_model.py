"""Chapter 7's scheduler once more, in plain Python and without a model: who feeds what in
which step, from the lengths of the requests and the tokens that they are known to write. No checks of its own."""
from reports.serving_pages import PAGE, Pool, Prefixes


def looked_up(tokens, count, longest=3, shortest=1):
    """What followed the last time that the text said the same."""
    for run in range(min(longest, len(tokens) - 1), shortest - 1, -1):
        for place in range(len(tokens) - run - 1, -1, -1):
            if tokens[place:place + run] == tokens[-run:]:
                return tokens[place + run:place + run + count]
    return []


class Text:
    def __init__(self, number, prompt, most, answer, scope, priority):
        self.number, self.tokens, self.prompt, self.most, self.answer, self.scope = number, list(prompt), len(prompt), most, answer, scope
        self.length, self.table, self.inside, self.age, self.indexed, self.outcome, self.saved = 0, [], False, None, 0, "waiting", None
        self.cached, self.priority, self.overtaken = 0, priority, 0

    @property
    def unseen(self):
        return len(self.tokens) - self.length

    @property
    def written(self):
        return len(self.tokens) - self.prompt


class Part:
    def __init__(self, text, fed, wanted, padding=0):
        self.text, self.past, self.fed, self.wanted, self.padding, self.guesses, self.accepted = text, text.length, fed, wanted, padding, [], 0


class Scheduler:
    def __init__(self, pages, running, budget, batching="continuous", prefixes=False, chunked=True, drafts=0, swap=False, slots=PAGE):
        self.pool = Pool(pages, slots)
        self.running_most = 1 if batching == "one-by-one" else running
        self.budget, self.static, self.chunked, self.drafts, self.swap = budget, batching == "static", chunked, drafts, swap
        self.index = Prefixes(self.pool) if prefixes else None
        self.texts, self.waiting, self.running, self.parts = [], [], [], []
        self.counts = dict.fromkeys(("steps", "fed", "padded", "written", "cached", "preempted", "drafted", "accepted"), 0)
        self.on_run, self.on_token, self.on_event = (lambda parts: None), (lambda text: None), (lambda *event: None)
        self.ages = 0

    # --- requests ---------------------------------------------------------------------------

    def add(self, prompt, most, answer=None, scope="", priority=0):
        text = Text(len(self.texts), prompt, most, answer or [0] * most, scope, priority)
        self.texts.append(text)
        self.enter(text)
        self.on_event("added", text.number, 0)
        return text

    def enter(self, text):
        self.waiting.append(text)
        self.waiting.sort(key=lambda t: (-t.priority, t.age is None, t.age or 0, t.number))

    def next_waiting(self):
        return self.waiting[0]

    def cancel(self, text):
        if text.outcome in ("waiting", "running"):
            self.end(text, "cancelled")

    def drop_cache(self, text):
        for page in text.table:
            self.pool.release(page)
        text.table, text.length, text.inside = [], 0, False

    def end(self, text, outcome):
        text.outcome = outcome
        for line in (self.waiting, self.running):
            if text in line:
                line.remove(text)
        self.drop_cache(text)
        text.saved = None
        self.on_event("cancelled" if outcome == "cancelled" else "ended", text.number, 0)

    # --- admission --------------------------------------------------------------------------

    def needs(self, text, count):
        more = self.pool.needed(text.length + count) - len(text.table)
        return more + (count > 0 and text.length % self.pool.slots > 0 and self.pool.users[text.table[-1]] > 1)

    def there(self, text, known):
        free = self.pool.free - sum(self.needs(t, t.unseen) for t in self.running)
        needed = self.pool.needed(len(text.tokens)) - min(known, (len(text.tokens) - 1) // self.pool.slots)
        if needed <= free or not self.index:
            return needed <= free
        return needed <= free + max(0, self.index.evictable() - known)

    def usable(self, text):
        known = len(self.index.known(text.scope, text.tokens)) if self.index and text.saved is None else 0
        fewer = min(known, (len(text.tokens) - 1) // self.pool.slots)
        return known if self.there(text, known) else fewer if fewer < known and self.there(text, fewer) else -1

    def start(self, text):
        self.waiting.remove(text)
        if text.age is None:
            text.age, self.ages = self.ages, self.ages + 1
        text.outcome, text.indexed, text.inside = "running", 0, True
        self.running.append(text)
        self.running.sort(key=lambda t: (-t.priority, t.age))

    def admit(self):
        wish = sum(t.unseen for t in self.running)
        while self.waiting and len(self.running) < self.running_most and wish < self.budget:
            text = self.next_waiting()
            pages = self.usable(text)
            if pages < 0:
                return
            again, cached = text.age is not None, 0
            self.start(text)
            if text.saved is not None:
                while self.pool.needed(text.saved) > self.pool.free and self.evict(self.pool.needed(text.saved) - self.pool.free):
                    pass
                text.table = [self.pool.take() for _ in range(self.pool.needed(text.saved))]
                text.length, text.saved = text.saved, None
            elif pages:
                text.table = self.index.find(text.scope, text.tokens[:pages * self.pool.slots])
                for page in text.table:
                    self.pool.users[page] += 1
                text.length = pages * self.pool.slots
                self.truncate(text, min(text.length, len(text.tokens) - 1))
                text.indexed, cached = pages, text.length
            self.counts["cached"] += cached
            if not again:
                text.cached = cached
            self.on_event("resumed" if again else "admitted", text.number, cached)
            wish += text.unseen

    def truncate(self, text, length):
        text.length = length
        while len(text.table) > self.pool.needed(length):
            self.pool.release(text.table.pop())

    # --- a step -----------------------------------------------------------------------------

    def shares(self):
        left, shares, first = self.budget, {}, True
        for text in self.running:
            if text.unseen == 1 and left > 0:
                shares[text], left = 1, left - 1
        for text in self.running:
            if text.unseen > 1:
                if self.chunked:
                    shares[text] = min(text.unseen, left)
                elif first or text.unseen <= left:
                    shares[text] = text.unseen
                left, first = max(0, left - shares.get(text, 0)), False
        return shares

    def evict(self, pages):
        evicted = self.index.evict(pages) if self.index else 0
        if evicted:
            self.on_event("evicted", 0, evicted)
        return evicted

    def find_pages(self, text, needed):
        while needed - (self.pool.free - self.reserved) > 0:
            if self.evict(needed - (self.pool.free - self.reserved)):
                continue
            last = self.running.pop()
            kept = len(last.table) if self.swap else 0
            last.saved = last.length if kept else None
            last.outcome = "waiting"
            self.drop_cache(last)
            self.counts["preempted"] += 1
            self.enter(last)
            self.on_event("swapped" if kept else "preempted", last.number, kept)
            if last is text:
                return False
        return True

    def plan(self):
        while not self.parts and (self.waiting or self.running):
            self.admit()
            shares, self.reserved, self.left = self.shares(), 0, self.budget
            for text in list(self.running):
                if not shares.get(text) or text not in self.running:
                    continue
                needed = self.needs(text, shares[text])
                if not self.find_pages(text, needed):
                    break
                self.reserved, self.left = self.reserved + needed, self.left - shares[text]
                self.parts.append(Part(text, shares[text], int(shares[text] == text.unseen)))
        for part in self.parts if self.drafts else []:
            self.guess(part)

    def guess(self, part):
        text = part.text
        if text.unseen != 1:
            return
        most = min(self.drafts, self.left, text.prompt + text.most - len(text.tokens) - 1)
        while most > 0 and self.needs(text, 1 + most) - self.needs(text, 1) > self.pool.free - self.reserved:
            most -= 1
        if most > 0:
            part.guesses = self.guesses_of(text, most)
            part.fed = part.wanted = 1 + len(part.guesses)
            self.left -= len(part.guesses)
            self.reserved += self.needs(text, part.fed) - self.needs(text, 1)

    def guesses_of(self, text, most):
        return looked_up(text.tokens, most)

    def plan_static(self):
        if not self.running:
            longest = 0
            while self.waiting and len(self.running) < self.running_most:
                text = self.next_waiting()
                most = max(longest, text.prompt)
                if sum(self.pool.needed(max(most, t.prompt + t.most)) for t in [*self.running, text]) > self.pool.free:
                    break
                longest = most
                self.start(text)
                self.on_event("admitted", text.number, 0)
        longest = max([1, *(t.unseen for t in self.running if t.outcome == "running")])
        for text in self.running:
            runs, count = text.outcome == "running", max(1, longest - 1)
            real = 0 if not runs else text.unseen - 1 if longest > 1 else 1
            self.parts.append(Part(text, count, int(runs and longest == 1), count - real))

    def step(self):
        self.parts = []
        self.plan_static() if self.static else self.plan()
        if not self.parts:
            return False
        for part in self.parts:
            self.open(part.text, part.fed)
        self.on_run(self.parts)
        self.counts["steps"] += 1
        for part in self.parts:
            self.take(part)
        self.end_batch()
        return True

    def end_batch(self):
        if self.static and all(t.outcome != "running" for t in self.running):
            for text in self.running:
                self.drop_cache(text)
            self.running = []

    def open(self, text, count):
        if self.needs(text, count) > self.pool.needed(text.length + count) - len(text.table):  # the last page is copied
            copy = self.pool.take()
            self.pool.copied += 1
            self.pool.release(text.table[-1])
            text.table[-1] = copy
        while len(text.table) < self.pool.needed(text.length + count):
            text.table.append(self.pool.take())
        text.length += count

    def take(self, part):
        text, c = part.text, self.counts
        c["fed"], c["padded"], c["drafted"] = c["fed"] + part.fed, c["padded"] + part.padding, c["drafted"] + len(part.guesses)
        for guess in [*part.guesses, None] if part.wanted and text.outcome == "running" else []:
            token = text.answer[text.written]
            text.tokens.append(token)
            c["written"] += 1
            part.accepted += token == guess
            if text.written == text.most:
                text.outcome = "length"
            self.on_token(text)
            if text.outcome != "running" or token != guess:
                break
        c["accepted"] += part.accepted
        if not text.inside:  # cancelled meanwhile
            return
        if text.length >= len(text.tokens):
            self.truncate(text, len(text.tokens) - 1)
        full = text.length // self.pool.slots
        if self.index and full > text.indexed:
            self.index.insert(text.scope, text.tokens[:full * self.pool.slots], text.table[:full])
            text.indexed = full
        if text.outcome != "running" and not self.static:
            self.end(text, text.outcome)
