#!/usr/bin/env python3
"""Grades the tests: each mutant of tests/mutants is one way to get a KV cache, or a kernel that
works on it, wrong, and a named test case must catch it.

One copied tree, built once. First every named case must be green on the right program (so that
red means something); then, for each mutant: apply, rebuild what changed, run its case alone, which
must FAIL, and revert. The weaker checks of tests/mutants/oracles.cpp run too, and must see exactly
what the mutant's file says they see. With --verify, `step03_kvcache verify` is built as well: it
must exit 0 on the right program and 1 on every mutant that says `Verify: notices`.

A mutant of step04_cuda alone is one of a kernel. Those checks run on the CPU and would not see it.
Instead tests/mutants/kernel_oracles.cpp launches the kernels raw in the order of their threads, raw in
another order, and checked: what the first two see, and what the executor reports in the third.

A mutant of step05_policies alone is one of a policy that forgets. A policy has no plain text to be equal
to; what is asked is whether the greedy text that it writes (tests/mutants/policy_oracles.cpp) changes at all.

A mutant of step06_quant and weights alone is one of a number format. Nothing weaker than its test case is asked:
a wrong format writes a text, too.

A mutant is a file NN_name.mutant:

    Bug: what is wrong; a line that begins with a space goes on
    Short: the same in a few words, for the table in chapter 3 (museum.py)
    Stands for: the mistake, or the known issue, that it is an example of
    Caught by: program "name of the test case"
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

Standard library only. Exit code 0: every mutant is caught. 1: not. 2: usage.
"""
import argparse
import difflib
import filecmp
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = ROOT / "tests" / "mutants"
SKIPPED = {".git", "build", "downloads", "__pycache__", ".cache", ".venv", "logs"}
WEIGHTS = ("sharp", "flat")  # the models of tests/mutants/oracles.cpp, and the checks that it makes
ORACLES = ("text", "1e-2", "1e-3", "1e-5", "bits", "itself")
WEIGHT_FIELDS = {kind: f"{kind.capitalize()} weights" for kind in WEIGHTS}
LAUNCHES = {"Raw": "raw", "Shuffled": "shuffled", "Report": "checked"}  # field: way of kernel_oracles.cpp
FIELDS = ("Bug", "Short", "Stands for", "Caught by", *WEIGHT_FIELDS.values(), "Verify", "Tracer", *LAUNCHES,
          "Policy", "Text")
KINDS = ("cache", "kernel", "policy", "format")  # of mutants
JUDGES = {"cache": "mutant_oracles", "kernel": "mutant_kernel_oracles", "policy": "mutant_policy_oracles"}
ONLY_IN = {"step04_cuda/": "kernel", "step05_policies/": "policy", "step06_quant/": "format", "weights/": "format"}  # all others: of the cache
RUN_SECONDS = 120  # a case that runs longer hangs


class Failure(Exception):
    """A reason that fits on one line."""


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
        caught = re.fullmatch(r'(\w+) "([^"]+)"', self.fields.get("Caught by", ""))
        if part or not self.edits or not caught or "Bug" not in self.fields:
            raise Failure(f"{path.name}: needs Bug, Caught by: program \"case\", FILE and a block")
        self.program, self.case = caught.groups()
        # {sharp | flat: {oracle: notices | misses, "largest": |difference| of the logits}}
        self.weaker = {kind: dict(item.partition("=")[::2] for item in self.fields.get(field, "").split())
                       for kind, field in WEIGHT_FIELDS.items()}
        self.verify = self.fields.get("Verify")
        self.tracer = self.fields.get("Tracer")
        self.kind = next((kind for folder, kind in ONLY_IN.items()
                          if all(file.startswith(folder) for file, _, _ in self.edits)), "cache")
        self.oracles = JUDGES.get(self.kind)  # None: its test case alone
        self.launches = {field: self.fields.get(field) for field in LAUNCHES}  # of a kernel
        self.policy, self.text = self.fields.get("Policy"), self.fields.get("Text")
        if self.kind == "policy" and not self.policy:
            raise Failure(f"{path.name}: needs Policy")

    def apply(self, read):
        """{file: mutated text}; `read(file)` gives the right text."""
        texts = {}
        for file, old, new in self.edits:
            text = texts.get(file) or read(file)
            words = re.findall(r"\w+|[^\w\s]", old)
            pattern = re.compile(r"\s*".join(map(re.escape, words)))
            found = [m for m in pattern.finditer(text)]
            if len(found) != 1:
                raise Failure(f"{self.name}: its text occurs {len(found)} times in {file}, expected 1: "
                              + " ".join(old.split())[:60])
            texts[file] = text[:found[0].start()] + new + text[found[0].end():]
        return texts

    def write_field(self, field, value):
        """Sets one line of the file's head."""
        lines = [l for l in self.path.read_text().splitlines() if not l.startswith(field + ":")]
        at = next(i for i, l in enumerate(lines) if l.startswith("FILE "))
        lines.insert(at, f"{field}: {value}")
        self.path.write_text("\n".join(lines) + "\n")


