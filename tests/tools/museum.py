#!/usr/bin/env python3
"""The bug museum: the tables of README.md and of chapters 3 to 6 that say which check misses which mutant.

    museum.py chapter     one row per mutant, and the sums
    museum.py sums        the sums alone, one row per check
    museum.py tracer      what `diverge` says of each mutant whose run differs from the right one's
    museum.py kernels     mutants of kernels: what raw launches see of each, and what the executor reports
    museum.py policies    mutants of policies: whether the text that a policy writes shows them
    museum.py formats     mutants of number formats: the mistakes that they stand for
    museum.py --self-test

Everything comes from the head of the files in tests/mutants, which mutants.py measures and checks.
snippets.py holds the chapters to what is printed here. Exit code 1 and one line if a file does not
say what a table needs.
"""
import contextlib
import io
import pathlib
import re
import sys
import tempfile

from mutant_file import FOLDER, LAUNCHES, ORACLES, WEIGHT_FIELDS, WEIGHTS, Failure, Mutant

VERDICTS = ("misses", "notices")
CHECKS = {  # of tests/mutants/oracles.cpp, as the sums describe them
    "text": "the same greedy text as the plain loops",
    "1e-2": "the logits of the plain loops to 1e-2",
    "1e-3": "the logits of the plain loops to 1e-3",
    "1e-5": "the logits of the plain loops to 1e-5",
    "bits": "the logits of the plain loops, every bit",
    "itself": "cached = uncached in the same program, every bit",
}


def number(path):
    """Of 73_nibbles_adjacent.mutant, so that 240 comes after it; files without a number come last."""
    digits = path.name.partition("_")[0]
    return (0, int(digits)) if digits.isdigit() else (1, path.name)


def read(folder, kind):
    """All mutants of this kind, each with everything that a table needs."""
    mutants = [m for m in map(Mutant, sorted(folder.glob("*.mutant"), key=number)) if m.kind == kind]
    if not mutants:
        raise Failure(f"no such mutants in {folder}")
    for m in mutants:
        if not m.fields.get("Short"):
            raise Failure(f"{m.name}: no line 'Short'")
        if kind == "kernel":
            check_launches(m)
        elif kind == "policy":
            if m.text not in VERDICTS:
                raise Failure(f"{m.name}: 'Text' says {m.text}")
        elif kind in ("format", "schedule"):
            if not m.fields.get("Stands for"):
                raise Failure(f"{m.name}: no line 'Stands for'")
        else:
            check_weaker_checks(m)
    return mutants


def check_weaker_checks(m):
    for kind in WEIGHTS:
        for oracle in ORACLES:
            if m.weaker[kind].get(oracle) not in VERDICTS:
                raise Failure(f"{m.name}: '{WEIGHT_FIELDS[kind]}' says {m.weaker[kind].get(oracle)} for {oracle}")
        if not m.weaker[kind].get("largest"):
            raise Failure(f"{m.name}: '{WEIGHT_FIELDS[kind]}' has no largest difference")
    if m.verify not in VERDICTS:
        raise Failure(f"{m.name}: 'Verify' says {m.verify}")
    if not m.tracer:
        raise Failure(f"{m.name}: no line 'Tracer'")


def check_launches(mutant):
    for field in LAUNCHES:
        value = mutant.launches[field] or ""
        ok = value == "none" or value.count(" | ") >= 2 if field == "Report" else value in VERDICTS
        if not ok:
            raise Failure(f"{mutant.name}: '{field}' says {mutant.launches[field]}")


def missed(mutants, kind, oracle):
    return sum(m.weaker[kind][oracle] == "misses" for m in mutants)


def missed_by_verify(mutants):
    return sum(m.verify == "misses" for m in mutants)


def row(cells):
    return "| " + " | ".join(map(str, cells)) + " |"


def cell(mutant, oracle):
    """The weights with which the oracle misses the mutant."""
    kinds = [kind for kind in WEIGHTS if mutant.weaker[kind][oracle] == "misses"]
    return "**misses**" if len(kinds) == len(WEIGHTS) else "".join(kinds)


