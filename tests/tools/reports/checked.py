"""One run of a program, every figure of which somebody has to claim.

A check (reports/step01.py and its neighbours) recomputes what a program wrote to JSON and what it printed:

    @case("step01_tensor", "matmul")
    def matmul(run):
        run.given("matmul.threads", 1)                     # what was asked for on the command line, or a fixed name
        for i, size in enumerate(run.json["matmul"]["sizes"]):
            run.same_report(f"matmul.sizes[{i}].share", size["fast"] / size["peak"])
        run.says(f"RESULT share={run.json['share']:.3f}")  # a line of the output, white space aside

A figure that no call named, or a printed line with a digit in it that no call named, fails the run. So a new
field needs a check before it can be merged. The name of the call says what the figure was compared with; the
table that report_test.py --table writes shows it.
"""
from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from pathlib import Path

CASES = []  # (program, arguments, function, options), in the order of the files
# What a figure can be compared with, and how the table says so.
ROUTES = {
    "given": "what was asked for",
    "by_hand": "worked out by hand",
    "closed_form": "a closed form",
    "same_report": "other figures of this report",
    "second_route": "another way to the same figure",
    "counted_clock": "the counting clock",
    "between": "its bounds",
}
TIME_LIMIT = 300


class Wrong(Exception):
    """What does not hold, on one line."""


class Missing(Exception):
    """A program of a later chapter, in a build that ends before it: the check is skipped."""


def case(program, arguments="", *, clock="counting", code=0, needs=None, stdin=None, files=None, report=True, before=()):
    """Registers a check of `program arguments`. clock: 'counting' makes times known numbers (measure.hpp),
    None runs the real one. needs: a model that may be missing. files: {name: text or bytes, or a function that makes
    them}, to lie in the folder that SCRATCH in the arguments stands for; what the program writes there is in run.files, too. report: False for a
    subcommand without --json of a program that has it. before: the arguments of runs of this program that write files to SCRATCH first."""
    def register(function):
        CASES.append((program, arguments, function, {"clock": clock, "code": code, "needs": needs, "stdin": stdin,
                                                       "files": files or {}, "report": report, "before": before}))
        return function
    return register


