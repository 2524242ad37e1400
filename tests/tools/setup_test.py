#!/usr/bin/env python3
"""tools/setup.sh uses ccache where that works, and goes without where its folder cannot be made; skipped (77) without ccache.

    python3 tests/tools/setup_test.py
"""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

SETUP = pathlib.Path(__file__).resolve().parents[2] / "tools" / "setup.sh"
TRY = '. "$0"; use_ccache; echo "launcher=${CMAKE_CXX_COMPILER_LAUNCHER-none} disabled=${CCACHE_DISABLE-no}"'


def run(folder):
    """What is used where ccache keeps its files in this folder."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("CCACHE_", "CMAKE_"))}
    done = subprocess.run(["bash", "-euc", TRY, SETUP], env={**own, "HOME": "/nowhere", "CCACHE_DIR": str(folder)},
                          capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def main():
    if not shutil.which("ccache") or not shutil.which("c++"):
        print("skipped: there is no ccache")
        return 77
    wrong = []
    with tempfile.TemporaryDirectory() as folder:
        # A file where a folder is wanted stops root as well.
        blocked = pathlib.Path(folder, "blocked")
        blocked.write_text("")
        for where, expected in ((pathlib.Path(folder, "cache"), "launcher=ccache disabled=no\n"),
                                (blocked / "cache", "ccache does not work here, so it is not used\nlauncher=none disabled=1\n")):
            found = run(where)
            if found != expected:
                wrong.append(f"CCACHE_DIR={where}: expected {expected!r}, found {found!r}")
    print("\n".join(wrong) if wrong else "ccache is used where it works")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
