"""Numbers that travel between a judge and a program of tasks, and what is expected of them.

A question and an answer are JSON objects: integers and texts as they are, arrays as
{"shape": [2, 3], "f32": [bits, ...]}, {"shape": [4], "int": [...]} or, of doubles, "f64". Floats travel as bits, so that
nothing is rounded on the way and a NaN arrives as one.
"""
import math
import struct


def bits_of(value):
    """The 32 bits of a float."""
    return struct.unpack("<I", struct.pack("<f", value))[0]


def float_of(bits):
    return struct.unpack("<f", struct.pack("<I", bits))[0]


def single(value):
    """A double rounded to a float, ties to even."""
    try:
        return struct.unpack("<f", struct.pack("<f", value))[0]
    except OverflowError:
        return math.copysign(math.inf, value)


def size_of(shape):
    return math.prod(shape)


class Array:
    """Numbers with a shape, row-major: a[1, 2] is the number, a[1] the row as another Array."""

    def __init__(self, shape, values):
        self.shape, self.values = tuple(shape), list(values)
        if size_of(self.shape) != len(self.values):
            raise ValueError(f"{len(self.values)} numbers for the shape {list(self.shape)}")

    @classmethod
    def of(cls, shape, function):
        """function(i, j, ...) for every index."""
        return cls(shape, (function(*place(shape, i)) for i in range(size_of(shape))))

    def __getitem__(self, index):
        index = index if isinstance(index, tuple) else (index,)
        offset = 0
        for axis, i in enumerate(index):
            if not 0 <= i < self.shape[axis]:
                raise IndexError(f"index {i} of axis {axis} of the shape {list(self.shape)}")
            offset = offset * self.shape[axis] + i
        rest = self.shape[len(index):]
        if not rest:
            return self.values[offset]
        return type(self)(rest, self.values[offset * size_of(rest):(offset + 1) * size_of(rest)])

    def __len__(self):
        return self.shape[0]

    def __iter__(self):
        return (self[i] for i in range(len(self)))


class Floats(Array):
    """Doubles of Python that hold floats: what is sent is rounded to a float first."""

    def to_json(self):
        return {"shape": list(self.shape), "f32": [bits_of(single(v)) for v in self.values]}


class Integers(Array):
    def to_json(self):
        return {"shape": list(self.shape), "int": self.values}


def place(shape, i):
    """The indices of the number that lies at `i`: place([2, 3], 4) is (1, 1)."""
    indices = []
    for extent in reversed(shape):
        indices.append(i % extent)
        i //= extent
    return tuple(reversed(indices))


def to_json(value):
    """Of anything that a judge may put into a question."""
    if isinstance(value, (Floats, Integers)):
        return value.to_json()
    if isinstance(value, (list, tuple)):
        return Integers([len(value)], value).to_json()
    if isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"{type(value).__name__} cannot be sent")
