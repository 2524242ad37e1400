"""Chapter 5: the time of a token at steady state, and what is made of it, by the counting clock."""
from reports.checked import case, number
from reports.policy_model import DEFAULTS
from reports.policy_shapes import allocated_bytes, held_bytes, rows_of
from reports.shapes import TINY, cache_bytes, tile_bytes
from reports.step03_work import cpu
from reports.step05_work import ALL, LONG
from reports.times import Counting, median, quartiles

GOALS = [  # text, policies, field, at most, at more tokens than so many budgets
    ("window, sinks, PyramidKV not slower than the full cache beyond twice the budget",
     ("window", "sinks", "pyramidkv", "pyramidkv-ratios"), "to_full", 1.0, 2),
    ("MiniCache at most 1.15 times the full cache", ("minicache",), "to_full", 1.15, 0),
    ("H2O and TOVA at most 1.2 times a window of the same budget", ("h2o", "tova"), "to_window", 1.2, 1)]


def check_clock(run, rows, lengths, tokens, rounds, warm_up, budget=256, name="tiny-shape, random weights", c=LONG, set_name=""):
    rows = [("cache", "cache", DEFAULTS | {"budget": budget}), *rows]
    run.head(experiment="step05_policies clock")
    for field, value in {"model": name, "engine": cpu(run, 1), "budget": budget, "rounds": rounds, "tokens": tokens}.items():
        run.given(field, value)
    run.words(f"{name}, {cpu(run, 1)}: a token behind so many others; {set_name or f'budget {budget}'}, {rounds} rounds")
    clock, i, known = Counting(), 0, []
    for length in lengths:
        seconds = [[] for _ in rows]
        for r in range(-1, rounds):
            for of_row in seconds:
                taken = []
                for t in range(warm_up + tokens):
                    start = clock.read()
                    if t >= warm_up:  # the watch of a token that does not count is never asked
                        taken.append(clock.read() - start)
                if r >= 0:
                    of_row.append(median(taken))
        for (label, policy, options), own in zip(rows, seconds):
            window = next((s for (_, p, o), s in zip(rows, seconds) if p == "window" and o["budget"] == options["budget"]), None)
            to_full = median([a / b for a, b in zip(own, seconds[0])])
            to_window = median([a / b for a, b in zip(own, window)]) if window else 0
            end = length + warm_up + tokens
            held = cache_bytes(c, end) if policy == "cache" else held_bytes(policy, options, length, end, c)
            allocated = c["layers"] * tile_bytes(c, end) if policy == "cache" else allocated_bytes(policy, options, length, end, end, c)
            at, q = f"rows[{i}].", quartiles(own)
            run.given(at + "policy", label)
            run.given(at + "length", length)
            run.counted_clock(at + "seconds", q)
            run.counted_clock(at + "to_full", to_full)
            run.counted_clock(at + "to_window", to_window)
            run.closed_form(at + "bytes_held", held)
            run.closed_form(at + "bytes_allocated", allocated)
            run.says(f"{label} {length} {1e3 * q['median']:.4f} {number(1e3 * q['low'])} - {number(1e3 * q['high'])} {to_full:.3f} "
                     f"{number(to_window, 4) if window else ''} {held}")
            known.append((label, policy, options, length, {"to_full": to_full, "to_window": to_window}))
            i += 1
    run.holds(len(run.json["rows"]) == i, f"{len(run.json['rows'])} rows, expected {i}")
    run.words("'cache' is chapter 3's; ratios are medians of the rounds' own.")
    check_goals(run, known)
    run.says(f"RESULT rows={i} goals={'yes' if all(g['reached'] for g in run.json.get('goals', [])) else 'no'}")


def check_goals(run, known):
    """The worst of the rows that a goal is about; a goal about none is not told."""
    n = 0
    for text, policies, field, most, beyond in GOALS:
        asked = [(ratios[field], label, length) for label, policy, options, length, ratios in known
                 if policy in policies and length > beyond * options["budget"] and ratios[field] > 0]
        if not asked:
            continue
        worst, label, length = max(asked, key=lambda one: one[0])
        at = f"goals[{n}]."
        run.given(at + "goal", text)
        run.same_report(at + "reached", worst <= most)
        run.counted_clock(at + "worst", worst)
        run.same_report(at + "policy", label)
        run.same_report(at + "length", length)
        run.says(f"{text}: {'yes' if worst <= most else 'NO'} (at most {worst:.3f}: {label} at {length})")
        n += 1
    run.holds(len(run.json.get("goals", [])) == n, f"{n} goals are about rows")


@case("step05_policies", "clock --lengths 70,64 --tokens 3 --rounds 4 --warm-up 2 --budget 32")
def clock_of_all(run):
    names = ["window", *(name for name in ALL if name != "window")]
    check_clock(run, rows_of(names, budget=32), [70, 64], 3, 4, 2, 32)


@case("step05_policies", "clock --set catalogue --lengths 300 --tokens 2 --rounds 3 --warm-up 0")
def clock_of_the_catalogue(run):
    """Windows of three budgets: each row stands beside its own, or beside none."""
    check_clock(run, rows_of("catalogue", budget=256), [300], 2, 3, 0, set_name="catalogue")


@case("step05_policies", "clock -m tiny --policy h2o,minicache --lengths 90 --tokens 1 --rounds 2 --warm-up 1 --budget 64")
def clock_of_goals_reached(run):
    check_clock(run, rows_of(["window", "h2o", "minicache"], budget=64), [90], 1, 2, 1, 64, "kvlab-tiny", TINY)


@case("step05_policies", "clock -m tiny --policy window,full --lengths 9 --tokens 1 --rounds 1 --warm-up 0 --budget 64")
def clock_without_goals(run):
    check_clock(run, rows_of(["window", "full"], budget=64), [9], 1, 1, 0, 64, "kvlab-tiny", TINY)
