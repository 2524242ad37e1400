#!/usr/bin/env python3
"""What must be refused, or taken, when kvlab is configured: steps, flags, targets, paths, a machine without Python.

    python3 tests/tools/configure_test.py CXX_COMPILER
"""
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
COMPILER = sys.argv[1]
# What macros show, by g++ and by clang++.
SEEN_BY_HEADERS = ["-ffast-math", "-Ofast", "-ffinite-math-only"]
BITS = "which changes the bits of results (chapter 1); remove it"
FLAGS = ["-ffast-math", "-Ofast", "-ffp-contract=fast", "-ffp-contract=on", "-funsafe-math-optimizations", "-fassociative-math",
         "-freciprocal-math", "-ffinite-math-only", "-fno-signed-zeros", "-mfpmath=387", "-mfpmath=both", "-mfpmath=sse,387",
         "-fsingle-precision-constant", "-mdaz-ftz"]
FINE = ["-ffp-contract=off", "-O2 -march=native -fno-math-errno", "-mfpmath=sse", "-fno-fast-math", "-DNAME=-ffast-math"]
INCLUDE = re.compile(r"^#include <(kvlab/[^>]+)>", re.M)
wrong = []


def run(command, **more):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, **more)
    return done.returncode, " ".join((done.stdout + done.stderr).split())


def configure(build, *options, source=ROOT, env=None):
    return run(["cmake", "-S", source, "-B", build, "-DKVLAB_GPU=OFF", *options], env=env)


def expect(name, found, code, text):
    if (code is not None and (found[0] == 0) != (code == 0)) or text not in found[1]:
        wrong.append(f"{name}: expected {'success' if code == 0 else 'a refusal'} and '{text}', found exit {found[0]}: {found[1][-400:]}")


def check_steps_and_flags(folder):
    """All in one folder: the compiler is looked at once. What is refused leaves its value behind, so each case sets all."""
    def given(step="1", flags="", release="-O2", linker="", build_type="Release"):
        return configure(folder, f"-DCMAKE_CXX_COMPILER={COMPILER}", "-DKVLAB_TESTS=OFF", f"-DKVLAB_LAST_STEP={step}",
                         f"-DCMAKE_CXX_FLAGS={flags}", f"-DCMAKE_CXX_FLAGS_RELEASE={release}", f"-DCMAKE_EXE_LINKER_FLAGS={linker}",
                         f"-DCMAKE_BUILD_TYPE={build_type}")

    expect("plain", given(), 0, "Build files")
    last = len(list(ROOT.glob("step0*_*")))
    for step in ("0", str(last + 1), "x", "", "-1", "1.5"):
        expect(f"last step {step}", given(step=step), 1, f"KVLAB_LAST_STEP: expected 1 to {last}, found '{step}'")
    for flag in FLAGS:
        expect(flag, given(flags=f"-g {flag}"), 1, f"CMAKE_CXX_FLAGS has {flag}, {BITS}")
    for flags in FINE:
        expect(flags, given(flags=flags), 0, "Build files")
    expect("of a build type", given(release="-Ofast -DNDEBUG"), 1, f"CMAKE_CXX_FLAGS_RELEASE has -Ofast, {BITS}")
    expect("without a build type", given(release="-Ofast", build_type=""), 1, "CMAKE_CXX_FLAGS_RELEASE has -Ofast")
    expect("of the linker", given(linker="-ffast-math"), 1, f"CMAKE_EXE_LINKER_FLAGS has -ffast-math, {BITS}")


