#!/usr/bin/env python3
"""tools/gpu.sh and the check that it carries, without a GPU and without its programs: stand-ins in a temporary folder succeed, fail,
hang, and print what JSON has to escape. Then the report says so, and its counts are those of the last line.

    python3 tests/tools/gpu_test.py [PROGRAM]     PROGRAM: step04_cuda, to see the rows of its benchmark as well, on the executor

The table of goals (tools/gpu/goals.py) is tried on figures that nobody measured: on both sides of each border, with what is missing, and
with reports that are none.
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
sys.path.insert(0, str(ROOT / "tools" / "gpu"))
sys.dont_write_bytecode = True

import goals  # noqa: E402

SCRIPT = ROOT / "tools" / "gpu.sh"
GOALS = ROOT / "tools" / "gpu" / "goals.py"
LAST = re.compile(r"(\d+) passed, (\d+) failed, (\d+) left out")

# What the stand-ins do, by program; $* is what they are asked for.
CUDA = """
case "$*" in
    bench\\ --list) printf 'device {found}\\nsubject linear: x\\nrung linear one: an idea\\nrung linear two: another\\n'
                    printf 'rung attention last: one\\nrung argmax none: not asked for\\n' ;;
    bench*linear*) printf '{{"rungs":[]}}\\n' >"${{!#}}" ;;
    bench*tokens*) exit 1 ;;
    *--linear\\ two*) printf 'a "quoted" \\\\ back\\tslash \\303\\274 \\001\\n' && exit 5 ;;
    *--json*) printf '{{"counted":1}}\\n' >"${{!#}}" ;;
    *deep*) echo "RESULT tokens=1 checksum=cafe" ;;
    *) echo "RESULT tokens=1 checksum=beef identical=yes" ;;
esac"""
TESTS = """
case "$*" in
    *-tce=*) case "$*" in *-ltc) ;; *) exit 1 ;; esac ;;
esac
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
    shutil.copy(ROOT / "tools" / "gpu" / "goals.py", carried)
    (carried / "tests" / "data").mkdir(parents=True)
    (carried / "tests" / "data" / "golden.txt").write_text("generate-deep dead\ngenerate-tiny beef\n")
    (carried / "baseline.py").write_text("import sys\nwith open(sys.argv[-1], 'w') as file:\n    file.write('{\"op\":\"linear\"}\\n{\"op\":\"cut')\n"
                                         "print('no such thing here')\nsys.exit(77)\n")
    (carried / "build.json").write_text('{"commit":"none"}\n')
    program(carried, "step04_cuda", CUDA.format(found=found))
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
    expect(wrong, "nvidia_smi", report["nvidia_smi"], None)
    expect(wrong, "bench, tokens, pytorch, counts", (report["bench"], report["tokens"], report["pytorch"], report["counts"]),
           ({"rungs": []}, None, [{"op": "linear"}], {"counted": 1}))  # half a row is none
    expect(wrong, "goals", {goal["reached"] for goal in report["goals"]}, {None})
    failing = steps["generate: linear two"]
    expect(wrong, "a failing step", (failing["result"], failing["why"], failing["says"]), ("failed", "exit code 5", 'a "quoted" \\ back slash  '))
    other = steps["generate: deep, a batch of 4, sampled"]
    expect(wrong, "another checksum", (other["result"], other["says"].split("\n")[-1]),
           ("failed", "expected the committed checksum of generate-deep, dead"))
    expect(wrong, "the committed checksum", steps["generate: again"]["result"], "passed")
    if "generate: argmax none" in steps:
        wrong.append("a rung that `generate` has no option for was tried")
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


