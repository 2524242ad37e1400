"""What wrong answers look like: tests/course/signatures/stepNN.json has, for each known mistake (mistakes.py), its answers to the first
questions that it gets wrong. A student whose answers are the same is told what he did, and not only that it is wrong.

    {"schema": ..., "step": 1, "seed": 7, "mistakes": [
      {"case": "1.3 softmax: ...", "name": "...", "lines": [["scores=7", {"answer": {...}}], ...]}]}

A reply is what the program wrote, or {"ended": words} where it did not live to write one. The sentence that is shown is read from the
mistakes' own files, so that it can be reworded without recording anything.
"""
import json
import math
import re

from course.asking import Limits, of_reply, questions_of, replies_of, requests_of, run
from course.mistakes import mistakes_of
from course.tasks import ROOT, Failure
from course.values import float_of

SCHEMA = "kvlab/signatures/v1"
SEED = 7
LINES = 3  # recorded of each case: more tell mistakes apart that agree at first
MOST_SENTENCES = 2  # of mistakes that cannot be told apart
NEAR = 1e-3  # of two floats, relative: another way to write the same mistake rounds otherwise


def path_of(step):
    return ROOT / "tests" / "course" / "signatures" / f"step{step:02}.json"


# --- recording ---------------------------------------------------------------------------------------------------------

def recorded(case, name, command, launcher=None):
    """The entry of a mistake for one case, asked of a program that is built with it; None if it gets every question right."""
    lines = []
    for line, given, expected in questions_of(case, SEED):
        reply, ended = reply_of(case.name, given, command, launcher)
        if ended or of_reply(case.name, line, expected, json.dumps(reply)):
            lines.append([line, reply])
        if len(lines) == LINES:
            break
    return {"case": case.name, "name": name, "lines": lines} if lines else None


def recorded_of(step, mistake, cases, command, launcher=None):
    """The entries of a mistake: of every case of its own task."""
    entries = [recorded(case, mistake.name, command, launcher) for case in cases.values() if case.task == mistake.task]
    return [entry for entry in entries if entry]


def write(step, entries, tasks):
    """Writes the chapter's file: new entries of these tasks, and those of the others as they are."""
    path = path_of(step)
    if path.exists():
        entries = [entry for entry in loaded(path, step) if entry["case"].split()[0] not in tasks] + entries
    path.parent.mkdir(exist_ok=True)
    rows = ",\n  ".join(json.dumps(entry, separators=(",", ":")) for entry in entries)
    path.write_text(f'{{"schema": "{SCHEMA}", "step": {step}, "seed": {SEED}, "mistakes": [\n  {rows}\n]}}\n')


def reply_of(name, given, command, launcher):
    """(reply, whether the program ended instead)."""
    data, ending, output = run(command, requests_of(name, [given]), Quick, launcher)
    replies = replies_of(data)
    if replies:
        try:
            reply = json.loads(replies[0])
        except (ValueError, RecursionError):
            reply = None
        return (reply if isinstance(reply, dict) else {"ended": "no JSON object"}), False
    return {"ended": kind_of_end(*(ending or ("crashed", "")), output)}, True


class Quick(Limits):
    seconds = Limits.seconds / 3


def kind_of_end(outcome, message, output):
    """What two programs with the same mistake have in common: no address, and no line."""
    found = re.search(r"AddressSanitizer: ([\w-]+)|runtime error: ([a-z -]+)|ended by (SIG\w+)", output + "\n" + message)
    return outcome + (f": {next(word for word in found.groups() if word).strip()}" if found else "")


# --- comparing ---------------------------------------------------------------------------------------------------------

class Known:
    """The recorded mistakes of a chapter."""

    def __init__(self, step, tasks, cases):
        self.cases, self.entries = cases, []
        path = path_of(step)
        if not path.exists():
            return
        says = {(mistake.task, mistake.name): mistake.says for mistake in mistakes_of(step, tasks, ROOT)}
        for entry in loaded(path, step):
            task = entry["case"].split()[0]
            if entry["case"] in cases and (task, entry["name"]) in says:
                self.entries.append((entry, says[task, entry["name"]]))

    def of(self, name, command, launcher):
        """What is said to a student: the sentence of the mistake that gives the same answers as this program; "" if none or too many do."""
        sentences = self.matches(name, command, launcher)
        return " Or: ".join(sentences) if len(sentences) <= MOST_SENTENCES else ""

    def matches(self, name, command, launcher=None):
        """The sentences of those mistakes whose answers are most like this program's."""
        entries = [(entry, says) for entry, says in self.entries if entry["case"] == name]
        asked = {line for entry, _ in entries for line, _ in entry["lines"]}
        questions = {line: (given, expected) for line, given, expected in questions_of(self.cases[name], SEED) if line in asked}
        replies = {}
        for line, (given, _) in questions.items():
            try:
                replies[line], ended = reply_of(name, given, command, launcher)
            except OSError:
                return []
            if ended and "timed out" in replies[line]["ended"]:
                break
        return most_like([(entry["lines"], says) for entry, says in entries], replies, {line: expected for line, (_, expected) in questions.items()})


