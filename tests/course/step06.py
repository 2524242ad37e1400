"""The judge of chapter 6's tasks. Codes and sums of bytes are judged by their bits, since the chapter has given the rules; rotations,
GPTQ and scales by a reference in double."""
import math
import struct

import contract_by_the_book as contract
from course.judge import Floats, Integers, case, close, exact, integers, number, same_as, single

BLOCK = 32  # numbers of a group


def half(value):
    """A float rounded to 16 bits."""
    return struct.unpack("<e", struct.pack("<e", value))[0]


def clamped(value, least, most):
    return max(least, min(most, value))


@case("6.1 group: codes between the smallest and the largest number", "bits=4", "bits=2", "bits=4 stride=3", "bits=2 constant=1",
      "bits=4 scale=1e-7", "bits=4 shift=100 scale=0.02", "bits=2 shift=-50 seed=1", "bits=4 constant=1 shift=-3",
      "bits=4 scale=4e-8", "bits=4 scale=1e-6", "bits=4 scale=5e-7 stride=2", "bits=2 scale=2e-7", "bits=4 ties=1", "bits=2 ties=1 stride=2")
def group(p, random):
    stride, shift, top = p.get("stride", 1), p.get("shift", 0), (1 << p.bits) - 1
    x = [single(shift + (0 if p.get("constant") else random.normal(p.get("scale", 1.0)))) for _ in range(BLOCK * stride)]
    if p.get("ties"):
        x[::stride] = half_steps(top, random)
    numbers = x[::stride]
    m = half(min(numbers))
    d = half(single(single(max(numbers) - min(numbers)) / top))
    codes = [0 if d == 0 else int(clamped(round(single(single(v - m) / d)), 0, top)) for v in numbers]
    return {"bits": p.bits, "stride": stride, "x": Floats([len(x)], x)}, {
        "m": exact(Floats([1], [m]), "m"), "d": exact(Floats([1], [d]), "d"), "codes": integers(codes, "number")}


def half_steps(top, random):
    """Numbers on codes and half way between two, whose quotients are exact; times 1 / d they would not be."""
    steps = [j / 1024 for j in range(513, 1024, 2)]
    d = random.shuffled([d for d in steps if any(single(single(d * (k + 0.5)) * single(1 / d)) != k + 0.5 for k in range(top))])[0]
    return random.shuffled([d * (k / 2 - 4) for k in (0, 2 * top, *range(2 * top), *(random.below(2 * top) for _ in range(BLOCK)))][:BLOCK])


@case("6.2 hadamard: sums and differences over the root of their number", "n=1", "n=2", "n=4", "n=64", "n=128", "n=32 large=5")
def hadamard(p, random):
    x = random.floats(p.n)
    if "large" in p:
        x.values[p.large] = 100.0
    turned = [sum(v * (-1) ** bin(i & j).count("1") for j, v in enumerate(x.values)) / math.sqrt(p.n) for i in range(p.n)]
    within = 1e-6 * max(1.0, max(map(abs, x.values)))
    why = "a rounding for each of log2 n passes and one product, of numbers up to the largest"
    return {"x": x}, {"turned": close(Floats([p.n], turned), "number", within, why),
                      "turned back": close(x, "number", 2 * within, why)}


