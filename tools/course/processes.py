"""The processes that a student's program has started, wherever they have gone: found, weighed and ended.

A process that detaches itself becomes a child of its nearest ancestor that adopts orphans. The grader is one, so that
everything stays among its descendants.
"""
import ctypes
import os
import pathlib
import signal
import time

from course.landlock import libc

PR_SET_CHILD_SUBREAPER = 36
PAGE = os.sysconf("SC_PAGE_SIZE")


def adopt_orphans():
    libc.prctl(PR_SET_CHILD_SUBREAPER, ctypes.c_ulong(1), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0))


def children_of(pid):
    found = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            found += map(int, pathlib.Path(f"/proc/{pid}/task/{thread}/children").read_text().split())
    except OSError:
        pass  # it has ended
    return found


def descendants(without=()):
    """All processes below this one but for the children `without` and what is below those."""
    found, todo = [], [pid for pid in children_of(os.getpid()) if pid not in without]
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo += children_of(pid)
    return found


def memory_of(pids):
    """Bytes of memory that the processes hold, their own and what they share with one another; files are not counted."""
    total = 0
    for pid in pids:
        try:
            fields = dict(line.split(":", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line)
        except OSError:
            continue
        total += sum(int(fields[name].split()[0]) << 10 for name in ("RssAnon", "RssShmem") if name in fields)
    return total


def end_user(uid):
    """Ends every process of a user at once, so that none can start another meanwhile."""
    child = os.fork()
    if child == 0:
        try:
            os.setresuid(uid, uid, uid)
            os.kill(-1, signal.SIGKILL)
        finally:
            os._exit(0)
    os.waitpid(child, 0)


def end_all(process, without=(), uid=None, seconds=10.0):
    """Ends what `process`, a Popen, has left running, and waits until all are gone. Returns how many outlived it."""
    end, outlived = time.monotonic() + seconds, set()
    while time.monotonic() < end:
        ended = process.poll() is not None
        left = descendants(without)
        living = [pid for pid in left if pid != process.pid and not is_zombie(pid)]
        outlived |= set(living) if ended else set()
        if uid is not None:
            end_user(uid)
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                pass
        for pid in left:
            if pid != process.pid:
                reap(pid)
        if ended and not descendants(without):
            break
        time.sleep(0.002)
    return len(outlived)


def is_zombie(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def reap(pid):
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        pass  # another's child
