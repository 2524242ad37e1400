#!/usr/bin/env python3
"""tidy.py BUILD COUNTS: clang-tidy on every source of the libraries, as many at a time
as there are processors. BUILD holds compile_commands.json. Appends "passed failed skipped" (one
test per source) to the file COUNTS, and prints what clang-tidy says. Standard library only."""
import concurrent.futures
import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]


def tidy(build, source):
    done = subprocess.run(["clang-tidy", "--quiet", "--warnings-as-errors=*", "-p", str(build), str(source)],
                          capture_output=True, text=True, stdin=subprocess.DEVNULL)
    return done.returncode == 0, done.stdout


def main():
    build, counts = pathlib.Path(sys.argv[1]), sys.argv[2]
    commands = json.loads((build / "compile_commands.json").read_text())
    # The programs only call the libraries, and the headers of CLI11 take a minute each to look at.
    # Kernels are compiled once per SIMD level; looking at one of them is enough.
    sources = sorted({pathlib.Path(c["file"]) for c in commands})
    sources = [s for s in sources if ROOT in s.parents and s.relative_to(ROOT).parts[0] != "tests"
               and not {"app", "build"} & set(s.relative_to(ROOT).parts)]
    passed = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for source, (ok, text) in zip(sources, pool.map(lambda s: tidy(build, s), sources)):
            passed += ok
            if not ok:
                print(f"FAILED: clang-tidy {source.relative_to(ROOT)}\n{text}")
    with open(counts, "a", encoding="utf-8") as file:
        file.write(f"{passed} {len(sources) - passed} 0\n")


if __name__ == "__main__":
    main()
