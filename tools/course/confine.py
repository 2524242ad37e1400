"""Confines the compiler and the program of a submission: it cannot read the reference, change what it is judged by, reach
another process or a network, or use more than its share.

Two fences stand one after the other. Where the grader is root, a submission runs as a user of its own that owns nothing.
Where the kernel has Landlock, it sees the system's folders and its own tree alone. Each start of the grader tries both:
a process that is confined does what is forbidden, and if it succeeds, nothing is graded.
"""
import ctypes
import functools
import os
import pathlib
import pwd
import resource
import signal
import socket
import subprocess
import tempfile
from dataclasses import dataclass

from course import landlock, processes
from course.asking import Launcher
from course.tasks import Failure

FIRST_USER, USERS = 60000, 200  # no user of a distribution has these numbers; containers neither
# What compilers and programs of any distribution need. A process sees itself in /proc, but nobody else.
SYSTEM = ["/usr", "/bin", "/lib", "/lib32", "/lib64", "/etc/alternatives", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d",
          "/etc/localtime", "/etc/passwd", "/proc/self", "/proc/cpuinfo", "/proc/meminfo",
          "/proc/stat", "/proc/filesystems", "/proc/sys/vm", "/proc/sys/kernel", "/sys/devices/system"]
CLONE_NEWIPC, CLONE_NEWNET = 0x08000000, 0x40000000
PR_SET_PDEATHSIG = 1
MIB = 1 << 20


@dataclass
class Share:
    """What a process and all that it starts may use."""
    seconds: int  # of a processor, each process
    memory: int  # bytes in use by all together
    file: int  # bytes of a file
    processes: int = 64  # threads count
    files: int = 256  # open ones


def free_user():
    """(number, socket): a user that nobody has. The socket keeps it from other graders for as long as it is open."""
    for uid in range(FIRST_USER, FIRST_USER + USERS):
        try:
            pwd.getpwuid(uid)
            continue
        except KeyError:
            pass
        lock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            lock.bind(f"\0kvlab-grade-user-{uid}")
            processes.end_user(uid)  # of a grader that was killed
            return uid, lock
        except OSError:
            lock.close()
    raise Failure(f"no user from {FIRST_USER} to {FIRST_USER + USERS - 1} is free")


def threads_of_this_user():
    """Limits of processes count a user's, so those that run already are added to it."""
    count = 0
    for status in pathlib.Path("/proc").glob("[0-9]*/status"):
        try:
            text = status.read_text()
        except OSError:
            continue
        if f"\nUid:\t{os.getuid()}\t" in text:
            count += int(text.partition("\nThreads:\t")[2].split()[0])
    return count


