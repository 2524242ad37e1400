#!/usr/bin/env python3
"""Every option of every program at the borders of what it takes.

    python3 tests/tools/options_test.py BIN_FOLDER [PROGRAM ...] [--write]

tests/tools/options.txt holds what --help says of each option: its type, range, choices, default, and what it
excludes. The programs must say the same (--write: they are right, keep it). Then each is tried: the ends of a range
are taken and what lies beyond them is refused, as is nan; each choice is taken, and no other; options that exclude
or need each other are refused together or alone; what is required cannot be left out; a file to read must exist.

Nothing is computed in all this: each command line ends with an option that does not exist, which is complained about
only where the rest is right. Standard library only. Exit code 0: as expected. 1: not. 2: usage.
"""
from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from programs import PROGRAMS, asked

TABLE = Path(__file__).with_name("options.txt")
UNKNOWN = "--no-such-option"

# One option as --help prints it, without its description. The order is that of CLI11.
OPTION = re.compile(r"""
    ^\ \ (?P<name>-\S+|[a-z]+(?=\ TEXT))
    (?:\ (?P<type>INT|UINT|FLOAT|TEXT)
       (?::(?P<range>(?:INT|FLOAT)\ in\ [\[({][^\n=]*?[\])](?::\{[^}]*\})?|FILE|DIR|\{[^}]*\}))?
       (?P<default>=(?:\[[^\]]*\]|\S+))?
       (?P<many>\ \.\.\.|\ x\ \d+)?)?
    (?P<required>\ REQUIRED)?
    (?P<needs>\ Needs:(?:\ --[a-z0-9-]+)+)?
    (?P<excludes>\ Excludes:(?:\ --[a-z0-9-]+)+)?
    (?=\s|$)""", re.X)


class Option:
    """A line of --help, or of the table."""

    def __init__(self, line):
        found = OPTION.match(line)
        if not found or re.match(r" *(INT|UINT|FLOAT|TEXT)\b", line[found.end():]):
            raise ValueError(f"no option can be read from: {line}")
        self.found = found
        self.name = found["name"].split(",")[-1]
        self.positional = not self.name.startswith("-")
        self.text = found[0].strip()
        if self.name == "--threads":  # this machine's, where it has a default above 0
            self.text = re.sub(r"(?<=\])=\d+", "", self.text)

    def __getitem__(self, key):
        return self.found[key]

    def with_value(self, value=None):
        """A command line that gives it; of a flag its name alone."""
        if self["type"] is None:
            return [self.name]
        value = self.right_value() if value is None else value
        if (self["many"] or "").startswith(" x"):
            return [self.name, *[value] * int(self["many"].split()[-1])]
        if self.positional:
            return [value]
        return [f"{self.name}={value}"] if value else [self.name, ""]

    def right_value(self):
        """One that it takes."""
        allowed = self["range"]
        if allowed == "FILE":
            return str(TABLE)
        if allowed == "DIR":
            return str(TABLE.parent)
        if allowed and allowed.endswith("}"):
            return allowed.partition("{")[2][:-1].split(",")[0]
        if allowed:
            return re.search(r"([-\d.e+]+)[\])]$", allowed)[1]
        return {"INT": "1", "UINT": "1", "FLOAT": "1", "TEXT": "text", None: ""}[self["type"]]

    def borders(self):
        """(values that it takes, values that it does not)."""
        allowed = self["range"]
        if allowed in (None, "FILE", "DIR"):
            return [], []
        if allowed.endswith("}"):
            return allowed.partition("{")[2][:-1].split(","), ["no-such-choice", "", "33"]
        if allowed == "FLOAT in {0} or [2^-20 - 100]":  # below 2^-20 the division by it leaves the range of a float
            return ["0", "9.5367431640625e-07", "100"], ["-1", "9.5e-07", "100.001", "nan", "inf", "hot"]
        kind, opens, low, high, closes = re.match(r"(INT|FLOAT) in ([\[(])([-\d.e+]+) - ([-\d.e+]+)([\])])$", allowed).groups()
        if kind == "INT":
            return [low, high], [str(int(low) - 1), str(int(high) + 1), "1.5", "many", ""]
        width = float(high) - float(low)
        taken, refused = [repr(float(low) + width / 2)], [repr(float(low) - width / 1024), repr(float(high) + width / 1024), "nan", "inf", "many", ""]
        (taken if opens == "[" else refused).append(low)
        (taken if closes == "]" else refused).append(high)
        return taken, refused


