#!/usr/bin/env python3
"""The numeric contract a second time, in another language, from chapter 1's page pages/contract.md alone.

Every float operation is done in exact rational arithmetic and then rounded once, as rule 1 says; sines, cosines
and powers in 40 decimal digits. Slow and simple on purpose: it shares no code and no compiler with the project.
Prints the golden values of that page, or compares them with the program's:

    contract_by_the_book.py                        prints them
    contract_by_the_book.py BIN/step01_tensor      compares with `step01_tensor goldens`; exit code 1 if they differ
    contract_by_the_book.py --self-test            wrong rules must be noticed

The large RoPE table (8192 x 64) is left to the program: this script would take minutes for it.
"""
import struct
import subprocess
import sys
from decimal import Decimal, getcontext
from fractions import Fraction

getcontext().prec = 40
INF = float("inf")
LARGEST = float.fromhex("0x1.fffffep127")  # of the floats


# --- rule 1: floats are Python doubles that hold binary32 values; each operation rounds once --------------------

def f32(exact):
    """A Fraction rounded to binary32, ties to even, subnormals kept. Zero is +0 here."""
    if exact == 0:
        return 0.0
    sign, exact = (-1.0, -exact) if exact < 0 else (1.0, exact)
    exponent = exact.numerator.bit_length() - exact.denominator.bit_length()
    exponent -= 1 if Fraction(2) ** exponent > exact else 0
    unit = Fraction(2) ** (max(exponent, -126) - 23)
    value = round(exact / unit) * unit  # Python rounds halves to even
    return sign * (INF if value >= Fraction(2) ** 128 else float(value))


def fma(a, b, c):
    if INF in (abs(a), abs(b), abs(c)):
        return a * b + c
    exact = Fraction(a) * Fraction(b) + Fraction(c)
    return f32(exact) if exact else a * b + c  # the sum of zeros keeps its sign by IEEE's rule


def add(a, b):
    return fma(a, 1.0, b)


def mul(a, b):
    return a * b if INF in (abs(a), abs(b)) or a == 0 or b == 0 else f32(Fraction(a) * Fraction(b))


def div(a, b):
    return a / b if INF in (abs(a), abs(b)) or a == 0 else f32(Fraction(a) / Fraction(b))


def sqrt(a):
    scaled = Fraction(a)
    return f32(Fraction(Decimal(scaled.numerator).__truediv__(Decimal(scaled.denominator)).sqrt()))


def single(x):
    """A double rounded to binary32."""
    return f32(Fraction(x))


def bits(x):
    return struct.unpack("<I", struct.pack("<f", x))[0]


# --- rule 2 ------------------------------------------------------------------------------------------------------

BLOCK = 64


def total(terms):
    """Sum over (a, b) of a * b in blocks."""
    result = 0.0
    for begin in range(0, len(terms), BLOCK):
        acc = 0.0
        for a, b in terms[begin:begin + BLOCK]:
            acc = fma(a, b, acc)
        result = acc if begin == 0 else add(result, acc)
    return result


def plain_sum(values):
    return total([(v, 1.0) for v in values])  # fma(v, 1, acc) = v + acc, rounded once


# --- rule 3 ------------------------------------------------------------------------------------------------------

COEFFICIENTS = [float.fromhex(c) for c in ("1", "0x1.62e432p-1", "0x1.ebfbe6p-3", "0x1.c6ae64p-5", "0x1.3b2756p-7",
                                           "0x1.5f7276p-10", "0x1.470b4ap-13")]
LOG2E = float.fromhex("0x1.715476p+0")
LOG2E_DOUBLE = float.fromhex("0x1.71547652b82fep+0")


def parts(s):
    n = float(round(Fraction(s)))
    f = s - n
    p = COEFFICIENTS[6]
    for c in reversed(COEFFICIENTS[:6]):
        p = fma(p, f, c)
    return p, n


def pow2(e):
    return 0.0 if e <= -127 else INF if e >= 128 else 2.0 ** e