def topic(case):
    """'codes' of 'codes: a tile holds the rows ...'"""
    name, colon, _ = case.partition(": ")
    if not colon:
        raise Failure(f"the test case '{case}' has no topic")
    return name


def chapter(mutants):
    yield row(["", "what is wrong", "caught by", *ORACLES[:-1], "cached = uncached", "`verify`", "largest difference"])
    yield "|---" * (len(ORACLES) + 5) + "|"
    for m in mutants:
        yield row([m.name.split("_")[0], m.fields["Short"], topic(m.case), *(cell(m, oracle) for oracle in ORACLES),
                   "**misses**" if m.verify == "misses" else "",
                   " / ".join(m.weaker[kind]["largest"] for kind in WEIGHTS)])
    sums = [" / ".join(str(missed(mutants, kind, oracle)) for kind in WEIGHTS) for oracle in ORACLES]
    yield row(["", f"**missed, of {len(mutants)}** ({' / '.join(WEIGHTS)})", "", *sums, missed_by_verify(mutants), ""])


def sums(mutants):
    yield row([f"check: how many of {len(mutants)} it misses", *(f"{kind} weights" for kind in WEIGHTS),
               "trained weights"])
    yield "|---" * (len(WEIGHTS) + 2) + "|"
    for oracle in ORACLES:
        yield row([CHECKS[oracle], *(missed(mutants, kind, oracle) for kind in WEIGHTS), ""])
    yield row(["`step03_kvcache verify`: the same, also in pieces and in a batch, and the committed checksums", *[""] * len(WEIGHTS),
               missed_by_verify(mutants)])


def tracer(mutants):
    yield row(["", "what is wrong", "the first difference", "what `diverge` makes of it"])
    yield "|---" * 4 + "|"
    for m in mutants:
        place, _, guess = m.tracer.partition(" | ")
        if guess:
            yield row([m.name.split("_")[0], m.fields["Short"], place, guess])


def kernels(mutants):
    yield row(["", "what is wrong", "caught by", "raw", "raw, shuffled", "checked: the report", "at"])
    yield "|---" * 7 + "|"
    for m in mutants:
        seen = ["**misses**" if m.launches[field] == "misses" else "" for field in ("Raw", "Shuffled")]
        report, file, text = (m.launches["Report"].split(" | ", 2) + ["", ""])[:3]
        place = f"`{file}`: `{text}`".replace("|", "\\|") if file else ""
        yield row([m.name.split("_")[0], m.fields["Short"], topic(m.case), *seen, report, place])
    sums = [sum(m.launches[field] == "misses" for m in mutants) for field in ("Raw", "Shuffled")]
    silent = sum(m.launches["Report"] == "none" for m in mutants)
    yield row(["", f"**missed, of {len(mutants)}**", "", *sums, silent, ""])


def policies(mutants):
    yield row(["", "what is wrong", "caught by", "24 tokens of text", "written with"])
    yield "|---" * 5 + "|"
    for m in mutants:
        yield row([m.name.split("_")[0], m.fields["Short"], topic(m.case),
                   "**misses**" if m.text == "misses" else "", f"`{m.policy}`"])
    yield row(["", f"**missed, of {len(mutants)}**", "", sum(m.text == "misses" for m in mutants), ""])


def formats(mutants):
    yield row(["", "what is wrong", "what it stands for", "caught by"])
    yield "|---" * 4 + "|"
    for m in mutants:
        yield row([m.name.split("_")[0], m.fields["Short"], m.fields["Stands for"].rstrip("."), topic(m.case)])


TABLES = {"chapter": chapter, "sums": sums, "tracer": tracer, "kernels": kernels, "policies": policies, "formats": formats, "schedules": formats}
KINDS = {"kernels": "kernel", "policies": "policy", "formats": "format", "schedules": "schedule"}  # of the mutants in a table; all others: of the cache


