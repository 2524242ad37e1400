"""Reading recordings line by line, and refusing in one line what does not fit."""
from __future__ import annotations

import json
from pathlib import Path


class Malformed(Exception):
    """What is wrong with the line that is being read."""


def expect(condition: bool, message: str) -> None:
    if not condition:
        raise Malformed(message)


def is_count(value) -> bool:
    return type(value) is int and value >= 0  # a JSON true is an int in Python, but no count


def field(line: dict, name: str, kind: type):
    expect(type(line.get(name)) is kind, f"expected '{name}' of type {kind.__name__}")
    return line[name]


def counts(line: dict, name: str) -> list[int]:
    """A list of places, in rising order."""
    values = field(line, name, list)
    expect(all(map(is_count, values)) and all(a < b for a, b in zip(values, values[1:])),
           f"'{name}' must hold rising whole numbers")
    return values


def positive_counts(config: dict, names: tuple) -> None:
    for name in names:
        expect(is_count(config.get(name)) and config[name] > 0, f"config: expected a positive '{name}'")
    expect(config["heads"] % config["kv_heads"] == 0, "config: 'heads' is no multiple of 'kv_heads'")


def read_lines(path: Path, reader) -> None:
    """reader.add(line) for each line, then reader.end(); what they refuse is reported with the number of the line."""
    number = 0
    try:
        with open(path, "rb") as file:
            for number, line in enumerate(file, 1):
                reader.add(json.loads(line.decode("utf-8")))
        number += 1  # what is missing is missed behind the last line
        reader.end()
    except Malformed as problem:
        raise Malformed(f"line {number}: {problem}") from None
    except (ValueError, RecursionError) as problem:  # not UTF-8, not JSON, nested without end
        reason = str(problem).splitlines()[0]
        raise Malformed(f"line {number}: not a line of JSON ({reason})") from None
