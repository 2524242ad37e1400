#!/usr/bin/env python3
"""Chapter 4's program: what it refuses. What it computes and counts is checked in reports/step04_text.py and
step04_kernels.py.

    cuda_programs.py BIN_FOLDER

Standard library only. Exit code 0: all hold.
"""
import subprocess
import sys

failed = []


def run(program, *args, code=0):
    done = subprocess.run([f"{sys.argv[1]}/{program}", *args], capture_output=True, text=True, timeout=500)
    if done.returncode != code:
        failed.append(f"{program} {' '.join(args)}: exit code {done.returncode}, not {code}: {done.stderr.strip()}")
    return done


def main():
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
