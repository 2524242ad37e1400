"""Chapter 3: the work of a generation, and the bytes of its cache."""
import re

from reports.checked import case
from reports.shapes import DISTILGPT2, SMOLLM2, TINY, buffers, cache_bytes, generation, tile_bytes, weight_bytes
from reports.step02 import describes_tiny

LINES = ["steps", "projections of keys and values", "FLOPs of projections", "FLOPs of attention", "FLOPs of feed-forward",
         "FLOPs of the output matrix", "FLOPs", "bytes of weights read", "bytes of the cache read", "bytes of the cache written",
         "bytes of activations written"]
# Bytes of a number: 32 codes of half a byte with a scale and a minimum of two bytes each; of the output matrix, in Q8_0, 32
# codes of a byte and a scale.
Q4_1 = (20 / 32, 34 / 32)


def cpu(run, threads):
    """The engine's name as chapter 2's program says it."""
    name = re.search(r"engine +(cpu \w+), ", run.start("step02_attention", "-m", "tiny", "-n", "1", "-p", "I").stdout)[1]
    return f"{name}, {threads} thread" + ("s" if threads > 1 else "")


def fast(run):
    """Whether the program was built for speed, and not to find mistakes."""
    return "-O3" in run.json["flags"] and "-fsanitize" not in run.json["flags"]


def code_bytes(run):
    """What code and libraries may take of the memory; a sanitizer keeps books on all of it."""
    return 16 << 20 if "-fsanitize" not in run.json["flags"] else 2 << 30


def at_7b(run):
    """What the book says of 32 layers, a width of 4096 and 32 heads of 128: each number once more, by hand."""
    run.words("A 7B model (32 layers, width 4096), a prompt of 512 tokens and 4096 more:")
    run.given("at_7b.prompt", 512)
    run.given("at_7b.steps", 4096)
    for i, (fed, name) in enumerate([(1, "every token fed"), (0, "the last one not fed")]):
        # With the cache each token passes once. Without, step k takes the prompt and the tokens before it.
        with_it = 512 + 4096 - 1 + fed
        without = sum(512 + k + fed for k in range(4096))
        run.by_hand(f"tokens_processed[{i}].last_token_fed", bool(fed))
        run.by_hand(f"tokens_processed[{i}].with", with_it)
        run.by_hand(f"tokens_processed[{i}].without", without)
        run.by_hand(f"tokens_processed[{i}].ratio", without / with_it)
        run.says(f"{name} {without} tokens pass without the cache, {with_it} with it: {without / with_it:.1f}x")
    for i, kv_heads in enumerate((32, 8, 1)):
        # Of 4096 numbers: queries and the way out to as many, keys and values to kv_heads * 128.
        one = 32 * (2 * 4096 * 4096 * 2 + 2 * 4096 * kv_heads * 128 * 2)
        run.by_hand(f"projection_flops_per_token[{i}].kv_heads", kv_heads)
        run.by_hand(f"projection_flops_per_token[{i}].flops", one)
        with_it, without = 512 + 4095, sum(range(512, 512 + 4096))
        run.says(f"projections, {kv_heads:2} KV heads: {one:.4g} FLOP a token; {one * without:.4g} without, "
                 f"{one * with_it:.4g} with")


