"""What is added to a copy of the tree, and how many files it touches: the work of promises_test.py."""
import io
import os
import re
import shutil
import subprocess
from pathlib import Path

from mutant_file import ROOT, Failure, replaced
from mutant_tree import SKIPPED, Tree, run

EXAMPLES = ROOT / "tests" / "promises"
TEST_SECONDS, SKIPPED_CASE = 900, 77  # of a test program; its exit code where a case could not run, of the real model or a GPU
BLOCK = re.compile(r"^<<<<\n(.*?)\n====\n(.*?)\n>>>>$", re.M | re.S)  # as in a mutant


class Addition:
    """One thing that a reader may add.

    files: {where it stands in the tree: the example in tests/promises/}. A .edit holds blocks as a mutant does, each of which replaces
    text that occurs exactly once; any other example is a file that was not there before.
    """

    def __init__(self, what, most, files, check):
        self.what, self.most, self.files, self.check = what, most, files, check

    def apply(self, read, examples=EXAMPLES):
        """{file: text} of all that it touches; read(file) gives the tree's text, None where there is no such file."""
        texts = {}
        for file, example in self.files.items():
            text, before = (examples / example).read_text(), read(file)
            if not example.endswith(".edit"):
                if before is not None:
                    raise Failure(f"{self.what}: {file} is there already")
                texts[file] = text
                continue
            blocks = BLOCK.findall(text)
            if before is None or not blocks:
                raise Failure(f"{self.what}: {example}: there is no {file}" if before is None else f"{self.what}: {example} has no block")
            for old, new in blocks:
                before = replaced(before, old, new, f"{self.what}: {example}", file)
            texts[file] = before
        if len(texts) > self.most:
            raise Failure(f"{self.what} touches {len(texts)} files, promised are {self.most}: {', '.join(texts)}")
        return texts


def read_tree(file):
    path = ROOT / file
    return path.read_text() if path.is_file() else None


class PromiseTree(Tree):
    """The copy with the additions in it, its build and its programs."""

    def __init__(self, folder):
        super().__init__(folder, [], verify=False)
        self.bin = self.build / "bin"

    def copy_with(self, added):
        """As copy(), with these texts in the place of the tree's. What is equal keeps its time, so that a second run builds little."""
        wanted = {}
        for folder, folders, files in os.walk(ROOT):
            folders[:] = [f for f in folders if f not in SKIPPED]
            wanted.update({path.relative_to(ROOT): path for path in (Path(folder, file) for file in files) if path.is_file()})
        texts = {Path(file): text for file, text in added.items()}
        for file in wanted.keys() | texts.keys():
            target, new = self.source / file, texts[file].encode() if file in texts else wanted[file].read_bytes()
            if not target.is_file() or target.read_bytes() != new:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(new)
            if file not in texts:
                shutil.copymode(wanted[file], target)
        for path in [p for p in self.source.rglob("*") if p.is_file() and p.relative_to(self.source) not in wanted.keys() | texts.keys()]:
            if "build" not in path.relative_to(self.source).parts:
                path.unlink()

    def said(self, program, *arguments, seconds=600):
        """What a program prints. Failure unless it ends with 0."""
        code, out = run([self.bin / program, *map(str, arguments)], self.log, seconds, env={**os.environ, "NO_COLOR": "1"})
        if code != 0:
            raise Failure(f"{program} {' '.join(map(str, arguments))}: exit code {code}: {last_line(out)}")
        return out

    def report(self, program, *arguments):
        """The report that it writes, as text, and what it prints."""
        path = self.build / "report.json"
        path.unlink(missing_ok=True)
        out = self.said(program, *arguments, "--json", path)
        return path.read_text(), out

    def tests(self, program, *filters, tried=()):
        """Runs these cases of a test program, which must have captured all names of `tried`. What passes is not logged: it is long."""
        out, what = io.StringIO(), " ".join([program, *filters])
        code, said = run([self.bin / program, "--no-colors", *filters, *(["--success"] if tried else [])], out, TEST_SECONDS)
        counts = re.search(r"test cases: *(\d+) \| *(\d+) passed \| *0 failed", said)
        if code not in (0, SKIPPED_CASE) or not counts:
            self.log.write(out.getvalue())
            names = dict.fromkeys(re.findall(r"^TEST CASE: +(.*)(?=(?:\n(?!TEST CASE).*)*? ERROR: )", said, re.M))
            raise Failure(f"{what}: exit code {code}: {'; '.join(names) or last_line(said)}")
        if counts[2] == "0":
            raise Failure(f"{what}: not one case ran")
        for name in tried:
            if not re.search(rf":= {re.escape(name)}(?![\w-])", said):
                raise Failure(f"{what}: passes without having tried {name}")

    def draw(self, picture, report, name):
        """Draws it from this report; it must name `name`. Left out where there is no matplotlib."""
        python, source, out = os.environ.get("KVLAB_PYTHON") or "python3", self.build / "report.json", self.build / f"{picture}.svg"
        if run([python, "-c", "import matplotlib"], self.log)[0] != 0:
            return print(f"left out: picture {picture} (no matplotlib: apt-get install python3-matplotlib)")
        source.write_text(report)
        out.unlink(missing_ok=True)
        code, said = run([python, self.source / "tools" / "plot.py", picture, "--json", source, "-o", out], self.log)
        if code != 0 or name not in out.read_text():
            raise Failure(f"picture {picture} is not drawn, or without {name}: {last_line(said)}")

    def script(self, *command):
        """(exit code, lines) of a script of the copied tree."""
        done = subprocess.run([str(self.source / command[0]), *map(str, command[1:])], capture_output=True, text=True, timeout=600, stdin=subprocess.DEVNULL)
        self.log.write(f"$ {' '.join(map(str, command))}\n{done.stdout}{done.stderr}\n")
        return done.returncode, (done.stdout + done.stderr).splitlines()


def last_line(text):
    return (text.strip().splitlines() or ["nothing"])[-1][:200]
