"""Multi-query associative recall (MQAR; Arora et al. 2023, "Zoology"): pairs of a key and a value, then the keys again.

A case of length L with P pairs is the BOS and L more bytes s[0 .. L-1], each of one of three kinds:

    s[0 .. 2P-1]    the pairs: key, value, key, value ...; the keys differ from each other, and so do the values
    s[2P .. L-1]    the rest. It is cut into places of two bytes. In P of them a key stands again, and its value behind
                    it: every key is asked once. All other bytes are filler, drawn evenly
    which places    the first ones are likelier: place g has the weight floor(2^32 / (g + 1)), the paper's power law. Without
                    repetition, in the order of the pairs

Only the P answers are scored: s[j] by the logits after BOS and s[0 .. j-1], right if it has the largest of all 256 (of
equal ones, the lowest byte counts).
Everything is integers: whoever follows the order of the draws in `make_case` gets the same bytes, in any language.
"""
from __future__ import annotations

from collections.abc import Iterable

MASK64 = 2**64 - 1
GAMMA = 0x9E3779B97F4A7C15
BOS = 0
KEYS, VALUES, FILLER = range(1, 97), range(97, 193), range(193, 256)  # bytes; nothing is two of them

TRAINED = ((64, 4), (128, 8), (256, 16), (256, 32), (256, 64))  # length, pairs
LONGER = ((512, 16), (512, 64), (1024, 16), (1024, 64))  # tested only
TEST_SEED, TEST_CASES = 1, 100
TRAINING_SEEDS = 2**32  # training with seed n takes cases of seed 2^32 + n: no test case is among them


def splitmix64(z: int) -> int:
    """A hash of 64 bits (Steele, Lea and Flood 2014): the next number of the generator whose state is z."""
    z = (z + GAMMA) & MASK64
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK64
    return z ^ (z >> 31)


class Draws:
    """The generator splitmix64: its state grows by the same constant at every draw."""

    def __init__(self, *what: int) -> None:
        self.state = 0
        for number in what:
            self.state = splitmix64(self.state ^ number)

    def below(self, n: int) -> int:
        number = splitmix64(self.state)
        self.state = (self.state + GAMMA) & MASK64
        return number % n

    def some(self, among: range, n: int) -> list[int]:
        """n different ones, in the order in which they were drawn."""
        left = list(among)
        for i in range(n):
            j = i + self.below(len(left) - i)
            left[i], left[j] = left[j], left[i]
        return left[:n]


def places(draws: Draws, pairs: int, count: int) -> list[int]:
    """For each pair the place where it is asked, among `count`; early places are likelier."""
    weights, chosen = [2**32 // (g + 1) for g in range(count)], []
    total = sum(weights)
    for _ in range(pairs):
        r, g = draws.below(total), 0
        while r >= weights[g]:
            r -= weights[g]
            g += 1
        chosen.append(g)
        total -= weights[g]
        weights[g] = 0
    return chosen


def make_case(seed: int, length: int, pairs: int, case: int, symbols: int = len(KEYS)) -> tuple[list[int], list[int]]:
    """The L + 1 tokens, BOS first; and the indices j into s of the answers, in rising order: token j + 1 is s[j].
    symbols: only so many keys and values are used; a lesson for beginners, and never a test."""
    if length % 2 or not 0 < pairs <= min(length // 4, symbols, len(KEYS)):
        raise ValueError(f"mqar: length {length} with {pairs} pairs: the length has to be even, and four bytes a pair must fit")
    draws = Draws(seed, length, pairs, case)
    keys = draws.some(KEYS[:symbols], pairs)
    values = draws.some(VALUES[:symbols], pairs)
    s = [x for pair in zip(keys, values) for x in pair]
    s += [FILLER[draws.below(len(FILLER))] for _ in range(length - 2 * pairs)]
    answers = []
    for key, value, g in zip(keys, values, places(draws, pairs, length // 2 - pairs)):
        at = 2 * pairs + 2 * g
        s[at : at + 2] = key, value
        answers.append(at + 1)
    return [BOS, *s], sorted(answers)


def checksum(cases: Iterable[tuple[list[int], list[int]]]) -> int:
    """FNV-1a, 64 bit, one whole number per step: of each case the tokens, then the answers' indices."""
    h = 0xCBF29CE484222325
    for tokens, answers in cases:
        for x in (*tokens, *answers):
            h = ((h ^ x) * 1099511628211) & MASK64
    return h
