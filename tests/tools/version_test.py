#!/usr/bin/env python3
"""The version is one: CMakeLists.txt says it, and CHANGELOG.md, CITATION.cff, vcpkg.json and every program say the same.

    python3 tests/tools/version_test.py [BIN_FOLDER]     with a folder: those programs that are in it
    python3 tests/tools/version_test.py --self-test

CHANGELOG.md has the form of Keep a Changelog: '## [1.2.3] - 2026-11-30', newest first, with dates that do not rise, and below each only the six
known kinds of change. '## [Unreleased]' may stand before all. Standard library only. Exit code 0: as expected. 1: not.
"""
import datetime
import json
import re
import subprocess
import sys
from pathlib import Path

from programs import PROGRAMS

ROOT = Path(__file__).resolve().parents[2]
KINDS = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")
VERSION = re.compile(r"## \[(\d+)\.(\d+)\.(\d+)\] - (\d{4}-\d\d-\d\d)")


def releases(changelog):
    """([(version, date)], what is wrong with the form)."""
    found, wrong, section = [], [], None
    for number, line in enumerate(changelog.split("\n"), 1):
        if line.startswith("## "):
            section = VERSION.fullmatch(line)
            if section:
                found.append((section[0].split("]")[0][4:], section[4]))
            elif line != "## [Unreleased]" or found:
                wrong.append(f"CHANGELOG.md:{number}: expected '## [1.2.3] - 2026-11-30', found '{line}'")
        elif line.startswith("### ") and line[4:] not in KINDS:
            wrong.append(f"CHANGELOG.md:{number}: expected one of {', '.join(KINDS)}, found '{line[4:]}'")
    for (newer, day), (older, before) in zip(found, found[1:]):
        if tuple(map(int, newer.split("."))) <= tuple(map(int, older.split("."))) or day < before:
            wrong.append(f"CHANGELOG.md: {newer} of {day} stands before {older} of {before}")
    for version, day in found:
        try:
            datetime.date.fromisoformat(day)
        except ValueError:
            wrong.append(f"CHANGELOG.md: {version}: there is no day {day}")
    return found, wrong


def check(cmake, changelog, citation, vcpkg):
    """(the version, what is wrong)."""
    expected = re.search(r"^project\(kvlab VERSION ([0-9.]+)", cmake, re.M)[1]
    found, wrong = releases(changelog)
    said = {"CHANGELOG.md": found[0][0] if found else "no version", "CITATION.cff": (re.search(r"^version: (\S+)$", citation, re.M) or ["", "no version"])[1],
            "vcpkg.json": json.loads(vcpkg).get("version", "no version")}
    wrong += [f"{name}: CMakeLists.txt says {expected}, this says {version}" for name, version in said.items() if version != expected]
    day = (re.search(r"^date-released: (\S+)$", citation, re.M) or ["", "no day"])[1]
    if found and day != found[0][1]:
        wrong.append(f"CITATION.cff: CHANGELOG.md says {found[0][1]}, this says {day}")
    return expected, wrong


def programs_say(folder, expected):
    wrong = []
    for program in PROGRAMS:
        if (folder / program).exists():
            done = subprocess.run([folder / program, "--version"], capture_output=True, text=True, timeout=60, check=False)
            if (done.returncode, done.stdout, done.stderr) != (0, f"{program} {expected}\n", ""):
                wrong.append(f"{program} --version: expected '{program} {expected}', found exit code {done.returncode}, {done.stdout + done.stderr!r}")
    return wrong


def self_test():
    cmake, log = "project(kvlab VERSION 1.2.0 LANGUAGES CXX)", "# Changelog\n\n## [Unreleased]\n\n### Added\n\n## [1.2.0] - 2026-02-01\n\n### Fixed\n\n## [1.1.9] - 2026-01-31\n"
    cff, vcpkg = "cff-version: 1.2.0\nversion: 1.2.0\ndate-released: 2026-02-01\n", '{"version": "1.2.0"}'
    cases = [  # what is wrong, in a word of the message; empty: nothing
        ((cmake, log, cff, vcpkg), ""),
        ((cmake.replace("1.2.0", "1.3.0"), log, cff, vcpkg), "CHANGELOG.md: CMakeLists.txt says 1.3.0"),
        ((cmake, log, cff.replace("\nversion: 1.2.0", "\nversion: 1.1.9"), vcpkg), "CITATION.cff: CMakeLists.txt says 1.2.0, this says 1.1.9"),
        ((cmake, log, cff.replace("\nversion: 1.2.0", ""), vcpkg), "CITATION.cff: CMakeLists.txt says 1.2.0, this says no version"),
        ((cmake, log, cff.replace("02-01", "02-02"), vcpkg), "CITATION.cff: CHANGELOG.md says 2026-02-01"),
        ((cmake, log, cff, '{"version": "1.0.0"}'), "vcpkg.json"),
        ((cmake, log.replace("1.1.9", "1.2.1"), cff, vcpkg), "stands before"),
        ((cmake, log.replace("2026-01-31", "2026-02-02"), cff, vcpkg), "stands before"),
        ((cmake, log.replace("2026-01-31", "2026-01-32"), cff, vcpkg), "there is no day"),
        ((cmake, log.replace("### Fixed", "### Mended"), cff, vcpkg), "expected one of"),
        ((cmake, log.replace("## [1.2.0] - ", "## 1.2.0, "), cff, vcpkg), "expected '## [1.2.3]"),
        ((cmake, "# Changelog\n", cff, vcpkg), "this says no version"),
    ]
    wrong = []
    for number, (case, expected) in enumerate(cases):
        said = "\n".join(check(*case)[1])
        if (expected not in said) if expected else said:
            wrong.append(f"case {number}: expected '{expected}', found '{said}'")
    print("\n".join(wrong) if wrong else f"self-test passed: {len(cases)} cases")
    return 1 if wrong else 0


def main():
    if sys.argv[1:] == ["--self-test"]:
        return self_test()
    expected, wrong = check(*((ROOT / name).read_text(encoding="utf-8") for name in ("CMakeLists.txt", "CHANGELOG.md", "CITATION.cff", "vcpkg.json")))
    if sys.argv[1:]:
        wrong += programs_say(Path(sys.argv[1]).resolve(), expected)
    print("\n".join(wrong) if wrong else f"{expected} everywhere")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
