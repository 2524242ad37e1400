"""Chapter 3: the proof that the cache changes no bit."""
from reports.book_model import Checksum, Sampler, bytes_of, generate, tiny, tiny_file
from reports.checked import case
from reports.shapes import TINY
from reports.step03_work import cpu


class Proof:
    """What verify has to find of a batch of prompts: sums, and how much is compared."""

    def __init__(self, prompts, steps, seed=42, **sampling):
        samplers = [Sampler(**sampling, seed=seed) for _ in prompts]  # each begins with the seed
        said, total, texts = generate(tiny(), prompts, steps, samplers)
        of_prompts, of_cache, c = Checksum(), Checksum(), TINY
        for prompt in prompts:
            for logits in tiny().forward(prompt):
                of_prompts.add(logits)
        for text in texts:
            for layer in range(c["layers"]):
                for key, value in zip(text.keys[layer], text.values[layer]):
                    of_cache.add(sum(key, []))
                    of_cache.add(sum(value, []))
        self.sums = {"steps": total.hex(), "prompts": of_prompts.hex(), "cache": of_cache.hex()}
        self.tokens = sum(map(len, said))
        # The prompts go in whole and in pieces of 1, 3, 7 and 64; the last token is never fed.
        rows = sum(len(prompt) + steps - 1 for prompt in prompts)
        self.floats = {"steps": self.tokens * c["vocab"], "prompts": 5 * sum(map(len, prompts)) * c["vocab"],
                       "cache": rows * 2 * c["layers"] * c["kv_heads"] * c["head_dim"]}


def check_proof(run, i, prompts, steps, committed, proof):
    """committed: whether the sums equal the committed ones, or why they were not compared."""
    path = f"models[{i}]."
    run.given(path + "model", "kvlab-tiny")
    run.given(path + "engine", cpu(run, 1))
    lengths = " ".join(str(len(prompt)) for prompt in prompts)
    run.says(f"kvlab-tiny ({cpu(run, 1)}): prompts of {lengths} tokens in one batch, {steps} steps")
    for name, what in (("steps", "logits of the steps"), ("prompts", "logits of the prompts, fed in pieces"),
                       ("cache", "keys and values in the cache")):
        run.closed_form(f"{path}{name}.floats", proof.floats[name])
        for figure in ("differ", "max_ulp", "max_abs"):
            run.by_hand(f"{path}{name}.{figure}", 0)
        run.says(f"{what} 0 of {proof.floats[name]} floats differ")
    run.by_hand(path + "tokens", proof.tokens)
    run.by_hand(path + "tokens_differ", 0)
    run.by_hand(path + "max_abs_by_step", [0] * steps)
    run.second_route(path + "checksums", proof.sums)
    run.by_hand(path + "as_committed", True if committed is True else None)
    run.says(f"generated text 0 of {proof.tokens} tokens differ",
             "checksums: " + ", ".join(f"{name} {value}" for name, value in proof.sums.items()),
             f"0 of {sum(proof.floats.values())} floats differ; bit-identical: yes",
             f"as committed: {'yes' if committed is True else 'not compared, no value is committed for ' + committed}")


def check_verify(run, models, compared, seed=42):
    """models: arguments of check_proof for each."""
    run.head(seed=seed)
    for i, of in enumerate(models):
        check_proof(run, i, *of)
    run.by_hand("identical", True)
    run.by_hand("compared_with_committed", compared)
    run.by_hand("as_committed", True if compared else None)
    run.says(f"RESULT models={len(models)} identical=yes compared_with_committed={compared} "
             f"as_committed={'yes' if compared else 'not_compared'}")


DEFAULT = [bytes_of("In the beginning God created")[:length] for length in (1, 5, 8)]


@case("step03_kvcache", "verify -m tiny -m SCRATCH/spaces.gguf", files={"spaces.gguf": lambda: tiny_file(eos_token_id=32)})
def verify_with_what_is_committed(run):
    """The same weights in a file with another content have no committed sums."""
    proof = Proof(DEFAULT, 24)
    check_verify(run, [(DEFAULT, 24, True, proof), (DEFAULT, 24, "this file", proof)], 1)


@case("step03_kvcache", ["verify", "-m", "tiny", "-n", "3", "-p", "And", "-p", "In the 7 days", "-t", "1.1", "-s", "5"])
def verify_of_samples(run):
    prompts = [bytes_of("And"), bytes_of("In the 7 days")]
    proof = Proof(prompts, 3, 5, temperature=1.1)
    check_verify(run, [(prompts, 3, "other than the default options", proof)], 0, 5)
