"""Chapter 1: the contract's product, its speed, and the machine's roofline."""
import ctypes
import ctypes.util
import math
import os
import re
import struct
import subprocess

import contract_by_the_book as book
from reports.checked import case, number, reading

fmaf = ctypes.CDLL(ctypes.util.find_library("m")).fmaf
fmaf.restype, fmaf.argtypes = ctypes.c_float, [ctypes.c_float] * 3
LANES = {"portable": 4, "avx2": 8, "avx512": 16}
VERDICT = {True: "yes", False: "NO"}


def levels(run):
    """SIMD levels of this processor, as the kernel names its abilities; KVLAB_LEVELS=portable: of a build without others."""
    if os.environ.get("KVLAB_LEVELS") == "portable":
        return ["portable"]
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
        flags = re.search(r"^flags\s*:(.*)", file.read(), re.M)
    flags = set(flags[1].split()) if flags else set()
    return ["portable", *(["avx2"] if {"avx2", "fma"} <= flags else []),
            *(["avx512"] if {"avx2", "fma", "avx512f", "avx512bw", "avx512dq", "avx512vl"} <= flags else [])]


# --- the contract's product ----------------------------------------------------------------------

def ordered(x):
    """Floats as whole numbers in their order, so that neighbours are one apart."""
    word = struct.unpack("<i", struct.pack("<f", x))[0]
    return word if word >= 0 else -2 ** 31 - word


def difference(found, expected):
    pairs = [(a, b) for a, b in zip(found, expected) if struct.pack("<f", a) != struct.pack("<f", b)]
    return {"differ": len(pairs), "max_ulp": max((abs(ordered(a) - ordered(b)) for a, b in pairs), default=0),
            "max_abs": max((abs(a - b) for a, b in pairs), default=0)}


def products(T, K, N, block):
    """x w^T of the program's random matrices: each sum in blocks of `block` terms, that are then added."""
    x, w = book.normals(T * K, 42), book.normals(N * K, 43)
    out = []
    for t in range(T):
        row = x[t * K:(t + 1) * K]
        for n in range(N):
            column, total = w[n * K:(n + 1) * K], None
            for begin in range(0, K, block):
                acc = 0.0
                for a, b in zip(row[begin:begin + block], column[begin:begin + block]):
                    acc = fmaf(a, b, acc)
                total = acc if total is None else fmaf(acc, 1.0, total)
            out.append(total)
    return out


