"""Chapter 3: tokens per second, and the memory of the process."""
import json
import os
import re
import subprocess

from reports.book_model import WEIGHTS, Text, tiny
from reports.checked import case, number
from reports.shapes import SMOLLM2, TINY, matrices, step_weight_bytes, tile_bytes, weight_bytes
from reports.step03_work import Q4_1, code_bytes, cpu
from reports.times import Counting, quartiles


def race_text(sequence, length):
    """The tokens that every engine reads, by the formula in the book, of 256."""
    return [(7919 * i + 104729 * sequence + 1) % 256 for i in range(length)]


def likeliest(logits):
    return max(range(len(logits)), key=lambda i: (logits[i], -i))


def chosen_by_prompt(length):
    return [likeliest(tiny().forward(race_text(0, length))[-1])]


def chosen_by_decoding(context, tokens):
    text = Text(tiny())
    for token in race_text(0, context):
        text.feed(token)
    chosen, token = [], race_text(0, context + 1)[-1]
    for _ in range(tokens):
        token = likeliest(text.feed(token))
        chosen.append(token)
    return chosen


def check_speed(run, name, c, engine, weights, passes, rounds, warm_up, prefill=None, decode=None, per_round=1):
    """passes: {part: (title, tokens of a pass, bytes of its caches)}, in the order of a round; prefill, decode: the
    tokens that they choose. per_round: passes that fill a round."""
    held, of_token, file, file_of_token = weights
    run.head(seed=0)
    run.given("model", name)
    run.given("engine", engine)
    run.given("threads", 1)
    run.says(f"{name}, {engine}", "tokens per second median quarter 3 quarters")
    clock = Counting()
    start = clock.read()
    loaded, first = clock.read() - start, clock.read() - start
    rates = {part: [] for part in passes}
    for r in range(warm_up + rounds):
        for part, (_, tokens, _) in passes.items():
            taken = sum(clock.interval() for _ in range(per_round))
            if r >= warm_up:
                rates[part].append(per_round * tokens / taken)
    run.counted_clock("load_seconds", loaded)
    run.counted_clock("first_token_seconds", first)
    run.closed_form("weight_bytes", held)
    run.closed_form("bytes_per_token", of_token)
    run.second_route("file_bytes", file)
    run.closed_form("file_bytes_per_token", file_of_token)
    result = ""
    for part, chosen in (("prefill", prefill), ("decode", decode)):
        run.holds((part in run.json) == (part in passes), f"{part} in the report")
        if part not in passes:
            continue
        title, tokens, caches = passes[part]
        q = quartiles(rates[part])
        run.by_hand(f"{part}.tokens_per_pass", tokens)
        run.closed_form(f"{part}.cache_bytes", caches)
        run.counted_clock(f"{part}.tokens_per_second", q)
        run.counted_clock(f"{part}.rounds", rates[part])
        if chosen is not None:
            run.second_route(f"{part}.chosen", chosen)
        run.says(f"{title} {number(q['median'])} {number(q['low'])} {number(q['high'])}")
        result += f" {part}_tokens_per_second={number(q['median'], 4)}"
    peak, caches = run.json["peak_memory_bytes"], sum(c for _, _, c in passes.values())
    # Weights and caches are in memory, and at most the whole file as well; the activations of these short steps are
    # below 4 MB.
    run.between("peak_memory_bytes", held + caches, held + caches + file + (4 << 20) + code_bytes(run))
    run.says(f"loaded in {loaded:.3f} s, first token after {first:.3f} s",
             f"weights {held / 1e6:.1f} MB (file {file / 1e6:.1f} MB), caches {caches / 1e6:.1f} MB, "
             f"peak memory {peak / 1e6:.1f} MB",
             f"RESULT{result} load_seconds={number(loaded)} peak_memory_bytes={peak}")


def check_tiny(run, prefill, context, tokens, batch, rounds, warm_up=1, per_round=1, title=""):
    numbers = 2 * TINY["vocab"] * TINY["width"] + TINY["width"] * 5 + sum(n * k for n, k in matrices(TINY)[:-1])
    embedding = 4 * TINY["vocab"] * TINY["width"]  # a table of its own: a token takes one row
    file = os.stat(WEIGHTS / "tiny.gguf").st_size
    weights = (weight_bytes(TINY), weight_bytes(TINY) - embedding, file, 4 * numbers - embedding)
    passes, chosen = {}, {}
    if prefill:
        passes["prefill"] = (f"prompt of {prefill}{title}", prefill, TINY["layers"] * tile_bytes(TINY, prefill))
        chosen["prefill"] = chosen_by_prompt(prefill)
    if tokens:
        many = f", {batch} sequences" if batch > 1 else ""
        passes["decode"] = (f"{tokens} tokens after {context}{many}", batch * tokens,
                            batch * TINY["layers"] * tile_bytes(TINY, context + tokens))
        chosen["decode"] = chosen_by_decoding(context, tokens)
    check_speed(run, "kvlab-tiny", TINY, cpu(run, 1), weights, passes, rounds, warm_up, per_round=per_round, **chosen)


