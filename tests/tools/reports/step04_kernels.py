"""Chapter 4: what the kernels move and compute, the estimates that follow, and the executor's demonstration."""
import functools
import json
import math
import re
from pathlib import Path

from reports import simt_counts as counts
from reports import simt_wide
from reports.book_model import attention, book, product, rms_norm
from reports.checked import case

STEP = Path(__file__).resolve().parents[3] / "step04_cuda"
K, N, WHOLE = counts.K, 64, 3072  # inputs; outputs that are counted, and of the layer
ATTENTION = counts.RUNGS["attention"] | simt_wide.RUNGS


# --- the problems: their data, what a CPU makes of it by the contract, what each rung costs ----------------------

def q4_1_weights():
    """Any bytes are weights, if their scales are small: d and m are halves of bytes 0x20."""
    rng = book.Rng(3)
    small = 2.0**-7 * (1 + 2.0**-5)  # 0x2020: exponent 8 - 15, mantissa 0x20 of 1024
    rows = []
    for _ in range(N):
        row = []
        for _ in range(K // 32):
            codes = [rng.next() >> 24 for _ in range(16)]
            # The low halves of the bytes are the first sixteen numbers. The product is exact, so is the sum.
            row += [small * code + small for code in [c & 15 for c in codes] + [c >> 4 for c in codes]]
        rows.append(row)
    return rows


def by_rows(numbers, width):
    return [numbers[i:i + width] for i in range(0, len(numbers), width)]


def linear_checksum(rows, weights):
    columns = list(zip(*weights))
    return book.checksum([y for x in rows for y in product(columns, x)])


class Attention:
    def __init__(self, T, past):
        self.T, self.past, self.S = T, past, past + T
        self.q = by_rows(book.normals(T * 9 * 64, 6), 64)
        self.keys, self.values = (by_rows(book.normals(3 * self.S * 64, seed), 64) for seed in (7, 8))

    def seen(self, of, t, h):
        return of[h // 3 * self.S:][:self.past + t + 1]

    @functools.cached_property
    def checksum(self):
        return book.checksum([y for t in range(self.T) for h in range(9)
                              for y in attention(self.q[t * 9 + h], self.seen(self.keys, t, h), self.seen(self.values, t, h))])

    @functools.lru_cache(maxsize=None)
    def largest(self, t, h, tile):
        """The exponent of a row's largest score in a tile."""
        query = self.q[t * 9 + h]
        return round(max(sum(map(float.__mul__, query, key)) for key in self.seen(self.keys, t, h)[tile * 64:tile * 64 + 64]))


class Problem:
    """One ladder: by its key, what is printed of it, bytes that have to move, checksum, launches of each rung."""

    def __init__(self, key, operation, size, least, checksum, rungs, *, whole=None):
        self.key, self.operation, self.size, self.least, self.checksum = key, operation, size, -(-least // 32), checksum
        self.copies, self.bytes = (WHOLE // N, whole) if whole else (1, least)
        self.rungs = {name: [launch.figures() for launch in launches] for name, launches in rungs.items()}


def linear(key, operation, R, form, weights, row_bytes):
    x = by_rows(book.normals(R * K, 1), K)
    rungs = {name: counts.launches(count(R, form != "F32")) for name, count in counts.RUNGS["linear"].items() if form == "F32" or name != "naive"}

    def moved(outputs):
        return outputs * row_bytes + 4 * R * (K + outputs)
    return Problem(key, operation, f"x [{R}, {K}], w [{N}, {K}] {form}", moved(N), linear_checksum(x, weights), rungs, whole=moved(WHOLE))


def of_attention(key, operation, T, past):
    a = Attention(T, past)
    p = counts.Problem(T, past, a.largest)
    rungs = {name: [count(p) for count in parts] for name, parts in ATTENTION.items() if name not in ("split", "vector") or T * 3 <= 16}
    return Problem(key, operation, f"q [{T}, 9, 64], {a.S} slots of 3 KV heads", 4 * 64 * (2 * 3 * a.S + 2 * T * 9), a.checksum, rungs)


@functools.cache
def problems():
    floats = by_rows(book.normals(N * K, 2), K)
    x, weight, logits = by_rows(book.normals(4 * K, 4), K), book.normals(K, 5), book.normals(4096, 9)
    normed = [y for row in x for y in rms_norm(row, weight, book.single(1e-5))]
    best = max(range(4096), key=lambda i: (logits[i], -i))
    return [
        linear("linear_1", "product of one row", 1, "F32", floats, 4 * K),
        linear("linear_1_q4_1", "product of one row, 4-bit weights", 1, "Q4_1", q4_1_weights(), K // 32 * 20),
        linear("linear_64", "product of 64 rows", 64, "F32", floats, 4 * K),
        Problem("rms_norm", "RMSNorm", f"x [4, {K}]", 4 * (2 * 4 * K + K), book.checksum(normed),
                {name: [count(4)] for name, count in counts.RUNGS["rms_norm"].items()}),
        of_attention("decode", "attention of one token", 1, 511),
        of_attention("prefill", "attention of a prompt", 128, 0),
        Problem("argmax", "argmax", "4096 logits", 4 * 4096, f"{best:016x}",
                {name: [count(logits) for count in parts] for name, parts in counts.RUNGS["argmax"].items()}),
    ]


def total(launches, *names):
    return sum(launch["counted"].get(name, 0) for launch in launches for name in names)


def moved(launches):
    return total(launches, "global loads: sectors", "global stores: sectors")


def idea(key, rung):
    """As the chapter's tables of rungs say it."""
    of = {"rms_norm": "Norm", "argmax": "Argmax", "decode": "Attention", "prefill": "Attention", "token": "Token"}
    table = (STEP / ("src/token_pass.cpp" if key == "token" else "src/ladders.cpp")).read_text().split(f"k{of.get(key, 'Linear')}Rungs[] = {{")[1].split("\n};")[0]
    return re.search(rf'\{{"{rung}", "([^"]+)"', table)[1]


def says_gpu(run):
    run.words(*[line for line in run.lines if line.startswith("GPU: ")])


def same_as_published(run, name, found):
    """The lines of results/ between the command and the machine."""
    def kept(lines):
        return [" ".join(line.split()) for line in lines if not line.startswith("GPU: ") and line.strip()]
    published = kept((STEP / "results" / name).read_text().splitlines()[1:-1])
    run.holds(published == kept(found), f"results/{name}: other counts now: tools/experiments.sh --publish")


@case("step04_cuda", "ladders --launches SCRATCH/launches.txt")
def ladders(run):
    """Every count and checksum, worked out from the chapter's text; and what the committed results say."""
    run.head(seed=1)
    for p in problems():
        at = f"ladders.{p.key}"
        run.given(f"{at}.operation", p.operation)
        run.given(f"{at}.size", p.size)
        run.by_hand(f"{at}.least_sectors", p.least)
        run.second_route(f"{at}.checksum", p.checksum)
        run.says(f"{p.operation}: {p.size}; every byte once: {p.least} sectors")
        run.holds(len(run.json["ladders"][p.key]["rungs"]) == len(p.rungs), f"{p.key} has other rungs")
        for i, (name, launches) in enumerate(p.rungs.items()):
            rung = f"{at}.rungs[{i}]"
            figures = {"sectors": moved(launches), "barriers": total(launches, "barriers"), "fma": total(launches, "fma"),
                       "conflicts": total(launches, "shared loads: bank conflicts", "shared stores: bank conflicts")}
            run.given(f"{rung}.name", name)
            run.given(f"{rung}.idea", idea(p.key, name))
            run.second_route(f"{rung}.checksum", p.checksum)
            run.closed_form(f"{rung}.launches", len(launches))
            run.closed_form(f"{rung}.counted_by_launch", launches)
            for figure, value in figures.items():
                run.closed_form(f"{rung}.{figure}", value)
            run.says(f"{name} {len(launches)} {figures['sectors']} {figures['sectors'] / p.least:.2f} {figures['conflicts']} "
                     f"{figures['barriers']} {figures['fma']} {idea(p.key, name)}")
        run.says(f"the CPU's bits from each of them, {p.checksum}: yes")
    decoders(run)
    token_launches(run)
    run.says(f"RESULT holds=yes checksum={run.json['decoder']['CPU engine']}")
    says_gpu(run)
    same_as_published(run, "ladders.txt", run.output.splitlines())
    launched(run)


def decoders(run):
    """Sixteen tokens behind a prompt, as chapter 3's program makes them, with each rung in turn."""
    expected = run.other("step03_kvcache", ["generate", "-m", "tiny", "-p", "In the beginning", "-n", "16"])["cached"]["checksum"]
    rungs = [f"{of} {name}" for of, table in (("linear", counts.RUNGS["linear"]), ("norm", counts.RUNGS["rms_norm"]), ("attention", ATTENTION))
             for name in table] + [f"token {name}" for name in TOKEN_LAUNCHES]
    run.second_route("decoder", {name: expected for name in ["CPU engine", "what suits", *rungs]})
    run.says(f"tiny, a prompt and 16 tokens, with each of {1 + len(rungs)} choices of kernels",
             f"the checksum of the CPU engine from each of them, {expected}: yes")


# Kernels of one token of a model with two layers. By itself each operator is one: the embedding; 13 a layer (norm, q k v,
# two rotations, append, attention, output projection, add; norm, gate and up, SwiGLU, down, add); the last norm, the logits. A
# product of one row is two: its chains, and their sum.
TOKEN_LAUNCHES = {"separate": 1 + 2 * (13 + 4) + 1 + 2, "fused": 2 * 5 + 2, "graph": 2 * 5 + 2, "persistent": 1}


def token_launches(run):
    for name, count in TOKEN_LAUNCHES.items():
        run.closed_form(f"token_launches.{name}", count)
        run.says(f"{name} {count} {idea('token', name)}")


def launched(run):
    """The shapes of launches: those of the ladders are known; all together are what is committed."""
    text = run.files["launches.txt"].decode()
    shapes = {tuple(line.split()) for line in text.splitlines()[1:]}
    known = {(launch["kernel"], str(launch["threads"]), str(launch["dynamic_shared"]))
             for p in problems() for launches in p.rungs.values() for launch in launches}
    run.holds(known <= shapes, f"launches.txt lacks {sorted(known - shapes)}")
    run.holds(text == (STEP / "results/launches.txt").read_text(),
              "results/launches.txt: other launches are made now; then run ptx_check.py --write, too")


# --- estimates ---------------------------------------------------------------------------------------------------

# Multiprocessors, GHz, GB/s, fma a clock, architecture: the makers' data sheets (gpus.hpp names them, and where the clocks from a load
# to its number, from a cache and from the DRAM, are measured).
GPUS = {"A100": (108, 1.41, 1555, 64, "sm_80", 38, 466), "H100": (132, 1.98, 3350, 128, "sm_90", 41, 479),
        "RTX5090": (170, 2.41, 1792, 128, "sm_120", 43, 542)}
GAP = 0.9  # microseconds from launch to launch


@functools.cache
def occupied():
    """Percent of the warps, and blocks, by kernel, architecture, threads and bytes."""
    lines = [line.split() for line in (STEP / "results/occupancy.txt").read_text().splitlines() if not line.startswith("#")]
    return {(kernel, of, int(threads), int(size)): (int(percent.rstrip("%")), int(blocks))
            for kernel, of, threads, size, blocks, _, percent, _ in lines}


@functools.cache
def loads_under_way():
    """Of a thread, by kernel."""
    lines = [line.split() for line in (STEP / "results/loads.txt").read_text().splitlines() if not line.startswith("#")]
    return {kernel: max(1, int(loads)) for kernel, loads in lines}


def up(count, by):
    return -(-count // by)


def rounds(gpu, p, launch):
    """Waves of blocks, times what the busiest warp asks for one after another."""
    processors, architecture = GPUS[gpu][0], GPUS[gpu][4]
    _, resident = occupied()[launch["kernel"], architecture, launch["threads"], launch["dynamic_shared"]]
    of_a_warp = total([launch], counts.OF_ONE_WARP)
    return up(launch["blocks"] * p.copies, resident * processors) * up(of_a_warp, loads_under_way()[launch["kernel"]])


def estimate_of(gpu, p, launches):
    """Microseconds of each part, by the chapter: clocks of all multiprocessors that are busy."""
    processors, clock, bandwidth, lanes, architecture, cached, latency = GPUS[gpu]
    parts = {"sectors": 0.0, "shared": 0.0, "fma": 0.0}
    busy = [min(processors, launch["blocks"] * p.copies) for launch in launches]
    for launch, working in zip(launches, busy):
        a_microsecond = working * clock * 1e3
        for part, rate, names in (("sectors", 4, ("global loads: sectors", "global stores: sectors")), ("fma", lanes, ("fma",)),
                                  ("shared", 1, ("shared loads: wavefronts", "shared stores: wavefronts"))):
            parts[part] += total([launch], *names) * p.copies / (a_microsecond * rate)
    parts["DRAM"] = p.bytes / (min(bandwidth, max(busy) * clock * 64) * 1e3)
    # What is asked for beyond every byte once comes out of a cache.
    fresh = min(1.0, up(p.bytes, 32) / (moved(launches) * p.copies))
    waited = sum(rounds(gpu, p, launch) for launch in launches)
    parts["latency"] = waited * (fresh * latency + (1 - fresh) * cached) / (clock * 1e3)
    limit = max(("DRAM", "sectors", "shared", "fma", "latency"), key=parts.get)
    parts["gaps"] = GAP * len(launches)
    parts["rounds"] = waited
    main = max(range(len(launches)), key=lambda i: total([launches[i]], "fma"))
    shape = launches[main]
    percent, _ = occupied()[shape["kernel"], architecture, shape["threads"], shape["dynamic_shared"]]
    return parts, limit, busy[main], percent


def estimate_lines(gpu, on="not measured yet", taken=lambda p, rung: None):
    """What is printed of one GPU, and of times that were measured."""
    lines = [f"ESTIMATE from counts: the time that an {gpu} would take", f"measured: {on}"]
    for p in problems():
        lines.append(f"{p.operation}: {p.size}" + (f", {p.copies} times" if p.copies > 1 else ""))
        lines.append("kernel busy SM occupied DRAM us sectors shared fma rounds latency gaps limit estimate measured us")
        for name, launches in p.rungs.items():
            parts, limit, busy, percent = estimate_of(gpu, p, launches)
            time, beside = parts[limit] + parts["gaps"], taken(p, name)
            lines.append(f"{name} {busy} {percent}% " + " ".join(f"{parts[part]:.2f}" for part in ("DRAM", "sectors", "shared", "fma"))
                         + f" {parts['rounds']} {parts['latency']:.2f} {parts['gaps']:.1f} {limit} {time:.2f} "
                         + (f"{beside:.2f}, {beside / time:.1f} times the estimate" if beside
                            else "not measured yet" if on == "not measured yet" else "not in the report"))
    return lines


def check_estimates(run):
    """Of all three GPUs in the report."""
    for p in problems():
        at = f"ladders.{p.key}"
        run.given(f"{at}.operation", p.operation)
        run.given(f"{at}.size", p.size)
        run.by_hand(f"{at}.copies", p.copies)
        run.by_hand(f"{at}.bytes", p.bytes)
        for name, launches in p.rungs.items():
            run.closed_form(f"{at}.counted.{name}", launches)
        for gpu in GPUS:
            for i, (name, launches) in enumerate(p.rungs.items()):
                parts, limit, busy, percent = estimate_of(gpu, p, launches)
                rung = f"{at}.estimates.{gpu}[{i}]"
                run.given(f"{rung}.rung", name)
                run.closed_form(f"{rung}.limit", limit)
                run.closed_form(f"{rung}.microseconds", parts[limit] + parts["gaps"], 1e-12)
                run.closed_form(f"{rung}.dram", parts["DRAM"], 1e-12)
                for part in ("sectors", "shared", "fma", "latency", "rounds", "gaps"):
                    run.closed_form(f"{rung}.{part}", parts[part], 1e-12)
                run.closed_form(f"{rung}.busy", busy)
                run.second_route(f"{rung}.occupancy", percent / 100)


@case("step04_cuda", "estimate --gpu H100")
def estimate(run):
    """Of one GPU as printed, of another as published."""
    run.head(seed=1)
    run.given("measured_on", "not measured yet")
    check_estimates(run)
    for p in problems():
        run.given(f"ladders.{p.key}.measured_microseconds", {})
    run.says(*estimate_lines("H100"), "RESULT gpu=H100 measured=no")
    same_as_published(run, "estimate.txt", [*estimate_lines("A100"), "RESULT gpu=A100 measured=no"])


# --- an aside: inputs of tensor cores ----------------------------------------------------------------------------

def rounded(number, digits):
    """To so many binary digits behind the leading one, ties to even: a whole number of steps, and Python rounds such a tie to even."""
    step = 2.0 ** (math.frexp(number)[1] - 1 - digits)
    return round(number / step) * step


@case("step04_cuda", "rounded")
def rounded_inputs(run):
    x, columns = book.normals(K, 1), list(zip(*by_rows(book.normals(K * K, 2), K)))
    exact = product(columns, x)
    largest = max(map(abs, exact))
    run.head(seed=1)
    run.says(f"x [1, {K}], w [{K}, {K}]: inputs rounded as tensor cores take them, sums as ever")
    for i, (name, digits) in enumerate((("F32", 23), ("TF32", 10), ("BF16", 7))):
        found = product([[rounded(w, digits) for w in column] for column in columns], [rounded(a, digits) for a in x])
        differ = sum(a != b for a, b in zip(found, exact))
        most = max(abs(a - b) for a, b in zip(found, exact)) / largest
        at = f"formats[{i}]"
        run.given(f"{at}.inputs", name)
        run.given(f"{at}.digits", digits)
        run.second_route(f"{at}.differ", differ)
        run.second_route(f"{at}.largest_difference", most)
        run.second_route(f"{at}.checksum", book.checksum(found))
        run.says(f"{name} {digits} {differ} of {K} {most:.1e}")
        if name == "TF32":
            result = f"RESULT outputs={K} changed_by_tf32={differ}"
    run.says(result)


def by_hand_of_split():
    """The estimate's terms of one kernel, with a pencil, so that program and closed form cannot be wrong together: a row by 3072 x 576
    floats on an A100, whose linear_split has 48 blocks of 512 threads, 4 of them on a multiprocessor: one wave."""
    parts, limit, busy, _ = estimate_of("A100", problems()[0], problems()[0].rungs["split"])
    # A warp of 16 has one or two chains of 64 inputs, 9 chains for 8 rows of threads. A chain asks 64 times for x and 64 times for w:
    # two chains are 256 requests; with 18 under way 15 rounds.
    bytes_once = 4 * (3072 * 576 + 576 + 3072)
    fresh = (bytes_once / 32) / (48 * 5768)  # sectors that are asked for, as the chapter's table has them
    return (parts["rounds"] == 15 and abs(parts["latency"] - 15 * (fresh * 466 + (1 - fresh) * 38) / 1410) < 1e-9
            and abs(parts["gaps"] - 0.9) < 1e-12 and (busy, limit) == (48, "DRAM"))


# Nobody measured this: three times the estimate of the H100, and for one rung a tenth of it. One rung is not there.
WRONG_BY, MISSING = 3.0, ("decode", "staged")


def made_up(p, rung):
    parts, limit, _, _ = estimate_of("H100", p, p.rungs[rung])
    factor = 0.1 if (p.key, rung) == ("argmax", "tree") else WRONG_BY
    return None if (p.key, rung) == MISSING else factor * (parts[limit] + parts["gaps"])


BENCHED = {"linear_1": ("linear", "R1 N3072 K576 F32"), "linear_1_q4_1": ("linear", "R1 N3072 K576 Q4_1"), "linear_64": ("linear", "R64 N3072 K576 F32"),
           "rms_norm": ("norm", "R4 C576"), "decode": ("attention", "T1 slots512"), "prefill": ("attention", "T128 slots128"), "argmax": ("argmax", "V4096")}


def made_up_report():
    rows = [{"op": BENCHED[p.key][0], "shape": BENCHED[p.key][1], "rung": rung, "us": {"median": made_up(p, rung)}}
            for p in problems() for rung in p.rungs if made_up(p, rung)]
    return {"schema": 1, "experiment": "step04_cuda bench", "measured": True, "device": "a GPU of this test's", "rungs": rows}


# As tools/gpu.sh leaves it: inside of its own report.
@case("step04_cuda", "estimate --gpu H100 --measured SCRATCH/gpu.json",
      files={"gpu.json": lambda: json.dumps({"schema": 1, "experiment": "tools/gpu.sh", "bench": made_up_report()})})
def estimate_beside_measured(run):
    """Measured times stand beside their own rungs, and how far off the estimate was is what they give."""
    run.holds(by_hand_of_split(), "the closed form of the estimate is not what comes out by hand")
    run.head(seed=1)
    run.given("measured_on", "a GPU of this test's")
    check_estimates(run)
    for p in problems():
        taken = {rung: made_up(p, rung) for rung in p.rungs if made_up(p, rung)}
        run.same_report(f"ladders.{p.key}.measured_microseconds", taken, 1e-12)
    run.says(*estimate_lines("H100", "a GPU of this test's", made_up))
    count = sum(len(p.rungs) for p in problems()) - 1
    run.says(f"0 of {count} estimates are within a factor of 2; the worst is 10.0: argmax, tree", "RESULT gpu=H100 measured=yes")


def wrong_reports():
    """(what is wrong with a report, what is said of it)"""
    def row(**more):
        return {"op": "norm", "shape": "R4 C576", "rung": "block", "us": {"median": 1.0}, **more}
    right = {"schema": 1, "experiment": "step04_cuda bench", "measured": True, "device": "a GPU of this test's", "rungs": [row()]}
    of_the_executor = "its times are the executor's on a CPU: they say nothing about a GPU"
    no_time = "rung 'block' of 'R4 C576': expected a positive time"
    return [({**right, "measured": False}, of_the_executor), ({k: v for k, v in right.items() if k != "measured"}, of_the_executor),
            ({**right, "schema": 2}, "expected schema 1, found 2"),
            ({**right, "experiment": "step04_cuda estimate"}, "expected the report of 'step04_cuda bench', found that of 'step04_cuda estimate'"),
            ([right], "expected the report of 'step04_cuda bench', found none of an experiment"),
            ({k: v for k, v in right.items() if k != "rungs"}, "it has no rungs"),
            ({**right, "rungs": [row(us={"median": 0})]}, no_time), ({**right, "rungs": [row(us=3.0)]}, no_time), ({**right, "rungs": [row(us={})]}, no_time)]


@case("step04_cuda", "estimate --measured SCRATCH/0.json", code=1, report=False,
      files={f"{i}.json": json.dumps(wrong) for i, (wrong, _) in enumerate(wrong_reports())})
def estimate_refuses(run):
    """A report that is none of the bench's, or has no time in it."""
    for i, (_, said) in enumerate(wrong_reports()):
        errors = run.errors if i == 0 else run.start("step04_cuda", "estimate", "--measured", f"SCRATCH/{i}.json").stderr
        run.holds(errors == f"step04_cuda: {run.scratch}/{i}.json: {said}\n", f"report {i} is refused with: {errors}")


# --- the executor's demonstration --------------------------------------------------------------------------------

ROWS, COLUMNS = 80, 70


def transposed(stride):
    """Tiles of 32 x 32, by 8 warps; a row of the tile has so many floats."""
    launch = counts.Launch("transpose", 9, 256)
    for y in range(0, ROWS, 32):
        for x in range(0, COLUMNS, 32):
            for j in range(32):
                lanes = [lane for lane in range(32) if x + lane < COLUMNS and y + j < ROWS]
                launch.load([4 * ((y + j) * COLUMNS + x + lane) for lane in lanes])
                launch.write([stride * j + lane for lane in lanes])
                lanes = [lane for lane in range(32) if y + lane < ROWS and x + j < COLUMNS]
                launch.read([stride * lane + j for lane in lanes])
                launch.store([4 * ((x + j) * ROWS + y + lane) for lane in lanes])
            launch.one_warp(32 // 8)
            launch.add("barriers", 1)
    return launch.counted


@case("step04_cuda", "simt")
def simt(run):
    numbers = [float(row * COLUMNS + column) for column in range(COLUMNS) for row in range(ROWS)]
    checksum = book.checksum(numbers)
    run.says(f"A matrix of {ROWS} x {COLUMNS}, transposed by tiles of 32 x 32",
             f"transpose: raw and checked, threads forward, in reverse and shuffled: the right numbers, checksum {checksum}: yes",
             "counted rows of 33 rows of 32")
    padded, plain = transposed(33), transposed(32)
    for name in padded.keys() | plain.keys():
        if padded[name] or plain[name]:
            run.says(f"{name} {padded[name]} {plain[name]}")
    # Threads come in order. Thread 0 writes column 0 and reads row 0, of the eight rows and columns that are its warp's;
    # the first after it that writes to row 0 where thread 0 has read is thread 8, in column 8.
    source = (STEP / "app/transpose.cu").read_text().splitlines()
    writes = [i for i, line in enumerate(source, 1) if "tile[j][threadIdx.x] = " in line][2]
    reads = [i for i, line in enumerate(source, 1) if "= tile[threadIdx.x][j]" in line][2]
    run.says(f"transpose.cu:{writes}: data race: kernel 'transpose_without_barrier', block (0,0,0), thread (8,0,0) writes 4 bytes at byte "
             f"{4 * 8} of 'tile' ({4 * 32 * 33} bytes, shared memory), which thread (0,0,0) read with nothing between to order the two "
             f"(transpose.cu:{reads})")
    says_gpu(run)
    run.says(f"RESULT holds=yes checksum={checksum}")
