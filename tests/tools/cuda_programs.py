#!/usr/bin/env python3
"""Chapter 4's program: the checksums of chapter 3's, the committed launches, and what it refuses.

    cuda_programs.py BIN_FOLDER

Standard library only. Exit code 0: all hold.
"""
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
failed = []


def run(program, *args, code=0):
    done = subprocess.run([f"{sys.argv[1]}/{program}", *args], capture_output=True, text=True, timeout=500)
    if done.returncode != code:
        failed.append(f"{program} {' '.join(args)}: exit code {done.returncode}, not {code}: {done.stderr.strip()}")
    return done


def checksum(program, *args):
    found = re.search(r"^RESULT .*checksum=([0-9a-f]{16})", run(program, "generate", *args).stdout, re.M)
    return found[1] if found else f"none from {program}"


def same(*args, kernels=()):
    expected, found = checksum("step03_kvcache", *args), checksum("step04_cuda", *args, *kernels)
    if expected != found:
        failed.append(f"generate {' '.join([*args, *kernels])}: {found}, chapter 3 has {expected}")


def main():
    same("-m", "tiny", "-n", "40")
    same("-m", "tiny", "-n", "20", "-t", "0.8", "--top-k", "40", "-s", "5", "--batch", "3")
    same("-m", "deep", "-n", "10", "-p", "And the king said", kernels=("--attention", "split", "--linear", "coalesced"))
    if (ROOT / "weights/downloads/SmolLM2-135M-Instruct-Q4_1.gguf").exists():
        same("-m", "SmolLM2-135M-Instruct-Q4_1", "-p", "The sea", "-n", "2")
    with tempfile.TemporaryDirectory() as folder:
        launches = pathlib.Path(folder) / "launches.txt"
        ladders = run("step04_cuda", "ladders", "--launches", str(launches))
        if "RESULT holds=yes" not in ladders.stdout:
            failed.append("ladders: " + ladders.stdout[-200:])
        counted = "not counted" not in ladders.stdout
        published = (ROOT / "step04_cuda/results/ladders.txt").read_text().splitlines()[1:-1]  # but for command and machine
        strip = lambda lines: [line for line in lines if not line.startswith("GPU: ")]
        if counted and strip(published) != strip(ladders.stdout.splitlines()):
            failed.append("step04_cuda/results/ladders.txt: other counts now: tools/experiments.sh --only ladders --publish")
        committed = ROOT / "step04_cuda/results/launches.txt"
        if counted and launches.read_text() != committed.read_text():
            failed.append(f"{committed}: other launches are made now; then run ptx_check.py --write, too")
    for wrong in (["generate", "--linear", "fastest"], ["generate", "--device", "tpu"], ["estimate", "--gpu", "Z80"],
                  ["generate", "-n", "-1"], ["fly"]):
        message = run("step04_cuda", *wrong, code=2).stderr
        if not message.strip():
            failed.append(f"{wrong}: no message")
    missing = run("step04_cuda", "generate", "-m", "no-such-model", code=1).stderr
    if len(missing.strip().splitlines()) != 1:
        failed.append(f"a missing model: {missing}")
    for line in failed:
        print("FAILED", line)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