def run(command, log, seconds=None, **options):
    """(exit code, stdout); output is kept in `log` as well. A process that hangs is ended."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                               stdin=subprocess.DEVNULL, start_new_session=True, **options)
    try:
        out, _ = process.communicate(timeout=seconds)
        code = process.returncode
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, _ = process.communicate()
        code = None
    except BaseException:  # interrupted: leave no process behind
        os.killpg(process.pid, signal.SIGKILL)
        raise
    log.write(f"$ {' '.join(map(str, command))}\n{out}\n[exit code {code}]\n")
    log.flush()
    return code, out


class Tree:
    """The copied tree and its build."""

    def __init__(self, folder, mutants, verify):
        self.source, self.build = folder / "tree", folder / "build"
        self.right_program, self.right_trace = folder / "right_program", folder / "right.jsonl"
        self.programs = sorted({m.program for m in mutants})
        self.oracles = sorted({m.oracles for m in mutants if m.oracles})
        self.verify = verify and JUDGES["cache"] in self.oracles
        self.right_texts = {}  # policy: what it writes in the right program
        folder.mkdir(parents=True, exist_ok=True)
        self.log = open(folder / "mutants.log", "w")

    def targets_for(self, mutant):
        """All that judges it."""
        app = ["step03_kvcache"] if self.verify and mutant.kind == "cache" else []
        return [mutant.program, *([mutant.oracles] if mutant.oracles else []), *app]

    def targets(self):
        return [*self.programs, *self.oracles, *(["step03_kvcache"] if self.verify else [])]

    def copy(self):
        """Brings the copy up to date; files that are equal keep their times, so that a second run
        builds next to nothing."""
        wanted = set()
        for folder, folders, files in os.walk(ROOT):
            folders[:] = [f for f in folders if f not in SKIPPED]
            for file in files:
                path = pathlib.Path(folder, file)
                target = self.source / path.relative_to(ROOT)
                wanted.add(target)
                if not target.exists() or not filecmp.cmp(path, target, shallow=False):
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(path, target)
        for path in [p for p in self.source.rglob("*") if p.is_file() and p not in wanted]:
            path.unlink()

    def configure(self):
        last = max(int(path.name[4:6]) for path in ROOT.glob("step[0-9][0-9]_*"))
        command = ["cmake", "-S", self.source, "-B", self.build, "-G", "Ninja",
                   "-DCMAKE_BUILD_TYPE=Release", "-DCMAKE_CXX_FLAGS_RELEASE=-O1 -DNDEBUG",
                   "-DKVLAB_SCALAR=ON", "-DKVLAB_TESTS=ON", f"-DKVLAB_LAST_STEP={last}",
                   "-DKVLAB_GPU=OFF", "-DCMAKE_CUDA_COMPILER=NOTFOUND"]  # nvcc takes its time, and runs nothing
        if shutil.which("ccache"):
            command.append("-DCMAKE_CXX_COMPILER_LAUNCHER=ccache")
        if run(command, self.log)[0] != 0:
            raise Failure(f"cmake failed, see {self.log.name}")

    def make(self, targets):
        code, out = run(["ninja", "-C", self.build, *targets], self.log)
        if code != 0:
            error = next((l for l in out.splitlines() if "error" in l), "no message")
            raise Failure(f"does not build: {error.strip()}")

    def read(self, file):
        path = ROOT / file
        if not path.is_file():
            raise Failure(f"there is no file {file}")
        return path.read_text()

    def write(self, texts):
        for file, text in texts.items():
            (self.source / file).write_text(text)

    def test(self, program, case):
        """True if the case is green. Failure unless exactly that case ran and reported."""
        code, out = run([self.build / "bin" / program, f"--test-case={case}", "--no-colors",
                         "--reporters=xml"], self.log, RUN_SECONDS)
        if code is None:
            raise Failure(f"{program} did not end within {RUN_SECONDS} s")
        try:
            report = ElementTree.fromstring(out)
            counts = report.find("OverallResultsTestCases").attrib
        except (ElementTree.ParseError, AttributeError):
            raise Failure(f"{program} left no report (exit code {code})") from None
        ran = int(counts["successes"]) + int(counts["failures"])
        if ran != 1:
            raise Failure(f'{program} "{case}": {ran} test cases ran, expected 1')
        if (code == 0) != (counts["failures"] == "0"):
            raise Failure(f"{program}: exit code {code} with {counts['failures']} failures")
        return code == 0

    def red_cases(self):
        """Names of all failing cases of all programs: who else would have caught the mutant."""
        red = []
        for program in self.programs:
            _, out = run([self.build / "bin" / program, "--no-colors", "--reporters=xml"], self.log, 600)
            try:
                for case in ElementTree.fromstring(out).iter("TestCase"):
                    if case.find("OverallResultsAsserts").get("failures") != "0" or case.find("Exception") is not None:
                        red.append(f"{program} \"{case.get('name')}\"")
            except (ElementTree.ParseError, AttributeError):
                red.append(f"{program}: no report")
        return red

    def weaker_checks(self):
        """As Mutant.weaker, of the program as built. A crash is noticed by everybody."""
        code, out = run([self.build / "bin" / "mutant_oracles"], self.log, RUN_SECONDS)
        if code != 0:
            return {kind: {**dict.fromkeys(ORACLES, "notices"), "largest": "none"} for kind in WEIGHTS}
        results = {(model, check): result for model, check, result in re.findall(r"^(\w+) (\S+) (\S+)$", out, re.M)}
        missing = [f"{kind} {oracle}" for kind in WEIGHTS for oracle in ORACLES if (kind, oracle) not in results]
        if missing:
            raise Failure(f"mutant_oracles does not say: {', '.join(missing)}")
        return {kind: {**{oracle: "misses" if results[kind, oracle] == "same" else "notices" for oracle in ORACLES},
                       "largest": results.get((kind, "largest"), "none")} for kind in WEIGHTS}

    def launched(self, way):
        """(notices | misses, what the executor reports), of the kernels launched in this way."""
        code, out = run([self.build / "bin" / "mutant_kernel_oracles", way], self.log, RUN_SECONDS)
        if code != 0:  # a crash, or a kernel that hangs
            return "notices", "none"
        said = out.splitlines()[-1:] or [""]
        # Raw launches notice who is missing at a barrier, too, but do not know the line.
        found = re.fullmatch(r"reports (.+) at (\S*):(\d+)", said[0])
        if not found and said[0] not in ("same", "differs", "throws"):
            raise Failure(f"mutant_kernel_oracles {way}: cannot read '{said[0]}'")
        report = f"{found[1]} | {found[2]} | {self.line(found[2], int(found[3]))}" if found and found[2] else "none"
        return "misses" if said[0] == "same" else "notices", report

    def line(self, name, number):
        """The text of a line of a kernel's file, as it stands in the mutant."""
        files = list((self.source / "step04_cuda").rglob(name))
        if len(files) != 1:
            raise Failure(f"a report names {name}, of which there are {len(files)}")
        lines = files[0].read_text().splitlines()
        return lines[number - 1].strip() if 0 < number <= len(lines) else "?"

    def launches(self):
        """As Mutant.launches, of the program as built."""
        return {field: self.launched(way)[field == "Report"] for field, way in LAUNCHES.items()}

    def policy_text(self, policy):
        """The tokens that it writes, as one line; None if it refuses or crashes."""
        code, out = run([self.build / "bin" / JUDGES["policy"], policy], self.log, RUN_SECONDS)
        return out if code == 0 else None

    def run_verify(self):
        """notices | misses, of `step03_kvcache verify`."""
        models = [option for name in ("tiny", "deep")
                  for option in ("-m", self.source / "weights" / f"{name}.gguf")]
        prompts = ["-p", "a", "-p", "In the", "-p", "And God said, Let there be light"]
        code, _ = run([self.build / "bin" / "step03_kvcache", "verify", "-n", "4", *models, *prompts],
                      self.log, 600)
        if code not in (0, 1):
            raise Failure(f"step03_kvcache verify: exit code {code}, expected 0 or 1")
        return "misses" if code == 0 else "notices"

    def record(self, trace):
        """A run of the program as built, in a file; False if the program refuses or crashes."""
        code, _ = run([self.build / "bin" / "step03_kvcache", "generate", "-m", self.source / "weights" / "tiny.gguf",
                       "-p", "In the beginning", "-n", "8", "--trace", trace], self.log, RUN_SECONDS)
        return code == 0

    def keep_the_right_program(self):
        """And what it records, to compare the mutants' traces with."""
        shutil.copy(self.build / "bin" / "step03_kvcache", self.right_program)
        if not self.record(self.right_trace) or self.first_difference() != "no difference":
            raise Failure("step03_kvcache generate --trace: the right program differs from itself")

    def first_difference(self):
        """Where `diverge` finds the first number that differs from the right program, and what it guesses."""
        trace = self.build / "mutant.jsonl"
        if not self.record(trace):
            return "does not run"
        code, out = run([self.right_program, "diverge", "--traces", self.right_trace, trace], self.log, RUN_SECONDS)
        if code == 0:
            return "no difference"
        place = re.search(r"first difference at (.+)", out)
        guess = re.search(r"likely: (.+)", out)
        if not place or not guess:
            raise Failure(f"step03_kvcache diverge: exit code {code} and no place")
        return f"{place[1]} | {guess[1]}"