@case("step03_kvcache", "speed -m tiny --prefill 9 --context 5 --tokens 4 --batch 3 --rounds 4 --seconds 0")
def speed_of_a_batch(run):
    check_tiny(run, 9, 5, 4, 3, 4)


@case("step03_kvcache", "speed -m tiny --prefill 0 --context 0 --tokens 6 --rounds 2 --warm-up 3 --seconds 3.5")
def speed_of_decoding(run):
    """Four passes fill a round, since three last less than 3.5 s."""
    check_tiny(run, 0, 0, 6, 1, 2, warm_up=3, per_round=4)


@case("step03_kvcache", "speed -m tiny --prefill 65 --all-logits --tokens 0 --rounds 1 --warm-up 0 --seconds 0")
def speed_of_all_logits(run):
    """One round. The last row chooses, of more than one tile of the cache."""
    check_tiny(run, 65, 0, 0, 1, 1, warm_up=0, title=", all logits")


@case("step03_kvcache", "speed -m SmolLM2-135M-Instruct-Q4_1 --threads 1 --prefill 2 --tokens 2 --rounds 1 --warm-up 0 "
      "--seconds 0", needs="SmolLM2-135M-Instruct-Q4_1.gguf")
def speed_of_q4_1(run):
    """The head is the embedding: nothing of the file is left out, save what is no matrix of a token's way."""
    file = os.stat(WEIGHTS / "downloads" / "SmolLM2-135M-Instruct-Q4_1.gguf").st_size
    norms = 4 * (2 * SMOLLM2["layers"] + 1) * SMOLLM2["width"]
    held = step_weight_bytes(SMOLLM2, Q4_1) + norms
    passes = {"prefill": ("prompt of 2", 2, SMOLLM2["layers"] * tile_bytes(SMOLLM2, 2)),
              "decode": ("2 tokens after 0", 2, SMOLLM2["layers"] * tile_bytes(SMOLLM2, 2))}
    check_speed(run, "Smollm2 135M 8k Lc100K Mix1 Ep2", SMOLLM2, cpu(run, 1), (held, held, file, held), passes, 1, 0)
    for part, count in (("prefill", 1), ("decode", 2)):
        run.holds(len(run.json[part]["chosen"]) == count, f"{part}: {run.json[part]['chosen']}")
        for i in range(count):
            run.between(f"{part}.chosen[{i}]", 0, SMOLLM2["vocab"] - 1)


@case("step03_kvcache", "speed -m tiny --wait --prefill 3 --tokens 0 --rounds 9 --seconds 0", stdin="a line\n\n")
def speed_in_turns(run):
    """Two lines of input are two rounds, whatever --rounds says."""
    check_tiny(run, 3, 0, 0, 1, 2)
    run.holds(run.output.splitlines()[1:4] == ["READY", "ROUND", "ROUND"], "READY, then ROUND for each line")
    # The report can go to standard output, and the table to the other. While it waits for the end of input, /proc says
    # how much the process had at most: nothing large comes after that.
    words = [run.bin / "step03_kvcache", *"speed -m tiny --wait --prefill 3 --tokens 0 --seconds 0 --json -".split()]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as other:
        for _ in range(2):
            other.stderr.readline()
        other.stdin.write("go\n")
        other.stdin.flush()
        other.stderr.readline()
        with open(f"/proc/{other.pid}/status", encoding="ascii") as status:
            most = int(re.search(r"VmHWM:\s+(\d+) kB", status.read())[1]) * 1024
        report, table = other.communicate(timeout=60)
    said = json.loads(report)["peak_memory_bytes"]
    run.holds(most <= said <= most + code_bytes(run) // 32, f"peak_memory_bytes is {said}, the system says {most}")
    run.holds(table.splitlines()[-1].endswith(f"peak_memory_bytes={said}"), f"the table ends with {table.splitlines()[-1]}")
