"""What checked.py and report_test.py must refuse: tried on a program made up of a few lines."""
import json
import stat
import tempfile
from pathlib import Path

import report_test
from reports import checked
from reports.checked import CASES, Run, Wrong, general, leaves, number, reading

PROGRAM = """#!/usr/bin/env python3
import json, os, sys
if "--help" in sys.argv:
    print("step01_tensor\\nOptions:\\n  --json FILE\\nSubcommands:\\n  work  does it\\n  rest  does not" if "work" not in sys.argv else "--json")
    sys.exit(0)
report = {"schema": 1, "list": [{"n": 3, "half": 1.5}, {"n": 4, "half": 2.0}], "two words": [], "clock": os.environ.get("KVLAB_CLOCK", "")}
json.dump(report, open(sys.argv[-1], "w"))
print("n is 3,   half 1.5")
print("n is 4, half 2.0\\nno figure here")
sys.exit(5 if "fail" in sys.argv else 0)
"""


def right(run):
    run.given("schema", 1)
    run.given("clock", "counting")
    run.given('"two words"', [])
    for i, n in enumerate((3, 4)):
        run.given(f"list[{i}].n", n)
        run.same_report(f"list[{i}].half", n / 2)
        run.says(f"n is {n}, half {n / 2}")


def without(*calls):
    """`right`, but for these calls by name and first argument."""
    def check(run):
        real = {name: getattr(run, name) for name in ("given", "same_report", "says")}
        for name, function in real.items():
            setattr(run, name, lambda first, *rest, name=name, function=function:
                    None if (name, first) in calls else function(first, *rest))
        right(run)
    return check


def wrong_value(run):
    right(run)
    run.closed_form("list[0].half", 1.25)


def wrong_line(run):
    right(run)
    run.says("n is 3, half 1.5")  # claimed before: a line serves once


def whole_object(run):
    run.given("list[0]", {"n": 3})  # a leaf is missing


def truth_for_a_number(run):
    run.given("schema", True)


def outside(run):
    run.between("schema", 2, 3)


def no_such_figure(run):
    run.given("list[7].n", 1)


def refused(folder, function, text, **options):
    options = {"clock": "counting", "code": 0, "stdin": None, "files": {}, **options}
    try:
        run = Run(folder, "step01_tensor", "work", **options)
        function(run)
        run.finish()
    except Wrong as why:
        return text in str(why)
    return text is None


def run_program(folder, write):
    return report_test.check_program(folder, "step01_tensor", "", "", write)


def main():
    assert reading(0) == 0 and reading(3) == 3 + 9 / 1024
    assert general('a[3].b[0].c') == "a[].b[].c" and general("x.64.avx2[1]") == "x.N.LEVEL[]" and general("x.avx2b") == "x.avx2b"
    assert dict(leaves({"a": [1, {"b c": 2}], "d": {}})) == {"a[0]": 1, 'a[1]."b c"': 2, "d": {}}
    assert (number(0.01234), number(118.4), number(1536.0), number(4.25e9)) == ("0.0123", "118", "1536", "4.25e+09")
    assert checked.same([1, 2.0], (1, 2), 0) and not checked.same([1], [1, 2], 0) and not checked.same(1.1, 1.0, 0.05)
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "step01_tensor"
        program.write_text(PROGRAM)
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        for function, text in [
                (right, None), (without(("same_report", "list[1].half")), "list[].half"),
                (without(("says", "n is 4, half 2.0")), "n is 4, half 2.0"), (without(("given", '"two words"')), "two words"),
                (wrong_value, "is 1.5, expected 1.25"), (wrong_line, "no printed line"), (whole_object, "it holds"),
                (truth_for_a_number, "schema is 1"), (outside, "expected 2 to 3"), (no_such_figure, "no figure list[7].n")]:
            assert refused(folder, function, text), f"{function.__name__}: not refused with '{text}'"
        assert refused(folder, right, "exit code 0, expected 1", code=1)
        check_whole_programs(folder)
    print("self-test passed")
    return 0


def check_whole_programs(folder):
    """A subcommand that nobody runs, a key of the sources that nobody shows, a table that is out of date."""
    kept, keys, fields = CASES[:], report_test.keys_of_sources, report_test.FIELDS
    try:
        report_test.FIELDS = Path(folder) / "fields"
        report_test.ROOT, root = Path(folder), report_test.ROOT
        report_test.keys_of_sources = lambda program: {"n", "half"}
        CASES[:] = []
        checked.case("step01_tensor", "work")(right)
        assert run_program(folder, True) == (1, 1), "the subcommand rest has no check"
        checked.case("step01_tensor", "rest")(right)
        assert run_program(folder, True) == (2, 0)
        assert run_program(folder, False) == (2, 0)
        report_test.keys_of_sources = lambda program: {"n", "third"}
        assert run_program(folder, False) == (2, 1), "nobody shows third"
        report_test.keys_of_sources = keys
        table = report_test.FIELDS / "step01_tensor.txt"
        report_test.keys_of_sources = lambda program: set()
        table.write_text(table.read_text().replace("half", "quarter"))
        assert run_program(folder, False) == (2, 1), "the table is another"
        checked.case("step01_tensor", "work")(wrong_value)
        assert run_program(folder, False) == (2, 1), "a check that fails"
        assert report_test.check_program(folder, "step01_tensor", "", "right", False) == (2, 0), "by its name, and no more"
        report_test.ROOT = root
    finally:
        CASES[:], report_test.keys_of_sources, report_test.FIELDS = kept, keys, fields
    sources = keys("step01_tensor")
    assert {"shape", "threads", "peak_gflops", "gb_per_s"} <= sources, sources