def run(table, folder):
    try:
        print("\n".join(TABLES[table](read(folder, KINDS.get(table, "cache")))))
    except Failure as failure:
        print(f"museum: {failure}", file=sys.stderr)
        return 1
    return 0


def verdicts(misses, largest="0"):
    return " ".join(f"{oracle}={'misses' if oracle in misses else 'notices'}" for oracle in ORACLES) + \
        f" largest={largest}"


def self_test():
    head = {"Bug": "wrong", "Short": "off by one", "Caught by": 'step03_tests "equality: cached"', "Verify": "misses",
            "Sharp weights": verdicts(["text", "1e-2"], "0.002"), "Flat weights": verdicts(["text"], "3e+01"), "Tracer": "step 1 | RoPE"}
    other = {**head, "Verify": "notices", "Tracer": "no difference", "Sharp weights": verdicts([]), "Flat weights": verdicts(["1e-2", "itself"])}
    kernel = {"Bug": "wrong", "Short": "no barrier", "Caught by": 'step04_tests "linear: a bias"', "Raw": "misses",
              "Shuffled": "notices", "Report": "data race | a.cu | x[i] = y | z;"}
    silent = {**kernel, "Raw": "notices", "Report": "none"}
    policy = {"Bug": "wrong", "Short": "stale score", "Caught by": 'step05_tests "laws: two"', "Policy": "h2o", "Text": "misses"}
    seen_policy = {**policy, "Policy": "tova", "Text": "notices"}
    number_format = {"Bug": "wrong", "Short": "nibbles", "Stands for": "a reader\n of blocks.",
                     "Caught by": 'step06_tests "codes: a tile"'}
    of_files = {**number_format, "Short": "minima", "Caught by": 'weights_tests "Q4_K: the bytes: all"'}
    broken_formats = [
        {**number_format, "Short": ""}, {**number_format, "Stands for": ""},
        {field: text for field, text in number_format.items() if field != "Stands for"},
        {**number_format, "Caught by": 'step06_tests "codes"'},
    ]
    broken_policies = [
        {**policy, "Short": ""}, {**policy, "Text": "perhaps"}, {**policy, "Policy": ""},
        {field: text for field, text in policy.items() if field != "Text"}, {**policy, "Caught by": 'step05_tests "laws"'},
    ]
    broken_kernels = [
        {**kernel, "Short": ""}, {**kernel, "Raw": ""}, {**kernel, "Shuffled": "none"},
        {**kernel, "Report": "data race"}, {**kernel, "Report": ""}, {**kernel, "Caught by": 'step04_tests "linear"'},
        {field: text for field, text in kernel.items() if field != "Report"},
    ]
    broken = [  # each must be refused
        {**head, "Short": ""},
        {**head, "Verify": "perhaps"},
        {**head, "Tracer": ""},
        {**head, "Sharp weights": verdicts(["text"]).replace("bits=", "bit=")},
        {**head, "Flat weights": verdicts([]).replace("1e-3=notices", "1e-3=throws")},
        {**head, "Flat weights": verdicts([], "")},
        {**head, "Caught by": 'step03_tests "cached"'},
        {field: text for field, text in head.items() if field != "Sharp weights"},
    ]
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)

        def write(number, fields, file="a"):
            lines = [f"{field}: {text}" for field, text in fields.items()]
            (folder / f"{number}_x.mutant").write_text("\n".join(lines + [f"FILE {file}", "<<<<", "b", "====", "c", ">>>>"]))

        def said(table):
            out = io.StringIO()
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
                code = run(table, folder)
            return code, out.getvalue().splitlines()

        if said("chapter")[0] != 1:
            print("SELF-TEST FAILED: no mutants")
            return 1
        write("01", head)
        write("02", other)
        if said("kernels")[0] != 1:
            print("SELF-TEST FAILED: no mutants of kernels")
            return 1
        if said("policies")[0] != 1:
            print("SELF-TEST FAILED: no mutants of policies")
            return 1
        if said("formats")[0] != 1:
            print("SELF-TEST FAILED: no mutants of formats")
            return 1
        write("03", kernel, "step04_cuda/src/a.cu")
        write("04", silent, "step04_cuda/src/a.cu")
        write("05", policy, "step05_policies/src/a.cpp")
        write("06", seen_policy, "step05_policies/src/a.cpp")
        write("07", number_format, "step06_quant/src/a.cpp")
        write("08", of_files, "weights/src/a.cpp")
        expected = {
            "chapter": [
                "| 01 | off by one | equality | **misses** | sharp |  |  |  |  | **misses** | 0.002 / 3e+01 |",
                "| 02 | off by one | equality |  | flat |  |  |  | flat |  | 0 / 0 |",
                "|  | **missed, of 2** (sharp / flat) |  | 1 / 1 | 1 / 1 | 0 / 0 | 0 / 0 | 0 / 0 | 0 / 1 | 1 |  |"],
            "sums": [
                f"| {CHECKS['text']} | 1 | 1 |  |", f"| {CHECKS['1e-2']} | 1 | 1 |  |",
                f"| {CHECKS['1e-3']} | 0 | 0 |  |", f"| {CHECKS['1e-5']} | 0 | 0 |  |",
                f"| {CHECKS['bits']} | 0 | 0 |  |", f"| {CHECKS['itself']} | 0 | 1 |  |",
                "| `step03_kvcache verify`: the same, also in pieces and in a batch, and the committed checksums |  |  | 1 |"],
            "tracer": ["| 01 | off by one | step 1 | RoPE |"],
            "kernels": [
                "| 03 | no barrier | linear | **misses** |  | data race | `a.cu`: `x[i] = y \\| z;` |",
                "| 04 | no barrier | linear |  |  | none |  |",
                "|  | **missed, of 2** |  | 1 | 0 | 1 |  |"],
            "policies": [
                "| 05 | stale score | laws | **misses** | `h2o` |",
                "| 06 | stale score | laws |  | `tova` |",
                "|  | **missed, of 2** |  | 1 |  |"],
            "formats": [
                "| 07 | nibbles | a reader of blocks | codes |",
                "| 08 | minima | a reader of blocks | Q4_K |"],
        }
        for table, rows in expected.items():
            code, lines = said(table)
            columns = {line.replace("\\|", "").count("|") for line in lines}
            if code != 0 or lines[2:] != rows or len(columns) != 1:
                print(f"SELF-TEST FAILED: {table}, exit code {code}:\n" + "\n".join(lines))
                return 1
        for number, fields in enumerate(broken):
            write("02", fields)
            if said("chapter") != (1, []):
                print(f"SELF-TEST FAILED: broken {number} passed")
                return 1
        write("02", other)
        for number, fields in enumerate(broken_kernels):
            write("04", fields, "step04_cuda/src/a.cu")
            if said("kernels") != (1, []):
                print(f"SELF-TEST FAILED: broken kernel {number} passed")
                return 1
        write("04", silent, "step04_cuda/src/a.cu")
        for number, fields in enumerate(broken_policies):
            write("06", fields, "step05_policies/src/a.cpp")
            if said("policies") != (1, []):
                print(f"SELF-TEST FAILED: broken policy {number} passed")
                return 1
        write("06", seen_policy, "step05_policies/src/a.cpp")
        for number, fields in enumerate(broken_formats):
            write("08", fields, "weights/src/a.cpp")
            if said("formats") != (1, []):
                print(f"SELF-TEST FAILED: broken format {number} passed")
                return 1
    broken_files = len(broken) + len(broken_kernels) + len(broken_policies) + len(broken_formats)
    print(f"self-test passed: {broken_files} broken files refused")
    return 0


if __name__ == "__main__":
    if sys.argv[1:] == ["--self-test"]:
        sys.exit(self_test())
    if len(sys.argv) != 2 or sys.argv[1] not in TABLES:
        print(f"museum: expected one of {', '.join(TABLES)}, --self-test", file=sys.stderr)
        sys.exit(2)
    sys.exit(run(sys.argv[1], FOLDER))
