#!/usr/bin/env python3
"""Recorded runs: what generate --trace writes, and what diverge --traces makes of it.

    python3 tests/tools/trace_test.py BIN_FOLDER

Exit codes: 0 all hold, 1 not. A trace against itself has no difference; a flipped bit is found where it is;
a damaged file is refused with its line.
"""
from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

BIN = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else Path("build/release/bin")
PROGRAM = BIN / "step03_kvcache"
failures = 0


def expect(what: str, ok: bool, detail: str = "") -> None:
    global failures
    if not ok:
        failures += 1
        print(f"FAILED: {what} {detail}")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(PROGRAM), *arguments], capture_output=True, text=True, timeout=600)


def fnv(bits: str, start: int = 0xCBF29CE484222325) -> str:
    """The checksum of chapter 1, written a second time."""
    value = start
    for i in range(0, len(bits), 8):
        value = (value ^ int(bits[i : i + 8], 16)) * 1099511628211 % 2**64
    return f"{value:016x}"


def check_lines(lines: list[dict]) -> None:
    """Every position has bits, the sums are theirs, and an uncached run repeats no row."""
    known: dict[tuple, str] = {}
    rows = {"cached": 0, "uncached": 0}
    computed = {"cached": 0, "uncached": 0}
    for line in lines[1:]:
        if "op" not in line:
            continue
        size = line["width"] * 8
        expect("length of bits", len(line["bits"]) == size * len(line["fresh"]))
        for i, position in enumerate(line["fresh"]):
            known[line["run"], line["op"], line["layer"], position] = line["bits"][i * size : (i + 1) * size]
        everything = "".join(known[line["run"], line["op"], line["layer"], p] for p in line["positions"])
        expect("sum of all rows", fnv(everything) == line["sum"], str(line["step"]))
        rows[line["run"]] += len(line["fresh"])
        computed[line["run"]] += len(line["positions"])
    expect("an uncached run computes more", computed["uncached"] > 2 * computed["cached"])
    expect("and records the same rows, since their bits are the same", rows["cached"] == rows["uncached"])


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "run.jsonl"
        done = run("generate", "-m", "tiny", "-p", "In the beginning", "-n", "12", "--compare", "--trace", str(trace))
        expect("generate --trace", done.returncode == 0, done.stderr)
        text = trace.read_text(encoding="utf-8").splitlines()
        lines = [json.loads(line) for line in text]
        expect("header", lines[0]["kvlab_trace"] == 1 and [r["name"] for r in lines[0]["runs"]] == ["cached", "uncached"])
        check_lines(lines)
        ends = [line for line in lines if "token" in line]
        expect("a line for each step of each run", len(ends) == 24)
        expect("the runs chose the same tokens", [e["token"] for e in ends[:12]] == [e["token"] for e in ends[12:]])
        expect("one new key and value a step", ends[5]["work"]["kv_projections"] == 2)
        expect("all of them without a cache", ends[17]["work"]["kv_projections"] == 2 * (17 + 5))

        done = run("diverge", "--traces", str(trace), f"{trace}#uncached")
        expect("cached and uncached, recorded", done.returncode == 0 and " 0 of " in done.stdout, done.stdout)

        # One bit of one number: layer 1, value, KV head 1 (of 16 numbers each), element 3.
        where = next(i for i, l in enumerate(lines) if l.get("op") == "value" and l["layer"] == 1 and l["step"] == 4)
        flipped = dict(lines[where])
        digit = (16 + 3) * 8 + 7
        old = flipped["bits"]
        flipped["bits"] = old[:digit] + f"{int(old[digit], 16) ^ 1:x}" + old[digit + 1 :]
        flipped["sum"] = fnv(flipped["bits"])
        other = Path(folder) / "other.jsonl"

        def write(replacement: dict[int, str], length: int | None = None) -> None:
            new = [replacement.get(i, line) for i, line in enumerate(text)][:length]
            other.write_text("\n".join(new) + "\n", encoding="utf-8")

        write({where: json.dumps(flipped)})
        done = run("diverge", "--traces", str(trace), str(other))
        expect("a flipped bit: exit code", done.returncode == 1, done.stderr)
        expect("a flipped bit: its place", "step 4, layer 1, value, head 1, position 20, element 3" in done.stdout, done.stdout)
        expect("a flipped bit: how far", ", 1 ulp apart" in done.stdout and " 1 of " in done.stdout, done.stdout)

        # Each damage must be refused, with the line (counted from 1) and the reason; a JSON library says its own.
        broken = dict(flipped, sum=lines[where]["sum"])
        here, sound = where + 1, dict(flipped, bits=old, sum=lines[where]["sum"])
        headless = {k: v for k, v in lines[0].items() if k != "model"}

        def damaged(**changes) -> dict[int, str]:
            return {where: json.dumps(sound | changes)}

        def header(**changes) -> dict[int, str]:
            return {0: json.dumps(lines[0] | changes)}

        width, last = sound["width"], next(i for i, l in enumerate(lines) if i > where and "token" in l)
        damages = {
            "wrong checksum": ({where: json.dumps(broken)}, None, here, "value: the checksum is not that of the bits"),
            "no header": ({0: text[1]}, None, 1, "not a trace of version 1"),
            "a later version": (header(kvlab_trace=2), None, 1, "not a trace of version 1"),
            "a header without a model": ({0: json.dumps(headless)}, None, 1, ...),
            "heads of no numbers": (header(config=lines[0]["config"] | {"head_dim": 0}), None, 1, "head_dim is 0"),
            "a header without runs": (header(runs=[]), None, 1, "no runs"),
            "cut in a line": ({where: text[where][:50]}, None, here, ...),
            "cut in a step": ({}, where, where, "run cached ends in the middle of a step"),
            "cut behind the header": ({}, 1, 1, "run cached ends in the middle of a step"),
            "a step without operators": ({last + 1: json.dumps(lines[last] | {"step": 5})}, None, last + 2, "a step without operators"),
            "half a float": (damaged(bits=old[1:]), None, here, f"bits: {len(old) - 1} digits are not whole floats"),
            "a float too few": (damaged(bits=old[8:]), None, here, f"bits of {len(old) // 8 - 1} floats for 1 rows of {width}"),
            "no digit": (damaged(bits="g" + old[1:]), None, here, "bits: not a hexadecimal digit: g"),
            "a digit below": (damaged(bits="/" + old[1:]), None, here, "bits: not a hexadecimal digit: /"),
            "a digit above": (damaged(bits=":" + old[1:]), None, here, "bits: not a hexadecimal digit: :"),
            "a capital": (damaged(bits="A" + old[1:]), None, here, "bits: not a hexadecimal digit: A"),
            "unknown operator": (damaged(op="frobnicate"), None, here, "no such operator: frobnicate"),
            "unknown run": (damaged(run="third"), None, here, "the header names no run third"),
            "steps out of order": (damaged(step=9), None, here, "step 9 where 4 was to come"),
            "a step of less than none": (damaged(step=-1), None, here, "step -1 where 4 was to come"),
            "no rows": (damaged(positions=[]), None, here, "an operator without rows"),
            "a position without bits": (damaged(positions=[400]), None, here, "position 400 has no bits"),
            "no width": (damaged(width=0), None, here, "width: expected 1 to 2^32, found 0"),
            "a width below all": (damaged(width=-1), None, here, "width: expected 1 to 2^32, found -1"),
            "the first width too many": (damaged(width=2**32 + 1), None, here, f"width: expected 1 to 2^32, found {2**32 + 1}"),
            "the last width that may be": (damaged(width=2**32), None, here, f"bits of {len(old) // 8} floats for 1 rows of {2**32}"),
            # Four rows of 2^62 numbers are 0 numbers in 64 bits.
            "rows that overflow": (damaged(width=2**62, fresh=[0, 1, 2, 3], bits=""), None, here,
                                   f"width: expected 1 to 2^32, found {2**62}"),
            "a width that is no number": (damaged(width="16"), None, here, ...),
            "positions that are no list": (damaged(positions="0"), None, here, ...),
            "a line that is no object": ({where: "3"}, None, here, ...),
        }
        for name, (replacement, length, number, words) in damages.items():
            write(replacement, length)
            done = run("diverge", "--traces", str(trace), str(other))
            start = f"step03_kvcache: {other}, line {number}: "
            ok = done.stderr.startswith(start) and done.stderr.count("\n") == 1
            expect(name, done.returncode == 1 and (ok if words is ... else done.stderr == f"{start}{words}\n"), done.stderr)
        write(damaged())
        done = run("diverge", "--traces", str(trace), str(other))
        expect("no damage", done.returncode == 0, done.stderr)
        for empty in (Path(folder) / "none.jsonl", Path("/dev/null")):
            done = run("diverge", "--traces", str(trace), str(empty))
            reason = ", line 0: not a trace: no header" if empty == Path("/dev/null") else ": cannot be read: No such file or directory"
            expect("no file or an empty one", done.returncode == 1 and done.stderr == f"step03_kvcache: {empty}{reason}\n", done.stderr)
        done = run("diverge", "--traces", str(trace), f"{trace}#third")
        expect("no such run", done.returncode == 1 and "third" in done.stderr, done.stderr)
        done = run("generate", "-m", "tiny", "-n", "2", "--trace", str(Path(folder) / "no" / "x.jsonl"))
        expect("no such folder", done.returncode == 1 and "cannot write" in done.stderr, done.stderr)
        done = run("generate", "-m", "tiny", "-n", "2", "--batch", "2", "--trace", str(other))
        expect("a batch", done.returncode == 2 and "--trace" in done.stderr, done.stderr)
        expect("nothing half-written is left", not list(Path(folder).glob("*.tmp*")))
    print("trace: " + ("all as it should be" if failures == 0 else f"{failures} not as they should be"))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