def clean_checks(tree, mutants):
    """Everything is green on the right program."""
    for program, case in sorted({(m.program, m.case) for m in mutants}):
        if not tree.test(program, case):
            raise Failure(f'{program} "{case}" fails on the right program')
    noticed = []
    if JUDGES["cache"] in tree.oracles:
        noticed += [f"{kind} {check}" for kind, checks in tree.weaker_checks().items()
                    for check, result in checks.items() if result not in ("misses", "0")]
    if JUDGES["kernel"] in tree.oracles:
        noticed += [f"{way} launches" for way in LAUNCHES.values() if tree.launched(way)[0] != "misses"]
    if noticed:
        raise Failure(f"weaker checks see a bug in the right program: {', '.join(noticed)}")
    for policy in sorted({m.policy for m in mutants if m.kind == "policy"}):
        tree.right_texts[policy] = tree.policy_text(policy)
        if not tree.right_texts[policy]:
            raise Failure(f"the right program writes no text with policy {policy}")
    if tree.verify and tree.run_verify() != "misses":
        raise Failure("step03_kvcache verify fails on the right program")
    if tree.verify:
        tree.keep_the_right_program()


def judge(tree, mutant, options):
    """Why the mutant counts as failed; an empty list if it is caught as its file says."""
    wrong = []
    tree.write(mutant.apply(tree.read))
    tree.make(tree.targets() if options.suite else tree.targets_for(mutant))
    if tree.test(mutant.program, mutant.case):
        wrong.append(f'NOT caught by "{mutant.case}"')
    if options.suite:
        print("\n".join(f"    red: {case}" for case in tree.red_cases()))
    compare = {"cache": compare_weaker_checks, "kernel": compare_launches, "policy": compare_texts}
    return wrong + (compare[mutant.kind](tree, mutant, options) if mutant.oracles else [])


