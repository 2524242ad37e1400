"""The tree that submissions are graded in: a starter, made and built once, whose task files are exchanged.

It lies in a work folder under the hash of all that it is made from, so that it is never older than the project.
"""
import contextlib
import fcntl
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess

from course.asking import TIMED_OUT, collected, listed, time_scale
from course.confine import MIB, Confinement, Share
from course.export import export
from course.selection import selected
from course.tasks import ROOT, Failure, tasks_of

SCALE = time_scale()
COMPILE_SECONDS = 300.0 * max(1.0, SCALE)  # of a whole build; one file takes up to 20 s on a slow processor
# Sanitizers reserve terabytes of addresses, so it is memory in use that is limited.
COMPILER = Share(seconds=int(COMPILE_SECONDS), memory=4096 * MIB, file=512 * MIB, processes=256, files=1024)
# A pool has a thread for each processor, and chapters have two of them.
THREADS = min(190, 64 + 2 * (os.cpu_count() or 1))
PROGRAM = Share(seconds=int(30 * SCALE) + 1, memory=1024 * MIB, file=16 * MIB, processes=THREADS, files=64)
TOOLS = ("cmake", "ninja", "c++")
CONFIGURE = ("-G", "Ninja", "-DKVLAB_GPU=OFF")


def default_work():
    """A folder that the user of a submission may enter, which root's own cache is not."""
    if os.geteuid() == 0:
        return pathlib.Path("/var/cache/kvlab-grade")
    return pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "kvlab-grade"


def hash_of(paths, *more):
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(f"{path.as_posix()}\0".encode() + hashlib.sha256((ROOT / path).read_bytes()).digest())
    for word in more:
        digest.update(f"{word}\0".encode())
    return digest.hexdigest()[:16]


def sources_of(step):
    """What the build of a starter is made from."""
    makers = {pathlib.Path("tools/course") / f"{name}.py" for name in ("export", "files", "markers", "selection", "tasks")}
    return {*selected(step), *makers, pathlib.Path("tests/course") / f"step{step:02}.toml"}


class Tree:
    """A starter and its build. One grader at a time has it."""

    def __init__(self, step, preset, work, trust=False):
        missing = [tool for tool in ("cmake", "ninja", os.environ.get("CXX", "c++")) if not shutil.which(tool)]
        if missing:
            raise Failure(f"there is no {missing[0]} here")
        self.step, self.preset, self.program_name = step, preset, f"step{step:02}_tasks"
        self.compiler_command = os.environ.get("CXX", "c++")
        self.hash = hash_of(sources_of(step), preset, self.compiler(), self.compiler_command, *CONFIGURE)
        self.work = pathlib.Path(work).absolute()
        self.folder = self.work / f"step{step:02}-{preset}-{self.hash}"
        self.tree, self.build, self.scratch = (self.folder / name for name in ("tree", "build", "scratch"))
        self.trust = trust
        self.files = sorted({file for task in tasks_of(step).values() for file in task.files})

    @property
    def program(self):
        return self.build / "bin" / self.program_name

    def compiler(self):
        done = subprocess.run([os.environ.get("CXX", "c++"), "--version"], capture_output=True, text=True)
        return (done.stdout.splitlines() or ["unknown"])[0]

    @contextlib.contextmanager
    def held(self, say=lambda text: None):
        """The tree, made if it is not there, for this grader alone; everything that is confined has been tried."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = open(self.folder / "lock", "w")
        except OSError as error:
            raise Failure(f"{self.folder}: {error.strerror}; name a folder of your own with --work") from None
        closed = [place for place in self.folder.parents if not place.stat().st_mode & 0o001]
        if closed and os.geteuid() == 0 and not self.trust:
            lock.close()
            raise Failure(f"{closed[0]} cannot be entered by the user of a submission; name another folder with --work")
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say("another grader has the tree; waiting for it ...")
                fcntl.flock(lock, fcntl.LOCK_EX)
            if not (self.folder / "ready.json").exists():
                say(f"making and building the starter of chapter {self.step} (once) ...")
                self.make()
            saved = json.loads((self.folder / "ready.json").read_text())
            self.case_names = saved["cases"]
            self.originals = {file: text.encode() for file, text in saved["files"].items()}
            self.confine()
            try:
                yield self
            finally:
                self.restore()

    def make(self):
        for folder in (self.tree, self.build, self.scratch):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        export(self.step, self.tree)
        readable(self.tree)
        # Where there is a ccache, what was compiled in an older tree is found.
        environment = {**os.environ, "CCACHE_BASEDIR": str(self.folder), "CCACHE_NOHASHDIR": "true"}
        configure = ["cmake", "--preset", self.preset, *CONFIGURE, "-B", str(self.build)]
        for command in (configure, ["cmake", "--build", str(self.build), "--target", self.program_name]):
            done = subprocess.run(command, cwd=self.tree, capture_output=True, text=True, errors="replace", env=environment)
            if done.returncode:
                lines = [line for line in (done.stdout + done.stderr).splitlines() if "rror" in line or "FAILED" in line]
                raise Failure(f"the starter cannot be built: {lines[0].strip() if lines else ' '.join(command[:3])}")
        text = json.dumps({"cases": listed(self.program), "files": {file: (self.tree / file).read_text() for file in self.files}})
        (self.folder / "ready.json").write_text(text)
        self.older_ones_go()

    def older_ones_go(self):
        """Trees of the same chapter that nobody has now: the project has changed since."""
        for folder in self.work.glob(f"step{self.step:02}-{self.preset}-*"):
            if folder == self.folder:
                continue
            try:
                with open(folder / "lock", "w") as lock:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(folder)
            except OSError:
                continue

    def confine(self):
        folders = {str(pathlib.Path(shutil.which(tool)).resolve().parent) for tool in (*TOOLS, self.compiler_command) if shutil.which(tool)}
        self.compiling = Confinement([self.tree, self.build, *folders], [self.scratch, self.build], COMPILER, self.trust)
        self.running = Confinement([self.tree, self.build], [], PROGRAM, self.trust)
        if self.trust:
            return
        if self.compiling.uid is not None:
            given(self.build, self.compiling.uid)
            given(self.scratch, self.compiling.uid)
        secret = ROOT / "tests" / "course" / f"step{self.step:02}.py"
        for confinement in (self.compiling, self.running):
            confinement.prove(secret, [ROOT, self.folder, self.tree], self.tree / self.files[0])

    def put(self, files):
        """Exchanges the tasks' files; what is not named is a hole again."""
        for file in self.files:
            data = files.get(file, self.originals[file])
            path = self.tree / file
            if not path.exists() or path.read_bytes() != data:
                path.write_bytes(data)
                path.chmod(0o644)

    def restore(self):
        self.put({})
        for path in self.scratch.iterdir():
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()

    def built(self):
        """None if the tree builds, else what the compiler said."""
        self.program.unlink(missing_ok=True)  # none of another submission may be left
        command = ["cmake", "--build", str(self.build), "--target", self.program_name, "--", "-k", "0"]
        process = self.compiling.start(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        reading, writing = os.pipe()
        os.close(writing)
        with os.fdopen(reading, "rb", buffering=0) as nothing, process.stdout:
            try:
                _, printed, ending = collected(process, nothing, COMPILE_SECONDS, self.compiling, kept=4 * MIB)
            finally:
                self.compiling.end(process)
        if ending:
            return f"error: the compiler was ended: {f'more than {COMPILE_SECONDS:g} s' if ending[0] == TIMED_OUT else ending[1].split(': ', 1)[1]}"
        if process.returncode == 0 and self.program.exists():
            return None
        return printed.decode(errors="replace").replace(f"{self.tree}/", "")


def readable(folder):
    """For users that own nothing of it."""
    for path in [folder, *folder.rglob("*")]:
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o555 if path.is_dir() else 0o444))


