#!/usr/bin/env python3
"""Code of one SIMD level never reaches another through shared inline functions.

A kernel source is compiled once per level. If such an object holds a weak symbol (an inline function or a
template instance) whose name does not contain its level's namespace, the linker may keep the AVX-512 copy of
it for everybody, and an older processor dies of an illegal instruction. So every symbol that a *.simd.cpp
object DEFINES and exports must lie in kvlab::<level>::.

    check_simd_objects.py BUILD_DIR   looks at every <level>.dir/**/*.simd.cpp.o below BUILD_DIR
    check_simd_objects.py --self-test compiles a bad object and a good one: the first must be found
"""
import os
import re
import subprocess
import sys
import tempfile

LEVELS = ("portable", "avx2", "avx512", "vnni")
# Exported definitions: T code, D B R data, V W weak, u unique.
EXPORTED = set("TDBRVWu")


def offences(path, level):
    """Names of the symbols that the object exports outside of its level's namespace."""
    listing = subprocess.run(["nm", "-C", "--defined-only", path], check=True, capture_output=True, text=True).stdout
    bad = []
    for line in listing.splitlines():
        match = re.match(r"[0-9a-fA-F]* *(\S) (.*)", line)
        if match and (match[1] in EXPORTED or match[1] in "vw") and f"kvlab::{level}::" not in match[2]:
            if not match[2].startswith("DW.ref."):
                bad.append(f"{match[1]} {match[2]}")
    return bad


def level_of(path):
    match = re.search(r"_(\w+?)\.dir/", path)
    return next((level for level in LEVELS if match and match[1].endswith(level)), None)


def check(build):
    objects = [os.path.join(folder, name) for folder, _, names in os.walk(build) for name in names
               if name.endswith(".simd.cpp.o")]
    failed = 0
    for path in sorted(objects):
        level = level_of(path)
        found = [f"cannot tell the SIMD level of {path}"] if level is None else offences(path, level)
        for symbol in found:
            print(f"FAILED {os.path.relpath(path, build)}: {symbol}")
        failed += len(found)
    if not objects:
        print(f"FAILED: no *.simd.cpp.o below {build}")
    print(f"{len(objects)} objects, {failed} symbols outside of their level's namespace")
    return 0 if objects and not failed else 1


GOOD = "namespace kvlab::avx2 { inline int twice(int x) { return 2 * x; } int use(int x) { return twice(x); } }\n"
BAD = "namespace kvlab { template <class T> T twice(T x) { return 2 * x; }\n" \
      "namespace avx2 { int use(int x) { return twice(x); } } }\n"


def self_test():
    compiler = os.environ.get("CXX", "c++").split()
    with tempfile.TemporaryDirectory() as folder:
        for name, text, expected in (("good", GOOD, 0), ("bad", BAD, 1), ("empty", None, 1)):
            build = os.path.join(folder, name, "x_avx2.dir")
            os.makedirs(build)
            if text is not None:
                source = os.path.join(build, "k.simd.cpp")
                with open(source, "w") as file:
                    file.write(text)
                subprocess.run(compiler + ["-std=c++17", "-O0", "-c", source, "-o", source + ".o"], check=True)
            if check(os.path.join(folder, name)) != expected:
                print(f"SELF-TEST FAILED: {name}")
                return 1
    print("self-test passed: a shared template is found, a level's own is not")
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(self_test() if sys.argv[1] == "--self-test" else check(sys.argv[1]))
