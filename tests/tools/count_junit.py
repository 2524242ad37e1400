#!/usr/bin/env python3
"""count_junit.py REPORT.xml EXIT_CODE COUNTS: counts what `ctest --output-junit REPORT.xml` ran.

Appends "passed failed skipped" to the file COUNTS, and prints one line for each test that failed
or was skipped, with the last lines that a failed one has written ("said: ..."). A skip is a test
that ended with its SKIP_RETURN_CODE; any other test that did not run (its program is missing, say)
has failed. A report that is missing, empty or at odds with ctest's EXIT_CODE is a failure of its
own.
"""
import sys
import xml.etree.ElementTree as ElementTree

LINES_SHOWN = 12


def main():
    report, exit_code, counts = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    passed = failed = skipped = 0
    try:
        cases = ElementTree.parse(report).getroot().findall("testcase")
    except (OSError, ElementTree.ParseError) as error:
        cases = []
        print(f"FAILED: ctest left no report: {error}")
        failed = 1
    for case in cases:
        name, skip = case.get("name"), case.find("skipped")
        if case.get("status") == "run" and skip is None and case.find("failure") is None:
            passed += 1
        elif skip is not None and "SKIP_" in skip.get("message", ""):
            skipped += 1
            print(f"skipped: {name}")
        else:
            failed += 1
            print(f"FAILED: {name}")
            for line in (case.findtext("system-out") or "").splitlines()[-LINES_SHOWN:]:
                print(f"said: {line}")
    if exit_code != 0 and failed == 0:
        failed = 1
        print(f"FAILED: ctest ended with exit code {exit_code}, but its report shows no failure")
    with open(counts, "a", encoding="utf-8") as file:
        file.write(f"{passed} {failed} {skipped}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