def check_count(run, c, name, engine, prompt, steps, per_number=(4, 4)):
    run.head()
    run.given("model", name)
    run.given("prompt", prompt)
    run.given("steps", steps)
    run.words(f"{name}, {engine}: {steps} tokens after a prompt of {prompt}")
    sides = {}
    for cached, side in ((True, "cached"), (False, "uncached")):
        sides[side] = generation(c, prompt, steps, cached, per_number)
        run.closed_form(f"{side}.counted", sides[side])
        run.closed_form(f"{side}.predicted", sides[side])
    for line in LINES:
        a, b = sides["cached"][line], sides["uncached"][line]
        run.says(f"{line} {a} {b} {b / a:.2f}x")
    # A cached step finds its buffers. Without a cache there is room for one row or for whole 64s of them: whenever a
    # longer text wants more, the seven buffers that depend on the rows are taken anew.
    room = [1 if rows == 1 else -(-rows // 64) for rows in range(prompt, prompt + steps)]
    grown = sum(a != b or rows == prompt == 1 for rows, (a, b) in enumerate(zip(room, room[1:]), prompt))
    run.by_hand("cached.blocks_after_the_prompt", 0)
    run.closed_form("uncached.blocks_after_the_prompt", 7 * grown)
    run.says(f"blocks allocated after the prompt 0 {7 * grown}")
    run.by_hand("equal", True)
    run.says("counted = predicted, as whole numbers: yes")
    at_7b(run)
    run.says(f"RESULT equal=yes flops_with={sides['cached']['FLOPs']} flops_without={sides['uncached']['FLOPs']}")


@case("step03_kvcache", "count -m tiny --prompt 60 -n 70")
def count_of_tiny(run):
    check_count(run, TINY, "kvlab-tiny", cpu(run, 1), 60, 70)


@case("step03_kvcache", "count -m tiny --prompt 1 -n 3")
def count_from_one_token(run):
    check_count(run, TINY, "kvlab-tiny", cpu(run, 1), 1, 3)


@case("step03_kvcache", "count -m distilgpt2 --prompt 3 -n 2")
def count_of_gpt2(run):
    """Another architecture: one matrix up instead of gate and up, as many KV heads as query heads."""
    check_count(run, DISTILGPT2, DISTILGPT2["name"], cpu(run, 1), 3, 2)


@case("step03_kvcache", "count -m SmolLM2-135M-Instruct-Q4_1 --threads 1 --prompt 2 -n 3",
      needs="SmolLM2-135M-Instruct-Q4_1.gguf")
def count_of_q4_1(run):
    """Weights of four bits are read as such."""
    check_count(run, SMOLLM2, "Smollm2 135M 8k Lc100K Mix1 Ep2", cpu(run, 1), 2, 3, Q4_1)


def at_scale(run):
    """Models that do not fit here, in FP16: 2 bytes a number. GB are 2^30 bytes."""
    gb = 2**30
    weights = 14 * 10**9
    per_token = [2 * 32 * heads * 128 * 2 for heads in (32, 8, 1)]
    run.says(f"A 7B model in FP16: weights {weights / gb:.2f} GB (14 decimal ones), {per_token[0]} bytes of cache a token")
    for i, (context, batch) in enumerate([(4096, 1), (32768, 1), (131072, 1), (4096, 8), (4096, 16), (4096, 32), (8192, 32)]):
        sizes = [n * context * batch for n in per_token]
        run.given(f"memory_at_7b[{i}].context", context)
        run.given(f"memory_at_7b[{i}].batch", batch)
        for name, size in zip(("mha_bytes", "gqa_bytes", "mqa_bytes"), sizes):
            run.by_hand(f"memory_at_7b[{i}].{name}", size)
        run.by_hand(f"memory_at_7b[{i}].weight_bytes", weights)
        run.says(f"{context} {batch} " + " ".join(f"{size / gb:.3f}" for size in sizes)
                 + f" {(sizes[0] + weights + gb) / gb:.2f} {sizes[0] / weights:.3f}")
    run.words("(the sum counts 1 GB of activations.) The cache is as large as the weights at a context of")
    for i, name in enumerate(("MHA", "GQA", "MQA")):
        run.given(f"crossover[{i}].heads", name)
        run.by_hand(f"crossover[{i}].context", -(-weights // per_token[i]))
    run.says(" ".join(f"{name} {-(-weights // n)}" for name, n in zip(("MHA", "GQA", "MQA"), per_token))
             + " tokens, or that divided by the batch.")
    # name, KV heads, layers, head width, and the shape that its parameters follow from: width, query heads,
    # feed-forward width, vocabulary, whether the head is the embedding. "7B by name" is a round number.
    models = [("SmolLM2-135M, 3 of 9 heads", 3, 30, 64, (576, 9, 1536, 49152, True)),
              ("1.1B, 4 of 32 heads", 4, 22, 64, (2048, 32, 5632, 32000, False)),
              ("7B by name, 32 of 32 heads", 32, 32, 128, None),
              ("Llama-2-7B, 32 of 32 heads", 32, 32, 128, (4096, 32, 11008, 32000, False)),
              ("8B, 8 of 32 heads", 8, 32, 128, (4096, 32, 14336, 128256, False)),
              ("13B, 40 of 40 heads", 40, 40, 128, (5120, 40, 13824, 32000, False)),
              ("70B, 8 of 64 heads", 8, 80, 128, (8192, 64, 28672, 32000, False))]
    for i, (name, kv_heads, layers, d, shape) in enumerate(models):
        parameters = 7 * 10**9
        if shape:
            width, heads, hidden, vocab, tied = shape
            layer = 2 * width * heads * d + 2 * width * kv_heads * d + 3 * width * hidden + 2 * width
            parameters = layers * layer + width + vocab * width * (1 if tied else 2)
        one = 2 * layers * kv_heads * d * 2
        run.given(f"crossover_by_model[{i}].model", name)
        run.by_hand(f"crossover_by_model[{i}].weight_bytes", 2 * parameters)
        run.by_hand(f"crossover_by_model[{i}].bytes_per_token", one)
        run.by_hand(f"crossover_by_model[{i}].context", -(-2 * parameters // one))
        run.says(f"{name} {2 * parameters / gb:.2f} {one} {-(-2 * parameters // one)} tokens")


def check_memory(run, prompt, lengths, cache):
    c, weights = TINY, weight_bytes(TINY)
    run.head()
    describes_tiny(run)
    run.given("model", c["name"])
    run.given("prompt", prompt)
    run.given("cache", cache)
    run.closed_form("weight_bytes", weights)
    run.says(f"A prompt of {prompt}, cache in {cache}; weights {weights / 2**20:.2f} MB")
    for i, steps in enumerate(lengths):
        rows = prompt + steps - 1  # the last token is never fed
        held = cache_bytes(c, rows, cache)
        allocated = c["layers"] * tile_bytes(c, rows, cache)
        with_it, without = buffers(c, prompt), buffers(c, rows)
        # At its peak a run has its buffers and its store: tiles for every layer, or, without a cache, for one.
        peak_with, peak_without = with_it + allocated, without + tile_bytes(c, rows)
        for name, value in {"rows": rows, "formula": held, "logical": held, "allocated": allocated,
                            "counted_by_allocator": allocated, "peak_with": peak_with, "peak_without": peak_without,
                            "activations_with": with_it, "activations_without": without}.items():
            run.closed_form(f"lengths[{i}].{name}", value)
        run.given(f"lengths[{i}].steps", steps)
        one_more = cache_bytes(c, rows + 1, cache)
        run.says(f"{steps} {rows} {held} {held} 0.00% {allocated} {100 * (held - one_more) / one_more:+.2f}%",
                 f"{steps} " + " ".join(f"{n / 2**20:.2f}" for n in (peak_with, peak_without, with_it, without)))
    run.words("The last token that is generated is never fed: a text of P + n tokens holds P + n - 1 rows.")
    run.by_hand("exact", True)
    run.says("formula = bytes held, allocated = counted by the allocator: yes", f"RESULT exact=yes rows={rows} bytes={held}")
    at_scale(run)
    said = re.fullmatch(r"the process: at most ([\d.]+) MB resident, code and file included", run.errors.strip())
    least = (weights + max(peak_with, peak_without)) / 2**20  # all of it was written
    run.holds(said and least <= float(said[1]) <= least + code_bytes(run) / 2**20, f"{run.errors.strip()}, at least {least:.2f}")


@case("step03_kvcache", "memory -m tiny --prompt 5 -n 3,70,1 --cache f32")
def memory_of_floats(run):
    check_memory(run, 5, [3, 70, 1], "f32")


@case("step03_kvcache", "memory -m tiny --prompt 1 -n 64 --cache f16")
def memory_of_f16(run):
    check_memory(run, 1, [64], "f16")


@case("step03_kvcache", "memory -m tiny --prompt 4 -n 62,128 --cache int8")
def memory_of_int8(run):
    check_memory(run, 4, [62, 128], "int8")