def run(program, arguments):
    done = subprocess.run([BIN / program, *arguments], stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
    return done.returncode, done.stderr.decode("utf-8", "replace"), done.stdout.decode("utf-8", "replace")


def help_of(program, sub):
    """(names of its subcommands, its options)."""
    code, _, text = run(program, [*sub, "--help"])
    if code != 0:
        raise ValueError(f"{program} {' '.join(sub)} --help: exit code {code}")
    behind = text.partition("\nSubcommands:\n")[2].partition("\n\n")[0]
    options = [Option(line) for line in text.splitlines()
               if re.match(r"  (-|[a-z]+ TEXT)", line) and not line.startswith("  -h,--help")]
    return re.findall(r"^  ([a-z][\w-]*)", behind, re.M), options


def commands_of(program):
    """{"program subcommand": options} of one program."""
    subs, options = help_of(program, [])
    found = {program: options}
    for sub in subs:
        found[f"{program} {sub}"] = help_of(program, [sub])[1]
    return found


def refusal(command, arguments):
    """The first line of what is said of a wrong usage. Failing otherwise is said, too."""
    program, *sub = command.split()
    code, errors, _ = run(program, [*sub, *arguments])
    if code != 2 or not errors.endswith("Run with --help for more information.\n"):
        return f"exit code {code}: {errors}"
    return errors.splitlines()[0]


def check_command(command, options):
    """What is wrong with one command's options."""
    wrong = []
    required = [o for o in options if o["required"]]

    def try_it(what, given, arguments, expected):
        """Refused with a text; None: nothing but the option that does not exist is complained about."""
        others = [value for o in required if o not in given for value in o.with_value()]
        said = refusal(command, [*arguments, *others, UNKNOWN])
        if not re.search(expected or f"not expected: {UNKNOWN}$", said):
            wrong.append(f"{command} {what}: expected {expected or 'that it is taken'}, found: {said.strip()[:160]}")

    for option in options:
        taken, refused = option.borders()
        for value in taken:
            needs = [next(o for o in options if o.name == name) for name in (option["needs"] or "").split()[1:]]
            try_it(f"{option.name} {value}", [option], [v for n in needs for v in n.with_value()] + option.with_value(value), None)
        for value in refused:
            try_it(f"{option.name} '{value}'", [option], option.with_value(value), rf"^{option.name}\b")
        if option["range"] in ("FILE", "DIR") and reads(option):
            try_it(f"{option.name} of no file", [option], option.with_value("/no/such/file"), r"/no/such/file")
        for name in (option["excludes"] or "").split()[1:]:
            other = next(o for o in options if o.name == name)
            try_it(f"{option.name} with {name}", [option, other], option.with_value() + other.with_value(), r"^--[\w-]+ excludes --[\w-]+$")
        for name in (option["needs"] or "").split()[1:]:
            try_it(f"{option.name} without {name}", [option], option.with_value(), rf"^{option.name} requires {name}$")
    last = [o.name for o in required if o.positional][-1:]  # of positional ones CLI11 misses the last
    for option in required:
        rest = [value for o in required if o is not option for value in o.with_value()]
        said = refusal(command, rest)
        if f"{last[0] if option.positional else option.name} is required" != said:
            wrong.append(f"{command} without {option.name}: found: {said.strip()[:160]}")
    return wrong


def reads(option):
    """Whether the file is one to read."""
    return option.name not in ("--json", "--trace", "--out", "--launches")


def main():
    global BIN
    BIN, programs, write = asked(__doc__)
    commands = {name: options for program in programs for name, options in commands_of(program).items()}
    lines = [f"{command} | {option.text}" for command, options in commands.items() for option in options]
    if write:
        others = [l for l in TABLE.read_text().splitlines() if l.split(" ")[0] not in programs] if TABLE.exists() else []
        order = {program: i for i, program in enumerate(PROGRAMS)}
        TABLE.write_text("\n".join(sorted(others + lines, key=lambda l: order[l.split(" ")[0]])) + "\n")
        return 0
    known = [l for l in TABLE.read_text().splitlines() if l.split(" ")[0] in programs]
    wrong = [f"not in the table: {l}" for l in lines if l not in known] + [f"only in the table: {l}" for l in known if l not in lines]
    if not wrong:
        wrong = [line for command, options in commands.items() for line in check_command(command, options)]
    print("\n".join(wrong) if wrong else f"{len(lines)} options of {len(commands)} commands are as they should be")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