def most_like(recorded_of_sentences, replies, expected):
    """Of [([[line, reply]], sentence)], the sentences whose recorded replies are most like these {line: reply}, all of them. The same answers
    throughout count more than some that are only near, and then more lines more than fewer."""
    best, sentences = (0, 0), []
    for lines, says in recorded_of_sentences:
        likeness = [like(reply, replies.get(line), expected.get(line, {})) for line, reply in lines]
        found = (min(likeness, default=0), sum(likeness))
        if found[0] == 0 or found < best:
            continue
        sentences = [*(sentences if found == best else []), says]
        best = found
    return list(dict.fromkeys(sentences))


def loaded(path, step):
    try:
        data = json.loads(path.read_text())
        assert data["schema"] == SCHEMA and data["step"] == step and data["seed"] == SEED
        for entry in data["mistakes"]:
            assert isinstance(entry["case"], str) and isinstance(entry["name"], str) and entry["lines"]
            assert all(len(pair) == 2 and isinstance(pair[1], dict) for pair in entry["lines"])
        return data["mistakes"]
    except (ValueError, KeyError, TypeError, AssertionError):
        raise Failure(f"{path.name}: no signatures of chapter {step} as this version writes them; record them anew") from None


def like(recorded, reply, expected):
    """3 for the same reply; between 1 and 2 for one that is NEAR, and ten times nearer than the right answer; 0 for another."""
    if not isinstance(reply, dict):
        return 0
    if recorded == reply:
        return 3
    if not isinstance(recorded.get("answer"), dict) or not isinstance(reply.get("answer"), dict):
        return 0
    mistake, student = ({name: plain(value) for name, value in side["answer"].items()} for side in (recorded, reply))
    if mistake.keys() != student.keys():
        return 0
    right = {name: plain(value) for name, value in expected.items() if value["kind"] in ("exact", "close", "integers", "number", "text")}
    # A mistake of the last bits is told by its bits alone: whoever writes it otherwise rounds otherwise.
    limit = min(NEAR, max((gap(mistake.get(name), value) for name, value in right.items()), default=0.0) / 10)
    found = max((gap(mistake[name], student[name]) for name in mistake), default=math.inf)
    return 2 - found / limit if 0 < limit and found <= limit else 0


def plain(value):
    """(shape, numbers) of an answer or of what is expected; whatever else it is, as it is."""
    if isinstance(value, str):  # the executor's reports name lines, threads and bytes, which depend on how the rest is written
        return re.sub(r"\d+", "#", value)
    if not isinstance(value, dict):
        return value
    if value.get("kind") in ("number", "text"):
        return value["value"]
    try:
        if "f32" in value:
            return list(value["shape"]), [float_of(bits & 0xffffffff) for bits in value["f32"]]
        return list(value["shape"]), list(value["values"] if "values" in value else value["int"])
    except (KeyError, TypeError):
        return str(value)


def gap(a, b):
    """The largest relative difference of two answers; infinite where they differ in more than their floats."""
    if not (isinstance(a, tuple) and isinstance(b, tuple)):
        return 0.0 if a == b else math.inf
    if a[0] != b[0] or len(a[1]) != len(b[1]):
        return math.inf
    return max((gap_of(x, y) for x, y in zip(a[1], b[1])), default=0.0)


def gap_of(x, y):
    if x == y or (x != x and y != y):
        return 0.0
    if not (isinstance(x, float) and isinstance(y, float) and math.isfinite(x) and math.isfinite(y)):
        return math.inf
    return abs(x - y) / max(abs(x), abs(y))


def problems(step, tasks, cases):
    """What the recorded file lacks or has too much, in words; for a check of the whole course."""
    known = {(mistake.task, mistake.name) for mistake in mistakes_of(step, tasks, ROOT)}
    path = path_of(step)
    there = {(entry["case"].split()[0], entry["name"]) for entry in loaded(path, step)} if path.exists() else set()
    return ([f"mistake '{name}' of task {task} has no signature" for task, name in sorted(known - there)] +
            [f"the signature '{name}' of task {task} is of no mistake" for task, name in sorted(there - known)])


__all__ = ["recorded", "recorded_of", "write", "Known", "problems"]
