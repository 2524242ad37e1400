#!/usr/bin/env python3
"""Real processes under mpirun: the bits of one, the bytes of the formula, and what happens if one of them dies.

    python3 tests/tools/parallel_test.py BIN_FOLDER [MPIRUN]

Exit codes: 0 all hold, 1 not. The formulas stand here a second time, written from the text of chapter 7.
"""
from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

BIN = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else Path("build/release/bin")
PROGRAM = str(BIN / "step07_parallel")
MPIRUN = sys.argv[2] if len(sys.argv) > 2 else "mpirun"
# More ranks than cores, started by whoever runs the tests; a leak of MPI's own is not ours.
ENVIRONMENT = os.environ | {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
    "OMPI_MCA_btl_base_warn_component_unused": "0",
    "ASAN_OPTIONS": "detect_leaks=0",
}
# The models of the tree: V, C, L, Hq, Hkv, D, F.
TINY = (256, 64, 2, 4, 2, 16, 172)
failures = 0


def expect(what: str, ok: bool, detail: object = "") -> None:
    global failures
    if not ok:
        failures += 1
        print(f"FAILED: {what} {detail}")


def run(ranks: int, *arguments: str, limit: float = 120) -> subprocess.CompletedProcess[str]:
    """With 0 ranks the program alone, without mpirun."""
    command = [MPIRUN, "-n", str(ranks), PROGRAM, *arguments] if ranks else [PROGRAM, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=limit, env=ENVIRONMENT)


