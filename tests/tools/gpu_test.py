#!/usr/bin/env python3
"""tools/gpu.sh and the check that it carries, without a GPU and without its programs: stand-ins in a temporary folder succeed, fail,
hang, and print what JSON has to escape. Then the report says so, and its counts are those of the last line.

    python3 tests/tools/gpu_test.py [BENCH]     BENCH: kvlab_gpu_bench, to see its rows as well, on the executor
"""
from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "tools" / "gpu.sh"
LAST = re.compile(r"(\d+) passed, (\d+) failed, (\d+) left out")

# What the stand-ins do, by program; $* is what they are asked for.
BENCH = """
case "$*" in
    device\\ *) echo "{found}" ;;
    *rungs) printf 'linear one\\nlinear two\\nattention last\\n' ;;
    *machine*) printf '{{"device":"stand-in"}}\\n' >"${{!#}}" ;;
    *ladders*) printf '{{"op":"linear"}}\\n{{"op":"norm"}}\\n{{"op":"cut' >"${{!#}}" ;;
    *decoder*) printf '{{"op":"token"}}\\n' >"${{!#}}" ;;
esac"""
CUDA = """
case "$*" in
    *--linear\\ two*) printf 'a "quoted" \\\\ back\\tslash \\303\\274 \\001\\n' && exit 5 ;;
    *--json*) printf '{"counted":1}\\n' >"${!#}" ;;
    *) echo "RESULT tokens=1" ;;
esac"""
TESTS = """
case "$*" in
    *-ltc) printf '[doctest] listing all test case names\\n===\\n4.1 one: is right\\n4.2 two: is left out\\n4.3 three: hangs\\n===\\n' ;;
    *-tc=4.1*) echo "[doctest] test cases: 1 on $KVLAB_TEST_DEVICE" ;;
    *-tc=4.2*) echo "x.cpp:1: MESSAGE: skipped: no file" && exit 77 ;;
    *-tc=4.3*) sleep 60 ;;
esac"""
GPU_ALONE = ("memcheck", "racecheck", "initcheck", "synccheck", "profile")


