"""Chapter 3: what fewer bits of the cache change in the next-token distribution."""
import math
import statistics

from reports import small_model
from reports.book_model import tiny, tiny_file
from reports.checked import case, number
from reports.shapes import TINY, cache_bytes
from reports.step03_bits import ulps
from reports.spreads import shown
from reports.step03_work import cpu

FORMATS = ("f32", "f16", "int8")


def log_sum(row):
    top = max(row)
    return math.log(sum(math.exp(n - top) for n in row)) + top


def bits(row, token):
    return (log_sum(row) - row[token]) / math.log(2)


def divergence(p, q):
    """Kullback and Leibler's, in bits: what is lost by who codes with q what p draws."""
    a, b = log_sum(p), log_sum(q)
    return sum(math.exp(x - a) * ((x - a) - (y - b)) for x, y in zip(p, q)) / math.log(2)


def likeliest(row):
    return max(range(len(row)), key=lambda i: (row[i], -i))


class Judged:
    """A text in windows, by the book: each token but the first is asked for behind those before it in its window."""

    def __init__(self, model, tokens, lengths, bos, window, most):
        """lengths: bytes of each token. bos: what every window begins with, None for nothing."""
        tokens = tokens if bos is None else [bos, *tokens]
        self.windows = min(most or len(tokens), (len(tokens) - 1) // window)
        self.bytes = self.positions = 0
        self.bits = {name: 0.0 for name in ("none", *FORMATS)}
        self.agree, self.gap = ({name: value for name in FORMATS} for value in (0, 0.0))
        self.kl = {name: [] for name in FORMATS}
        self.differ = {name: 0 for name in FORMATS}
        for w in range(self.windows):
            text = tokens[w * window:(w + 1) * window]
            text[0] = text[0] if bos is None else bos
            targets = tokens[w * window + 1:(w + 1) * window + 1]
            self.bytes += sum(lengths[t] for t in targets)
            self.positions += window
            expected = model.forward(text)
            self.bits["none"] += sum(bits(row, t) for row, t in zip(expected, targets))
            for name in FORMATS:
                for p, q, t in zip(expected, model.forward(text, name), targets):
                    self.bits[name] += bits(q, t)
                    self.kl[name].append(divergence(p, q))
                    self.agree[name] += likeliest(p) == likeliest(q)
                    self.gap[name] = max(self.gap[name], *(abs(x - y) for x, y in zip(p, q)))
                    self.differ[name] += sum(ulps(x, y) > 0 for x, y in zip(p, q))


def check_judged(run, i, c, judged, window, piece):
    path = f"models[{i}]."
    run.given(path + "model", c["name"])
    run.given(path + "engine", cpu(run, 1))
    run.given(path + "text", "text.txt")
    run.by_hand(path + "bytes", judged.bytes)
    run.by_hand(path + "tokens", judged.positions)
    run.given(path + "window", window)
    run.given(path + "piece", piece)
    run.second_route(path + "uncached_bits_per_byte", judged.bits["none"] / judged.bytes, 1e-13)
    run.says(f"{c['name']}, {cpu(run, 1)}: text.txt, {judged.windows} windows of {window} tokens, {judged.bytes} bytes, in pieces of "
             f"{piece or window}")
    run.words("cache bits per byte same token mean KL, bits max KL logit off by bytes/token of f32")
    run.says(f"none {judged.bits['none'] / judged.bytes:.6f}")
    for k, name in enumerate(FORMATS):
        figures, kl = run.json["models"][i]["caches"][k], judged.kl[name]
        agreement, one, full = judged.agree[name] / judged.positions, cache_bytes(c, 1, name), cache_bytes(c, 1)
        at = f"{path}caches[{k}]."
        run.given(at + "cache", name)
        run.second_route(at + "bits_per_byte", judged.bits[name] / judged.bytes, 1e-13)
        run.second_route(at + "agreement", agreement, 1e-15)
        # Differences of nearly equal numbers: what is left has lost some digits.
        run.second_route(at + "mean_kl", sum(kl) / judged.positions, 1e-8)
        by_window = [statistics.fmean(kl[w * window:(w + 1) * window]) for w in range(judged.windows)]
        run.second_route(at + "mean_kl_deviation", statistics.stdev(by_window) if len(by_window) > 1 else 0.0, 1e-6)
        run.second_route(at + "max_kl", max(kl), 1e-8)
        run.second_route(at + "max_abs_logit", judged.gap[name])
        run.closed_form(at + "logits", judged.positions * c["vocab"])
        run.second_route(at + "logits_differ", judged.differ[name])
        run.closed_form(at + "bytes_per_token", one)
        run.closed_form(at + "share_of_f32", one / full)
        run.says(f"{name} {figures['bits_per_byte']:.6f} {100 * agreement:.3f}% {shown(by_window)} "
                 f"{number(figures['max_kl'])} {number(judged.gap[name])} {one} {100 * one / full:.2f}%")
    run.words("the float cache gives every bit of the run without a cache: yes")


def check_end(run, models):
    run.head(seed=0)
    run.given("kl_unit", "bits")
    run.by_hand("f32_equals_uncached", True)
    run.says(f"RESULT models={models} f32_equals_uncached=yes")


TEXT = "low new er. low low newer, lower"
LONG = ("a low barn owl, newer than most, flew lower and lower over the quiet hills. zebras jump; six waxy vats boil. newly "
        "grown low kelp")
FILES = {"text.txt": TEXT, "small.gguf": small_model.file, "short.gguf": lambda: tiny_file(context_length=20)}
LENGTHS = [len(small_model.decode([t])) for t in range(small_model.SHAPE["vocab"])]  # bytes of a token


@case("step03_kvcache", "quality -m tiny,SCRATCH/small.gguf --text SCRATCH/text.txt --window 8 --tokens 17 --piece 3", files=FILES)
def quality_of_bytes_and_of_words(run):
    """A token of a byte model is a byte; of the other model some are four. The second window of bytes begins with a BOS."""
    check_judged(run, 0, TINY, Judged(tiny(), list(TEXT.encode()), [1] * 256, 0, 8, 2), 8, 3)
    judged = Judged(small_model.model(), small_model.encode(TEXT), LENGTHS, None, 8, 1)
    run.holds(judged.bytes > judged.positions, f"{judged.bytes} bytes in {judged.positions} tokens: all words are letters")
    check_judged(run, 1, small_model.SHAPE, judged, 8, 3)
    check_end(run, 2)


@case("step03_kvcache", "quality -m SCRATCH/short.gguf --text SCRATCH/text.txt --tokens 19 --piece 0", files=FILES)
def quality_of_a_context(run):
    """Without --window the context of 20, and at least one window whatever --tokens says."""
    check_judged(run, 0, TINY, Judged(tiny(), list(TEXT.encode()), [1] * 256, 0, 20, 1), 20, 0)
    check_end(run, 1)


@case("step03_kvcache", "quality -m SCRATCH/small.gguf --text SCRATCH/text.txt --window 32 --tokens 0 --piece 1",
      files={"text.txt": LONG, "small.gguf": small_model.file})
def quality_of_all_windows(run):
    """In one place another token becomes the likeliest with 8 bits."""
    words = small_model.encode(LONG)
    judged = Judged(small_model.model(), words, LENGTHS, None, 32, 0)
    run.holds(judged.windows == (len(words) - 1) // 32 == 3, "all whole windows")
    run.holds(judged.agree["int8"] < judged.positions, "all tokens are the same: choose another text")
    check_judged(run, 0, small_model.SHAPE, judged, 32, 1)
    check_end(run, 1)
