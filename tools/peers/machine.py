"""What a figure has to be read with: the machine, and what else it did meanwhile."""
from __future__ import annotations

import os
import platform
import subprocess
import time
from pathlib import Path


def processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def describe() -> dict:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {"processor": processor(), "cores": os.cpu_count(), "memory_gib": round(memory, 1),
            "system": f"{platform.system()} {platform.release()}", "python": platform.python_version()}


def commit(root: Path) -> str:
    try:
        done = subprocess.run(["git", "-C", str(root), "describe", "--always", "--dirty"], capture_output=True, text=True)
    except OSError:  # no git here
        return "not known"
    return done.stdout.strip() or "not known"


class OtherLoad:
    """How many cores other programs took on average since construction; None where the system does not say.

    The load average is no help: the race itself is most of it. So: all processor time spent, less that of this program
    and of the processes that it started and that have ended.
    """

    def __init__(self) -> None:
        self.start = self.now()

    @staticmethod
    def now() -> tuple[float, float, float] | None:
        try:
            fields = [int(x) for x in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
        except (OSError, ValueError, IndexError):
            return None
        user, nice, system, _idle, _wait, irq, softirq, steal = fields
        own = os.times()
        return (time.monotonic(), (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK"),
                own.user + own.system + own.children_user + own.children_system)

    def cores(self) -> float | None:
        end = self.now()
        if self.start is None or end is None:
            return None
        elapsed, busy, own = (b - a for a, b in zip(self.start, end, strict=True))
        return max(0.0, (busy - own) / elapsed) if elapsed > 0 else None