def program(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.write_text("#!/usr/bin/env bash\n" + text + "\n")
    path.chmod(0o755)


def make_folder(folder: Path, found: str) -> Path:
    carried = folder / "a folder"
    carried.mkdir()
    shutil.copy(ROOT / "tools" / "gpu" / "check.sh", carried)
    (carried / "baseline.py").write_text("import sys\nprint('no such thing here')\nsys.exit(77)\n")
    (carried / "build.json").write_text('{"commit":"none"}\n')
    program(carried, "kvlab_gpu_bench", BENCH.format(found=found))
    program(carried, "step04_cuda", CUDA)
    program(carried, "step04_tests", TESTS)
    return carried


def bash(*arguments: object, path: str | None = None) -> tuple[int, str]:
    environment = {**os.environ, **({"PATH": path} if path else {})}
    done = subprocess.run(["bash", *map(str, arguments)], capture_output=True, text=True, env=environment, check=False, timeout=120)
    return done.returncode, done.stdout + done.stderr


def tools_alone(folder: Path, *more: str) -> str:
    """A PATH with what the check needs of the system and the stand-ins of `more`: no tool of this machine's."""
    folder.mkdir()
    for name in ("bash", "env", "sh", "awk", "cat", "cut", "date", "dirname", "grep", "mktemp", "paste", "printf", "python3", "realpath", "rm", "sed",
                 "sleep", "tail", "timeout", "tr"):
        where = shutil.which(name)
        if where:
            (folder / name).symlink_to(where)
    for name in more:
        program(folder, name, f'echo "SUMMARY of {name}"')
    return str(folder)


def by_name(report: dict) -> dict:
    return {step["step"]: step for step in report["steps"]}


def check_report(output: str, code: int, report: dict) -> list[str]:
    counts = LAST.fullmatch(output.rstrip("\n").split("\n")[-1])
    if not counts:
        return [f"no counts in the last line of: {output[-300:]}"]
    results = [step["result"] for step in report["steps"]]
    said = tuple(map(int, counts.groups()))
    counted = tuple(results.count(kind) for kind in ("passed", "failed", "left out"))
    wrong = [] if said == counted == (report["passed"], report["failed"], report["left_out"]) else [f"counts: {said}, steps: {counted}"]
    wrong += [f"{step['step']}: {step['result']} without a reason" for step in report["steps"] if step["result"] != "passed" and not step.get("why")]
    return wrong + ([] if code == (1 if said[1] else 0) else [f"exit code {code} with {said[1]} failures"])


def expect(wrong: list[str], what: str, found: object, expected: object) -> None:
    if found != expected:
        wrong.append(f"{what}: expected {expected!r}, found {found!r}")


def without_gpu(folder: Path) -> list[str]:
    carried = make_folder(folder, "executor: no driver")
    out = folder / "other.json"
    code, output = bash(SCRIPT, "run", carried, "--out", out, "--limit", "1", path=tools_alone(folder / "bin"))
    report = json.loads(out.read_text())
    wrong, steps = check_report(output, code, report), by_name(report)
    expect(wrong, "device", (report["device"], report["why_no_gpu"]), ("executor", "no driver"))
    expect(wrong, "built", report["built"], {"commit": "none"})
    expect(wrong, "machine", (report["machine"], report["nvidia_smi"]), ({"device": "stand-in"}, None))
    expect(wrong, "ladders", report["ladders"], [{"op": "linear"}, {"op": "norm"}])  # half a row is none
    expect(wrong, "decoder, pytorch, counts", (report["decoder"], report["pytorch"], report["counts"]), ([{"op": "token"}], [], {"counted": 1}))
    failing = steps["generate: linear two"]
    expect(wrong, "a failing step", (failing["result"], failing["why"], failing["says"]), ("failed", "exit code 5", 'a "quoted" \\ back slash  '))
    expect(wrong, "the next step", steps["generate: attention last"]["result"], "passed")
    expect(wrong, "a case", (steps["test: 4.1 one: is right"]["result"], steps["test: 4.1 one: is right"]["says"]),
           ("passed", "[doctest] test cases: 1 on executor"))
    expect(wrong, "a skipped case", steps["test: 4.2 two: is left out"].get("why"), "no file")
    hanging = steps["test: 4.3 three: hangs"]
    expect(wrong, "a case that hangs", (hanging["result"], hanging["why"]), ("failed", "stopped after 1 s"))
    expect(wrong, "PyTorch", steps["PyTorch on the same shapes"].get("why"), "no such thing here")
    for name in GPU_ALONE:
        expect(wrong, name, (steps[name]["result"], steps[name]["why"]), ("left out", "no GPU: no driver"))
    if (carried / "report.json").exists():
        wrong.append("--out was given, and report.json is there as well")
    return wrong


def with_gpu(folder: Path) -> list[str]:
    """As if there were a GPU, whose profiler is not installed; and time for everything that ends during a hanging case."""
    carried = make_folder(folder, "gpu")
    code, output = bash(carried / "check.sh", "--seconds", "2", path=tools_alone(folder / "bin", "nvidia-smi"))
    report = json.loads((carried / "report.json").read_text())
    wrong, steps = check_report(output, code, report), by_name(report)
    expect(wrong, "device", (report["device"], report.get("why_no_gpu"), report["nvidia_smi"]), ("gpu", None, "SUMMARY of nvidia-smi"))
    expect(wrong, "a case", steps["test: 4.1 one: is right"]["says"], "[doctest] test cases: 1 on gpu")
    expect(wrong, "the time's end", steps["test: 4.3 three: hangs"]["result"], "left out")
    expect(wrong, "behind it", steps["bench: every rung"]["why"], "no time left")
    program(carried, "step04_tests", "printf '4.1 one\\n'")
    code, output = bash(carried / "check.sh", path=tools_alone(folder / "more", "compute-sanitizer"))
    steps = by_name(json.loads((carried / "report.json").read_text()))
    expect(wrong, "a sanitizer", (steps["memcheck"]["result"], steps["memcheck"].get("says")), ("passed", "SUMMARY of compute-sanitizer"))
    expect(wrong, "no profiler", steps["profile"].get("why"), "there is no ncu")
    return wrong


def command_lines(folder: Path) -> list[str]:
    wrong = []
    cases = [  # expected exit code, a part of the output, arguments
        (0, "tools/gpu.sh build", ["--help"]), (2, "build or run?", []), (2, "unknown argument 'frob'", ["frob"]),
        (2, "unknown argument '--frob'", ["build", "--frob"]), (2, "--out needs a value", ["build", "--out"]), (2, "which folder?", ["run"]),
        (2, "there is no", ["run", folder / "nowhere"]), (77, "there is no nvcc that works", ["build", "--nvcc", "/nowhere/nvcc"])]
    for code, text, arguments in cases:
        found, output = bash(SCRIPT, *arguments)
        if found != code or text not in output:
            wrong.append(f"gpu.sh {' '.join(map(str, arguments))}: expected {code} and '{text}', found {found}: {output[-200:]}")
    carried = make_folder(folder, "executor: no driver")
    cases = [(0, "--seconds N", ["--help"]), (2, "unknown argument 'x'", ["x"]), (2, "needs a value", ["--out"]), (2, "whole numbers", ["--seconds", "-1"]),
             (2, "expected auto", ["--device", "tpu"]), (2, "cannot be written", ["--out", folder / "nowhere" / "x.json"])]
    for code, text, arguments in cases:
        found, output = bash(SCRIPT, "run", carried, *arguments)
        if found != code or text not in output:
            wrong.append(f"check.sh {' '.join(map(str, arguments))}: expected {code} and '{text}', found {found}: {output[-200:]}")
    if shutil.which("nvcc") or Path("/usr/local/cuda/bin/nvcc").exists():
        (folder / "full").mkdir()
        (folder / "full" / "mine").write_text("")
        found, output = bash(SCRIPT, "build", "--out", folder / "full")
        if found != 2 or "holds something else" not in output:
            wrong.append(f"build into a folder of another kind: {found}: {output[-200:]}")
    return wrong


def bench_rows(bench: str, folder: Path) -> list[str]:
    """The rows of the real program have what a reader of the report joins with PyTorch's: the same operations and shapes."""
    wrong = []
    for part in ("ladders", "decoder"):
        path = folder / part
        done = subprocess.run([bench, part, "--device", "executor", "--small", path], capture_output=True, text=True, check=False, timeout=300)
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        if done.returncode != 0 or "RESULT device=SIMT executor same_bits=yes" not in done.stdout or len(rows) < 3:
            wrong.append(f"{part}: exit code {done.returncode}, {len(rows)} rows: {done.stdout}{done.stderr}")
        wrong += [f"{part}: bits differ: {row}" for row in rows if row.get("same_bits") is False]
        wrong += [f"{part}: no time: {row}" for row in rows if row["op"] != "same_bits" and not row["us"] > 0]
    return wrong


def main() -> int:
    wrong = []
    for case in (without_gpu, with_gpu, command_lines):
        with tempfile.TemporaryDirectory() as folder:
            wrong += [f"{case.__name__}: {line}" for line in case(Path(folder))]
    if len(sys.argv) > 1:
        with tempfile.TemporaryDirectory() as folder:
            wrong += bench_rows(sys.argv[1], Path(folder))
    print("\n".join(wrong) if wrong else "tools/gpu.sh says what happened")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