def exp2(t):
    p, n = parts(min(max(t, -127.0), 128.0))
    return mul(p, pow2(n))


def softmax(scores):
    pairs = [parts(s) for s in scores]
    M = max(n for _, n in pairs)
    weights = [mul(p, pow2(n - M)) for p, n in pairs]
    return weights, plain_sum(weights)


# --- rule 4 ------------------------------------------------------------------------------------------------------

def silu(x):
    return div(x, add(1.0, exp2(mul(x, -LOG2E))))


def gelu(x):
    u = mul(mul(x, fma(mul(single(0.044715), x), x, 1.0)), single(0.7978845608))
    return div(x, add(1.0, exp2(mul(u, -2.0 * LOG2E))))


def rms_norm(x, w, eps):
    r = div(1.0, sqrt(add(div(total(list(zip(x, x))), float(len(x))), eps)))
    return [mul(mul(v, r), g) for v, g in zip(x, w)]


def layer_norm(x, w, b, eps):
    mean = div(plain_sum(x), float(len(x)))
    centred = [add(v, -mean) for v in x]
    r = div(1.0, sqrt(add(div(total(list(zip(centred, centred))), float(len(x))), eps)))
    return [fma(mul(c, r), g, h) for c, g, h in zip(centred, w, b)]


LOG1P = [float.fromhex(c) for c in ("1", "-0x1.ffff14p-2", "0x1.5535dap-2", "-0x1.fd1322p-3", "0x1.884456p-3",
                                    "-0x1.19ad92p-3", "0x1.446c0ep-4", "-0x1.ec9942p-6", "0x1.5f96fep-8")]


def exponential(x):
    return exp2(mul(x, LOG2E))


def sigmoid(x):
    return div(1.0, add(1.0, exp2(mul(x, -LOG2E))))


def softplus(x):
    u = exponential(-abs(x))
    p = LOG1P[8]
    for c in reversed(LOG1P[:8]):
        p = fma(p, u, c)
    return add(max(x, 0.0), mul(u, p))


def faded(inputs, decays):
    """All states of s = fma(decay, s, input)."""
    state, states = 0.0, []
    for u, decay in zip(inputs, decays):
        state = fma(decay, state, u)
        states.append(state)
    return states


def convolved(x, taps):
    """The oldest tap first; what lies before the beginning is 0."""
    padded, out = [0.0] * (len(taps) - 1) + x, []
    for t in range(len(x)):
        acc = 0.0
        for tap, value in zip(taps, padded[t:]):
            acc = fma(tap, value, acc)
        out.append(acc)
    return out


# --- rule 5 ------------------------------------------------------------------------------------------------------

PI = Decimal("3.141592653589793238462643383279502884197169399375")


def sin_cos(x):
    """In Decimal, by Taylor series of the angle modulo 2 pi."""
    r = Decimal(x) % (2 * PI)
    sine, cosine, term, n = Decimal(0), Decimal(0), Decimal(1), 0
    while abs(term) > Decimal(10) ** -36 or n < 8:
        if n % 2:
            sine += term if n % 4 == 1 else -term
        else:
            cosine += term if n % 4 == 0 else -term
        n += 1
        term = term * r / n
    return float(sine), float(cosine)


