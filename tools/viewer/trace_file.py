"""Reads the trace of a generation (JSON lines) and refuses one that is cut off, changed or inconsistent.

The first line is the header: model, config, the runs, the prompt. Then, for each run and step:

    {"run":"uncached","step":3,"op":"key","layer":0,"positions":[0,1,2],"fresh":[2],"width":32,"sum":"...","bits":"..."}

`positions` are the rows that the operator computed, `fresh` those of them that this run had not recorded before, or
whose bits changed. `bits` holds the fresh rows alone, 8 digits a float; elsewhere the bits recorded last still hold.
`sum` is the checksum of all rows of the line. A step ends with a line without "op": token, piece, work, cache_bytes.
"""
from __future__ import annotations

import re
import sys
from array import array
from pathlib import Path

from lines import Malformed, counts, expect, field, is_count, positive_counts, read_lines

SHOWN = ("query", "key", "value")  # the rows that the page needs of every position
# Operator -> (inside of a layer, its width as a product of entries of the header's config).
OPERATORS = {
    "embedding": (False, ("dim",)), "attention_norm": (True, ("dim",)), "query": (True, ("heads", "head_dim")),
    "key": (True, ("kv_heads", "head_dim")), "value": (True, ("kv_heads", "head_dim")),
    "attention": (True, ("heads", "head_dim")), "attention_out": (True, ("dim",)), "attention_add": (True, ("dim",)),
    "ffn_norm": (True, ("dim",)), "ffn_hidden": (True, ("ffn",)), "ffn_out": (True, ("dim",)),
    "ffn_add": (True, ("dim",)), "final_norm": (False, ("dim",)), "logits": (False, ("vocab",)),
}
WORK = ("flops", "kv_projections", "weight_bytes", "cache_read", "cache_written")


def checksum(rows: list[bytes]) -> str:
    """FNV-1a over whole 32-bit patterns, as chapter 1 defines it."""
    total = 0xCBF29CE484222325
    for row in rows:
        words = array("I", row)
        if sys.byteorder == "little":
            words.byteswap()
        for word in words:
            total = (total ^ word) * 1099511628211 & 0xFFFFFFFFFFFFFFFF
    return f"{total:016x}"


class Run:
    """What one run recorded. Rows are kept as big-endian bytes."""

    def __init__(self, name: str, cache: str):
        self.name, self.cache = name, cache
        self.rows: dict[tuple, list] = {}  # (op, layer, position) -> [(step, row)], the last one holds
        self.steps: list[dict] = []        # step -> its end line
        self.lines: list[list] = []        # step -> what it computed, [(op, layer, positions)]

    def row(self, place: tuple, step: int) -> bytes | None:
        """The bits that this run held at a place when the step ended."""
        return next((row for since, row in reversed(self.rows.get(place, ())) if since <= step), None)


