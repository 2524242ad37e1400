"""Chapter 7: a schedule with everything in it, step by step: who fed what, and who held which page."""
from reports.checked import case
from reports.serving_model import Scheduler
from reports.serving_traces import CountingClock, WallSteps
from reports.step03_work import cpu

# (before which step, pages of the shared text, further tokens of a text of its own, to write, cancelled before step, scope)
PLAN = [(0, 2, 20, 40, None, ""), (3, 2, 45, 60, None, ""), (5, 2, 0, 30, None, ""), (6, 0, 250, 70, None, ""), (8, 1, 180, 90, None, ""),
        (40, 2, 10, 20, None, "b"), (44, 0, 60, 80, 60, ""), (90, 2, 30, 16, None, "")]


class Told(Scheduler):
    """How many guesses were made and how many were right is taken from the report: that depends on the model. All
    else follows."""

    def __init__(self, report, drafts, **options):
        super().__init__(drafts=drafts, prefixes=True, **options)
        self.report, self.bounds = report, []

    def guesses_of(self, text, most):
        step = self.report["steps"][self.at]
        part = next(p for p in step["parts"] if p["request"] == text.number)
        assert 0 <= part["accepted"] <= part["drafted"] <= most, f"step {self.at}: {part}, at most {most} guesses"
        right = text.answer[text.written:text.written + part["accepted"]]
        return right + ["wrong"] * (part["drafted"] - part["accepted"])


def expected_steps(report, drafts, **options):
    """All steps, and the scheduler after them; with the step before which each request came."""
    s = Told(report, drafts, **options)
    steps, events, arrivals, texts, copied = [], [], [], [], 0
    clock = WallSteps(CountingClock())
    s.on_event = lambda kind, request, count: events.append({"kind": kind, "request": request, "count": count})
    while True:
        s.at = len(steps)
        while len(texts) < len(PLAN):
            step, pages, own, most, _, scope = PLAN[len(texts)]
            if step > s.at and (s.waiting or s.running):
                break
            number, prompt = len(texts), [("shared", i) for i in range(64 * pages)] + [("own", i) for i in range(own)]
            texts.append(s.add(prompt, most, [(number, i) for i in range(most)], scope))
            arrivals.append(s.at)
        for text, plan in zip(texts, PLAN):
            if plan[4] == s.at:
                s.cancel(text)
        before, start = [t.written for t in texts], clock.now()
        ran = s.step()
        seconds = clock.now() - start if ran else 0
        if ran or events:
            parts = [{"request": p.text.number, "fed": p.fed, "wanted": p.wanted, "drafted": len(p.guesses), "accepted": p.accepted,
                      "written": p.text.written - before[p.text.number]} for p in s.parts]
            held = [page for t in texts for page in t.table]
            steps.append({"step": len(steps), "seconds": seconds, "parts": parts, "events": list(events), "copied": s.pool.copied - copied,
                          "tables": {str(t.number): list(t.table) for t in texts if t.outcome == "running"},
                          "indexed": [p for p in range(s.pool.pages) if s.pool.users[p] > held.count(p)]})
            events.clear()
            copied = s.pool.copied
        if not ran and len(texts) == len(PLAN):
            return steps, s, arrivals


def check_record(run, pages=8, running=4, budget=96, drafts=4, preemption="recompute"):
    run.head(seed=0, experiment="step07_serving record")
    for field, value in {"model": "kvlab-tiny", "engine": cpu(run, 1), "page_slots": 64, "pages": pages, "preemption": preemption}.items():
        run.given(field, value)
    steps, s, arrivals = expected_steps(run.json, drafts, pages=pages, running=running, budget=budget, swap=preemption == "swap")
    for i, (text, arrival, (_, shared, own, most, cancel, scope)) in enumerate(zip(s.texts, arrivals, PLAN)):
        path = f"requests[{i}]."
        for field, value in {"number": i, "prompt_tokens": 64 * shared + own, "max_tokens": most, "scope": scope}.items():
            run.given(path + field, value)
        for field, value in {"arrival_step": arrival, "outcome": text.outcome, "cached": text.cached, "written": text.written}.items():
            run.second_route(path + field, value)
        run.holds(text.outcome == ("cancelled" if cancel else "length"), f"request {i}: {text.outcome}")
    run.holds(len(run.json["steps"]) == len(steps), f"{len(run.json['steps'])} steps, expected {len(steps)}")
    for i, step in enumerate(steps):
        run.counted_clock(f"steps[{i}].seconds", step.pop("seconds"), 1e-12)
        for field, value in step.items():
            run.second_route(f"steps[{i}].{field}", value)
    c, kinds = s.counts, [e for step in steps for e in step["events"]]
    evicted = sum(e["count"] for e in kinds if e["kind"] == "evicted")
    happened = {"preempted": c["preempted"], "hits": c["cached"], "copied": s.pool.copied, "evicted": evicted, "accepted": c["accepted"],
                "rejected": c["drafted"] - c["accepted"]}
    run.holds(all(happened.values()), f"never happened: {happened}")
    run.says(f"kvlab-tiny, {cpu(run, 1)}: {len(PLAN)} requests in {len(steps)} steps, {pages} pages of 64 tokens",
             f"RESULT requests={len(PLAN)} steps={len(steps)} " + " ".join(f"{name}={value}" for name, value in happened.items()))


@case("step07_serving", "record -m tiny")
def record(run):
    check_record(run)


@case("step07_serving", "record -m tiny --pages 9 --running 3 --budget 70 --drafts 2 --index radix --preemption swap")
def record_with_swapping(run):
    check_record(run, 9, 3, 70, 2, "swap")
