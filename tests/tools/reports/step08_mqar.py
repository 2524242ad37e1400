"""Chapter 8: multi-query associative recall, on cases that Python makes as well, against what PyTorch counted."""
import json
import sys

from reports.checked import case
from reports.step08_shapes import WEIGHTS, state_bytes

sys.path.insert(0, str(WEIGHTS))
from mqar import TRAINED, checksum, make_case  # noqa: E402

# Two logits that nearly tie may come in either order in a model that is trained anew; measured: none of the 2400 answers differs.
ANSWERS_APART = 1


def check_mqar(run, names, cells, cases, seed, right_of):
    """right_of(name, cell): PyTorch's count, or None."""
    run.head(seed=seed)
    made = f"{checksum(make_case(seed, *cell, c) for cell in cells for c in range(cases)):016x}"
    run.given("cases", cases)
    run.given("missing", [])
    run.second_route("checksum_of_cases", made)
    run.says(f"{cases} cases of each length and number of pairs, their checksum {made}")
    all_right = all_answers = 0
    for m, name in enumerate(names):
        family = name.partition("_d")[0]
        run.given(f"models[{m}].model", name)
        run.given(f"models[{m}].family", family)
        run.given(f"models[{m}].d", 64)
        for i, (length, pairs) in enumerate(cells):
            path, row = f"models[{m}].rows[{i}]", run.json["models"][m]["rows"][i]
            run.given(f"{path}.length", length)
            run.given(f"{path}.pairs", pairs)
            run.given(f"{path}.trained", (length, pairs) in TRAINED)
            run.closed_form(f"{path}.answers", cases * pairs)
            known = right_of(name, (length, pairs))
            run.between(f"{path}.right", *((0, cases * pairs) if known is None else (known - ANSWERS_APART, known + ANSWERS_APART)))
            run.same_report(f"{path}.accuracy", row["right"] / row["answers"])
            run.closed_form(f"{path}.state_bytes", state_bytes(family, length))
            run.says(f"{name} {length} {pairs} {'yes' if row['trained'] else 'no'} {row['right']} of {row['answers']} {row['accuracy'] * 100:.1f} % {row['state_bytes']}")
            all_right, all_answers = all_right + row["right"], all_answers + row["answers"]
    run.says(f"RESULT models={len(names)} answers={all_answers} right={all_right} cases={made}")


@case("step08_architectures", "mqar --mixer gqa,delta --cells 64/4,128/8")
def mqar_with_pytorch(run):
    def right_of(name, cell):
        rows = json.loads((WEIGHTS / "mixers" / "mqar" / f"{name}_scores.json").read_text())["rows"]
        return next(row["right"] for row in rows if (row["length"], row["pairs"]) == cell)
    check_mqar(run, ["gqa", "delta"], [(64, 4), (128, 8)], 100, 1, right_of)


@case("step08_architectures", "mqar --quick --mixer delta --seed 18446744073709551615 --cells 16/2,384/96,1024/64")
def mqar_of_other_cells(run):
    """The most pairs, the largest seed, cells that nobody trained."""
    check_mqar(run, ["delta"], [(16, 2), (384, 96), (1024, 64)], 4, 2**64 - 1, lambda name, cell: None)
