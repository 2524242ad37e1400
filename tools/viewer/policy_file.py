"""Reads a recording of policies (JSON lines) and refuses one that is cut off, changed or inconsistent.

The first line is the header: model, config, the pieces of the text, which of them asked and answered, the policies.
Then, for each policy and step:

    {"policy":"h2o","step":3,"likeliest":"b","right":true,"bits":0.2,"bytes":12672,"held":[24,24],"changes":[[0,5,9,0]]}

A change [place, first, last, class] gives positions first to last a class from this step on; place = layer * KV heads
+ KV head. `held` counts, for each place, the positions that are not evicted: so a change that is lost is noticed.
"""
from __future__ import annotations

import math
from pathlib import Path

from lines import counts, expect, field, is_count, positive_counts, read_lines

CLASSES = ["evicted", "kept", "sink", "recent", "heavy", "merged"]
EVICTED = 0


class Policy:
    """One policy's steps, and the class of each position at the end of the last one."""

    def __init__(self, header: dict, places: int):
        self.header, self.steps = header, []
        self.classes: list[list[int]] = [[] for _ in range(places)]


class Recording:
    """Reads a recording line by line and refuses the first line that does not fit what came before."""

    def __init__(self):
        self.header: dict = {}
        self.policies: dict[str, Policy] = {}

    def fed(self, step: int) -> int:
        return self.header["whole"] + step

    def steps(self) -> int:
        """The last piece is never fed."""
        return len(self.header["pieces"]) - self.header["whole"]

    def add(self, line) -> None:
        expect(type(line) is dict, "expected a JSON object")
        if not self.header:
            self.add_header(line)
            return
        expect("kvlab_policies" not in line, "a second header")
        policy = self.policies.get(line.get("policy")) if type(line.get("policy")) is str else None
        expect(policy is not None, "'policy' is not one of the header's policies")
        step = line.get("step")
        expect(is_count(step) and step == len(policy.steps), f"expected step {len(policy.steps)} of '{policy.header['name']}'")
        expect(step < self.steps(), f"the text has {self.steps()} steps only")
        field(line, "likeliest", str), field(line, "right", bool)
        expect(type(line.get("bits")) in (int, float) and 0 <= line["bits"] < math.inf, "'bits' must be a number, at least 0")
        expect(is_count(line.get("bytes")), "expected 'bytes'")
        self.add_changes(policy, line, self.fed(step))
        policy.steps.append(line)

    def add_header(self, line: dict) -> None:
        expect(type(line.get("kvlab_policies")) is int and line["kvlab_policies"] == 1,
               "expected the header of a recording: {\"kvlab_policies\":1, ...}")
        positive_counts(field(line, "config", dict), ("layers", "heads", "kv_heads", "head_dim"))
        expect(line["config"]["layers"] * line["config"]["kv_heads"] <= 1 << 16, "config: too many layers and heads")
        field(line, "model", str), field(line, "engine", str)
        pieces = field(line, "pieces", list)
        expect(len(pieces) > 1 and all(type(piece) is str for piece in pieces), "'pieces' must hold two texts or more")
        expect(is_count(line.get("whole")) and 0 < line["whole"] < len(pieces), "'whole' must be at least 1 and leave a piece")
        expect(is_count(line.get("budget")) and type(line.get("ratio")) in (int, float) and 0 <= line["ratio"] <= 1,
               "expected a 'budget' and a 'ratio'")
        expect(line.get("classes") == CLASSES, f"'classes' must be {', '.join(CLASSES)}")
        self.check_recall(line.get("recall"), len(pieces) - 1)
        places = line["config"]["layers"] * line["config"]["kv_heads"]
        for policy in field(line, "policies", list):
            expect(type(policy) is dict and all(type(policy.get(name)) is str for name in ("name", "idea", "paper")),
                   "each policy needs a 'name', an 'idea' and a 'paper'")
            expect(policy["name"] not in self.policies, "two policies of the same name")
            self.policies[policy["name"]] = Policy(policy, places)
        expect(bool(self.policies), "no policies")
        self.header = line

    @staticmethod
    def check_recall(recall, fed: int) -> None:
        if recall is None:
            return
        expect(type(recall) is dict and is_count(recall.get("distance")), "'recall' must be null or have a 'distance'")
        for name in ("needle", "question"):
            positions = counts(recall, name)
            expect(len(positions) > 0 and positions[-1] < fed, f"'{name}' must hold positions of the text that is fed")

    def add_changes(self, policy: Policy, line: dict, fed: int) -> None:
        for now in policy.classes:
            now.extend([None] * (fed - len(now)))
        for change in field(line, "changes", list):
            expect(type(change) is list and len(change) == 4 and all(map(is_count, change)),
                   "a change is four whole numbers: place, first, last, class")
            place, first, last, new = change
            expect(place < len(policy.classes) and new < len(CLASSES), f"a change of place {place} to class {new}: there is none")
            expect(first <= last < fed, f"a change of positions {first} to {last}, of {fed}")
            now = policy.classes[place]
            for position in range(first, last + 1):
                expect(now[position] != new, f"a change that changes nothing at position {position}")
                expect(now[position] != EVICTED, f"position {position} was evicted and comes back")
                now[position] = new
        for now in policy.classes:
            expect(None not in now, f"position {now.index(None) if None in now else 0} has no class")
        expect(line.get("held") == [sum(c != EVICTED for c in now) for now in policy.classes],
               "'held' does not count the positions that are not evicted")

    def end(self) -> None:
        expect(bool(self.header), "the file is empty, expected the header of a recording")
        for name, policy in self.policies.items():
            expect(len(policy.steps) == self.steps(), f"'{name}' has {len(policy.steps)} of {self.steps()} steps: the file was cut off")


def read(path: Path) -> Recording:
    recording = Recording()
    read_lines(path, recording)
    return recording