def compare_texts(tree, mutant, options):
    """Whether a policy's text changes, against its file."""
    found = "misses" if tree.policy_text(mutant.policy) == tree.right_texts[mutant.policy] else "notices"
    wrong = []
    if options.measure:
        mutant.write_field("Text", found)
    elif found != mutant.text:
        wrong.append(f"the text {found} it, its file says {mutant.text}")
    mutant.text = found
    return wrong


def compare_launches(tree, mutant, options):
    """What raw and checked launches see of a kernel, against its file."""
    wrong = []
    for field, found in tree.launches().items():
        if options.measure:
            mutant.write_field(field, found)
        elif found != mutant.launches[field]:
            wrong.append(f"{field}: '{found}', its file says '{mutant.launches[field]}'")
        mutant.launches[field] = found
    return wrong


def compare_weaker_checks(tree, mutant, options):
    """What they see of a wrong cache, against its file."""
    wrong = []
    weaker = tree.weaker_checks()
    if options.measure:
        for kind, checks in weaker.items():
            mutant.write_field(WEIGHT_FIELDS[kind], " ".join(f"{k}={v}" for k, v in checks.items()))
    else:
        wrong += [f"{kind} {check}: {checks.get(check)}, its file says {mutant.weaker[kind].get(check)}"
                  for kind, checks in weaker.items() for check in {**checks, **mutant.weaker[kind]}
                  if checks.get(check) != mutant.weaker[kind].get(check)]
    mutant.weaker = weaker
    if tree.verify:
        seen = tree.run_verify()
        if options.measure:
            mutant.write_field("Verify", seen)
        elif seen != mutant.verify:
            wrong.append(f"verify {seen} it, its file says {mutant.verify}")
        mutant.verify = seen
        found = tree.first_difference()
        if options.measure:
            mutant.write_field("Tracer", found)
        elif found != mutant.tracer:
            wrong.append(f"the tracer says '{found}', its file '{mutant.tracer}'")
        mutant.tracer = found
    return wrong