class Confinement(Launcher):
    """Starts processes that read `reading` (and the system's folders), write into `writing` alone, and have a Share."""

    def __init__(self, reading, writing, share, trusted=False):
        self.reading, self.writing = [*SYSTEM, *map(str, reading)], ["/dev/null", *map(str, writing)]
        self.share, self.trusted, self.memory_limit = share, trusted, share.memory
        self.version = 0 if trusted else landlock.abi()
        self.uid, self.lock = (None, None) if trusted or os.geteuid() != 0 else free_user()
        self.folder = str(writing[0]) if writing else "/"
        self.before = set()
        processes.adopt_orphans()

    def __str__(self):
        if self.trusted:
            return "NOT CONFINED (--trust)"
        parts = ["a user of its own"] if self.uid is not None else []
        parts += [f"Landlock {self.version}"] if self.version else []
        return ", ".join(parts) or "not confined"

    def enter(self):
        """In the new process, before the program is there. All or nothing: what fails ends the process."""
        limits = [(resource.RLIMIT_CORE, 0), (resource.RLIMIT_CPU, self.share.seconds), (resource.RLIMIT_FSIZE, self.share.file),
                  (resource.RLIMIT_NOFILE, self.share.files), (resource.RLIMIT_NPROC, self.process_limit)]
        for kind, limit in limits:
            hard = resource.getrlimit(kind)[1]
            limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
            resource.setrlimit(kind, (limit, limit))
        if self.trusted:
            return
        if self.uid is not None:
            landlock.libc.unshare(CLONE_NEWNET | CLONE_NEWIPC)  # where a container forbids it, Landlock is left
        landlock.no_new_privileges()
        os.chdir(self.folder)
        if self.version:
            landlock.restrict(self.version, self.reading, self.writing)
        if self.uid is not None:
            os.setgroups([])
            os.setresgid(self.uid, self.uid, self.uid)
            os.setresuid(self.uid, self.uid, self.uid)
        os.umask(0o022)  # the program is run by another user than that of the compiler
        landlock.libc.prctl(PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL))

    @property
    def process_limit(self):
        return self.share.processes + (0 if self.uid is not None else self.running)

    # --- asking.Launcher -----------------------------------------------------------------------------------------

    def start(self, command, **options):
        self.running = 0 if self.uid is not None else threads_of_this_user()
        self.before = set(processes.children_of(os.getpid()))
        try:
            return subprocess.Popen(command, preexec_fn=self.enter, start_new_session=True, env=self.environment(), **options)
        except subprocess.SubprocessError:
            raise OSError("it could not be confined") from None

    def memory(self, process):
        return processes.memory_of(processes.descendants(self.before))

    def end(self, process):
        return processes.end_all(process, self.before, self.uid)

    def environment(self):
        """Nothing of the grader's own: a token in a variable is none of a submission's business."""
        return {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": self.folder, "TMPDIR": self.folder, "LANG": "C.UTF-8",
                "CCACHE_DISABLE": "1", "ASAN_OPTIONS": "color=never", "UBSAN_OPTIONS": "print_stacktrace=0"}

    # --- the proof -----------------------------------------------------------------------------------------------

    def prove(self, secret, outside, readable):
        """Raises Failure unless a confined process is refused what it must be: reading the file `secret`, writing into the
        folders `outside`, and reaching the grader by a signal or through its memory; and unless it can read `readable`."""
        self.running = 0 if self.uid is not None else threads_of_this_user()
        grader = os.getpid()
        with tempfile.TemporaryFile() as said:
            child = os.fork()
            if child == 0:
                try:
                    self.enter()
                    os.write(said.fileno(), "\n".join(permitted(secret, outside, readable, grader)).encode())
                    os._exit(0)
                except BaseException as error:
                    os.write(said.fileno(), f"it cannot be confined: {error}".encode())
                    os._exit(1)
            watched = child in processes.descendants()
            os.waitpid(child, 0)
            said.seek(0)
            words = said.read().decode().splitlines() + ([] if watched else ["the kernel does not tell which processes it has started"])
        if words:
            raise Failure(f"submissions cannot be confined here ({self}): {words[0]}")


def permitted(secret, outside, readable, grader):
    """What a confined process could do though it must not, in words."""
    def works(action):
        try:
            action()
            return True
        except OSError:
            return False

    def write(folder):
        path = pathlib.Path(folder) / f"kvlab-grade-{os.getpid()}"
        path.write_text("this should not be here")
        path.unlink()

    tried = [("it can read the reference", lambda: pathlib.Path(secret).read_bytes()),
             ("it can list the reference", lambda: os.listdir(pathlib.Path(secret).parent)),
             *((f"it can write into {folder}", functools.partial(write, folder)) for folder in outside),
             ("it can read the grader's memory", lambda: open(f"/proc/{grader}/mem", "rb").close()),
             ("it can read the grader's environment", lambda: pathlib.Path(f"/proc/{grader}/environ").read_bytes()),
             ("it can end the grader", lambda: os.kill(grader, 0))]
    found = [words for words, action in tried if works(action)]
    if not works(lambda: pathlib.Path(readable).read_bytes()):
        found.append(f"it cannot read its own tree, {readable}: name a folder that other users may enter with --work")
    return found
