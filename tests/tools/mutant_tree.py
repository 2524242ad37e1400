"""A copy of the sources that mutants are written into, its build, and what its programs say."""
import filecmp
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import threading
import xml.etree.ElementTree as ElementTree

from mutant_file import JUDGES, LAUNCHES, ORACLES, REPORT_TEST, ROOT, WEIGHTS, Failure
from programs import REPORTERS

SKIPPED = {".git", "build", "downloads", "__pycache__", ".cache", ".venv"}
RUN_SECONDS = 240  # a case that runs longer hangs


TARGETS = {"kvlab_weights": "kvlab_weights_app"}  # of programs that are called otherwise

living = set()  # processes that were started and have not ended


def end_all():
    """Leaves no process behind."""
    for process in list(living):
        os.killpg(process.pid, signal.SIGKILL)


def run(command, log, seconds=None, **options):
    """(exit code, stdout); output is kept in `log` as well. A process that hangs is ended."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                               stdin=subprocess.DEVNULL, start_new_session=True, **options)
    living.add(process)
    try:
        out, _ = process.communicate(timeout=seconds)
        code = process.returncode
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, _ = process.communicate()
        code = None
    finally:
        living.discard(process)
    log.write(f"$ {' '.join(map(str, command))}\n{out}\n[exit code {code}]\n")
    log.flush()
    return code, out


class Tree:
    """The copied tree and its build."""

    def __init__(self, folder, mutants, verify, portable=True):
        """portable: the kernels of no other level are built, so that a mistake in the portable ones is met everywhere."""
        self.portable = portable
        self.source, self.build = folder / "tree", folder / "build"
        self.right_program, self.right_trace = folder / "right_program", folder / "right.jsonl"
        self.programs = sorted({m.program for m in mutants if not m.by_report})
        self.reporters = REPORTERS if any(m.by_report for m in mutants) else []
        self.right_bin, self.mixed_bin = folder / "right_bin", folder / "mixed_bin"
        self.oracles = sorted({m.oracles for m in mutants if m.oracles})
        self.verify = verify and JUDGES["cache"] in self.oracles
        self.right_texts = {}  # policy: what it writes in the right program
        folder.mkdir(parents=True, exist_ok=True)
        self.log = open(folder / "mutants.log", "w")

    def targets_for(self, mutant):
        """All that judges it."""
        app = ["step03_kvcache"] if self.verify and mutant.kind == "cache" else []
        return [TARGETS.get(mutant.program, mutant.program), *([mutant.oracles] if mutant.oracles else []), *app]

    def targets(self):
        return sorted({*self.programs, *(TARGETS.get(r, r) for r in self.reporters), *self.oracles, *(["step03_kvcache"] if self.verify else [])})

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
                   f"-DKVLAB_SCALAR={'ON' if self.portable else 'OFF'}", "-DKVLAB_TESTS=ON", f"-DKVLAB_LAST_STEP={last}",
                   # Few sources at a time: a mutant compiles no more than it must. Data that no mutant
                   # changes: what one tree compiled is what the next one would.
                   "-DCMAKE_UNITY_BUILD=ON", "-DCMAKE_UNITY_BUILD_BATCH_SIZE=4", f"-DKVLAB_DATA_DIR={ROOT}",
                   "-DKVLAB_GPU=OFF", "-DCMAKE_CUDA_COMPILER=NOTFOUND"]  # nvcc takes its time, and runs nothing
        if self.ccache_works():  # what one tree compiled counts in all others
            command.append("-DCMAKE_CXX_COMPILER_LAUNCHER=ccache")
            os.environ.setdefault("CCACHE_BASEDIR", str(ROOT))
            os.environ.setdefault("CCACHE_NOHASHDIR", "true")
        if run(command, self.log)[0] != 0:
            raise Failure(f"cmake failed, see {self.log.name}")

    def ccache_works(self):
        """It does not where its folder cannot be written."""
        if not shutil.which("ccache"):
            return False
        self.build.mkdir(parents=True, exist_ok=True)
        source = self.build / "try.cpp"
        source.write_text("int works;\n")
        return run(["ccache", "c++", "-c", source, "-o", self.build / "try.o"], self.log)[0] == 0

    def make(self, targets):
        code, out = run(["ninja", "-C", self.build, *targets], self.log)
        if code != 0:
            error = next((l for l in out.splitlines() if "error" in l), "no message")
            raise Failure(f"does not build: {error.strip()}")

    @staticmethod
    def read(file):
        path = ROOT / file
        if not path.is_file():
            raise Failure(f"there is no file {file}")
        return path.read_text()

    def write(self, texts):
        for file, text in texts.items():
            (self.source / file).write_text(text)

    def keep_the_right_reporters(self):
        """A check of a report may ask a second program for the same figure: the right one."""
        for folder in (self.right_bin, self.mixed_bin):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        for program in self.reporters:
            shutil.copy2(self.build / "bin" / program, self.right_bin)
            (self.mixed_bin / program).symlink_to(self.right_bin / program)

    def point(self, program, folder):
        """Makes the checks of reports take this program from `folder`, at once for all that are running."""
        new = self.mixed_bin / f"{program}.{threading.get_ident()}"
        new.symlink_to(folder / program)
        new.replace(self.mixed_bin / program)

    def report(self, program, check):
        """True if this check of the figures that the program as built reports is green."""
        self.point(program, self.build / "bin")
        code, out = run([sys.executable, self.source / "tests" / "tools" / "report_test.py", self.mixed_bin, program,
                         "--check", check], self.log, RUN_SECONDS, env={**os.environ, "KVLAB_LEVELS": "portable"})
        self.point(program, self.right_bin)
        if code is not None and not re.search(r"^(1 passed, 0|0 passed, 1) failed$", out, re.M):
            raise Failure(f"{REPORT_TEST} {program} --check {check}: exit code {code}, and not one check ran")
        return code == 0

    def green(self, mutant):
        """True if the mutant's test is green on the program as built."""
        return (self.report if mutant.by_report else self.test)(mutant.program, mutant.case)

    def test(self, program, case):
        """True if the case is green. Failure unless exactly that case ran and reported."""
        one = case.replace(",", "\\,")  # a bare comma would begin the next case
        code, out = run([self.build / "bin" / program, f"--test-case={one}", "--no-colors", "--reporters=xml"], self.log,
                        RUN_SECONDS)
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
        """notices | misses, of `step03_kvcache verify`, with the default prompts: their checksums are committed."""
        models = [option for name in ("tiny", "deep")
                  for option in ("-m", self.source / "weights" / f"{name}.gguf")]
        code, _ = run([self.build / "bin" / "step03_kvcache", "verify", *models], self.log, 600)
        if code not in (0, 1):
            raise Failure(f"step03_kvcache verify: exit code {code}, expected 0 or 1")
        return "misses" if code == 0 else "notices"

    def record(self, trace):
        """A run of the program as built, in a file; False if the program refuses or crashes."""
        code, _ = run([self.build / "bin" / "step03_kvcache", "generate", "-m", self.source / "weights" / "tiny.gguf",
                       "-p", "In the beginning", "-n", "8", "--trace", trace], self.log, RUN_SECONDS)
        return code == 0

    def keep_the_right_program(self, mutants):
        """What the program as built writes and records, to compare the mutants with."""
        for policy in {m.policy for m in mutants if m.kind == "policy"}:
            self.right_texts[policy] = self.policy_text(policy)
            if not self.right_texts[policy]:
                raise Failure(f"the right program writes no text with policy {policy}")
        if not self.verify:
            return
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
