#!/usr/bin/env python3
"""tidy.py BUILD COUNTS: clang-tidy on every source of the libraries. BUILD holds
compile_commands.json. Some sources are looked at as one, so that the headers, which take most of the
time, are read once for all of them. Appends "passed failed skipped" (one test per source) to the file
COUNTS, and prints what clang-tidy says. Standard library only."""
import concurrent.futures
import json
import os
import pathlib
import shlex
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOGETHER = 6
OFF = ["bugprone-suspicious-include"]
# Kernels are written as CUDA has them: unsigned threadIdx in int arithmetic, offsets in int (their
# launches check the sizes), and names that CUDA gave.
OFF_IN_KERNELS = ["bugprone-narrowing-conversions", "bugprone-implicit-widening-of-multiplication-result",
                  "bugprone-reserved-identifier", "bugprone-macro-parentheses", "readability-identifier-naming"]


def library_sources(build):
    """{source: the compiler's arguments}. The programs only call the libraries, and the headers of
    CLI11 take a minute each to look at. Of the kernels, compiled once per SIMD level, one is enough."""
    sources = {}
    for entry in json.loads((build / "compile_commands.json").read_text()):
        source = pathlib.Path(entry["file"])
        if ROOT not in source.parents:
            continue
        parts = source.relative_to(ROOT).parts
        if parts[0] != "tests" and not {"app", "build"} & set(parts):
            arguments = shlex.split(entry["command"])[1:]
            sources[source] = arguments[:arguments.index("-o")]
    return sources


def groups(sources):
    """Lists of sources of one library that the compiler gets the same arguments for."""
    by_arguments = {}
    for source in sorted(sources):
        alone = source if ".simd." in source.name else source.parent  # kernels share names
        by_arguments.setdefault((alone, *sources[source]), []).append(source)
    for same in by_arguments.values():
        for first in range(0, len(same), TOGETHER):
            yield same[first:first + TOGETHER]


def tidy(build, number, group, arguments):
    unit = build / f"tidy_{number}.cpp"
    unit.write_text("".join(f'#include "{source}"\n' for source in group))
    off = OFF + (OFF_IN_KERNELS if group[0].suffix == ".cu" else [])
    done = subprocess.run(["clang-tidy", "--quiet", "--warnings-as-errors=*", f"--config-file={ROOT / '.clang-tidy'}",
                           "--checks=" + ",".join("-" + check for check in off), str(unit), "--", *arguments],
                          capture_output=True, text=True, stdin=subprocess.DEVNULL)
    return done.returncode == 0, done.stdout + ("" if done.stdout else done.stderr)


def main():
    build, counts = pathlib.Path(sys.argv[1]), sys.argv[2]
    sources = library_sources(build)
    chosen = list(groups(sources))
    passed = failed = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        results = pool.map(lambda n: tidy(build, n, chosen[n], sources[chosen[n][0]]), range(len(chosen)))
        for group, (ok, text) in zip(chosen, results):
            if ok:
                passed += len(group)
                continue
            guilty = [source for source in group if str(source) in text] or group
            failed += len(guilty)
            passed += len(group) - len(guilty)
            print(f"FAILED: clang-tidy {' '.join(str(s.relative_to(ROOT)) for s in guilty)}\n{text}")
    with open(counts, "a", encoding="utf-8") as file:
        file.write(f"{passed} {failed} 0\n")


if __name__ == "__main__":
    main()