def given(folder, uid):
    """Everything below belongs to the user from now on."""
    if folder.stat().st_uid == uid:
        return
    for place, folders, names in os.walk(folder):
        for path in (place, *(os.path.join(place, name) for name in names + folders)):
            os.lchown(path, uid, uid)


# --- whose error it is -------------------------------------------------------------------------------------------------

ERROR = re.compile(r"^(\S+?):(\d+)(?::\d+)?: (?:fatal )?error: (.*)")


def blocks_of(output):
    """[(what failed, its lines)] of Ninja's output."""
    blocks = []
    for line in output.splitlines():
        if line.startswith("FAILED: "):
            blocks.append((re.sub(r"CMakeFiles/[^/]+\.dir/", "", re.sub(r"^FAILED: (\[code=\d+\] )?", "", line)), []))
        elif re.match(r"\[\d+/\d+\] |ninja: ", line):
            blocks.append(("", []))
        elif blocks:
            blocks[-1][1].append(line)
    return [block for block in blocks if block[0]]


def blamed(output, files):
    """{file: its first error} of those files that a failed build names."""
    found = {}
    for what, lines in blocks_of(output):
        errors = [ERROR.match(line) for line in lines]
        errors = [f"{match[1]}:{match[2]}: {match[3]}" for match in errors if match]
        for file in files:
            name = pathlib.PurePosixPath(file).name
            if file in what:
                found.setdefault(file, errors[0] if errors else first_error("\n".join(lines)))
            elif not what.split()[0].endswith(".o"):  # the linker, which names objects and sources
                own = [line for line in lines if re.search(rf"(?<![\w.]){re.escape(name)}", line) and not line.startswith((":", "/usr/bin/c++ -"))]
                if own:
                    words = [line for line in own if "multiple definition" in line or "undefined reference" in line or "error" in line]
                    found.setdefault(file, f"{file}: {re.sub(r'^.*?: ', '', (words or own)[0]).strip()[:300]}")
            elif any(file in line for line in lines):
                mine = [error for error in errors if error.startswith(f"{file}:")]
                if mine:
                    found.setdefault(file, mine[0])
    return found


def built_fairly(tree, files):
    """Builds a submission; a file that does not compile is left out, so that the others' tasks can be judged.

    Returns {file: first error}. Raises Failure where the fault is the grader's own."""
    errors, kept = {}, dict(files)
    while True:
        tree.put(kept)
        output = tree.built()
        if output is None:
            return errors
        changed = [file for file in kept if kept[file] != tree.originals[file]]
        found = blamed(output, changed) or by_trial(tree, kept, changed, output)
        if not found:
            raise Failure(f"the starter itself does not build: {first_error(output)}")
        errors |= found
        for file in found:
            del kept[file]


def first_error(output):
    lines = [line.strip() for line in output.splitlines()]
    return next((line for line in lines if "error" in line), lines[-1] if lines else "the compiler says nothing")[:300]


def by_trial(tree, kept, changed, output):
    """Where nobody is named: the file without which the rest builds, else all."""
    for file in changed if len(changed) > 1 else []:
        tree.put({name: data for name, data in kept.items() if name != file})
        if tree.built() is None:
            return {file: first_error(output)}
    return {file: first_error(output) for file in changed}
