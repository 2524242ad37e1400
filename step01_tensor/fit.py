"""What the scripts that fit polynomials share: exact rounding to f32, and a compiled chain of fma to measure with.

"Measured" means: the f32 Horner chain itself, run by a small C++ helper that is compiled here (std::fma, no
contraction; IEEE 754 defines each step to the bit), against the true function in double. Only the Python standard
library and a C++ compiler ($CXX or c++) are needed.
"""
import math
import os
import subprocess
import sys
from decimal import Decimal, getcontext

getcontext().prec = 40


class Meter:
    """The compiled helper: log2 of the largest relative error of a set of f32 coefficients."""

    def __init__(self, folder, helper):
        source, program = os.path.join(folder, "meter.cpp"), os.path.join(folder, "meter")
        with open(source, "w") as file:
            file.write(helper)
        compiler = os.environ.get("CXX", "c++").split()
        flags = ["-std=c++20", "-O3", "-ffp-contract=off"]
        for native in (["-march=native"], []):  # hardware fma if there is one; the bits are the same
            if subprocess.run(compiler + flags + native + [source, "-o", program], stderr=subprocess.DEVNULL).returncode == 0:
                break
        else:
            sys.exit("fit: no C++ compiler found (set CXX)")
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def error(self, coefficients, first, step):
        """Over every step-th float from `first` on; and the float where it is."""
        words = [repr(first), str(step)] + [repr(float(c)) for c in coefficients]
        self.process.stdin.write(" ".join(words) + "\n")
        self.process.stdin.flush()
        log2, where = self.process.stdout.readline().split()
        return float(log2), where

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def solve(rows, right):
    """Gauss elimination with pivots."""
    a = [row + [value] for row, value in zip(rows, right)]
    for i in range(len(a)):
        pivot = max(range(i, len(a)), key=lambda r: abs(a[r][i]))
        a[i], a[pivot] = a[pivot], a[i]
        for r in range(len(a)):
            if r != i:
                factor = a[r][i] / a[i][i]
                a[r] = [x - factor * y for x, y in zip(a[r], a[i])]
    return [row[-1] / row[i] for i, row in enumerate(a)]


def power(x, k):
    return x**k if k else Decimal(1)


def remez(fixed, degree, grid, truth):
    """Coefficients {k: c} with the least maximal relative error on a grid, those in `fixed` held; and log2 of it."""
    free = [k for k in range(degree + 1) if k not in fixed]
    count, odd = len(free) + 1, free[0] % 2 == 1
    value = lambda c, x: sum((v * power(x, k) for k, v in c.items()), Decimal(0))
    # All free terms share the factor x^free[0]: where it changes sign, so does the alternation.
    side = lambda x: -1 if odd and x < 0 else 1
    last = len(grid) - 1
    nodes = [round(last * (1 - math.cos(math.pi * (2 * i + 1) / (2 * count))) / 2) for i in range(count)]
    for _ in range(40):
        points = [(grid[n], truth[n]) for n in nodes]
        rows = [[power(x, k) for k in free] + [(-1) ** i * side(x) * y] for i, (x, y) in enumerate(points)]
        answer = solve(rows, [y - value(fixed, x) for x, y in points])
        best = {**fixed, **dict(zip(free, answer))}
        errors = [value(best, x) / y - 1 for x, y in zip(grid, truth)]
        peaks = []  # the largest error of each run of one sign
        for n, (x, e) in enumerate(zip(grid, errors)):
            sign = (e > 0) == (side(x) > 0)
            if e != 0 and (not peaks or peaks[-1][2] != sign):
                peaks.append((n, e, sign))
            elif e != 0 and abs(e) > abs(peaks[-1][1]):
                peaks[-1] = (n, e, sign)
        while len(peaks) > count:
            peaks.pop(0 if abs(peaks[0][1]) < abs(peaks[-1][1]) else -1)
        if len(peaks) < count or [p[0] for p in peaks] == nodes:
            break
        nodes = [p[0] for p in peaks]
    return best, math.log2(max(abs(e) for e in errors))


def to_f32(x, steps=0):
    """x rounded to 24 bits (ties to even), then moved by whole steps."""
    unit = Decimal(2) ** (math.frexp(float(x))[1] - 24)
    return (Decimal((x / unit).to_integral_value(rounding="ROUND_HALF_EVEN")) + steps) * unit


def show(label, coefficients, error):
    print(f"{label:<34} 2^{error:.2f}")
    print("    " + " ".join(hexf(c) for c in coefficients))


def hexf(c):
    mantissa, exponent = float(c).hex().split("p")
    return mantissa.rstrip("0").rstrip(".") + "p" + exponent
