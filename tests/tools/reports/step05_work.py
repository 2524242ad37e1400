"""Chapter 5: the bytes of the policies, by length."""
from reports.checked import case
from reports.policy_model import kept_of
from reports.policy_shapes import POLICIES, allocated_bytes, held_bytes, rows_of
from reports.shapes import TINY, cache_bytes

LONG = TINY | {"context": 8192}  # tiny's shape, random weights
ALL = [name for name in POLICIES if name not in ("oracle", "kvzip")]  # these have to know the text


def check_memory(run, rows, prompt, lengths, budget=128, name="tiny-shape, random weights", c=LONG):
    run.head(experiment="step05_policies memory")
    run.given("model", name)
    run.given("prompt", prompt)
    run.given("budget", budget)
    run.says(f"{name}: a prompt of {prompt} tokens, then one by one")
    i = 0
    for label, policy, options in rows:
        for length in lengths:
            kept = sum(kept_of(policy, options, layer, c["layers"], length, prompt) for layer in range(c["layers"])) / c["layers"]
            held, full = held_bytes(policy, options, prompt, length, c), cache_bytes(c, length)
            allocated = allocated_bytes(policy, options, prompt, length, lengths[-1], c)
            run.given(f"rows[{i}].policy", label)
            run.given(f"rows[{i}].length", length)
            for field, value in {"kept_tokens": kept, "bytes_held": held, "closed_form": held, "bytes_allocated": allocated,
                                 "full_bytes": full}.items():
                run.closed_form(f"rows[{i}].{field}", value)
            run.says(f"{label} {length} {kept:.1f} {held} {held} yes {allocated} {held / full:.3f} {1 - held / full:.3f} "
                     f"{full / held:.2f}")
            i += 1
    run.holds(len(run.json["rows"]) == i, f"{len(run.json['rows'])} rows, expected {i}")
    run.by_hand("equal", True)
    run.words('Three conventions of "ratio": the share kept (H2O\'s 20 %), the share removed (what',
              "others call compression ratio), the full cache over this one (MiniCache's 1.53x).")
    run.says(f"RESULT rows={i} equal=yes")


@case("step05_policies", "memory --prompt-tokens 50 --lengths 40,50,131 --budget 32")
def memory_of_all(run):
    """Before the prompt is whole, at its end, and behind it."""
    check_memory(run, rows_of(ALL, budget=32), 50, [40, 50, 131], 32)


@case("step05_policies", "memory --set catalogue --prompt-tokens 300 --lengths 300,310")
def memory_of_the_catalogue(run):
    check_memory(run, rows_of("catalogue"), 300, [300, 310])


@case("step05_policies", "memory --set pyramid --prompt-tokens 200 --lengths 201 --observe 8")
def memory_of_pyramids(run):
    check_memory(run, rows_of("pyramid", window=8), 200, [201])


@case("step05_policies", "memory --set minicache -m tiny --prompt-tokens 7 --lengths 9,70")
def memory_of_minicaches(run):
    check_memory(run, rows_of("minicache"), 7, [9, 70], name="kvlab-tiny", c=TINY)


@case("step05_policies", "memory -m tiny --policy window,sinks,h2o,snapkv,pyramidkv,sinks-relative,full --ratio 0.3 --sinks 9 "
                         "--prompt-tokens 33 --lengths 10,20,90")
def memory_by_ratio(run):
    """A share of the tokens seen, rounded up; sinks are never fewer than asked for."""
    names = ["window", "sinks", "h2o", "snapkv", "pyramidkv", "sinks-relative", "full"]
    check_memory(run, rows_of(names, ratio=0.3, sinks=9), 33, [10, 20, 90], name="kvlab-tiny", c=TINY)


@case("step05_policies", "memory -m tiny --policy quest,scissorhands,key-norm,minicache --page 8 --votes 0 --whole-layers 1 "
                         "--merge-from 1 --budget 12 --prompt-tokens 20 --lengths 5,21,77")
def memory_by_other_flags(run):
    options = {"page": 8, "votes": 0, "whole_layers": 1, "merge_from": 1, "budget": 12}
    check_memory(run, rows_of(["quest", "scissorhands", "key-norm", "minicache"], **options), 20, [5, 21, 77], 12, "kvlab-tiny", TINY)