class Trace:
    """Reads a trace line by line and refuses the first line that does not fit what came before."""

    def __init__(self):
        self.header: dict = {}
        self.runs: dict[str, Run] = {}
        self.open: tuple | None = None  # (run, step) between its first operator and its end line
        self.computed: set = set()      # places of the open step, to find a row that is recorded twice

    def add(self, line) -> None:
        expect(type(line) is dict, "expected a JSON object")
        if not self.header:
            self.add_header(line)
            return
        expect("kvlab_trace" not in line, "a second header")
        run = self.runs.get(line.get("run")) if type(line.get("run")) is str else None
        expect(run is not None, "'run' is not one of the header's runs")
        step = line.get("step")
        expect(is_count(step) and step == len(run.steps), f"expected step {len(run.steps)} of run '{run.name}'")
        expect(self.open in (None, (run.name, step)), "the step before has no end line")
        if "op" in line:
            if self.open is None:
                self.open, self.computed = (run.name, step), set()
                run.lines.append([])
            self.add_rows(run, step, line)
        else:
            self.add_end(run, step, line)

    def add_header(self, line: dict) -> None:
        expect(line.get("kvlab_trace") == 1, "expected the header of a trace: {\"kvlab_trace\":1, ...}")
        config = field(line, "config", dict)
        positive_counts(config, ("layers", "heads", "kv_heads", "head_dim", "dim", "ffn", "vocab"))
        field(line, "model", str), field(line, "engine", str)
        prompt, pieces = field(line, "prompt", list), field(line, "prompt_pieces", list)
        expect(len(prompt) == len(pieces) > 0 and all(map(is_count, prompt)) and all(type(p) is str for p in pieces),
               "the prompt must have at least one token, and a piece for each")
        for run in field(line, "runs", list):
            expect(type(run) is dict and type(run.get("name")) is str and type(run.get("cache")) is str,
                   "each run needs a 'name' and a 'cache'")
            expect(run["name"] not in self.runs, "two runs of the same name")
            self.runs[run["name"]] = Run(run["name"], run["cache"])
        kinds = sorted(run.cache == "none" for run in self.runs.values())
        expect(kinds in ([False], [True], [False, True]), "expected a run with a cache, one without (cache 'none'), or both")
        self.header = line

    def add_rows(self, run: Run, step: int, line: dict) -> None:
        op, config = field(line, "op", str), self.header["config"]
        expect(op in OPERATORS, f"unknown operator {op!r}")
        in_layer, factors = OPERATORS[op]
        width = config[factors[0]] * (config[factors[1]] if len(factors) > 1 else 1)
        expect(line.get("width") == width, f"'{op}' is {width} floats wide in this model, found {line.get('width')!r}")
        layer = field(line, "layer", int)
        expect(0 <= layer < config["layers"] if in_layer else layer == -1, f"'{op}' cannot come from layer {layer}")
        positions, fresh = counts(line, "positions"), counts(line, "fresh")
        expect(len(positions) > 0, "'positions' is empty")
        expect(set(fresh) <= set(positions), "'fresh' names a position that is not among 'positions'")
        end = len(self.header["prompt"]) + step
        expect(positions[-1] < end, f"position {positions[-1]}, but only {end} tokens are fed by step {step}")
        bits = field(line, "bits", str)
        expect(len(bits) == 8 * width * len(fresh),
               f"'bits' has {len(bits)} digits, {len(fresh)} rows of {width} floats have {8 * width * len(fresh)}")
        expect(re.fullmatch("[0-9a-f]*", bits) is not None, "'bits' must be lower-case hexadecimal digits")
        for index, position in enumerate(fresh):
            row = bytes.fromhex(bits[8 * width * index:8 * width * (index + 1)])
            versions = run.rows.setdefault((op, layer, position), [])
            if not versions or versions[-1][1] != row:
                versions.append((step, row))
        self.add_computed(run, op, layer, positions, line)

    def add_computed(self, run: Run, op: str, layer: int, positions: list[int], line: dict) -> None:
        places = [(op, layer, position) for position in positions]
        for place in places:
            expect(place in run.rows, f"position {place[2]} of '{op}' has no bits, here or before")
            expect(place not in self.computed, f"position {place[2]} of '{op}' comes twice in this step")
        self.computed.update(places)
        total = checksum([run.rows[place][-1][1] for place in places])
        expect(line.get("sum") == total, f"'sum' is {line.get('sum')!r}, the bits give '{total}'")
        run.lines[-1].append((op, layer, positions))

    def add_end(self, run: Run, step: int, line: dict) -> None:
        expect(self.open is not None, "the end of a step without operators")
        work = field(line, "work", dict)
        expect(all(is_count(work.get(name)) for name in WORK), f"'work' must hold whole numbers: {', '.join(WORK)}")
        expect(is_count(line.get("token")) and is_count(line.get("cache_bytes")), "expected 'token' and 'cache_bytes'")
        field(line, "piece", str), field(line, "logits_sum", str)
        self.check_shown(run, step)
        run.steps.append(line)
        self.open = None

    def check_shown(self, run: Run, step: int) -> None:
        """The page draws every position of the text so far, in every layer."""
        end = len(self.header["prompt"]) + step
        for op in SHOWN:
            for layer in range(self.header["config"]["layers"]):
                place = f"'{op}' of layer {layer}"
                expect((op, layer, end - 1) in self.computed, f"step {step} ends without {place} for position {end - 1}")
                for position in range(end - 1):
                    expect((op, layer, position) in run.rows, f"step {step} ends, and {place} has no position {position}")

    def end(self) -> None:
        expect(bool(self.header), "the file is empty, expected the header of a trace")
        expect(self.open is None, "the file ends within a step: it was cut off")
        expect(any(run.steps for run in self.runs.values()), "no step was recorded")


def read(path: Path) -> Trace:
    trace = Trace()
    read_lines(path, trace)
    return trace
