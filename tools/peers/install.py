"""The peers in a virtual environment of their own: which versions, built how, or why one is missing.

How llama.cpp is built decides the race, so it is written down here and in every report. What was read in the CMake
files of llama-cpp-python 0.3.36 (vendor/llama.cpp/ggml/CMakeLists.txt and src/ggml-cpu/CMakeLists.txt):
  GGML_NATIVE       ON by default: the compiler gets -march=native and NOTHING else; GGML_AVX*, GGML_AMX_* are ignored
  GGML_AMX_TILE, GGML_AMX_INT8, GGML_AMX_BF16   OFF by default, and only looked at when GGML_NATIVE is OFF
  GGML_CPU_REPACK   ON by default: quantised weights are laid out anew when loaded, where a kernel wants that
                    (on x86: Q4_0, K-quants, IQ4_NL; in this version not Q8_0 or Q4_1)
  GGML_LLAMAFILE, GGML_OPENMP   ON
Built natively by g++ 12 on a processor with AMX it dies of an illegal instruction on quantised weights. There,
GGML_NATIVE is OFF and the compiler gets -march=native with AMX taken away again: all else is native.
"""
from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

# Versions and hashes; pip takes no file that is not listed.
HERE = Path(__file__).resolve().parent
LLAMA_BUILD, LLAMA, TORCH = HERE / "llama_cpp_build.txt", HERE / "llama_cpp.txt", HERE / "pytorch.txt"
COMMON = ["-DGGML_AMX_TILE=OFF", "-DGGML_AMX_INT8=OFF", "-DGGML_AMX_BF16=OFF", "-DGGML_CPU_REPACK=ON",
          "-DGGML_LLAMAFILE=ON", "-DGGML_OPENMP=ON"]
NO_AMX = "-march=native -mno-amx-tile -mno-amx-int8 -mno-amx-bf16"
NOTE = "kvlab-switches.json"  # in the environment: how its llama.cpp was built


@dataclass
class Peer:
    name: str
    python: Path | None = None  # None: missing
    why: str = ""  # it is missing
    about: dict = field(default_factory=dict)


def has_amx() -> bool:
    try:
        return " amx_tile" in Path("/proc/cpuinfo").read_text()
    except OSError:
        return False


def llama_switches() -> dict[str, str]:
    """The environment variables that the build looks at."""
    if has_amx():
        return {"CMAKE_ARGS": " ".join(["-DGGML_NATIVE=OFF", *COMMON]), "CFLAGS": NO_AMX, "CXXFLAGS": NO_AMX}
    return {"CMAKE_ARGS": " ".join(["-DGGML_NATIVE=ON", *COMMON])}


def python_of(venv: Path) -> Path:
    return venv / "bin" / "python"


def make_venv(venv: Path) -> None:
    if not python_of(venv).exists():
        print(f"making the virtual environment {venv}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True, capture_output=True, text=True)


def pip_install(venv: Path, requirements: Path, arguments: list[str], log: Path, extra: dict[str, str] | None = None) -> str:
    """Installs what is listed there, and returns why that failed, or nothing."""
    command = [str(python_of(venv)), "-m", "pip", "install", "--disable-pip-version-check", "--require-hashes",
               *arguments, "-r", str(requirements)]
    with open(log, "w") as out:
        done = subprocess.run(command, stdout=out, stderr=subprocess.STDOUT, env={**os.environ, **(extra or {})})
    if done.returncode == 0:
        return ""
    lines = [line for line in log.read_text().splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower()] or lines or ["pip said nothing"]
    return f"{errors[-1].strip()[:200]} (log: {log.name})"


def probe(python: Path, code: str) -> dict | None:
    """What a few lines of Python in an environment print as JSON; None if they fail."""
    if not python.exists():
        return None
    done = subprocess.run([str(python), "-c", code], capture_output=True, text=True)
    try:
        return json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else None
    except (IndexError, ValueError):
        return None


PROBE_LLAMA = """
import json, llama_cpp, numpy, gguf
print(json.dumps({"package": "llama-cpp-python " + llama_cpp.__version__,
                  "build": llama_cpp.llama_print_system_info().decode().strip()}))"""
PROBE_TORCH = """
import json, torch, numpy, gguf
print(json.dumps({"package": "torch " + torch.__version__,
                  "build": "CPU capability " + torch.backends.cpu.get_cpu_capability() + ", " + (
                      "the CUDA build, run on the CPU" if torch.version.cuda else "a CPU build")}))"""
PROBE_TRANSFORMERS = "import json, transformers; print(json.dumps({'package': 'transformers ' + transformers.__version__}))"


def find_llama(venv: Path, install: bool, log: Path) -> Peer:
    peer = Peer("llama.cpp")
    found = probe(python_of(venv), PROBE_LLAMA)
    if found is None and install:
        if not shutil.which("c++") and not shutil.which("g++"):
            return Peer("llama.cpp", why="there is no C++ compiler to build it with")
        switches = llama_switches()
        print(f"building llama.cpp (some minutes; log: {log}) with {switches}", flush=True)
        # Without pip's own environment for building, whose packages it would take without a hash.
        peer.why = pip_install(venv, LLAMA_BUILD, [], log) or pip_install(
            venv, LLAMA, ["--no-cache-dir", "--no-build-isolation", "--no-binary", "llama-cpp-python"], log, switches)
        if not peer.why:
            (venv / NOTE).write_text(json.dumps(switches, indent=2) + "\n")
        found = probe(python_of(venv), PROBE_LLAMA)
    if found is None:
        peer.why = peer.why or "not installed"
        return peer
    note = venv / NOTE
    found["switches"] = json.loads(note.read_text()) if note.exists() else "not known: this environment was made elsewhere"
    found["amx"] = "AMX" in found["build"]
    return Peer("llama.cpp", python_of(venv), "", found)


def find_torch(venv: Path, install: bool, log: Path) -> list[Peer]:
    found = probe(python_of(venv), PROBE_TORCH)
    why = "not installed"
    if found is None and install:
        print(f"installing PyTorch and transformers (log: {log})", flush=True)
        why = pip_install(venv, TORCH, [], log)
        found = probe(python_of(venv), PROBE_TORCH)
    if found is None:
        return [Peer("PyTorch", why=why), Peer("transformers", why=why)]
    torch = Peer("PyTorch", python_of(venv), "", found)
    library = probe(python_of(venv), PROBE_TRANSFORMERS)
    if library is None:
        return [torch, Peer("transformers", why="not installed")]
    return [torch, Peer("transformers", python_of(venv), "", {**found, **library})]


def find_peers(llama_venv: Path, torch_venv: Path, install: bool, logs: Path) -> dict[str, Peer]:
    """Every peer by its name, installed if that is wanted and possible."""
    logs.mkdir(parents=True, exist_ok=True)
    if install:
        for venv in {llama_venv, torch_venv}:
            try:
                make_venv(venv)
            except (OSError, subprocess.CalledProcessError) as problem:
                print(f"no virtual environment {venv}: {problem}")
    peers = [find_llama(llama_venv, install, logs / "llama.log"), *find_torch(torch_venv, install, logs / "torch.log")]
    for peer in peers:
        state = peer.about.get("package", "") if peer.python else f"MISSING: {peer.why}"
        print(f"  {peer.name:<14} {state}")
    return {peer.name: peer for peer in peers}
