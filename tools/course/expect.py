"""What a judge expects of an answer, and the first difference in words.

An expectation becomes JSON, too: the examples of a starter are questions with their expectations, so that a student's own
check and the grader compare with the same code.
"""
import re

from course.values import Array, Floats, Integers, bits_of, float_of, place, single, size_of


def exact(values, axes):
    """The same bits: where the chapter has given the rule."""
    return {"kind": "exact", "axes": axes.split(), **Floats(values.shape, values.values).to_json()}


def close(values, axes, within, because, floor=1.0):
    """|found - expected| <= within * max(floor, |expected|), against a reference in double. `because` says where `within` is from."""
    return {"kind": "close", "axes": axes.split(), "shape": list(values.shape), "values": values.values, "within": within,
            "floor": floor, "because": because}


def integers(values, axes):
    values = values if isinstance(values, Array) else Integers([len(values)], values)
    return {"kind": "integers", "axes": axes.split(), "shape": list(values.shape), "values": list(values.values)}


def number(value):
    return {"kind": "number", "value": value}


def text(value):
    """Exactly this text."""
    return {"kind": "text", "value": value}


def says(*words):
    """A text, usually an error's, that has each of these words in it."""
    return {"kind": "says", "words": list(words)}


def same_as(other, axes):
    """The same bits, or the same text, as another of the student's own answers, which is named."""
    return {"kind": "same_as", "other": other, "axes": axes.split()}


# --- comparing -------------------------------------------------------------------------------------------------------

def shown(value):
    """A number as a person reads it, and its bits where that could matter."""
    return f"{value:.9g}" if isinstance(value, float) else str(value)


def where(axes, shape, i):
    indices = place(shape, i)
    names = axes if len(axes) == len(indices) else [f"index {axis}" for axis in range(len(indices))]
    return ", ".join(f"{name} {index}" for name, index in zip(names, indices))


def array_of(found, kind):
    """The numbers of an answer, or None where it is another thing. What a student's process says is believed in nothing."""
    if not isinstance(found, dict) or not isinstance(found.get(kind), list) or not isinstance(found.get("shape"), list):
        return None
    limit = 1 << (32 if kind == "f32" else 64)
    if not all(type(extent) is int and extent >= 0 for extent in found["shape"]):
        return None
    if not all(type(v) is int and -limit <= v < limit for v in found[kind]) or size_of(found["shape"]) != len(found[kind]):
        return None
    return found[kind] if kind == "int" else [float_of(v & 0xffffffff) for v in found[kind]]


def first_difference(found, shape, expected, axes, same, describe):
    """None, or the first place where `same(found, expected)` does not hold, and how many there are."""
    wrong = [i for i, (f, e) in enumerate(zip(found, expected)) if not same(f, e)]
    if not wrong:
        return None
    i = wrong[0]
    return (f"at {where(axes, shape, i)}: got {describe(found[i])}, expected {describe(expected[i])}; "
            f"{len(wrong)} of {len(expected)} differ")


def with_bits(value):
    """As a person reads it, and its bits as the chapters write them: 0x1.8p+1."""
    return f"{value:.9g} ({re.sub(r'[.]?0+p', 'p', value.hex()) if value else value.hex()[:-6] + '0'})"


def difference(name, expectation, answer):
    """None where the answer is as expected; else one line about the first difference."""
    kind = expectation["kind"]
    if name not in answer:
        return f"'{name}' is missing from the answer"
    found = answer[name]
    if kind == "number":
        same = type(found) is int and found == expectation["value"]
        return None if same else f"{name}: got {found}, expected {expectation['value']}"
    if kind == "text":
        if name == "report" and isinstance(found, str) and found != expectation["value"]:
            return f"the executor reports: {found}"
        return None if found == expectation["value"] else f"{name}: got \"{found}\", expected \"{expectation['value']}\""
    if kind == "says":
        missing = [word for word in expectation["words"] if not isinstance(found, str) or word not in found]
        if not missing:
            return None
        if found == "":
            return f"{name}: no Error was thrown, expected one that says '{missing[0]}'"
        return f"{name}: '{missing[0]}' is not in \"{found}\""
    if kind == "same_as" and isinstance(answer.get(expectation["other"]), str):
        other = answer[expectation["other"]]
        return None if found == other else f"{name}: got \"{found}\", expected that of '{expectation['other']}', \"{other}\""
    values = array_of(found, "int" if kind == "integers" else "f32")
    if values is None:
        return f"{name}: the answer is no array of {'integers' if kind == 'integers' else 'floats'}"
    expected_shape = expectation.get("shape")
    if kind == "same_as":
        expected = array_of(answer.get(expectation["other"]), "f32")
        if expected is None:
            return f"{name}: '{expectation['other']}' is no array of floats"
        expected_shape = answer[expectation["other"]]["shape"]
    elif kind == "exact":
        expected = [float_of(b) for b in expectation["f32"]]
    else:
        expected = expectation["values"]
    if found["shape"] != expected_shape:
        return f"{name}: the shape is {found['shape']}, expected {expected_shape}"
    how, describe = {
        "integers": (lambda f, e: f == e, str),
        "close": (lambda f, e: abs(f - e) <= expectation["within"] * max(expectation["floor"], abs(e)), shown),  # a NaN is never close
        "exact": (lambda f, e: bits_of(f) == bits_of(e), with_bits),
        "same_as": (lambda f, e: bits_of(f) == bits_of(e), with_bits),
    }[kind]
    line = first_difference(values, expected_shape, expected, expectation["axes"], how, describe)
    if line is None:
        return None
    of = f", which should have the bits of '{expectation['other']}'," if kind == "same_as" else ""
    return f"{name}{of} {line}"


def first_of(expected, answer):
    """The first difference of any of the expected values."""
    for name, expectation in expected.items():
        line = difference(name, expectation, answer)
        if line is not None:
            return line
    return None


__all__ = ["exact", "close", "integers", "number", "text", "says", "same_as", "difference", "first_of", "single"]
