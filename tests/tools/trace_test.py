#!/usr/bin/env python3
"""Recorded runs: what generate --trace writes, and what diverge --traces makes of it.

    python3 tests/tools/trace_test.py BIN_FOLDER

Exit codes: 0 all hold, 1 not. A trace against itself has no difference; a flipped bit is found where it is;
a damaged file is refused with its line. Another engine may leave out most of it, and be compared with a tolerance.
"""
from __future__ import annotations

import json
import math
import struct
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


def bits_of(row: list[float]) -> str:
    return struct.pack(f">{len(row)}f", *row).hex()


def floats_of(bits: str) -> list[float]:
    return list(struct.unpack(f">{len(bits) // 8}f", bytes.fromhex(bits)))


def check_other_engines(trace: Path, lines: list[dict], folder: Path) -> None:
    """What another engine may leave out, and what is made of numbers that are near and not the same."""
    logits = [line for line in lines if line.get("op") == "logits" and line["run"] == "cached"]
    other = folder / "minimal.jsonl"

    def compare(change, *flags: str, header: dict | None = None) -> subprocess.CompletedProcess[str]:
        """The recorded run beside a file of its logits alone, each row changed by change(step, row)."""
        written = [header or {"kvlab_trace": 1}]
        for step, line in enumerate(logits):
            bits = bits_of(change(step, floats_of(line["bits"])))
            written += [{"step": step, "op": "logits", "positions": line["positions"], "bits": bits}, {"step": step}]
        other.write_text("".join(json.dumps(line) + "\n" for line in written), encoding="utf-8")
        return run("diverge", "--traces", str(trace), str(other), *flags)

    def nudged(by: float):
        """From step 3 on float 5 is off by this part of the row's largest."""
        return lambda step, row: [x + by * max(map(abs, row)) * (step >= 3 and i == 5) for i, x in enumerate(row)]

    done = compare(lambda step, row: row)
    expect("logits alone are enough", done.returncode == 0 and f" 0 of {12 * 256} floats differ" in done.stdout, done.stdout + done.stderr)
    expect("what is left out is said", "note: 288 operators are in one recording alone" in done.stderr, done.stderr)
    done = compare(nudged(1e-3))
    expect("near is not the same", done.returncode == 1 and "step 3, logits, position 19, element 5" in done.stdout, done.stdout)
    done = compare(nudged(1e-3), "--tolerance", "2e-3")
    expect("near enough", done.returncode == 0 and "\n  0 by more than 0.002 of the largest" in done.stdout and " 9 of " in done.stdout, done.stdout)
    done = compare(nudged(1e-3), "--tolerance", "5e-4")
    expect("not near enough", done.returncode == 1 and "step 3, logits, position 19, element 5" in done.stdout
           and "\n  9 by more than 0.0005" in done.stdout and "0.001 of the row's largest" in done.stdout, done.stdout)
    for wrong in (math.nan, math.inf, -math.inf):
        done = compare(lambda step, row, x=wrong: row[:7] + [x] + row[8:], "--tolerance", "1")
        expect(f"{wrong} is near nothing", done.returncode == 1 and "step 0, logits, position 16, element 7" in done.stdout, done.stdout)
    done = compare(lambda step, row: row, header={"kvlab_trace": 1, "runs": [{"name": "mine"}], "config": {"head_dim": 8}})
    expect("heads of another width", done.returncode == 1 and "head_dim is 16 in one and 8 in the other" in done.stderr, done.stderr)
    other.write_text('{"kvlab_trace": 1}\n{"step": 0, "op": "ffn_out", "layer": 9, "positions": [0], "bits": "00000000"}\n{"step": 0}\n')
    done = run("diverge", "--traces", str(trace), str(other))
    expect("nothing in common", done.returncode == 1 and done.stderr.endswith("\nstep03_kvcache: the runs have no operator in common\n"), done.stderr)
    page = (Path(__file__).resolve().parents[2] / "step03_kvcache" / "trace_format.md").read_text(encoding="utf-8")
    other.write_text(page.split("```json\n")[1].split("```")[0], encoding="utf-8")
    done = run("diverge", "--traces", str(other), str(other))
    expect("the smallest trace of the page", done.returncode == 0 and " 0 of 4 floats differ" in done.stdout, done.stdout + done.stderr)
    tokens = {i: json.dumps(line | {"token": line["token"] ^ 1}) for i, line in enumerate(lines)
              if "token" in line and line["run"] == "cached" and line["step"] >= 4}
    other.write_text("".join(tokens.get(i, json.dumps(line)) + "\n" for i, line in enumerate(lines)))
    done = run("diverge", "--traces", str(trace), str(other))
    expect("another choice is said", done.returncode == 0 and done.stdout.splitlines()[2].split()[-1] == "4", done.stdout)


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

        def damaged(**changes) -> dict[int, str]:
            return {where: json.dumps(sound | changes)}

        def header(**changes) -> dict[int, str]:
            return {0: json.dumps(lines[0] | changes)}

        width, last = sound["width"], next(i for i, l in enumerate(lines) if i > where and "token" in l)
        damages = {
            "wrong checksum": ({where: json.dumps(broken)}, None, here, "value: the checksum is not that of the bits"),
            "no header": ({0: text[1]}, None, 1, "not a trace of version 1"),
            "a later version": (header(kvlab_trace=2), None, 1, "not a trace of version 1"),
            "two runs of one name": (header(runs=[{"name": "cached"}, {"name": "cached"}]), None, 1, "two runs with the name cached"),
            "a run without a name": (header(runs=[{"cache": "f32"}]), None, 1, ...),
            "an operator twice": ({where + 1: text[where]}, None, where + 2, "value of layer 1 for the second time in this step"),
            "a line that does not say of which run": ({where: json.dumps({k: v for k, v in sound.items() if k != "run"})}, None, here, ...),
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
            "a line that is no object": ({where: "3"}, None, here, "expected an object, found number"),
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
        check_other_engines(trace, lines, Path(folder))
        done = run("generate", "-m", "tiny", "-n", "2", "--trace", str(Path(folder) / "no" / "x.jsonl"))
        expect("no such folder", done.returncode == 1 and "cannot write" in done.stderr, done.stderr)
        done = run("generate", "-m", "tiny", "-n", "2", "--batch", "2", "--trace", str(other))
        expect("a batch", done.returncode == 2 and "--trace" in done.stderr, done.stderr)
        expect("nothing half-written is left", not list(Path(folder).glob("*.tmp*")))
    print("trace: " + ("all as it should be" if failures == 0 else f"{failures} not as they should be"))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