def check_headers(folder):
    """Each public header reaches compiler.hpp, and that refuses what the compiler admits."""
    headers = {path.relative_to(include).as_posix(): path
               for include in ROOT.glob("*/include") for path in include.rglob("*.hpp")}

    def reaches(name, seen):
        seen.add(name)
        return name.endswith("/compiler.hpp") or any(
            reaches(other, seen) for other in INCLUDE.findall(headers[name].read_text()) if other not in seen)

    if len(headers) < 50:
        wrong.append(f"only {len(headers)} public headers found")
    wrong.extend(f"{name} does not include <kvlab/tensor/compiler.hpp>" for name in headers if not reaches(name, set()))
    source = folder / "user.cpp"
    source.write_text("#include <kvlab/tensor/compiler.hpp>\nint main() {}\n")
    command = [COMPILER, "-std=c++20", f"-I{ROOT / 'step01_tensor/include'}", "-fsyntax-only", source]
    expect("a user's program", run(command), 0, "")
    for flag in SEEN_BY_HEADERS:
        expect(f"a user's {flag}", run([*command, flag]), 1, "kvlab: -ffast-math, -Ofast and their parts change results")
    for macros, text in ((["-U__FLT_EVAL_METHOD__", "-D__FLT_EVAL_METHOD__=2"], "a float must be computed as a float"),
                         (["-U__SIZEOF_POINTER__", "-D__SIZEOF_POINTER__=4"], "needs a 64-bit target"),
                         (["-U__BYTE_ORDER__", "-D__BYTE_ORDER__=__ORDER_BIG_ENDIAN__"], "needs a little-endian target")):
        expect(text, run([COMPILER, "-E", "-w", *macros, *command[1:3], source]), 1, text)


def check_targets(folder):
    """Toolchains that only compile, so that no library of the target is needed."""
    for name, lines, options, text in (
            ("32 bits", ["set(CMAKE_CXX_FLAGS_INIT -m32)"], [], "expected a 64-bit target, found pointers of 4 bytes"),
            ("big-endian", ["set(CMAKE_CXX_FLAGS_INIT -mbig-endian)", "set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)"], [],
             "expected a little-endian target, found BIG_ENDIAN"),
            ("cross", ["set(CMAKE_SYSTEM_PROCESSOR other)"], ["-DKVLAB_GPU=AUTO", "-DKVLAB_LAST_STEP=4"],
             "cross build: this machine's nvcc is not asked")):
        if name == "big-endian" and not shutil.which("aarch64-linux-gnu-g++"):
            print("skipped: big-endian: there is no aarch64-linux-gnu-g++")
            continue
        toolchain = folder / f"{name}.cmake"
        toolchain.write_text("\n".join(["set(CMAKE_SYSTEM_NAME Linux)", "set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)",
                                        f"set(CMAKE_CXX_COMPILER {COMPILER})", *lines, ""]))
        found = configure(folder / name, "-DKVLAB_LAST_STEP=1", "-DKVLAB_TESTS=OFF", "--toolchain", toolchain, *options)
        expect(name, found, None if name == "cross" else 1, text)  # whether Boost is found there is another question


def check_paths(folder):
    """A path with a space, quotes and paired brackets works; tools that look for files find them there."""
    for number, (name, code, text) in enumerate((("kv lab [x]'y", 0, "Build files"), ('a"b', 1, "cannot take"), ("a[b", 1, "unpaired bracket"), ("a$b", 1, "cannot take"))):
        source = folder / name
        if code == 0:
            shutil.copytree(ROOT, source, symlinks=True, ignore=shutil.ignore_patterns(".git", "build", "downloads", "results", "pictures", "data"))
        else:  # refused before anything else is read
            shutil.copytree(ROOT / "cmake", source / "cmake")
            shutil.copy(ROOT / "CMakeLists.txt", source)
        expect(f"in {name}", configure(folder / f"out{number}", "-DKVLAB_LAST_STEP=1", "-DKVLAB_TESTS=OFF", source=source), code, text)
        if code == 0:
            expect("shapes.py there", run([sys.executable, source / "tests/tools/shapes.py"]), 0, " files, 0 unknown letters")
        shutil.rmtree(source)


def check_without_python(folder):
    found = configure(folder, f"-DCMAKE_CXX_COMPILER={COMPILER}", "-DKVLAB_LAST_STEP=1", "-DKVLAB_TESTS=ON",
                      "-DCMAKE_DISABLE_FIND_PACKAGE_Python3=ON")
    expect("without Python", found, 0, "no Python 3: the tests of programs, tools and texts that need it are left out")


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        check_steps_and_flags(folder / "flags")
        check_headers(folder)
        check_targets(folder)
        check_paths(folder)
        check_without_python(folder / "python")
    print("\n".join(wrong) if wrong else "configuring takes and refuses what it should")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