SEES = {"notices": "sees", "misses": "-"}
COLUMNS = [(kind, oracle) for kind in WEIGHTS for oracle in ORACLES]


def print_head(kind, verify):
    if kind == "format":
        print("who sees it: the named case")
        print(f"{'mutant':<32}{'caught':<8}seconds")
        return
    if kind == "policy":
        print("who sees it: the named case; then the text of tests/mutants/policy_oracles.cpp")
        print(f"{'mutant':<32}{'caught':<8}{'text':<7}{'of':<16}seconds")
        return
    if kind == "kernel":
        print("who sees it: the named case; then launches of tests/mutants/kernel_oracles.cpp")
        print(f"{'mutant':<32}{'caught':<8}{'raw':<7}{'shuffled':<10}{'report':<28}seconds")
        return
    print("who sees it: the named case; then the weaker checks of tests/mutants/oracles.cpp")
    print(f"{'':<40}" + "".join(f"{'-- ' + field.lower() + ' --':<{7 * len(ORACLES)}}"
                                 for field in WEIGHT_FIELDS.values()))
    print(f"{'mutant':<32}{'caught':<8}" + "".join(f"{oracle:<7}" for _, oracle in COLUMNS) +
          ("verify  " if verify else "") + "seconds")


def seen(mutant, verify):
    """Its columns behind 'caught'."""
    if mutant.kind == "format":
        return ""
    if mutant.kind == "policy":
        return f"{SEES.get(mutant.text, '?'):<7}{mutant.policy:<16}"
    if mutant.kind == "kernel":
        raw, shuffled = (SEES.get(mutant.launches[field], "?") for field in ("Raw", "Shuffled"))
        return f"{raw:<7}{shuffled:<10}{(mutant.launches['Report'] or '?').split(' | ')[0]:<28}"
    return "".join(f"{SEES.get(mutant.weaker[kind].get(oracle), '?'):<7}" for kind, oracle in COLUMNS) + (
        f"{SEES.get(mutant.verify, '?'):<8}" if verify else "")


