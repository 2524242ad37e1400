"""One .mutant file: how it is written, and what is read from it.

A mutant is a file NN_name.mutant:

    Bug: what is wrong; a line that begins with a space goes on
    Short: the same in a few words, for the table in chapter 3 (museum.py)
    Stands for: the mistake, or the known issue, that it is an example of
    Caught by: program "name of the test case", or, of a figure that a program prints:
     report_test program "name of the check in tests/tools/reports"
    Kind: report (of what is measured, printed, written or refused: its test alone judges it)
    Sharp weights: text=misses 1e-2=notices ... largest=0.0012   (written by --measure)
    Flat weights: the same of the other weights                  (written by --measure)
    Verify: notices|misses                                       (written by --measure --verify)
    Tracer: the first difference | a guess                       (the same; of `diverge`)
 or, of a kernel, instead of the last four:
    Raw: notices|misses                                          (written by --measure)
    Shuffled: notices|misses                                     (the same)
    Report: what kind | file | text of the line; or none         (the same)
 or, of a policy:
    Policy: whose text is compared, by its name
    Text: notices|misses                                         (written by --measure)
    FILE path from the root
    <<<<
    text that occurs exactly once in FILE (any white space matches any other)
    ====
    what stands there instead
    >>>>

Not a unified diff, because those drift: line numbers and context change with every edit nearby.
Here only the changed text itself must still be there, and clang-format may break its lines as it
likes. When it is gone, or occurs twice, the mutant fails loudly. `--diff` prints the diff.
"""
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = ROOT / "tests" / "mutants"
WEIGHTS = ("sharp", "flat")  # the models of tests/mutants/oracles.cpp, and the checks that it makes
ORACLES = ("text", "1e-2", "1e-3", "1e-5", "bits", "itself")
WEIGHT_FIELDS = {kind: f"{kind.capitalize()} weights" for kind in WEIGHTS}
LAUNCHES = {"Raw": "raw", "Shuffled": "shuffled", "Report": "checked"}  # field: way of kernel_oracles.cpp
FIELDS = ("Bug", "Short", "Stands for", "Caught by", "Kind", *WEIGHT_FIELDS.values(), "Verify", "Tracer", *LAUNCHES,
          "Policy", "Text")
KINDS = ("cache", "kernel", "policy", "format", "schedule", "memory", "report")  # of mutants
REPORT_TEST = "report_test"
JUDGES = {"cache": "mutant_oracles", "kernel": "mutant_kernel_oracles", "policy": "mutant_policy_oracles"}
JUDGED_BY = {"step04_tests": "kernel", "step05_tests": "policy", "step06_tests": "format", "step07_tests": "schedule",
             "step08_tests": "memory", "weights_tests": "format"}  # all others: of the cache


class Failure(Exception):
    """A reason that fits on one line."""


def replaced(text, old, new, who, file):
    """`text`, which is `file`'s, with `new` where `old` stood, exactly once; any white space matches any other."""
    words = re.findall(r"\w+|[^\w\s]", old)
    found = list(re.finditer(r"\s*".join(map(re.escape, words)), text))
    if len(found) != 1:
        raise Failure(f"{who}: its text occurs {len(found)} times in {file}, expected 1: " + " ".join(old.split())[:60])
    return text[:found[0].start()] + new + text[found[0].end():]


class Mutant:
    """One .mutant file, parsed."""

    def __init__(self, path):
        self.path, self.name = path, path.stem
        self.fields, self.edits = {}, []  # edits: (file, old, new)
        file, part, old, new, field = None, None, [], [], None
        for number, line in enumerate(path.read_text().splitlines(), 1):
            where = f"{path.name}:{number}"
            if part is None and line.startswith("FILE "):
                file = line[5:].strip()
            elif line == "<<<<" and part is None and file:
                part, old, new = "old", [], []
            elif line == "====" and part == "old":
                part = "new"
            elif line == ">>>>" and part == "new":
                self.edits.append((file, "\n".join(old), "\n".join(new)))
                part = None
            elif part is not None:
                (old if part == "old" else new).append(line)
            elif line.startswith(" ") and field and file is None:
                self.fields[field] += line
            elif file is None and line.split(":")[0] in FIELDS:
                field, _, value = line.partition(":")
                self.fields[field] = value.strip()
            elif line.strip():
                raise Failure(f"{where}: cannot read '{line}'")
        caught = re.fullmatch(rf'({REPORT_TEST} )?(\w+) "([^"]+)"', self.fields.get("Caught by", ""))
        if part or not self.edits or not caught or "Bug" not in self.fields:
            raise Failure(f"{path.name}: needs Bug, Caught by: program \"case\", FILE and a block")
        self.by_report = caught[1] is not None  # of a program's figures, not of a test program's case
        self.program, self.case = caught.groups()[1:]
        # {sharp | flat: {oracle: notices | misses, "largest": |difference| of the logits}}
        self.weaker = {kind: dict(item.partition("=")[::2] for item in self.fields.get(field, "").split())
                       for kind, field in WEIGHT_FIELDS.items()}
        self.verify = self.fields.get("Verify")
        self.tracer = self.fields.get("Tracer")
        if self.fields.get("Kind", "report") != "report" or (self.by_report and "Kind" not in self.fields):
            raise Failure(f"{path.name}: Kind is report, or left out; a mutant that {REPORT_TEST} catches is of this kind")
        self.kind = self.fields.get("Kind") or JUDGED_BY.get(self.program, "cache")
        self.oracles = JUDGES.get(self.kind)  # None: its test case alone
        self.launches = {field: self.fields.get(field) for field in LAUNCHES}  # of a kernel
        self.policy, self.text = self.fields.get("Policy"), self.fields.get("Text")
        if self.kind == "policy" and not self.policy:
            raise Failure(f"{path.name}: needs Policy")

    def ask_nobody_else(self):
        """Leaves its named test as the only judge."""
        self.kind, self.oracles = "report", None

    def apply(self, read):
        """{file: mutated text}; `read(file)` gives the right text."""
        texts = {}
        for file, old, new in self.edits:
            texts[file] = replaced(texts.get(file) or read(file), old, new, self.name, file)
        return texts

    def write_field(self, field, value):
        """Sets one line of the file's head."""
        lines = [l for l in self.path.read_text().splitlines() if not l.startswith(field + ":")]
        at = next(i for i, l in enumerate(lines) if l.startswith("FILE "))
        lines.insert(at, f"{field}: {value}")
        self.path.write_text("\n".join(lines) + "\n")
