"""How the judge of a chapter is written: one function per case, which makes a question and what is expected of its answer.

    from course.judge import case, Floats, exact, close

    @case("1.2 dot: blocks of 64", "terms=1", "terms=64", "terms=65 seed=7")
    def dot(p, random):
        a, b = random.floats(p.terms), random.floats(p.terms)
        return {"a": a, "b": b}, {"dot": exact(..., "")}

A line holds the parameters of one question; a line's own seed makes its numbers its own. More lines can be added from
outside without touching a judge (`grade.py --extra`).
"""
import hashlib
import random as generators

from course.expect import close, exact, integers, number, same_as, says, text
from course.values import Floats, Integers, single, to_json, size_of

CASES = {}  # name: Case, in the order of the files


class Parameters(dict):
    """p.tokens is what the line says of it."""

    def __getattr__(self, name):
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"the line has no '{name}'") from None


class Random:
    """The numbers of one question: they depend on the case, the line and the seed alone, on every machine."""

    def __init__(self, *what):
        self.generator = generators.Random(int.from_bytes(hashlib.sha256("|".join(map(str, what)).encode()).digest()[:8], "little"))

    def normal(self, scale=1.0):
        # A sum of twelve: close enough to a normal number, and the same in every version of Python.
        return single(scale * (sum(self.generator.random() for _ in range(12)) - 6.0))

    def uniform(self, low=0.0, high=1.0):
        return single(low + (high - low) * self.generator.random())

    def below(self, limit):
        return int(self.generator.random() * limit)

    def floats(self, *shape, scale=1.0):
        return Floats(shape, [self.normal(scale) for _ in range(size_of(shape))])

    def integers(self, *shape, below):
        return Integers(shape, [self.below(below) for _ in range(size_of(shape))])

    def shuffled(self, values):
        values = list(values)
        for i in range(len(values) - 1, 0, -1):
            j = self.below(i + 1)
            values[i], values[j] = values[j], values[i]
        return values


def parsed(line):
    """'tokens=3 policy=h2o' as Parameters. Raises ValueError for what is no line."""
    parameters = Parameters()
    for word in line.split():
        name, sign, value = word.partition("=")
        if not sign or not name.isidentifier() or not value or name in parameters:
            raise ValueError(f"'{word}' is no parameter of a case (name=value, each name once)")
        for kind in (int, float, str):
            try:
                parameters[name] = kind(value)
                break
            except ValueError:
                continue
    return parameters


class Case:
    def __init__(self, name, lines, function):
        self.name, self.lines, self.function = name, list(lines), function
        self.task = name.split()[0]

    def question(self, line, seed):
        """(given, expected) of one line, both as JSON."""
        parameters = parsed(line)
        given, expected = self.function(parameters, Random(self.name, line, parameters.pop("seed", 0), seed))
        return {name: to_json(value) for name, value in given.items()}, expected


def case(name, *lines):
    def keep(function):
        if name in CASES:
            raise ValueError(f"two cases are called '{name}'")
        CASES[name] = Case(name, lines, function)
        return function
    return keep


__all__ = ["case", "Case", "CASES", "Floats", "Integers", "exact", "close", "integers", "number", "text", "says", "same_as",
           "single", "parsed"]