def place(i, bits):
    """[(word, its lowest bit, bits of the code)] of code i, each with how far its part is shifted in the code."""
    if bits == 3:
        first, i = i // 512 * 48, i % 512
        return [(first + i // 256 * 16 + i % 16, i // 16 % 16 * 2, 2, 0), (first + 32 + i % 16, i // 16 * 1, 1, 2)]
    in_words = 16 * (32 // bits)  # codes of 16 words
    return [(i // in_words * 16 + i % 16, i % in_words // 16 * bits, bits, 0)]


WORDS = ("bits=4 codes=1", "bits=4 codes=40", "bits=2 codes=60", "bits=3 codes=80", "bits=4 codes=256 dense=1", "bits=2 codes=512 dense=1",
         "bits=3 codes=1024 dense=1")


@case("6.3 words: a code is written into its bits and no others", *WORDS)
def written(p, random):
    words, places = memory(p, random)
    codes = [random.below(1 << p.bits) for _ in places]
    after = list(words)
    for i, code in zip(places, codes):
        for word, bit, width, shift in place(i, p.bits):
            after[word] = after[word] & ~(((1 << width) - 1) << bit) | (code >> shift & ((1 << width) - 1)) << bit
    return ({"bits": p.bits, "words": words, "places": places, "codes": codes}, {"words": integers(after, "word")})


@case("6.3 words: a code is read from its bits and no others", *WORDS)
def read(p, random):
    words, places = memory(p, random)
    codes = [sum((words[word] >> bit & ((1 << width) - 1)) << shift for word, bit, width, shift in place(i, p.bits)) for i in places]
    return {"bits": p.bits, "words": words, "places": places}, {"codes": integers(codes, "code")}


def memory(p, random):
    """(words with something in them already, places of codes): a tile of 1024 codes."""
    words = [random.below(1 << 32) for _ in range(1024 * p.bits // 32)]
    return words, list(range(p.codes)) if p.get("dense") else [random.below(1024) for _ in range(p.codes)]


LEVELS = [single(level) for level in (
    -1.0, -0.6961928, -0.52507305, -0.3949175, -0.28444138, -0.18477343, -0.091050036, 0.0, 0.0795803, 0.1609302, 0.2461123,
    0.33791524, 0.44070983, 0.562617, 0.72295684, 1.0)]


@case("6.4 nf4: the nearest of sixteen levels and two codes in a byte", "rows=1 columns=64", "rows=3 columns=50", "rows=1 columns=1",
      "rows=2 columns=96 scale=1e-3", "rows=2 columns=64 zeros=1", "rows=1 columns=16 halfway=1", "rows=5 columns=13 seed=1")
def nf4(p, random):
    numbers = p.rows * p.columns
    w = random.floats(p.rows, p.columns, scale=p.get("scale", 1.0))
    if p.get("zeros"):
        w.values[:64] = [0.0] * 64
    if p.get("halfway"):  # between two levels, where a float is; -1 is the largest
        between = [(a + b) / 2 for a, b in zip(LEVELS, LEVELS[1:])]
        w.values = ([-1.0] + [m for m in between if m == single(m)] + [0.5] * 16)[:numbers]
    largest = [max(abs(v) for v in w.values[i:i + 64]) for i in range(0, numbers, 64)]
    ratios = [single(v / largest[i // 64]) if largest[i // 64] else 0.0 for i, v in enumerate(w.values)]
    codes = [min(range(16), key=lambda q, r=r: (abs(r - LEVELS[q]), q)) for r in [*ratios, 0.0]]
    pairs = [16 * codes[i] + codes[i + 1] for i in range(0, numbers, 2)]
    return {"w": w}, {"largest": exact(Floats([len(largest)], largest), "block"), "bytes": integers(pairs, "byte")}


@case("6.5 gptq: columns to come make up for each error", "rows=1 columns=1 bits=4 group=1", "rows=1 columns=4 bits=4 group=4",
      "rows=3 columns=16 bits=3 group=8", "rows=2 columns=40 bits=2 group=16", "rows=1 columns=140 bits=4 group=32",
      "rows=2 columns=132 bits=3 group=64", "rows=1 columns=30 bits=3 group=100", "rows=1 columns=262 bits=4 group=32")
def gptq(p, random):
    K = p.columns
    # H = V Vt with an upper triangle V of eighths, so that H is exact; then U = V^-1 has Ut U = H^-1. V is a band of 4.
    V = [[0.0] * (K + 3) for _ in range(K)]
    for i in range(K):
        V[i][i:i + 4] = [1.0 + random.below(4) / 8] + [(random.below(9) - 4) / 8 for _ in range(3)]
    band = [x for i in range(K) for x in V[i][i:i + 4]]
    U = inverse_of_upper(V)
    w = random.floats(p.rows, K)
    out = [value for n in range(p.rows) for value in gptq_row(w[n].values, U, p.bits, p.group)]
    return {"w": w, "band": Floats([K, 4], band), "bits": p.bits, "group": p.group}, {
        "rounded": close(Floats([p.rows, K], out), "row column", 1e-6, "a step times a whole number, rounded to a float once")}


def inverse_of_upper(V):
    K = len(V)
    U = [[0.0] * K for _ in range(K)]
    for j in range(K):
        U[j][j] = 1 / V[j][j]
        for i in range(j - 1, -1, -1):
            U[i][j] = -sum(V[i][k] * U[k][j] for k in range(i + 1, min(i + 4, j + 1))) / V[i][i]
    return U


def gptq_row(w, U, bits, group, columns_of_a_block=128):
    w, out = list(w), []
    for i in range(len(w)):
        if i % columns_of_a_block == 0:
            before = list(w)  # a group's grid does not know what has changed since
        if i % group == 0:
            part = before[i:i + group]
            grid = grid_of(single(min(part)), single(max(part)), bits)
        out.append(nearest(single(w[i]), *grid))
        error = (w[i] - out[i]) / U[i][i]
        for j in range(i, len(w)):
            w[j] -= error * U[i][j]
    return out


def grid_of(least, most, bits):
    """(step, code of zero, largest code)"""
    least, most, top = min(least, 0.0), max(most, 0.0), (1 << bits) - 1
    step = half(single(single(most / top) - single(least / top)))
    return step, int(clamped(round(single(-least / step)), 0, top)) if step else 0, top


def nearest(x, step, zero, top):
    code = clamped(round(single(x / step)) + zero, 0, top) if step else zero
    return single(step * (code - zero))


def smoothing(p, random):
    """(the question, the scales): the first norm of a layer and its readers."""
    C = p.channels
    shapes = {"norm": [C], "bias": [C], "qkv": [3 * C, C]} if p.get("bias") else {"norm": [C], "q": [8, C], "k": [4, C], "v": [4, C]}
    tensors = {name: random.floats(*shape, scale=0.3 if len(shape) == 2 else 1.0) for name, shape in shapes.items()}
    readers = [tensor for name, tensor in tensors.items() if len(shapes[name]) == 2]
    largest = [random.uniform(0.1, 3) * (20 if c == 2 else 1) for c in range(C)]
    if p.get("silent"):  # a channel that is never used, and one that no matrix reads
        largest[1] = 0.0
        for w in readers:
            w.values[3::C] = [0.0] * len(w.values[3::C])
    if p.get("huge"):  # a silent channel whose weights are so large that s itself would be below its limit
        largest[1] = 0.0
        readers[0].values[1::C] = [single(1e7 * v) for v in readers[0].values[1::C]]
    columns = [max(abs(w[n, c]) for w in readers for n in range(len(w))) for c in range(C)]
    scales = [max(x, 1e-5) ** p.alpha / max(w, 1e-5) ** (1 - p.alpha) for x, w in zip(largest, columns)]
    scales = [2.0 ** round(math.log2(s)) if p.get("powers") else max(s, 1e-5) for s in scales]
    return {**tensors, "largest": Floats([C], largest), "alpha": float(p.alpha), "powers_of_two": p.get("powers", 0)}, scales


@case("6.6 smooth: inputs are divided and columns multiplied by the same scale", "channels=4 alpha=0.5", "channels=12 alpha=0.8",
      "channels=6 alpha=0", "channels=6 alpha=1", "channels=5 alpha=0.5 powers=1", "channels=8 alpha=0.5 silent=1",
      "channels=8 alpha=1 silent=1", "channels=6 alpha=0.5 bias=1", "channels=10 alpha=0.7 bias=1", "channels=4 alpha=0.5 huge=1")
def smooth(p, random):
    given, scales = smoothing(p, random)
    why = "a scale that is rounded to a float, and one product or quotient"
    expected = {}
    for name in (name for name in ("norm", "bias", "q", "k", "v", "qkv") if name in given):
        vector = len(given[name].shape) == 1
        values = [v / scales[i] if vector else v * scales[i % p.channels] for i, v in enumerate(given[name].values)]
        expected[name] = close(Floats(given[name].shape, values), "channel" if vector else "output channel", 1e-6, why, 1e-6)
    return given, expected


@case("6.6 smooth: powers of two change no bit of a product", "channels=4 alpha=0.5 powers=1", "channels=70 alpha=0.8 powers=1",
      "channels=12 alpha=0.3 powers=1")
def smooth_bits(p, random):
    given, scales = smoothing(p, random)
    return given, {"after": same_as("before", "output"), "changed channels": number(sum(s != 1 for s in scales))}


def quantised(row):
    """(scale, codes) in 8 bits."""
    scale = contract.div(max(abs(v) for v in row), 127.0)
    return scale, [int(clamped(round(contract.div(v, scale)), -127, 127)) if scale else 0 for v in row]


@case("6.7 bytes: an exact sum of codes times two scales and the outliers beside it", "R=1 N=1 K=1", "R=2 N=3 K=65", "R=3 N=4 K=40 threshold=1.5",
      "R=1 N=5 K=200 threshold=2", "R=2 N=2 K=10 threshold=0.001", "R=2 N=2 K=20 zeros=1", "R=2 N=3 K=30 threshold=2 large=1",
      "R=2 N=2 K=150 threshold=0.05", "R=1 N=3 K=1700 positive=1")
def bytes_times_bytes(p, random):
    threshold = float(p.get("threshold", 0))
    w, x = random.floats(p.N, p.K), random.floats(p.R, p.K)
    if p.get("positive"):  # sums beyond 2^24, which a float cannot count
        w.values, x.values = [random.uniform(0.7, 1) for _ in w.values], [random.uniform(0.7, 1) for _ in x.values]
    if p.get("zeros"):
        x.values[:p.K] = [0.0] * p.K
    if p.get("large"):  # exactly on the threshold, and far beyond it
        x.values[3], x.values[p.K + 5] = -threshold, 60.0
    matrix = [quantised(row.values) for row in w]
    y = []
    for row in x:
        far = [k for k, v in enumerate(row.values) if threshold > 0 and abs(v) >= threshold]
        scale, codes = quantised([0.0 if k in far else v for k, v in enumerate(row.values)])
        for w_scale, w_codes in matrix:
            total = sum(a * b for a, b in zip(codes, w_codes))
            value = contract.mul(contract.mul(scale, w_scale), single(total))
            if far:
                beside = contract.total([(row.values[k], float(w_codes[k])) for k in far])
                value = contract.add(value, contract.mul(w_scale, beside))
            y.append(value)
    return {"w": w, "x": x, "threshold": single(threshold)}, {"y": exact(Floats([p.R, p.N], y), "row output")}