@case("step01_tensor", "contract")
def contract(run):
    run.head(experiment="step01_tensor")
    T, K, N = 48, 576, 200
    run.given("contract.shape", [T, K, N])
    right, chain = products(T, K, N, 64), products(T, K, N, K)
    checksum = book.checksum(right)
    names = ["plain loop", *(f"packed, {level}, {threads} thread{'s' if threads > 1 else ''}"
                             for level in LANES for threads in (1, 2))]
    here = [n for n in names if n == "plain loop" or n.split(", ")[1] in levels(run)]
    run.says(f"The contract at work: y[{T}, {N}] = x[{T}, {K}] * w[{N}, {K}] transposed, {T * N} floats")
    for name in names:
        run.says(f"{name} {checksum} 0 0 0" if name in here else f"{name} not on this processor")
    for i, name in enumerate(here):
        run.second_route(f"contract.paths[{i}]", {"path": name, "checksum": checksum, "differ": 0, "max_ulp": 0, "max_abs": 0.0})
    sums = ["pairwise tree", "16 lane sums", "one long chain, no blocks", "multiply, then add (no fma)",
            "blocks in random order (atomics)", "the same again, another order"]
    seen = set()
    for i, name in enumerate(sums):
        row, path = run.json["contract"]["reassociated"][i], f"contract.reassociated[{i}]"
        run.given(f"{path}.path", name)
        if "chain" in name:
            run.second_route(path, {"path": name, "checksum": book.checksum(chain), **difference(chain, right)})
        else:
            # Another order of the same sums, of 576 terms near 1: some of the 9600 differ, a little.
            run.between(f"{path}.differ", T * N // 2, T * N)
            run.between(f"{path}.max_ulp", 2, 1 << 16)
            run.between(f"{path}.max_abs", 2.0 ** -20, 2.0 ** -13)
            run.holds(re.fullmatch("[0-9a-f]{16}", row["checksum"]), row["checksum"])
            run.given(f"{path}.checksum", row["checksum"])
        seen.add(row["checksum"])
        run.says(f"{name} {row['checksum']} {row['differ']} {row['max_ulp']} {number(row['max_abs'], 2)}")
    run.holds(len(seen | {checksum}) == len(sums) + 1, "two different sums, one checksum")
    run.by_hand("ok", True)
    run.says("all paths of the contract, one checksum: yes", "each of them another checksum: yes",
             f"RESULT ok=yes contract=equal checksum={checksum}")


@case("step01_tensor", "goldens")
def goldens(run):
    """Against Python's exact arithmetic, which knows the contract from the chapter alone."""
    run.head(experiment="step01_tensor")
    expected = dict(book.goldens())
    run.says("Golden values: a and b are Rng(1).normal() and Rng(2).normal(), 130 each")
    for name, value in run.json["goldens"].items():
        path = f"goldens.\"{name}\""
        if name in expected:
            run.second_route(path, expected[name])
        else:
            run.holds(name == "rope table, 8192 x 64, base 100000", f"nobody knows {name}")
            run.given(path, "0e87710ab922851d")  # golden: minutes for Python
        run.says(f"{name} {value}")
    run.holds(expected.keys() <= run.json["goldens"].keys(), "golden values are missing")
    all_of_them = 0xcbf29ce484222325
    for character in "".join(run.json["goldens"].values()):
        all_of_them = (all_of_them ^ ord(character)) * 0x100000001b3 % 2 ** 64
    run.second_route("goldens_checksum", f"{all_of_them:016x}")
    run.given("goldens_as_committed", True)
    run.by_hand("ok", True)
    run.says("all of them as committed: yes", f"RESULT ok=yes goldens={all_of_them:016x}")


# --- speeds, by the counting clock ------------------------------------------------------------------

def intervals(begin, count):
    """Times between the readings begin, begin + 1; begin + 2, begin + 3 ..."""
    return [reading(begin + 2 * i + 1) - reading(begin + 2 * i) for i in range(count)]


def quartiles(samples):
    samples = sorted(samples)

    def at(part):
        place = part * (len(samples) - 1)
        below = math.floor(place)
        return samples[below] + (samples[min(below + 1, len(samples) - 1)] - samples[below]) * (place - below)
    return {"smallest": samples[0], "low": at(0.25), "median": at(0.5), "high": at(0.75), "largest": samples[-1],
            "samples": len(samples)}


def claim_quartiles(run, path, expected):
    run.given(f"{path}.samples", expected.pop("samples"))
    for name, value in expected.items():
        run.counted_clock(f"{path}.{name}", value, 1e-12)
    return expected


@case("step01_tensor", "matmul --rounds 3")
def matmul(run):
    run.head(experiment="step01_tensor")
    best = levels(run)[-1]
    run.second_route("matmul.simd", best)
    run.given("matmul.threads", 1)
    run.says("Plain and packed product in GFLOP/s (an fma counts as two), one thread",
             f"{run.json['processor']}, {best}, {run.json['compiler']}; medians of 3 rounds, by processor time;")
    clock, result = 0, ""
    for i, (T, K, N) in enumerate([(512, 576, 1536), (64, 64, 64), (1, 576, 1536)]):
        path = f"matmul.sizes[{i}]"
        run.given(f"{path}.shape", [T, K, N])
        # time_calls: a call that does not count, one that shows that one call is long enough, three samples. Seconds
        # that are in the middle are in the middle of the rates, too, the other way round.
        seconds = quartiles(intervals(clock + 4, 3))
        clock += 10
        work = 2e-9 * min(T, 16) * K * N
        plain = claim_quartiles(run, f"{path}.plain_gflops", {
            "smallest": work / seconds["largest"], "low": work / seconds["high"], "median": work / seconds["median"],
            "high": work / seconds["low"], "largest": work / seconds["smallest"], "samples": 3})
        # A round: the peak takes four readings, of which the last two count; the product six, the same.
        rounds = range(clock, clock + 30, 10)
        peak = [1000 * 12 * LANES[best] * 2 * 1e-9 / intervals(r + 2, 1)[0] for r in rounds]
        packed = [2e-9 * T * K * N / intervals(r + 8, 1)[0] for r in rounds]
        clock += 30
        share = max(packed) / max(peak)
        packed, peak = (claim_quartiles(run, f"{path}.{name}_gflops", quartiles(rates))
                        for name, rates in (("packed", packed), ("peak", peak)))
        run.same_report(f"{path}.share_of_peak", share, 1e-12)
        run.by_hand(f"{path}.bits_equal", True)
        run.says(f"[{T}, {K}] x [{K}, {N}] {number(plain['median'])} {number(packed['median'])} {number(packed['low'])} - "
                 f"{number(packed['high'])} {number(peak['median'])} {number(100 * share)} % yes")
        result += f" matmul_{T}x{K}x{N}={number(packed['median'])}GFLOP/s,{number(100 * share)}%"
    run.by_hand("ok", True)
    run.says(f"RESULT ok=yes{result}")


@case("step01_tensor", "ladder --threads 2")
def ladder(run):
    run.head(experiment="step01_tensor")
    T, K, N = 96, 576, 1536
    names = levels(run)
    rungs = [("plain: one output, one chain", names[-1]), ("reordered: a row of outputs", names[-1]),
             ("packed: sums stay in registers", names[-1]), *(("blocked: a weight serves six rows", n) for n in names),
             ("threads: 2", names[-1])]
    run.says(f"The ladder: [{T}, {K}] x [{K}, {N}] on {run.json['processor']}, {run.json['compiler']}")
    # Golden: the plain loop's; the contract's check computes a smaller one in Python.
    checksum = "cfcf04abf84229f5"
    for i, (name, level) in enumerate(rungs):
        # Of 14 readings the first four show how many calls a sample needs: one.
        gflops = 2e-9 * T * K * N / quartiles(intervals(14 * i + 4, 5))["median"]
        if i == 0:
            slowest = gflops
        run.given(f"ladder[{i}].rung", name)
        run.second_route(f"ladder[{i}].simd", level)
        run.counted_clock(f"ladder[{i}].gflops", gflops, 1e-12)
        run.given(f"ladder[{i}].checksum", checksum)
        run.says(f"{name} {level} {number(gflops)} {number(gflops / slowest)}x {checksum}")
    run.by_hand("ok", True)
    run.says("one checksum: yes", f"RESULT ok=yes ladder={checksum}")


def cache_bytes(name, fallback):
    """Of one level of the cache, as the C library knows it; 0 or nothing: it does not."""
    found = subprocess.run(["getconf", name], capture_output=True, text=True).stdout.strip()
    return int(found) if found.isdigit() and int(found) > 0 else fallback


def memory_levels(threads):
    l1 = cache_bytes("LEVEL1_DCACHE_SIZE", 32 << 10)
    l2 = cache_bytes("LEVEL2_CACHE_SIZE", 512 << 10)
    l3 = cache_bytes("LEVEL3_CACHE_SIZE", 8 << 20)
    memory = min(max(4 * l3, 64 << 20), 512 << 20)
    return {"L1": l1 // 2, "L2": l2 // 2, "L3": l3 // 2 // threads, "DRAM": memory // threads}


def size_text(size):
    return f"{size >> 10} KB" if size < 1 << 20 else f"{size >> 20} MB"


def check_roofline(run, threads):
    run.head(experiment="step01_tensor")
    names, two = levels(run), threads > 1
    run.given("roofline.threads", [1, threads])
    run.says(f"Roofline of {run.json['processor']} (the best of 25 runs each)",
             f"GFLOP/s of fma 1 thread{f' {threads} threads' if two else ''}")
    clock = 0

    def rate(path, unit, shared):
        """unit: 1e9 times this is done by a call; shared: by each of several threads. The best of 25 samples is the
        first, whose interval is the shortest; two readings before it show that one call is long enough. Two threads
        read the clock in any order: each time is one to three readings long."""
        nonlocal clock
        one = unit / intervals(clock + 2, 1)[0]
        run.counted_clock(f"{path}[0]", one, 1e-12)
        clock += 2 + 50
        if not two:
            run.counted_clock(f"{path}[1]", one, 1e-12)
            return one, one
        longest, shortest = reading(clock + 8) - reading(clock + 5), reading(clock + 3) - reading(clock + 2)
        run.between(f"{path}[1]", threads * shared / longest, threads * shared / shortest)
        clock += 2 + 50 * threads
        return one, run.at(f"{path}[1]")

    def row(start, found):
        run.says(" ".join([*start, number(found[0]), *([number(found[1])] if two else [])]))

    for name in names:
        chains = 1000 * 12 * LANES[name] * 2 * 1e-9  # steps, chains, lanes, and an fma is two
        peak = rate(f"roofline.peak_gflops.{name}", chains, chains)
        row([name], peak)
    for (name, alone), shared in zip(memory_levels(1).items(), memory_levels(threads).values()):
        run.second_route(f"roofline.read_gb_per_s.{name}.bytes_per_thread", [alone, shared])
        # A thread reads whole blocks of 256 floats.
        memory = rate(f"roofline.read_gb_per_s.{name}.gb_per_s", *(1e-9 * 4 * (size // 4 // 256 * 256) for size in (alone, shared)))
        row([name, size_text(alone)], memory)
    ridge = [peak[0] / memory[0], peak[1] / memory[1]]
    run.same_report("roofline.ridge_flop_per_byte", ridge, 1e-12)
    run.says(f"ridge point: {number(ridge[0])} FLOP per byte of DRAM"
             + (f" ({number(ridge[1])} with {threads} threads)" if two else ""),
             "left of it a kernel waits for memory: a matrix-vector product does 0.5 FLOP per byte",
             f"RESULT ok=yes peak={number(peak[0])}GFLOP/s dram={number(memory[0])}GB/s ridge={number(ridge[0])}")
    run.by_hand("ok", True)


@case("step01_tensor", "roofline --threads 1")
def roofline(run):
    check_roofline(run, 1)


@case("step01_tensor", "roofline --threads 2")
def roofline_of_two(run):
    check_roofline(run, 2)


@case("step01_tensor", "--threads 1", clock=None)
def by_the_real_clock(run):
    """Without a subcommand, and timed: what a machine of this kind can do, and no more."""
    run.head(experiment="step01_tensor")
    best = levels(run)[-1]
    most = 2 * 2 * LANES[best] * 8  # GFLOP/s: two fma a cycle at 8 GHz
    contract_again = run.other("step01_tensor", "contract")["contract"]
    run.second_route("contract", contract_again)
    for i, size in enumerate(run.json["matmul"]["sizes"]):
        for name in ("plain", "packed", "peak"):
            run.quartiles(f"matmul.sizes[{i}].{name}_gflops", 1e-3, most, 3 if name == "plain" else 25)
        run.same_report(f"matmul.sizes[{i}].share_of_peak", size["packed_gflops"]["largest"] / size["peak_gflops"]["largest"])
        run.given(f"matmul.sizes[{i}].shape", [[512, 576, 1536], [64, 64, 64], [1, 576, 1536]][i])
        run.by_hand(f"matmul.sizes[{i}].bits_equal", True)
    run.second_route("matmul.simd", best)
    run.given("matmul.threads", 1)
    run.given("roofline.threads", [1, 1])
    for path in [p for p in run.values if p.startswith("roofline.") and p not in run.claimed]:
        if "bytes_per_thread" in path:
            run.second_route(path, memory_levels(1)[path.split(".")[2]])
        else:
            run.between(path, 1e-3, 1e5)
    run.by_hand("ok", True)
    run.holds("RESULT ok=yes contract=equal" in run.output, "the last line")
    run.said = [True] * len(run.said)  # the lines are those of the checks above
