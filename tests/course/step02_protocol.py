"""The judge of chapter 2's task 2.6: the protocol of a step, played once more here, call by call."""
from course.judge import case, text

BEGIN, APPEND, ATTEND, COMMIT, ABANDON, TRUNCATE, REFUSE, OTHER_K, OTHER_V = range(9)
WORDS = ("begin({})", "append({})", "attend({})", "commit()", "abandon()", "truncate({})", "(what the store does next throws)",
         "append({}) with another shape of k", "append({}) with another shape of v")
SCRIPTS = {
    "plain": [(BEGIN, 2), (APPEND, 0), (ATTEND, 0), (APPEND, 1), (ATTEND, 1), (COMMIT, 0), (BEGIN, 1), (APPEND, 0), (APPEND, 1),
              (COMMIT, 0)],
    "early": [(APPEND, 0), (COMMIT, 0), (BEGIN, 1), (ATTEND, 0), (COMMIT, 0), (APPEND, 1), (APPEND, 0), (APPEND, 0), (COMMIT, 0),
              (APPEND, 1), (APPEND, 2), (COMMIT, 0), (COMMIT, 0), (ABANDON, 0)],
    "room": [(BEGIN, 0), (BEGIN, 6), (BEGIN, 5), (ABANDON, 0), (BEGIN, 3), (APPEND, 0), (APPEND, 1), (COMMIT, 0), (BEGIN, 3),
             (BEGIN, 2), (BEGIN, 1)],
    "taken_back": [(BEGIN, 3), (APPEND, 0), (APPEND, 1), (TRUNCATE, 0), (COMMIT, 0), (TRUNCATE, 4), (TRUNCATE, 1), (TRUNCATE, 2),
                   (TRUNCATE, 2), (BEGIN, 3), (APPEND, 0), (APPEND, 1), (COMMIT, 0), (TRUNCATE, 0)],
    "failed": [(REFUSE, 0), (BEGIN, 2), (COMMIT, 0), (BEGIN, 1), (APPEND, 0), (REFUSE, 0), (APPEND, 1), (APPEND, 1), (ATTEND, 0),
               (COMMIT, 0), (ABANDON, 0), (BEGIN, 1), (APPEND, 0), (ATTEND, 0), (APPEND, 1), (COMMIT, 0)],
    "late": [(BEGIN, 2), (APPEND, 0), (APPEND, 1), (REFUSE, 0), (ATTEND, 1), (ATTEND, 1), (COMMIT, 0), (ABANDON, 0), (BEGIN, 1),
             (APPEND, 0), (APPEND, 1), (REFUSE, 0), (COMMIT, 0), (COMMIT, 0), (BEGIN, 1)],
    "forgetful": [(BEGIN, 3), (APPEND, 0), (APPEND, 1), (COMMIT, 0), (BEGIN, 3), (APPEND, 0), (APPEND, 1), (COMMIT, 0), (BEGIN, 4),
                  (BEGIN, 3)],
    "shapes": [(BEGIN, 2), (OTHER_K, 0), (OTHER_V, 0), (APPEND, 0), (OTHER_V, 1), (OTHER_K, 1), (APPEND, 1), (COMMIT, 0)],
}


class Protocol:
    """A store's counters as the drawing of the states has them. call() says whether the call has to be refused, `heard` what the
    store hears of it."""

    def __init__(self, p):
        self.p, self.length, self.pending, self.appended = p, 0, 0, 0
        self.failed = self.refuse = False
        self.heard, self.written = [], 0

    @property
    def room(self):
        return self.p.capacity - min(self.length, self.p.most)

    def hear(self, what):
        """What the store hears, and what its counters say then."""
        self.heard.append(f"{what} (length {self.length}, pending {self.pending}, appended {self.appended})")

    def call(self, what, n):
        p, self.heard = self.p, []
        self.written += 1
        if what == BEGIN:
            if self.pending or not 1 <= n <= self.room:
                return True
            if self.refuses():
                return True
            self.hear(f"opened({n})")
            self.pending, self.appended, self.failed = n, 0, False
        elif what == APPEND:
            if not self.pending or self.failed or n != self.appended or n >= p.L:
                return True
            if self.refuses():
                self.failed = True
                return True
            self.hear(f"write_rows({n}, rows of call {self.written})")
            self.appended += 1
        elif what == ATTEND:
            if not self.pending or self.failed or n >= self.appended:
                return True
            self.failed = self.refuses()
            return self.failed
        elif what in (OTHER_K, OTHER_V):
            return True
        elif what == COMMIT:
            if not self.pending or self.failed or self.appended < p.L:
                return True
            if self.refuses():  # nothing has changed: the step is as complete as before
                return True
            self.hear("closed()")
            self.length += self.pending if p.remembers else 0
            self.pending = self.appended = 0
            if not p.remembers:
                self.hear("dropped(0)")
        elif what == ABANDON:
            if self.pending:
                self.pending = self.appended = 0
                self.hear(f"dropped({self.length})")
        elif what == TRUNCATE:
            if self.pending or not 0 <= n <= self.length or n == 1:  # the store of this case never goes back to one token
                return True
            self.hear(f"dropped({n})")
            self.length = n
        else:
            self.refuse = True
        return False

    def refuses(self):
        refused, self.refuse = self.refuse, False
        return refused


@case("2.6 step: calls in the right order count and all others are refused",
      "script=plain", "script=early", "script=room", "script=taken_back", "script=failed", "script=late",
      "script=shapes", "script=forgetful most=2", "script=plain L=3",
      "script=plain remembers=0", "script=plain most=2", "script=early remembers=0", "calls=60 capacity=9", "calls=60 L=1 capacity=4",
      "calls=80 L=3 capacity=6 most=3", "calls=40 capacity=8 most=2", "calls=60 remembers=0 capacity=3")
def step(p, random):
    for name, value in (("L", 2), ("capacity", 5), ("most", 1000), ("remembers", 1)):
        p.setdefault(name, value)
    protocol = Protocol(p)
    script = list(SCRIPTS[p.script]) if "script" in p else None
    calls, expected = [], {}
    for i in range(p.get("calls", len(script or []))):
        what, n = script[i] if script else next_call(protocol, random)
        calls += [what, n]
        words = "refused" if protocol.call(what, n) else "done"
        expected[f"call {i}, {WORDS[what].format(n)}"] = text(
            f"{words}; position {protocol.length}, room {protocol.room}; the store heard: {', '.join(protocol.heard) or 'nothing'}")
    return ({"calls": calls, "L": p.L, "capacity": p.capacity, "most": p.most, "remembers": p.remembers},
            expected)


def next_call(protocol, random):
    """Mostly the call that is due, so that steps come to their end; else any."""
    if random.below(10) < 7:
        if not protocol.pending:
            return (TRUNCATE, random.below(protocol.length + 1)) if random.below(6) == 0 else (BEGIN, 1 + random.below(2))
        if protocol.failed:
            return ABANDON, 0
        return (APPEND, protocol.appended) if protocol.appended < protocol.p.L else (COMMIT, 0)
    what = random.below(9)
    return what, random.below(protocol.length + 3 if what in (BEGIN, TRUNCATE) else protocol.p.L + 1)