def result(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """The fields of the last line."""
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    expect("one RESULT line", len(lines) == 1, done.stdout[-2000:] + done.stderr[-2000:])
    return dict(field.split("=", 1) for field in lines[0].split()[1:]) if lines else {}


def own_lines(text: str) -> list[str]:
    """What the program said: mpirun adds a paragraph of its own."""
    return [line for line in text.splitlines() if line.startswith("step07_parallel: ")]


def blocks(n: int) -> int:
    return -(-n // 64)


def step_bytes(way: str, ranks: int, rows: int, wanted: int) -> int:
    """Of tiny, whose only block of 64 heads' numbers begins on rank 0: the others lend it theirs."""
    V, C, L, Hq, Hkv, D, F = TINY
    lent = Hq * D - Hq * D // min(ranks, Hkv)
    with_hidden = min(ranks, blocks(F))
    layer = {
        "gather": (ranks - 1) * (Hq * D + C + F + C),
        "blocks": (ranks - 1) * (blocks(Hq * D) + blocks(F)) * C + lent,
        "chain": (ranks - 1) * 2 * C + (with_hidden - 1) * C + lent,
        "totals": (ranks - 1) * (1 + with_hidden) * C + lent,
    }[way]
    return 4 * (rows * ((ranks - 1) * C + L * layer) + (ranks - 1) * wanted * V)


def check_split() -> None:
    """Without mpirun and with 1 to 4 ranks: one text, one checksum."""
    prompt = "In the beginning"
    tokens = len(prompt) + 1  # tiny reads bytes, after a token that begins a text
    alone = result(run(0, "-n", "24", "-p", prompt))
    expect("one process alone", alone.get("same") == "yes" and alone.get("ranks") == "1", alone)
    for ranks in (1, 2, 3, 4):
        found = result(run(ranks, "-n", "24", "-p", prompt))
        expect(f"{ranks} ranks: same bits", found.get("same") == "yes" and found.get("ranks") == str(ranks), found)
        expect(f"{ranks} ranks: the checksum of one", found.get("checksum") == alone.get("checksum"), found)
        for way in ("gather", "blocks", "chain", "totals"):
            formula = step_bytes(way, ranks, tokens, 1) + 23 * step_bytes(way, ranks, 1, 1)
            expect(f"{ranks} ranks, {way}: bytes", found.get(f"{way}_bytes") == str(formula), (formula, found))
            differ = way == "totals" and ranks == 2  # the second rank has two of the three blocks of F
            expect(f"{ranks} ranks, {way}: floats that differ", (found.get(f"{way}_differ") != "0") == differ, found)
            expect(f"{ranks} ranks, {way}: formula", found.get(f"{way}_formula") == str(formula), (formula, found))
    rounds = result(run(2, "-n", "4", "--way", "chain", "--rounds", "3", "--cache", "int8"))
    expect("three rounds", rounds.get("same") == "yes" and "gather_bytes" not in rounds, rounds)
    formula = 3 * (step_bytes("chain", 2, tokens, 1) + 3 * step_bytes("chain", 2, 1, 1))
    expect("three rounds: bytes", rounds.get("chain_bytes") == str(formula), (formula, rounds))


def check_shares() -> None:
    """The table says who has what; ranks without heads have no cache."""
    done = run(4, "-n", "4", "--way", "gather")
    rows = [line.split() for line in done.stdout.splitlines() if re.match(r"  [0-3]  ", line)]
    expect("four shares", [row[1] for row in rows] == ["0", "1", "none", "none"], done.stdout)
    expect("caches of the ranks", [row[-1] != "0" for row in rows] == [True, True, False, False], rows)
    text = "feed-forward 172"
    expect("what is shared", text in done.stdout, done.stdout)


def check_handover() -> None:
    """Pages times their bytes, and a header each; as threads of one process, too."""
    for ranks, others in ((0, 1), (2, 1), (3, 2), (4, 3)):
        done = run(ranks, "handover", "-n", "8")
        found = result(done)
        expect(f"handover to {others}: same bits", found.get("same") == "yes", done.stdout)
        expect(f"handover to {others}: ranks", found.get("ranks") == str(others + 1), found)
        expect(f"handover to {others}: bytes", found.get("bytes") == str(5 * 32768 + 3 * 72), found)
    long = "x" * 127  # and the token that begins a text: two full pages
    found = result(run(2, "handover", "-n", "2", "-p", long, "-p", "a", "--cache", "f16"))
    expect("handover of given texts", found.get("bytes") == str(3 * 16384 + 2 * 72), found)
    empty = result(run(2, "handover", "-n", "2", "-p", ""))
    expect("a text that only begins", empty.get("bytes") == str(32768 + 72), empty)
    expect("handover of given texts: pages", found.get("pages") == "3" and found.get("texts") == "2", found)


def start_long(*arguments: str) -> subprocess.Popen[str]:
    """A run that does not end by itself, when its ranks are at work."""
    command = [MPIRUN, "-n", "3", PROGRAM, "--way", "gather", "--rounds", "10000000", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)
    assert process.stdout is not None
    process.stdout.readline()  # rank 0 has begun
    time.sleep(1)
    return process


def rank_process(mpirun: int, rank: int) -> int:
    """The process of this rank: mpirun's own child, with its number in the environment."""
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            parent = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
            environment = (folder / "environ").read_bytes().split(b"\0")
        except (OSError, IndexError, ValueError):
            continue
        if parent == mpirun and f"OMPI_COMM_WORLD_RANK={rank}".encode() in environment:
            return int(folder.name)
    return 0


def end_of(process: subprocess.Popen[str], limit: float) -> tuple[str, float]:
    """Waits for the end. What was said on standard error, and after how many seconds."""
    began = time.monotonic()
    try:
        said = process.communicate(timeout=limit)[1]
    except subprocess.TimeoutExpired:
        process.kill()
        said = process.communicate()[1]
        expect("a run whose rank is gone ends", False, said)
    return said, time.monotonic() - began


def check_death() -> None:
    """A rank is killed in the middle; another time it is stopped, so that nobody is told."""
    process = start_long()
    victim = rank_process(process.pid, 1)
    expect("rank 1 is found", victim > 0)
    if victim:
        os.kill(victim, signal.SIGKILL)
    said, seconds = end_of(process, 30)
    expect("killed: mpirun fails", process.returncode != 0, process.returncode)
    expect("killed: within seconds", seconds < 15, seconds)
    lines = own_lines(said)
    expect("killed: the others say so", lines != [] and len(lines) <= 2, said)
    for line in lines:
        words = r"step07_parallel: rank [02]: ended by mpirun: another rank is gone, or somebody stopped the run"
        expect("killed: in these words", re.fullmatch(words, line) is not None, line)
    expect("killed: nobody is left", rank_process(process.pid, 0) == 0 and rank_process(process.pid, 2) == 0)

    process = start_long("--patience", "2")
    victim = rank_process(process.pid, 1)
    if victim:
        os.kill(victim, signal.SIGSTOP)
    said, seconds = end_of(process, 40)
    expect("stopped: mpirun fails", process.returncode != 0, process.returncode)
    expect("stopped: after its patience", seconds < 25, seconds)
    words = r"step07_parallel: rank [02]: \w+: waited 2 seconds for another rank, which does not answer"
    expect("stopped: one of the others says so", any(re.fullmatch(words, line) for line in own_lines(said)), said)


def check_refusals() -> None:
    """One line, whoever finds it, and an exit code that mpirun hands on."""
    done = run(3, "-m", "nowhere.gguf")
    expect("no model: exit code", done.returncode == 1, done.returncode)
    lines = own_lines(done.stderr)
    expect("no model: one line", len(lines) == 1 and "rank 0: model 'nowhere.gguf'" in lines[0], done.stderr)
    done = run(2, "--way", "sideways")
    expect("wrong usage: exit code", done.returncode == 2, done.returncode)
    expect("wrong usage: said once", (done.stdout + done.stderr).count("sideways") == 1, done.stdout + done.stderr)
    done = run(2, "-n", "500")
    lines = own_lines(done.stderr)
    expect("too long: one line", len(lines) == 1 and "the model's context is 512" in lines[0], done.stderr)
    command = [MPIRUN, "-n", "1", PROGRAM, "-n", "4", ":", "-n", "1", PROGRAM, "-n", "5"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=ENVIRONMENT)
    words = "step07_parallel: rank 0: the ranks were started with different command lines"
    expect("two command lines", done.returncode == 1 and own_lines(done.stderr) == [words], done.stderr)
    done = run(0, "--help")
    expect("help without mpirun", done.returncode == 0 and "handover" in done.stdout, done.stdout)


for check in (check_split, check_shares, check_handover, check_death, check_refusals):
    before = time.monotonic()
    check()
    print(f"{check.__name__}: {time.monotonic() - before:.1f} s")
print("FAILED" if failures else "all hold")
sys.exit(1 if failures else 0)