def made_up(scale: float = 1.0) -> dict:
    """A report in which every goal is reached to the last digit, times `scale`. Nobody measured these figures."""
    def timed(us: float, **more: object) -> dict:
        return {"us": {"median": us}, "warm_us": {"median": us}, **more}
    rungs, peers = [], []
    for op, shape, share, times in [("linear", large, 0.85, 1.0) for large in goals.LARGE] + [
            ("attention", goals.FILLING, 0.85, 1.0), ("attention", "T1 slots8192", 0.1, 1.0),
            ("linear", "R512 N3072 K576 F32", 0.1, 0.6), ("linear", "R512 N4096 K4096 F32", 0.1, 0.6)]:
        # The worse rung must not be taken, nor a faster one with other bits.
        rungs += [timed(us / scale, op=op, shape=shape, rung="x", share_of_read=part * scale, same_bits=same)
                  for us, part, same in ((400.0, share / 2, True), (100.0, share, True), (1.0, 1.0, False))]
        peers += [timed(100.0 * times, op=op, shape=shape, rung="pytorch"), timed(900.0, op=op, shape=shape, rung="slower")]
    peers += [timed(1e6 / 1500, op="token", shape=f"past{goals.CONTEXT} F32", rung=rung) for rung in ("pytorch", "pytorch compiled")]
    tokens = [{"op": "decode", "model": model, "way": "x", "context": context, "batch": batch, "tokens_per_s": rate * scale, "share_of_read": 0.5 * scale}
              for model, context, batch, rate in (("smollm2 F32", 512, 1, 3000.0), ("smollm2 F32", 512, 4, 9e9), ("smollm2 F32", 0, 1, 9e9),
                                                  ("tiny", 0, 1, 20000.0))]
    tokens += [{"op": "decode", "model": "smollm2 Q8_0", "way": "x", "context": 512, "batch": 1, "tokens_per_s": 4500.0 * scale * scale}]
    return {"schema": 1, "experiment": "tools/gpu.sh", "device": "gpu", "bench": {"rungs": rungs}, "tokens": {"tokens": tokens}, "pytorch": peers}


def same_cases(_: Path) -> list[str]:
    """ctest and check.sh put the same cases on the device."""
    named = [set(re.findall(r"-sfe=([^'\"]*)", text)) | set(re.findall(r"(\*checked launches\*[^'\"]*)", text))
             for text in ((ROOT / "tests" / "programs.cmake").read_text(), (ROOT / "tools" / "gpu" / "check.sh").read_text())]
    return [] if named[0] == named[1] and len(named[0]) == 2 else [f"tests/programs.cmake leaves aside {named[0]}, check.sh {named[1]}"]


def table_of_goals(folder: Path) -> list[str]:
    wrong: list[str] = []
    count = len(goals.goals(made_up()))
    for scale, reached in ((1.0, True), (1.0 - 1e-6, False), (1.0 + 1e-6, True)):
        found = [row["reached"] for row in goals.goals(made_up(scale))]
        expect(wrong, f"goals, figures times {scale}", found, [reached] * count)
    executor = {**made_up(), "device": "executor"}
    expect(wrong, "goals of the executor", {row["measured"] for row in goals.goals(executor)}, {None})
    for part, still in (("bench", 5), ("tokens", 8 + 2), ("pytorch", 4 + 4)):
        table = goals.goals({**made_up(), part: None})
        expect(wrong, f"goals without {part}: measured", sum(row["measured"] is not None for row in table), still)
        expect(wrong, f"goals without {part}: reached", [row["goal"] for row in table if (row["reached"] is None) != (row["measured"] is None)], [])
    other_bits = made_up()
    other_bits["tokens"]["tokens"].append({"op": "text", "model": "tiny", "same_bits": False})
    tiny = [row for row in goals.goals(other_bits) if row["goal"].startswith("tiny")]
    expect(wrong, "tokens with other bits", [row["reached"] for row in tiny], [None])
    path = folder / "report.json"
    path.write_text(json.dumps(made_up()))
    done = subprocess.run([sys.executable, GOALS, "--add", path], capture_output=True, text=True, check=False)
    expect(wrong, "goals.py", (done.returncode, done.stdout.count(" yes\n"), json.loads(path.read_text())["goals"]), (0, count, goals.goals(made_up())))
    bad = made_up()
    del bad["bench"]["rungs"][0]["us"]
    done = subprocess.run([sys.executable, GOALS, "--chapter"], capture_output=True, text=True, check=False)
    if not goals.COMMITTED.exists() and (done.returncode != 0 or done.stdout.count("|  |  |\n") != count or "| not measured yet |" not in done.stdout):
        wrong.append(f"goals.py --chapter: {done.returncode}: {done.stdout}")
    shown = goals.chapter_lines(goals.goals(made_up()), {"bench": {"device": "a GPU of this test's"}})
    expect(wrong, "the chapter's table", (shown[0], shown[2]), ("| goal, for an H100 | at least | a GPU of this test's | reached |",
                                                               f"| linear {goals.LARGE[0]}: share of our read kernel | 0.850 | 0.850 | yes |"))
    for arguments in ([], ["--chapter", path]):
        done = subprocess.run([sys.executable, GOALS, *arguments], capture_output=True, text=True, check=False)
        expect(wrong, f"goals.py {arguments}", done.returncode, 2)
    cases = [("nowhere.json", None, "No such file"), ("cut.json", '{"schema":', "cut.json"), ("list.json", "[1]", "none of an experiment"),
             ("other.json", '{"experiment":"step04_cuda bench","schema":1}', "found that of 'step04_cuda bench'"),
             ("later.json", '{"experiment":"tools/gpu.sh","schema":2}', "schema 1"), ("row.json", json.dumps(bad), "a row of another version")]
    for name, text, said in cases:
        if text is not None:
            (folder / name).write_text(text)
        done = subprocess.run([sys.executable, GOALS, folder / name], capture_output=True, text=True, check=False)
        if done.returncode != 2 or said not in done.stderr or done.stderr.count("\n") != 1:
            wrong.append(f"goals.py {name}: expected 2 and '{said}', found {done.returncode}: {done.stderr}")
    return wrong


