"""Chapter 7: random schedules, each of whose requests has the bits that it has alone."""
import json

from reports.checked import case, reading
from reports.serving_laws import PAGES_OF, Schedule, happened as recomputed
from reports.step03_work import cpu

HAPPENED = ["tokens from pages of the index", "pages copied before they were written", "pages evicted from the index",
            "preemptions, fed again later", "preemptions, swapped out and in", "guesses that were right", "guesses that were wrong",
            "requests cancelled", "requests that an end token ended", "requests overtaken by later ones", "prompts fed in pieces",
            "tokens of padding"]
# The same in a word each, where the report says that they never happened.
WORDS = ["cached", "copied", "evicted", "recomputed", "swapped", "accepted", "rejected", "cancelled", "ended", "overtaken", "chunked",
         "padded"]
COUNTS = ["steps", "bounded_steps", "floats", "tokens"]


def schedules(run, seed, first, count, most_requests, most_prompt, most_tokens):
    """The report of other schedules of this run, whatever its verdict."""
    words = f"verify -m tiny -s {seed} --first {first} -n {count} --requests {most_requests} --prompt {most_prompt} --steps {most_tokens}"
    run.start("step07_serving", *words.split(), "--json", "SCRATCH/part.json")
    return json.loads((run.scratch / "part.json").read_text())


def check_singly(run, parts, asked, seed, first, most_requests, most_prompt, most_tokens):
    """Where nobody guessed and no token ended a text, all that happened follows from what was drawn."""
    sums = {}
    for i, part in enumerate(parts, first):
        found = part["happened"] | {name: part[name] for name in ("requests", "steps", "tokens")}
        if found["requests that an end token ended"] + found["guesses that were right"] + found["guesses that were wrong"]:
            continue
        for name, value in recomputed(seed, i, most_requests, most_prompt, most_tokens).items():
            run.holds(found[name] == value, f"schedule {i}: {name}: {found[name]}, expected {value}")
            sums[name] = sums.get(name, 0) + value
    run.holds(all(sums.get(name) for name in asked), f"something never happened where it can be recomputed: {sums}")


def check_verify(run, count, verdict="yes", seed=42, first=0, most_requests=8, most_prompt=192, most_tokens=24, singly=()):
    """singly: names of what has to happen in schedules that are recomputed one by one."""
    run.head(seed=seed, experiment="step07_serving verify")
    run.given("model", "kvlab-tiny")
    run.given("schedules", count)
    r = run.json
    drawn = (most_requests, most_prompt, most_tokens)
    all_drawn = [Schedule(seed, i, *drawn) for i in range(first, first + count)]
    requests = sum(len(schedule.requests) for schedule in all_drawn)
    run.second_route("requests", requests)
    kinds = [sum(schedule.pages_of == kind for schedule in all_drawn) for kind in PAGES_OF]
    run.holds(list(r["pages_of"]) == PAGES_OF, f"kinds of pages: {list(r['pages_of'])}")
    for kind, schedules_of in zip(PAGES_OF, kinds):
        run.second_route(f'pages_of."{kind}"' if not kind.isidentifier() else f"pages_of.{kind}", schedules_of)
    run.says(f"schedules with each of {len(kinds)} kinds of pages {min(kinds)} to {max(kinds)}")
    # Each schedule is drawn for itself: the counts of all parts are those of the whole.
    size = 1 if singly else (count + 1) // 2
    parts = [schedules(run, seed, a, min(size, first + count - a), *drawn) for a in range(first, first + count, size)]
    if singly:
        check_singly(run, parts, singly, seed, first, *drawn)
    for name in COUNTS:
        run.same_report(name, sum(part[name] for part in parts))
    for name in HAPPENED:
        run.same_report(f'happened."{name}"' if not name.isidentifier() else f"happened.{name}", sum(part["happened"][name] for part in parts))
        run.says(f"{name} {r['happened'][name]}")
    run.holds(list(r["happened"]) == HAPPENED, f"it says that this happened: {list(r['happened'])}")
    run.closed_form("floats", 256 * r["tokens"])  # a row of logits for every token that was kept
    happened = r["happened"]
    run.holds(0 < r["tokens"] <= requests * most_tokens and requests < r["tokens"] + happened["requests cancelled"] + 1, f"{r['tokens']} tokens of {requests} requests")
    run.holds(count <= r["steps"], f"{r['steps']} steps")
    run.holds(0 <= r["bounded_steps"] <= r["steps"], f"{r['bounded_steps']} of {r['steps']} steps have a budget")
    for name in ("requests cancelled", "requests that an end token ended", "prompts fed in pieces"):
        run.holds(happened[name] <= requests, f"{happened[name]} {name}")
    for name in ("floats_differ", "tokens_differ", "outcomes_differ", "pages_lost", "over_budget"):
        run.by_hand(name, 0)
    run.by_hand("first_difference", "")
    run.by_hand("verdict", verdict)
    run.holds(min(happened.values()) >= 0, f"less than nothing happened: {happened}")
    run.holds((verdict == "yes") == (all(happened.values()) and all(kinds)), f"{verdict}: {happened}, {kinds}")
    never = [word for word, name in zip(WORDS, HAPPENED, strict=True) if happened[name] == 0]
    never += [f"pages of {kind}" for kind, schedules_of in zip(PAGES_OF, kinds, strict=True) if schedules_of == 0]
    if never:
        run.says(f"it never happened: {', '.join(never)}")
    taken = reading(2) - reading(0)  # the decoder's own watch lies between
    run.counted_clock("seconds", taken)
    run.says(f"kvlab-tiny ({cpu(run, 1)}): {count} schedules of up to {most_requests} requests, each of them also alone",
             f"floats of logits 0 of {r['floats']} differ", f"tokens 0 of {r['tokens']} differ", f"how they ended 0 of {requests} differ",
             "pages that were lost 0", f"steps over their budget 0 of {r['bounded_steps']}", f"the laws hold: {verdict} ({taken:.1f} s)",
             f"RESULT schedules={count} requests={requests} floats={r['floats']} differ=0 holds={verdict.replace(' ', '_')}")


@case("step07_serving", "verify -m tiny -n 111 --prompt 100 --steps 8")
def verify(run):
    check_verify(run, 111, most_prompt=100, most_tokens=8)


PREEMPTED = HAPPENED[3:5]


@case("step07_serving", "verify -m tiny -n 60 --prompt 150 --steps 2", code=1)
def verify_one_by_one(run):
    happened = [name for name in HAPPENED if name not in PREEMPTED and "guesses" not in name and "end token" not in name]
    check_verify(run, 60, "proves nothing", most_prompt=150, most_tokens=2, singly=happened)


@case("step07_serving", "verify -m tiny -n 12 --first 47 -s 38 --prompt 150 --steps 2", code=1)
def verify_of_preemptions(run):
    check_verify(run, 12, "proves nothing", 38, 47, most_prompt=150, most_tokens=2, singly=PREEMPTED)


@case("step07_serving", "verify -m tiny -n 5 --first 7 -s 3 --requests 3 --prompt 150 --steps 6", code=1)
def verify_of_too_little(run):
    """Nothing differs, and not everything has happened."""
    check_verify(run, 5, "proves nothing", 3, 7, 3, 150, 6)