def rope_table(positions, dim, base):
    """For each position all cosines, then all sines."""
    frequencies = []
    for i in range(dim // 2):
        exponent = -2.0 * i / dim
        frequencies.append(float((Decimal(base).ln() * Decimal(exponent)).exp()))
    for m in range(positions):
        values = [sin_cos(m * f) for f in frequencies]
        yield from (single(c) for _, c in values)
        yield from (single(s) for s, _ in values)


class Rng:
    def __init__(self, seed, stream=1):
        self.increment, self.state = (stream * 2 + 1) % 2**64, 0
        self.next()
        self.state = (self.state + seed) % 2**64
        self.next()

    def next(self):
        old = self.state
        self.state = (old * 6364136223846793005 + self.increment) % 2**64
        mixed, turn = (((old >> 18) ^ old) >> 27) % 2**32, old >> 59
        return (mixed >> turn | mixed << (-turn & 31)) % 2**32

    def uniform(self):
        return (self.next() >> 8) * 2.0**-24

    def normal(self):
        words = [self.next() for _ in range(6)]
        return (sum((w & 0xffff) + (w >> 16) for w in words) - 6 * 65535) * 2.0**-16


def normals(n, seed):
    rng = Rng(seed)
    return [rng.normal() for _ in range(n)]


def scores(candidates, scale):
    products = [mul(logit, scale) for logit in candidates]
    if all(abs(product) <= LARGEST for product in products):
        return products
    top = max(candidates)
    return [max(mul(add(logit, -top), scale), -LARGEST) for logit in candidates]


def tokens(logits, temperature, top_k, top_p, seed, count):
    rng, drawn = Rng(seed), []
    for _ in range(count):
        order = list(range(len(logits)))
        if temperature == 0:
            drawn.append(min(order, key=lambda i: (-logits[i], i)))
            continue
        if top_k > 0 or top_p < 1:
            order.sort(key=lambda i: (-logits[i], i))
            order = order[:top_k] if top_k else order
        scale = single(LOG2E_DOUBLE / temperature)
        weights, whole = softmax(scores([logits[i] for i in order], scale))
        mass, kept, end = mul(top_p, whole), 0, 0.0
        while kept < len(order) and (top_p == 1 or end < mass):
            end, kept = add(end, weights[kept]), kept + 1
        threshold, cumulative = mul(rng.uniform(), end), 0.0
        for i in range(kept):
            cumulative = add(cumulative, weights[i])
            if cumulative > threshold:
                drawn.append(order[i])
                break
    return drawn


# --- rule 8 ------------------------------------------------------------------------------------------------------

def checksum(values):
    h = 0xcbf29ce484222325
    for v in values:
        h = ((h ^ bits(v)) * 1099511628211) % 2**64
    return f"{h:016x}"


# --- the golden values, in the order of the chapter --------------------------------------------------------------

def hexf(x):
    """As C's %a prints it."""
    if x in (INF, -INF):
        return "inf" if x > 0 else "-inf"
    mantissa, exponent = x.hex().split("p")
    if "." in mantissa:
        mantissa = mantissa.rstrip("0").rstrip(".")
    return f"{mantissa}p{exponent}"


def goldens():
    rows = []
    for t in map(single, (0.5, -0.5, f32(Fraction(1, 3)), 10.7, -126.4, -126.6, 127.4, 127.6)):
        rows.append((f"exp2({t:.9g})", hexf(exp2(t))))
    for name, function in (("silu", silu), ("gelu", gelu)):
        rows += [(f"{name}({x:g})", hexf(function(x))) for x in (1.0, -1.0, 5.0)]
    a, b = normals(130, 1), normals(130, 2)
    for n in (63, 64, 65, 128, 129, 130):
        rows.append((f"dot(a, b), first {n} terms", hexf(total(list(zip(a, b))[:n]))))
    eps = single(1e-5)
    rows.append(("checksum of rms_norm(a, weight b, eps 1e-5)", checksum(rms_norm(a, b, eps))))
    rows.append(("checksum of layer_norm(a, weight b, bias a)", checksum(layer_norm(a, b, a, eps))))
    scores = [0.5, 1.5, -2.25, 3.0, 2.5]
    weights, whole = softmax(scores)
    rows += [(f"softmax weight of score {s:g}", hexf(w)) for s, w in zip(scores, weights)]
    rows.append(("their sum", hexf(whole)))
    rows.append(("rope table, 1024 x 16, base 10000", checksum(rope_table(1024, 16, 10000))))
    rng = Rng(42, 54)
    rows.append(("Rng(42, 54).next() four times", " ".join(f"{rng.next():08x}" for _ in range(4))))
    rows.append(("checksum of Rng(42).normal() 1000 times", checksum(normals(1000, 42))))
    logits = normals(50, 7)
    for t, k, p in ((0.0, 0, 1.0), (1.0, 0, 1.0), (1.0, 5, 1.0), (single(0.8), 0, single(0.9))):
        rows.append((f"tokens, temperature {t:.6g}, top-k {k}, top-p {p:.6g}",
                     " ".join(map(str, tokens(logits, t, k, p, 3, 8)))))
    for function, inputs in ((exponential, (1.0, -1.0, -20.5)), (sigmoid, (1.0, -1.0, 5.0)),
                             (softplus, (0.0, 1.0, -1.0, 20.5, -20.5))):
        rows += [(f"{function.__name__}({x:g})", hexf(function(x))) for x in inputs]
    states = faded(a, [exponential(-softplus(x)) for x in b])
    rows.append(("s = fma(decay, s, a), last of 130", hexf(states[-1])))
    rows.append(("checksum of all 130 of them", checksum(states)))
    rows.append(("checksum of a convolved with b[0..3]", checksum(convolved(a, b[:4]))))
    return rows


def compare(program):
    output = subprocess.run([program, "goldens"], check=True, capture_output=True, text=True).stdout
    theirs = [line.strip() for line in output.split("\n")[1:] if line.startswith("  ") and "as committed:" not in line]
    differ = compared = 0
    for what, value in goldens():
        line = next((line for line in theirs if line.startswith(what + " ")), None)
        compared += 1
        if line is None or line[len(what):].strip() != value:
            differ += 1
            print(f"DIFFERS {what}: the book {value}, the program {line and line[len(what):].strip()}")
    only_theirs = len(theirs) - compared
    print(f"{compared} values compared, {differ} differ, {only_theirs} of the program not computed here")
    return 1 if differ or only_theirs > 1 else 0


def self_test():
    """The values notice a wrong rule: other blocks, one coefficient of a polynomial off by one ulp."""
    global BLOCK
    right = dict(goldens_without_table())
    BLOCK = 32
    blocks = dict(goldens_without_table())
    BLOCK = 64
    COEFFICIENTS[1] = float.fromhex("0x1.62e43p-1")
    polynomial = dict(goldens_without_table())
    COEFFICIENTS[1] = float.fromhex("0x1.62e432p-1")
    LOG1P[1] = float.fromhex("-0x1.ffff12p-2")
    logarithm = dict(goldens_without_table())
    LOG1P[1] = float.fromhex("-0x1.ffff14p-2")
    noticed = [sum(right[k] != other[k] for k in right) for other in (blocks, polynomial, logarithm)]
    print("values that notice blocks of 32:", noticed[0], " another c1:", noticed[1], " of log(1 + u):", noticed[2])
    checks = [f32(Fraction(1) + Fraction(1, 2**24)) == 1.0, f32(Fraction(1, 2**150)) == 0.0,
              f32(Fraction(3, 2**150)) == 2.0**-148, f32(Fraction(2) ** 128 - 2**103) == INF, sqrt(2.0) == single(2**0.5),
              tokens([5e35, 1e36, 9e35, 0.0], 1e-5, 0, 1, 1, 6) == [1] * 6,
              tokens([LARGEST, LARGEST, -LARGEST, LARGEST], 1.0, 0, 1.0, 3, 8) == [0, 1, 3, 1, 1, 1, 3, 0]]
    if min(noticed) == 0 or not all(checks):
        print("SELF-TEST FAILED", checks)
        return 1
    print("self-test passed")
    return 0


def goldens_without_table():
    global rope_table
    kept, rope_table = rope_table, lambda *_: []
    try:
        return goldens()
    finally:
        rope_table = kept


if __name__ == "__main__":
    if sys.argv[1:] == ["--self-test"]:
        sys.exit(self_test())
    if len(sys.argv) == 2:
        sys.exit(compare(sys.argv[1]))
    for row in goldens():
        print(f"  {row[0]:<44}{row[1]}")