def bench_rows(program_path: str, folder: Path) -> list[str]:
    """The rows of the real program have what a reader of the report joins with PyTorch's, and on the executor no rate; check.sh carries
    the checksums that its texts have."""
    wrong: list[str] = []
    path = folder / "bench.json"
    done = subprocess.run([program_path, "bench", "--device", "executor", "--small", "-m", "tiny", "--synthetic", "smollm2", "--types", "Q8_0", "--json", path],
                          capture_output=True, text=True, check=False, timeout=300)
    if done.returncode != 0 or "RESULT device=SIMT executor measured=no same_bits=yes" not in done.stdout or "say nothing about a GPU" not in done.stdout:
        return [f"bench: exit code {done.returncode}: {done.stdout}{done.stderr}"]
    report = json.loads(path.read_text())
    expect(wrong, "bench", (report["experiment"], report["measured"], report["left_out"]), ("step04_cuda bench", False, []))
    expect(wrong, "the yardstick", report["machine"]["yardstick_holds"], True)
    listed = subprocess.run([program_path, "bench", "--list", "--device", "executor"], capture_output=True, text=True, check=False).stdout
    rungs = set(re.findall(r"^rung (\w+) (\w+):", listed, re.M))
    expect(wrong, "rungs that were timed", {(row["op"], row["rung"]) for row in report["rungs"]} |
           {("token", row["way"]) for row in report["tokens"] if row["op"] == "decode"}, rungs)
    for row in report["rungs"]:
        if not (row["same_bits"] and row["launches"] > 0 and 0 < row["us"]["low"] <= row["us"]["median"] <= row["us"]["high"] and row["bytes"] > 0):
            wrong.append(f"bench: {row}")
        if any(row[rate] is not None for rate in ("gb_per_s", "share_of_read", "share_of_copy", "gflop_per_s")):
            wrong.append(f"bench: a rate of the executor: {row}")
    models = [row["model"] for row in report["tokens"] if row["op"] == "text" and row["same_bits"]]
    expect(wrong, "models with the CPU's bits", models, ["tiny", "smollm2 Q8_0"])
    # Both models have two layers: 13 launches each, and 3 for the embedding, the last norm and the logits. Each product of a row is
    # two, and so is attention from two tiles on.
    launches = {(row["model"], row["context"]): row["launches"] for row in report["tokens"] if (row.get("way"), row.get("batch")) == ("separate", 1)}
    expect(wrong, "launches of a token", launches, {(model, context): launches for model in models for context, launches in ((0, 38), (65, 40))})
    golden = dict(line.split() for line in (ROOT / "tests" / "data" / "golden.txt").read_text().splitlines())
    script = (ROOT / "tools" / "gpu" / "check.sh").read_text()
    for name in ("generate-tiny", "generate-deep"):
        options = re.search(rf'^    generate "[^"]*" \d+ {name} (.*)$', script, re.M)
        found = subprocess.run(["bash", "-c", f'"$0" generate --device executor --ignore-end {options[1] if options else "?"}', program_path],
                               capture_output=True, text=True, check=False, timeout=300).stdout
        expect(wrong, name, re.findall(r"^RESULT .*checksum=(\w+)", found, re.M), [golden.get(name)])
    return wrong


def main() -> int:
    wrong = []
    for case in (without_gpu, with_gpu, command_lines, same_cases, table_of_goals):
        with tempfile.TemporaryDirectory() as folder:
            wrong += [f"{case.__name__}: {line}" for line in case(Path(folder))]
    if len(sys.argv) > 1:
        with tempfile.TemporaryDirectory() as folder:
            wrong += bench_rows(sys.argv[1], Path(folder))
    print("\n".join(wrong) if wrong else "tools/gpu.sh says what happened")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
