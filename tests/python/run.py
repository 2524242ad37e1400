#!/usr/bin/env python3
"""Runs the tests of the Python package, and of what it prints; the stage `python` of tools/test.sh does.

    python3 tests/python/run.py [--programs DIR] [COUNTS]

The Python that runs it must have kvlab. Appends "passed failed skipped" to the file COUNTS, and prints the names of what
failed or was skipped as the stage reads them. --programs: where step03_kvcache is. Exit codes: 0 nothing failed, 1 something.
"""
import os
import sys
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent


def main() -> int:
    arguments = sys.argv[1:]
    if arguments[:1] == ["--programs"]:
        os.environ["KVLAB_PROGRAMS"] = os.path.abspath(arguments[1])
        arguments = arguments[2:]
    sys.path.insert(0, str(HERE))
    tests = unittest.defaultTestLoader.discover(str(HERE), "test_*.py", top_level_dir=str(HERE))
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(tests)
    def case_of(test: unittest.TestCase) -> str:
        return getattr(test, "test_case", test).id()  # of a part of a test: the test

    failed = {case_of(test) for test, _ in result.failures + result.errors}
    skipped = {case_of(test): why for test, why in result.skipped if case_of(test) not in failed}
    for name in sorted(failed):
        print(f"FAILED: {name}")
    for name, why in sorted(skipped.items()):
        print(f"skipped: {name}: {why}")
    passed = result.testsRun - len(failed) - len(skipped)
    if arguments:
        with open(arguments[0], "a", encoding="utf-8") as counts:
            counts.write(f"{passed} {len(failed)} {len(skipped)}\n")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