def leaves(value, path=""):
    """(path, value) of everything in a report that is no object and no list; an empty one counts as a leaf."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            # A key that is no plain name stands in quotes, so that a path can be read again.
            name = key if re.fullmatch(r"\w+", key) else json.dumps(key)
            yield from leaves(inner, f"{path}.{name}" if path else name)
    elif isinstance(value, list) and value:
        for i, inner in enumerate(value):
            yield from leaves(inner, f"{path}[{i}]")
    else:
        yield path, value


def general(path):
    """The field that a path is one of: an index becomes [], a key that is a number N, a level of SIMD LEVEL."""
    path = re.sub(r"\.\d+(?=[.\[]|$)", ".N", re.sub(r"\[\d+\]", "[]", path))
    return re.sub(r"\.(portable|avx2|avx512)(?=[.\[]|$)", ".LEVEL", path)


def same(found, expected, tolerance):
    """== of numbers, texts, lists; with a tolerance, up to that share of the expected number."""
    if isinstance(expected, (list, tuple)):
        return (isinstance(found, list) and len(found) == len(expected)
                and all(same(f, e, tolerance) for f, e in zip(found, expected)))
    if isinstance(found, bool) != isinstance(expected, bool):
        return False
    if tolerance and isinstance(found, (int, float)) and isinstance(expected, (int, float)):
        return abs(found - expected) <= tolerance * abs(expected)
    return found == expected


def reading(n):
    """Seconds that the n-th reading of the counting clock shows (measure.hpp)."""
    return n + n * n / 1024


class Run:
    """The program's output and report, and what of them has been claimed."""

    def __init__(self, folder, program, arguments, *, clock, code, stdin, files, before=(), json_flag=True, **_):
        self.bin, self.program = Path(folder), program
        self.arguments = arguments.split() if isinstance(arguments, str) else list(arguments)
        self.owners = {}  # field: set of routes
        self.claimed = set()
        self.command = " ".join([program, *self.arguments])
        self._folder = tempfile.TemporaryDirectory()  # goes when the run does: a second route may want its files
        self.scratch = Path(self._folder.name)
        for name, content in files.items():
            content = content() if callable(content) else content
            (self.scratch / name).write_bytes(content.encode() if isinstance(content, str) else content)
        for words in before:
            first = self.start(program, *words)
            if first.returncode != 0:
                raise Wrong(f"{' '.join(words)}: exit code {first.returncode}: {first.stderr.strip()[-300:]}")
        report = self.scratch / "report.json"
        result = self.start(program, *self.arguments, *(["--json", str(report)] if json_flag else []),
                            clock=clock, stdin=stdin)
        if result.returncode != code:
            raise Wrong(f"exit code {result.returncode}, expected {code}: {result.stderr.strip()[-300:]}")
        self.json = json.loads(report.read_text()) if json_flag else {}
        self.files = {p.relative_to(self.scratch).as_posix(): p.read_bytes() for p in self.scratch.rglob("*")
                      if p.is_file() and p != report}
        self.output, self.errors = result.stdout, result.stderr
        self.lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
        self.said = [False] * len(self.lines)
        self.values = dict(leaves(self.json)) if self.json else {}

    def start(self, program, *arguments, clock="counting", stdin=None):
        """Another program, or this one again: for a second route. SCRATCH is this run's folder."""
        if not (self.bin / program).exists():
            raise Missing(f"{program} is not built")
        environment = {**os.environ, "NO_COLOR": "1", "LC_ALL": "C"}
        environment.pop("KVLAB_CLOCK", None)
        if clock:
            environment["KVLAB_CLOCK"] = clock
        words = [str(a).replace("SCRATCH", str(self.scratch)) for a in arguments]
        return subprocess.run([self.bin / program, *words], capture_output=True, text=True, errors="replace",
                              input=stdin if stdin is not None else "", env=environment, timeout=TIME_LIMIT)

    def other(self, program, arguments, clock="counting"):
        """The report of another run, as data to compare with."""
        with tempfile.TemporaryDirectory() as scratch:
            report = Path(scratch) / "report.json"
            words = arguments.split() if isinstance(arguments, str) else arguments
            result = self.start(program, *words, "--json", report, clock=clock)
            if result.returncode != 0:
                raise Wrong(f"{program} {arguments}: exit code {result.returncode}: {result.stderr.strip()[-300:]}")
            return json.loads(report.read_text())

    # --- figures ------------------------------------------------------------------------------

    def at(self, path):
        if path not in self.values:
            raise Wrong(f"there is no figure {path}")
        return self.values[path]

    def _claim(self, route, path, expected, tolerance):
        """A path may name a list or an object: then all of its leaves, against the leaves of `expected`."""
        if path not in self.values:
            wanted = dict(leaves(expected, path))
            under = {p for p in self.values if p.startswith((path + ".", path + "["))}
            if not under:
                raise Wrong(f"there is no figure {path}")
            if wanted.keys() != under:
                raise Wrong(f"{path}: it holds {sorted(under)[:6]} ..., expected {sorted(wanted)[:6]} ...")
            for inner, value in wanted.items():
                self._claim(route, inner, value, tolerance)
            return
        found = self.values[path]
        if not same(found, expected, tolerance):
            raise Wrong(f"{path} is {found!r}, expected {expected!r} ({ROUTES[route]})")
        self.claimed.add(path)
        self.owners.setdefault(general(path), set()).add(route)

    def given(self, path, expected):
        self._claim("given", path, expected, 0)

    def by_hand(self, path, expected, tolerance=0):
        self._claim("by_hand", path, expected, tolerance)

    def closed_form(self, path, expected, tolerance=0):
        self._claim("closed_form", path, expected, tolerance)

    def same_report(self, path, expected, tolerance=0):
        self._claim("same_report", path, expected, tolerance)

    def second_route(self, path, expected, tolerance=0):
        self._claim("second_route", path, expected, tolerance)

    def counted_clock(self, path, expected, tolerance=0):
        """A time, or what was made of one, recomputed from the readings of the counting clock."""
        self._claim("counted_clock", path, expected, tolerance)

    def between(self, path, low, high):
        """For what only this machine knows: low <= figure <= high. Bounds are to be as tight as can be argued."""
        found = self.at(path)
        if isinstance(found, bool) or not isinstance(found, (int, float)) or not low <= found <= high:
            raise Wrong(f"{path} is {found!r}, expected {low} to {high}")
        self.claimed.add(path)
        self.owners.setdefault(general(path), set()).add("between")

    def quartiles(self, path, low, high, samples):
        """Five figures of `Quartiles`, in order and within bounds. By the counting clock: of intervals."""
        order = [self.at(f"{path}.{name}") for name in ("smallest", "low", "median", "high", "largest")]
        if sorted(order) != order:
            raise Wrong(f"{path}: quartiles out of order: {order}")
        for name in ("smallest", "low", "median", "high", "largest"):
            self.between(f"{path}.{name}", low, high)
        self.given(f"{path}.samples", samples)

    def head(self, seed=42, experiment=None):
        """What every report begins with."""
        self.given("schema", 1)
        self.given("experiment", experiment or " ".join([self.program, *self.arguments[:1]]))
        self.given("seed", seed)
        if "clock" in self.values:
            self.given("clock", "counting")
        processor = next((line.split(": ", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                          if line.startswith("model name")), "unknown processor")
        self.second_route("processor", processor)
        for name, pattern in {"compiler": r"(GNU|Clang) \d+\.\d+\.\d+", "flags": r".*-ffp-contract=off.*"}.items():
            if not re.fullmatch(pattern, self.at(name)):
                raise Wrong(f"{name} is {self.at(name)!r}")
            self.given(name, self.at(name))

    # --- printed lines ------------------------------------------------------------------------

    def says(self, *lines):
        """Each of these is a line of the output (white space aside); the first such line not yet claimed."""
        for line in lines:
            line = " ".join(line.split())
            at = next((i for i, text in enumerate(self.lines) if text == line and not self.said[i]), None)
            if at is None:
                near = [t for i, t in enumerate(self.lines) if not self.said[i] and t.split(" ")[:1] == line.split(" ")[:1]]
                raise Wrong(f"no printed line is '{line}'" + (f"; one is '{near[0]}'" if near else ""))
            self.said[at] = True

    def words(self, *lines):
        """Fixed text that happens to hold a digit: the same as says(), to be used for text alone."""
        self.says(*lines)

    def line(self, pattern):
        """The match of the first unclaimed line that is all of `pattern`, which is claimed: for what is not in the JSON.
        The caller compares the groups."""
        for i, text in enumerate(self.lines):
            found = None if self.said[i] else re.fullmatch(pattern, text)
            if found:
                self.said[i] = True
                return found
        raise Wrong(f"no printed line matches '{pattern}'")

    def holds(self, condition, what):
        """Anything else that must be so."""
        if not condition:
            raise Wrong(what)

    def finish(self):
        """Raises Wrong if a figure or a printed number was claimed by nobody."""
        left = [p for p in self.values if p not in self.claimed]
        if left:
            fields = sorted({general(p) for p in left})
            raise Wrong(f"{len(left)} figures have no check: {', '.join(fields[:12])}{' ...' if len(fields) > 12 else ''}")
        silent = [text for text, said in zip(self.lines, self.said) if not said and re.search(r"\d", text)]
        if silent:
            raise Wrong(f"{len(silent)} printed lines have no check, the first: '{silent[0]}'")


def number(value, digits=3):
    """format_number of measure.hpp: three digits, but whole numbers up to a million in full."""
    return f"{value:.0f}" if 100 <= abs(value) < 1e6 else f"{value:.{digits}g}"
