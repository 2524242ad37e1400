#!/usr/bin/env python3
"""tools/architecture.py: its picture is up to date, legible, and shows what a tree has: small trees are written and drawn.

    python3 tests/tools/architecture_test.py
"""
from __future__ import annotations

import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import scheme_test

ROOT = Path(__file__).resolve().parents[2]
MOST = 60_000  # bytes of the picture

TREE = {
    "step01_ground/CMakeLists.txt": "kvlab_step(01 ground\n    SOURCES src/a.cpp)  # LINKS kvlab::nothing\n",
    "step01_ground/include/kvlab/ground/store.hpp": """
        enum class Kind : int { one };
        struct Plain { int x; };
        // class Commented : public Store {};
        inline const char* quoted = "class Quoted : public Store {";
        class Store {
        public:
            virtual void write() = 0;
            virtual int size() const
                = 0;
            const char* text() const { return "}"; }
            char letter() const { return '{'; }
        };
        class Innocent { struct Inner { virtual void f() = 0; }; };""",
    "step02_middle/CMakeLists.txt": "kvlab_step(02 middle SOURCES x.cpp LINKS kvlab::ground Boost::context)\n",
    "step02_middle/README.md": "Home\n\n# Chapter 2: when & how\n",
    "step02_middle/include/kvlab/middle/stepped.hpp": """#pragma once
        #include <kvlab/ground/store.hpp>
        class SteppedStore : public Store { virtual void write_rows() = 0; };
        struct Reader { virtual void read() = 0; };
        class LayerRows : public virtual kvlab::Reader { virtual void write() = 0; };""",
    "step02_middle/src/rows.cpp": """
        template <class T>
        class FloatRows final : public LayerRows { void f() { if (true) { } } };
        class LayerRows2::Hidden final : public Reader {};
        struct Unrelated : Plain {};""",
    "step03_top/CMakeLists.txt": "kvlab_step(03 top LINKS kvlab::middle kvlab::ground)\n",
    "step03_top/include/kvlab/top/cache.hpp": """#include <kvlab/middle/stepped.hpp>
        class Cache final : public Other<int, float>, public SteppedStore {};
        class Deeper : public Cache {};""",
    "extra/CMakeLists.txt": "project(extra)\n", "extra/include/kvlab/extra/x.hpp": ""}


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def run(*arguments: object) -> tuple[int, str]:
    done = subprocess.run([sys.executable, ROOT / "tools" / "architecture.py", *map(str, arguments)], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def words(path: Path) -> list[str]:
    return [node.text for node in ElementTree.fromstring(path.read_bytes()).iter(scheme_test.SVG + "text")]


def check_legible(name: str, path: Path) -> list[str]:
    root = ElementTree.fromstring(path.read_bytes())
    width, height = float(root.get("width")), float(root.get("height"))
    texts = [(node.text, scheme_test.room_of(node)) for node in root.iter(scheme_test.SVG + "text")]
    wrong = [] if path.stat().st_size <= MOST else [f"{name}: {path.stat().st_size} bytes"]
    for i, (text, room) in enumerate(texts):
        if room[0] < 0 or room[1] < 0 or room[2] > width or room[3] > height:
            wrong.append(f"{name}: '{text}' leaves the page")
        wrong += [f"{name}: '{text}' lies on '{other}'" for other, other_room in texts[:i] if scheme_test.overlap(room, other_room)]
    for node in root.iter(scheme_test.SVG + "rect"):
        x, y, w, h = (float(node.get(key)) for key in ("x", "y", "width", "height"))
        if x < 0 or y < 0 or x + w > width or y + h > height:
            wrong.append(f"{name}: a box leaves the page: {x:g} {y:g} {w:g} {h:g}")
    return wrong


def check_committed() -> list[str]:
    code, output = run("--check")
    return ([f"--check: exit {code}: {output}"] if code else []) + check_legible("committed", ROOT / "pictures" / "architecture.svg")


def check_small_tree(root: Path) -> list[str]:
    write(root, TREE)
    out = root / "pictures" / "architecture.svg"
    code, output = run("--root", root)
    if code or output:
        return [f"a small tree: exit {code}: {output}"]
    found = words(out)
    wrong = check_legible("a small tree", out)
    wrong += [f"a small tree: no '{name}'" for name in ("Store", "SteppedStore", "LayerRows", "FloatRows", "Cache", "Deeper", "Reader", "ground",
                                                        "middle", "top", "when & how") if name not in found]
    wrong += [f"a small tree: '{name}' is drawn" for name in ("Plain", "Kind", "Commented", "Quoted", "Innocent", "Inner", "Hidden", "Unrelated",
                                                              "extra") if name in found]
    text = out.read_text()
    if text.count("stroke-dasharray") != 1:  # top links ground and includes nothing of it
        wrong.append(f"a small tree: {text.count('stroke-dasharray')} dashed links, expected 1")
    run("--root", root)
    if out.read_text() != text or run("--root", root, "--check")[0] != 0:
        wrong.append("a small tree: not the same file again")
    write(root, {"step03_top/src/new.cpp": "class Brandnew : public Store {};"})
    code, output = run("--root", root, "--check")
    if code != 1 or output.count("\n") != 1 or "not what the tree looks like now" not in output:
        wrong.append(f"a new class: --check: exit {code}: {output}")
    run("--root", root)
    if "Brandnew" not in words(out):
        wrong.append("a new class is not drawn")
    return wrong


def check_many(root: Path) -> list[str]:
    """More seams than colours, names too long for a line, and a step that links past two others."""
    seams = "".join(f"class Seam{i} {{ virtual void f() = 0; }};" for i in range(9))
    fillers = "".join(f"class AnImplementationWithALongName{i} : public Seam{i % 3} {{}};" for i in range(20))
    write(root, {**TREE, "step01_ground/src/many.cpp": seams, "step03_top/src/many.cpp": fillers,
                 "step04_roof/CMakeLists.txt": "kvlab_step(04 roof LINKS kvlab::ground kvlab::top)",
                 "step04_roof/include/kvlab/roof/x.hpp": "#include <kvlab/top/cache.hpp>\n"})
    code, output = run("--root", root)
    return [f"many: exit {code}: {output}"] if code else check_legible("many", root / "pictures" / "architecture.svg")


def check_refusals(root: Path) -> list[str]:
    cases = [  # files more, the one line
        ({"step01_ground/src/up.cpp": "int x;\n#include <kvlab/top/cache.hpp>\n"}, "step01_ground/src/up.cpp:2: ground includes from top, a later step\n"),
        ({"step02_middle/app/main.cpp": "#include <kvlab/top/cache.hpp>\n"}, "step02_middle/app/main.cpp:1: middle includes from top, a later step\n"),
        ({"step02_middle/src/odd.cpp": "#include <kvlab/nobody/x.hpp>\n"},
         "step02_middle/src/odd.cpp:1: includes <kvlab/nobody/...>, which no folder declares\n"),
        ({"step01_ground/CMakeLists.txt": "kvlab_step(01 ground LINKS kvlab::moon)"},
         "step01_ground/CMakeLists.txt: links kvlab::moon, which no folder declares\n")]
    wrong = []
    for number, (files, expected) in enumerate(cases):
        write(root / str(number), {**TREE, **files})
        code, output = run("--root", root / str(number))
        if (code, output) != (1, expected):
            wrong.append(f"expected exit 1 and {expected!r}, found {code} and {output!r}")
        if (root / str(number) / "pictures").exists():
            wrong.append(f"{expected!r}: a picture was written all the same")
    return wrong


def main() -> int:
    wrong = check_committed()
    for case in (check_small_tree, check_many, check_refusals):
        with tempfile.TemporaryDirectory() as folder:
            wrong += case(Path(folder))
    print("\n".join(wrong) if wrong else "the picture is the tree's")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