def print_sums(mutants, verify):
    of = f"{'missed, of ' + str(len(mutants)):<40}"
    if mutants and mutants[0].kind == "format":
        return
    if mutants and mutants[0].kind == "policy":
        print(f"{of}{sum(m.text == 'misses' for m in mutants)}")
    elif mutants and mutants[0].kind == "kernel":
        raw, shuffled = (sum(m.launches[field] == "misses" for m in mutants) for field in ("Raw", "Shuffled"))
        print(f"{of}{raw:<7}{shuffled:<10}{sum(m.launches['Report'] == 'none' for m in mutants)}")
    elif mutants:
        missed = [sum(m.weaker[kind].get(oracle) == "misses" for m in mutants) for kind, oracle in COLUMNS]
        print(of + "".join(f"{n:<7}" for n in missed) +
              (str(sum(m.verify == "misses" for m in mutants)) if verify else ""))


def grade(tree, mutant, options):
    """Prints its line and what is wrong; True if it is caught as its file says."""
    start = time.monotonic()
    try:
        wrong = judge(tree, mutant, options)
    except Failure as failure:
        wrong = [str(failure)]
    finally:
        tree.write({file: tree.read(file) for file, _, _ in mutant.edits})
    print(f"{mutant.name:<32}{'NO' if wrong else 'yes':<8}{seen(mutant, options.verify)}"
          f"{time.monotonic() - start:.1f}", flush=True)
    for reason in wrong:
        print(f"    {reason}")
    return not wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", metavar="NAME", action="append", help="mutants whose name contains it")
    parser.add_argument("--list", action="store_true", help="names and bugs, nothing is run")
    parser.add_argument("--diff", action="store_true", help="print the mutants as diffs, nothing is run")
    parser.add_argument("--measure", action="store_true", help="write what the weaker checks see into the files")
    parser.add_argument("--suite", action="store_true", help="run all cases of the programs, list those that fail")
    parser.add_argument("--verify", action="store_true", help="run `step03_kvcache verify` and `diverge` as well")
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build" / "mutants", help="folder to work in")
    options = parser.parse_args()
    try:
        mutants = [Mutant(path) for path in sorted(FOLDER.glob("*.mutant"))]
    except Failure as failure:
        sys.exit(f"mutants: {failure}")
    if options.only:
        mutants = [m for m in mutants if any(only in m.name for only in options.only)]
    if not mutants:
        print("mutants: none of that name", file=sys.stderr)
        return 2
    if options.list:
        for m in mutants:
            print(f"{m.name}: {m.fields['Bug']}\n    caught by {m.program} \"{m.case}\"")
        return 0

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that no compiler is left behind
    tree = Tree(options.build, mutants, options.verify)
    if options.diff:
        for m in mutants:
            for file, text in m.apply(tree.read).items():
                sys.stdout.writelines(difflib.unified_diff(
                    tree.read(file).splitlines(True), text.splitlines(True), f"a/{file}", f"b/{file}"))
        return 0
    start = time.monotonic()
    try:
        tree.copy()
        tree.configure()
        tree.make(tree.targets())
        clean_checks(tree, mutants)
    except Failure as failure:
        print(f"mutants: {failure}\n0 passed, {len(mutants)} failed")
        return 1
    cases = len({m.case for m in mutants})
    print(f"the right program: built, {cases} named cases green ({time.monotonic() - start:.0f} s)")
    failed = 0
    for kind in KINDS:
        group = [m for m in mutants if m.kind == kind]
        if group:
            print_head(kind, options.verify)
        failed += sum(not grade(tree, mutant, options) for mutant in group)
        print_sums(group, options.verify)
    print(f"{len(mutants) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
