"""Chapter 4's benchmark under the executor: it has no times worth reading, but all the rest: which rungs, their bytes, launches and bits,
tokens and their launches; and the rates are null."""
import struct

from reports.book_model import book
from reports.checked import case
from reports.shapes import TINY, cache_bytes, step_weight_bytes
from reports.step03_text import Side
from reports.step04_kernels import K, N, by_rows, linear_checksum, problems

LONGEST = 60 * 1e6  # microseconds of an interval of the counting clock, at the readings that this run makes
RATES = ("gb_per_s", "share_of_read", "share_of_copy", "gflop_per_s")
FACTS = ("compute_capability", "multiprocessors", "clock_mhz", "memory_clock_mhz", "bus_bits", "second_level_bytes", "memory_bytes", "driver_cuda",
         "runtime_cuda", "peak_gb_per_s", "read_gb_per_s", "copy_gb_per_s")


def random_codes(block, of_codes):
    """Blocks of any bytes, of which the first four are 0x20: a scale of 0x2020, or the same and two codes."""
    rng, small, rows = book.Rng(3), 2.0**-7 * (1 + 2.0**-5), []
    for _ in range(N):
        row = []
        for _ in range(K // 32):
            row += of_codes(small, [0x20 if i < 4 else rng.next() >> 24 for i in range(block)][2:])
        rows.append(row)
    return rows


def nibbles(codes):
    return [c & 15 for c in codes] + [c >> 4 for c in codes]


def weights_of(form):
    """The weights that the other formats stand for; all products with these scales are exact."""
    if form == "F16":
        return by_rows([struct.unpack("e", struct.pack("e", x))[0] for x in book.normals(N * K, 2)], K)
    if form == "Q8_0":
        return random_codes(34, lambda d, codes: [d * (c - 256 if c > 127 else c) for c in codes])
    return random_codes(18, lambda d, codes: [d * (c - 8) for c in nibbles(codes)])


def expected_rungs():
    """{(operation, shape): (bytes, checksum, {rung: launches})}: the ladders' own problems, and one row by the formats that they lack."""
    by_key = {p.key: p for p in problems()}
    found = {}
    for key, op, shape in (("rms_norm", "norm", "R4 C576"), ("decode", "attention", "T1 slots512"), ("prefill", "attention", "T128 slots128"),
                           ("argmax", "argmax", "V4096")):
        p = by_key[key]
        found[op, shape] = (p.bytes, p.checksum, {rung: len(launches) for rung, launches in p.rungs.items()})
    x = by_rows(book.normals(K, 1), K)
    rungs = {form: {rung: len(launches) for rung, launches in by_key[key].rungs.items()}
             for form, key in (("F32", "linear_1"), ("others", "linear_1_q4_1"))}
    for form, row_bytes in (("F32", 4 * K), ("F16", 2 * K), ("Q8_0", K // 32 * 34), ("Q4_0", K // 32 * 18), ("Q4_1", K // 32 * 20)):
        known = {"F32": "linear_1", "Q4_1": "linear_1_q4_1"}.get(form)
        checksum = by_key[known].checksum if known else linear_checksum(x, weights_of(form))
        found["linear", f"R1 N{N} K{K} {form}"] = (N * row_bytes + 4 * (K + N), checksum, rungs["F32" if form == "F32" else "others"])
    many = by_key["linear_64"]
    found["linear", f"R64 N{N} K{K} F32"] = (4 * (N * K + 64 * (K + N)), many.checksum, {rung: len(launches) for rung, launches in many.rungs.items()})
    return found


def check_rungs(run):
    expected, seen = expected_rungs(), {}
    for i, row in enumerate(run.json["rungs"]):
        at, key = f"rungs[{i}]", (row["op"], row["shape"])
        moved, checksum, rungs = expected[key]
        seen.setdefault(key, []).append(row["rung"])
        run.given(f"{at}.op", key[0])
        run.given(f"{at}.shape", key[1])
        run.given(f"{at}.rung", list(rungs)[len(seen[key]) - 1])
        run.closed_form(f"{at}.launches", rungs[row["rung"]])
        run.by_hand(f"{at}.bytes", moved)
        run.second_route(f"{at}.checksum", checksum)
        run.by_hand(f"{at}.same_bits", True)
        for time in ("us", "warm_us"):
            run.quartiles(f"{at}.{time}", 1, LONGEST, 1)
        for rate in RATES:
            run.given(f"{at}.{rate}", None)
    run.holds({key: list(rungs) for key, (_, _, rungs) in expected.items()} == seen, f"other rungs were timed: {seen}")
    for (op, shape), (moved, _, rungs) in expected.items():
        run.says(f"{op} {shape}: {moved} bytes at least")
        for rung in rungs:
            run.line(rf"{rung} [\d.]+ \S+ - \S+ [\d.]+ - - - - {rungs[rung]}")


# Kernels of one call, of a model with two layers. Operator by operator: 13 a layer, and 3 for the embedding, the last norm and the
# logits; the products of a row are two kernels each, and so is attention from two tiles on. In a pass, four tokens: 5 a layer, and
# 3 for the logits, the largest in each block, and of all; or one for everything.
WAYS = {"separate": 17 * 2 + 4, "fused": 4 * (5 * 2 + 3), "graph": 4 * (5 * 2 + 3), "persistent": 1}


def check_tokens(run, model, prompt_bits, held, weights):
    """held(tokens): bytes of a cache."""
    rows = [(i, row) for i, row in enumerate(run.json["tokens"]) if row["model"] == model]
    run.holds([row["op"] for _, row in rows] == ["text", "prefill"] + ["decode"] * (2 * len(WAYS) + 2), f"{model}: other rows: {[row['op'] for _, row in rows]}")
    (text, bits), *timed = rows
    at = f"tokens[{text}]"
    run.given(f"{at}.op", "text")
    run.given(f"{at}.model", model)
    run.given(f"{at}.shape", "prompt 5 tokens 3")
    if prompt_bits:
        run.second_route(f"{at}.cpu", prompt_bits)
    else:
        run.given(f"{at}.cpu", bits["cpu"])
    run.same_report(f"{at}.checksum", bits["cpu"])
    run.by_hand(f"{at}.same_bits", True)
    run.says("the CPU's bits for 3 tokens after 5: yes", f"{model}: a step reads {weights} bytes of weights", "way context batch us tokens/s of read launches")
    for i, row in timed:
        check_row(run, f"tokens[{i}]", row, model, held, weights)
    run.holds([(row["batch"], row["context"], row["way"]) for _, row in timed[1:]] ==
              [(1, context, way) for context in (0, 65) for way in WAYS] + [(4, context, "separate") for context in (0, 65)],
              f"{model}: other contexts, batches and ways")


def check_row(run, at, row, model, held, weights):
    decodes = row["op"] == "decode"
    tokens = row["batch"] if decodes else 16
    run.given(f"{at}.op", row["op"])
    run.given(f"{at}.model", model)
    run.given(f"{at}.context", row["context"] if decodes else 16)
    run.given(f"{at}.batch", row["batch"] if decodes else 1)
    rounds = 2 if decodes else 1
    for time in ("us", "wall_us"):
        run.quartiles(f"{at}.{time}", 1, LONGEST, rounds)
    run.same_report(f"{at}.tokens_per_s", tokens / (row["wall_us"]["median"] / 1e6), 1e-9)
    at_once = 4 if row.get("way", "separate") != "separate" else 1
    if row["batch"] == 1:
        two_tiles = 2 if decodes and row["way"] == "separate" and row["context"] >= 64 else 0
        run.by_hand(f"{at}.launches", WAYS[row["way"]] + two_tiles if decodes else 13 * 2 + 3 + 1)
    else:  # a batch appends and attends for each sequence by itself
        run.between(f"{at}.launches", 13 * 2 + 3 + 1, 4 * (17 * 2 + 4 + 2))
    if decodes:
        run.given(f"{at}.way", row["way"])
        run.given(f"{at}.tokens_at_once", at_once)
        # A call to begin with, one to see how long it takes, and those that count.
        run.closed_form(f"{at}.bytes", weights + row["batch"] * held(row["context"] + at_once * (2 + rounds)))
    for rate in RATES[:3] if decodes else RATES[3:]:
        run.given(f"{at}.{rate}", None)
    run.line(rf"{row['op']} {row.get('way', '-')} {row['context']} {row['batch']} [\d.]+ \S+ - {row['launches']}")


@case("step04_cuda", ["bench", "--device", "executor", "--small", "--seconds", "3600", "-m", "tiny", "--synthetic", "smollm2", "--types", "Q8_0"])
def bench(run):
    run.head(seed=1)
    run.given("measured", False)
    run.given("device", "SIMT executor")
    run.given("small", True)
    run.between("seconds", 1, 3600)
    run.given("left_out", [])
    run.given("stopped_by", None)
    run.given("machine.why_no_gpu", "the executor was asked for")
    run.by_hand("machine.yardstick_bytes", 65536 + 77 * 16)
    run.by_hand("machine.yardstick_holds", True)
    for fact in FACTS:
        run.given(f"machine.{fact}", None)
    check_rungs(run)
    rng = book.Rng(42)
    prompt = bytes(rng.next() >> 24 for _ in range(5))
    check_tokens(run, "tiny", Side(prompt, 3, 42, {}, 1, (), 512).checksum, lambda rows: cache_bytes(TINY, rows), step_weight_bytes(TINY))
    # Two layers of SmolLM2 and 512 words: 34 bytes for 32 weights.
    shape = {"width": 576, "layers": 2, "heads": 9, "kv_heads": 3, "head_dim": 64, "feed_forward": 1536, "vocab": 512}
    check_tokens(run, "smollm2 Q8_0", None, lambda rows: cache_bytes(shape, rows), step_weight_bytes(shape, (34 / 32, 34 / 32)))
    run.words("RESULT device=SIMT executor measured=no same_bits=yes")
