"""Chapter 4: texts from kernels: those of chapter 3, by the contract in Python or by its program."""
import re

from reports.book_model import bytes_of, printable
from reports.checked import case
from reports.shapes import SMOLLM2, TINY, cache_bytes
from reports.step03_text import SHORT, UNTIL_SPACE, Side
from reports.step03_work import cpu
from reports.times import Counting

ENGINE = "cuda kernels, SIMT executor"
PARTS = 4 * 4096  # bytes of the split kernel's parts, which come in steps of as many floats; a step is enough here


def says_run(run, seconds, tokens, held, allocated, checksum):
    run.says(f"{tokens} tokens in {seconds:.2f} s", f"cache: {held} bytes held, {allocated} allocated",
             f"checksum of all logits {checksum}")


def check_generate(run, text, steps, *, seed=42, batch=1, end=(), context=512, ignored=False, compared=False, checked=False, parts=0, **sampling):
    """One sequence's tokens, all sequences' checksum; device memory has room for every token that was asked for."""
    run.head(seed=seed)
    run.given("model", "kvlab-tiny")
    run.given("engine", ENGINE)
    run.says(f"kvlab-tiny, {ENGINE}" + (", every access checked" if checked else ""))
    side = Side(bytes_of(text), steps, seed, sampling, batch, () if ignored else end, context)
    rows = sum(side.P + len(said) - 1 for said in side.said if said)  # the last token is never fed
    held, allocated = cache_bytes(TINY, rows), batch * (cache_bytes(TINY, min(context, side.P + steps)) + parts)
    written = text + printable(bytes(t for t in side.said[0] if t not in end).decode("utf-8", "replace"))
    clock = Counting()
    seconds = clock.interval()
    run.second_route("tokens", side.said[0])
    run.second_route("checksum", side.checksum)
    run.given("warm_up_seconds", None)  # the executor compiles nothing
    run.counted_clock("seconds", seconds)
    run.closed_form("cache_bytes_held", held)
    run.closed_form("cache_bytes_allocated", allocated)
    run.holds(run.output.count(f"\n\n{written}\n") == 1 + compared, f"the text is not '{written}'")
    for line in written.splitlines() * (1 + compared):
        if any(c.isdigit() for c in line):
            run.words(line)
    says_run(run, seconds, side.tokens, held, allocated, side.checksum)
    if compared:
        run.says(cpu(run, 1))
        # Chapter 3's cache has whole tiles of 64 slots.
        says_run(run, clock.interval(), side.tokens, *side.bytes(True, 0), side.checksum)
        run.by_hand("identical", True)
        run.says("bit-identical: yes")
    run.says(f"RESULT tokens={len(side.said[0])} checksum={side.checksum}" + (" identical=yes" if compared else ""))


@case("step04_cuda", ["generate", "-m", "tiny", "-p", "In the 7 days", "-n", "6", "--device", "executor"])
def generate_greedy(run):
    check_generate(run, "In the 7 days", 6)


@case("step04_cuda", ["generate", "-m", "tiny", "-p", "In the 7 days", "-n", "5", "--device", "executor", "--batch", "3", "-t", "0.8",
                      "--top-k", "40", "-s", "5", "--compare"])
def generate_batch(run):
    """The tokens in the report are the first sequence's, the number that is printed is of all."""
    check_generate(run, "In the 7 days", 5, seed=5, batch=3, temperature=0.8, top_k=40, compared=True)


@case("step04_cuda", ["generate", "-m", "tiny", "-p", "And", "-n", "2", "--checked", "--attention", "split", "--linear", "registers",
                      "--norm", "naive", "--device", "executor"])
def generate_checked(run):
    check_generate(run, "And", 2, checked=True, parts=PARTS)


@case("step04_cuda", ["generate", "-m", "tiny", "-p", "In the 7 days", "-n", "0", "--device", "executor"])
def generate_nothing(run):
    check_generate(run, "In the 7 days", 0)


@case("step04_cuda", ["generate", "-m", "SCRATCH/spaces.gguf", "-p", "In the ", "-n", "7", "--batch", "4", "-t", "1", "-s", "10",
                      "--device", "executor"], files=UNTIL_SPACE)
def generate_until_end(run):
    """Texts of a batch end at different steps."""
    check_generate(run, "In the ", 7, seed=10, batch=4, temperature=1.0, end=(32,))


@case("step04_cuda", ["generate", "-m", "SCRATCH/spaces.gguf", "-p", "In the", "-n", "5", "--ignore-end", "--device", "executor"],
      files=UNTIL_SPACE)
def generate_beyond_end(run):
    check_generate(run, "In the", 5, end=(32,), ignored=True)


@case("step04_cuda", ["generate", "-m", "SCRATCH/short.gguf", "-p", "In the 7 days", "-n", "40", "--device", "executor", "--compare"],
      files=SHORT)
def generate_until_the_context(run):
    """Room for the context, and the last token is one behind it."""
    check_generate(run, "In the 7 days", 40, context=20, compared=True)


# --- other models, against chapter 3's program -------------------------------------------------------------------

def check_other_model(run, model, prompt, steps, more):
    other = run.other("step03_kvcache", ["generate", "-m", model, "-p", prompt, "-n", str(steps)])
    run.head()
    run.second_route("model", other["model"])
    run.given("engine", ENGINE)
    run.words(f"{other['model']}, {ENGINE}")
    cached = other["cached"]
    run.second_route("tokens", cached["tokens"][0])
    run.second_route("checksum", cached["checksum"])
    seconds = Counting().interval()
    run.given("warm_up_seconds", None)  # the executor compiles nothing
    run.counted_clock("seconds", seconds)
    run.second_route("cache_bytes_held", cached["cache_bytes_held"])
    # More than is held: the last token's row.
    run.closed_form("cache_bytes_allocated", cached["cache_bytes_held"] + more)
    says_run(run, seconds, steps, cached["cache_bytes_held"], cached["cache_bytes_held"] + more, cached["checksum"])
    run.says(f"RESULT tokens={steps} checksum={cached['checksum']}")
    said = re.search(r"\n\n(.*?)\n  \d", run.output, re.S)[1]
    run.holds(said.startswith(prompt), f"the text is '{said}'")
    run.words(*[line for line in said.splitlines() if any(c.isdigit() for c in line)])


@case("step04_cuda", ["generate", "-m", "deep", "-n", "10", "-p", "And the king said", "--attention", "split", "--linear", "coalesced",
                      "--device", "executor"])
def generate_deep(run):
    shape = run.start("step02_attention", "-m", "deep", "-n", "1", "-p", "I").stdout
    check_other_model(run, "deep", "And the king said", 10, int(re.search(r"cache per token +(\d+) bytes", shape)[1]) + PARTS)


@case("step04_cuda", ["generate", "-m", "SmolLM2-135M-Instruct-Q4_1", "-p", "The sea", "-n", "2", "--device", "executor"],
      needs="SmolLM2-135M-Instruct-Q4_1.gguf")
def generate_q4_1(run):
    check_other_model(run, "SmolLM2-135M-Instruct-Q4_1", "The sea", 2, cache_bytes(SMOLLM2, 1))
