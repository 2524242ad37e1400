"""Chapter 6's TurboQuant in plain Python: the random turn and the sign sketch. No checks of its own."""
import functools
import math

from contract_by_the_book import Rng
from reports import formats


def is_turbo(code):
    return code.startswith("turbo")


def bits_of(code):
    return int(code[5])


def of_values(code):
    """Values have no sketch."""
    return f"turbo{bits_of(code)}-mse" if is_turbo(code) else code


@functools.cache
def signs(D, seed):
    rng = Rng(seed, 3)
    return [-1 if rng.next() >> 31 else 1 for _ in range(D)]


def signed(row, seed):
    return [x * s for x, s in zip(row, signs(len(row), seed))]


@functools.cache
def sketch(D, seed):
    rng = Rng(seed, 2)
    return [[rng.normal() for _ in range(D)] for _ in range(D)]


def rounded(code, row, seed):
    """A row that is turned already. Keys have a bit less for the levels, and the signs of S r for what these leave."""
    if code.endswith("-mse"):
        return formats.lloyd(bits_of(code), row)
    first, D = formats.lloyd(bits_of(code) - 1, row), len(row)
    left = [x - y for x, y in zip(row, first)]
    out, factor = list(first), math.hypot(*left) * math.sqrt(math.pi / 2) / D
    for line in sketch(D, seed):
        sign = math.copysign(1, sum(a * b for a, b in zip(line, left)))
        out = [y + factor * sign * s for y, s in zip(out, line)]
    return out
