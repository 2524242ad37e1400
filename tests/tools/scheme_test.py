#!/usr/bin/env python3
"""The schemes of tools/plot.py: drawn without matplotlib, nothing cut or on top of another text, and what they say is true.

    python3 tests/tools/scheme_test.py
"""
from __future__ import annotations

import contextlib
import importlib
import io
import re
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
sys.path.insert(0, str(ROOT / "tests" / "tools"))
sys.dont_write_bytecode = True

import dark_check  # noqa: E402
import plot  # noqa: E402
import scheme_step01  # noqa: E402
import scheme_step04  # noqa: E402
import scheme_step05  # noqa: E402
import scheme_step06  # noqa: E402
import scheme_step07  # noqa: E402
import scheme_step08  # noqa: E402
from plots import attention_2_staged, banks, linear_1_naive, linear_2_coalesced, linear_3_split, multiprocessors, scheme  # noqa: E402

SVG = "{http://www.w3.org/2000/svg}"
MOST = 30_000  # bytes of a scheme


def run(*arguments: str) -> tuple[int, str]:
    sys.argv = ["plot.py", *arguments]
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        return plot.main(), output.getvalue()


def room_of(text: ElementTree.Element) -> tuple[float, float, float, float]:
    """Left, top, right, bottom of a line of text, generously: no letter of the font is much wider than 0.62 of its size."""
    size, x, y = (float(text.get(key)) for key in ("font-size", "x", "y"))
    width = len(text.text) * size * (0.66 if text.get("font-weight") else 0.6)
    left = x - {"start": 0, "middle": width / 2, "end": width}[text.get("text-anchor")]
    if text.get("transform"):  # turned by a quarter, round its own place
        return x - 0.8 * size, y - width / 2, x + 0.2 * size, y + width / 2
    return left, y - 0.8 * size, left + width, y + 0.2 * size


def boxes_of(path: str) -> list[tuple[float, float, float, float]]:
    """The corners that a path visits, subpath by subpath, as left, top, right, bottom."""
    found = []
    for part in path.split("M")[1:]:
        x, y = (float(number) for number in re.match(r"([-\d.]+) ([-\d.]+)", part).groups())
        xs, ys = [x], [y]
        for step, numbers in re.findall(r"([hvL])([-\d. ]+)", part):
            values = [float(number) for number in numbers.split()]
            x, y = (x + values[0], y) if step == "h" else (x, y + values[0]) if step == "v" else (values[0], values[1])
            xs.append(x)
            ys.append(y)
        found.append((min(xs), min(ys), max(xs), max(ys)))
    return found


def overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def check_page(name: str, root: ElementTree.Element) -> list[str]:
    width, height = float(root.get("width")), float(root.get("height"))
    wrong = [] if width == 800 else [f"{name}: {width} pixels wide"]
    texts = [(text.text, room_of(text)) for text in root.iter(SVG + "text")]
    boxes = [("a path", box) for path in root.iter(SVG + "path") for box in boxes_of(path.get("d"))]
    for what, (left, top, right, bottom) in texts + boxes:
        if left < 0 or top < 0 or right > width or bottom > height:
            wrong.append(f"{name}: '{what}' leaves the page: {left:.0f} {top:.0f} {right:.0f} {bottom:.0f} of {width:.0f} x {height:.0f}")
    for i, (words, room) in enumerate(texts):
        wrong += [f"{name}: '{words}' lies on '{other}'" for other, other_room in texts[:i] if overlap(room, other_room)]
    return wrong


def check_schemes(folder: Path) -> list[str]:
    wrong = []
    pictures = {name: importlib.import_module(f"plots.{name}") for name in plot.PICTURES}
    for name, picture in pictures.items():
        if picture.NEEDS:
            continue
        out = folder / f"{name}.svg"
        code, output = run(name, "-o", str(out))
        if code != 0:
            wrong.append(f"{name}: exit {code}: {output}")
            continue
        text = out.read_bytes()
        root = ElementTree.fromstring(text)
        found = [node.text for node in root.iter(SVG + "text")]
        wrong += [f"{name}: no '{part}' among its texts: {found}" for part in picture.SHOWS or ["texts"] if part not in found]
        wrong += check_page(name, root)
        if len(text) > MOST:
            wrong.append(f"{name}: {len(text)} bytes")
        run(name, "-o", str(out))
        if out.read_bytes() != text:
            wrong.append(f"{name}: not the same file again")
        published = sorted(ROOT.glob(f"step*/pictures/{name}.svg"))
        if len(published) != 1 or published[0].read_bytes() != text:
            wrong.append(f"{name}: {', '.join(str(path.relative_to(ROOT)) for path in published) or 'no chapter'} has not what tools/plot.py draws")
    if "matplotlib" in sys.modules:
        wrong.append("a scheme needed matplotlib")
    return wrong


def check_by_hand() -> list[str]:
    """What a picture shows of an example for paper stands in its chapter, or on a page of it, in what the program prints of it
    (snippets.py compares that)."""
    wrong = []
    for name in plot.PICTURES:
        picture = importlib.import_module(f"plots.{name}")
        if not hasattr(picture, "BY_HAND"):
            continue
        folder = ROOT / picture.CHAPTER
        pages = [*folder.glob("README.md"), *sorted(folder.glob("pages/*.md"))]
        chapter = "".join(page.read_text(encoding="utf-8") for page in pages)
        printed = "\n".join(re.findall(r"^<!-- output: \w+ by-hand .*?-->\n```\n(.*?)^```", chapter, re.M | re.S))
        wrong += [f"{name}: {figure} does not stand in what the chapter's example prints" for figure in picture.BY_HAND if figure not in printed]
    return wrong


def check_refusals(folder: Path) -> list[str]:
    wrong = []
    for arguments, expected, message in [(["banks", "--json", "x.json", "-o", str(folder / "x.svg")], 2, "leave out --json"),
                                         (["banks", "-o", str(folder / "x.png")], 2, ".svg only"),
                                         (["banks", "-o", "/dev/null/x.svg"], 1, "/dev/null/x.svg")]:
        code, output = run(*arguments)
        if code != expected or message not in output or len(output.splitlines()) != 1:
            wrong.append(f"{arguments}: expected exit {expected} and '{message}', found {code}: {output}")
    if list(folder.glob("x.*")):
        wrong.append("a refused scheme was written")
    return wrong


def counted(operation: str, rung: str) -> int:
    """The sectors of a rung in the table that tools/experiments.sh published."""
    lines = (ROOT / "step04_cuda" / "results" / "ladders.txt").read_text(encoding="utf-8").splitlines()
    begin = next(i for i, line in enumerate(lines) if line.startswith(operation + ":"))
    return int(next(line for line in lines[begin:] if line.split()[:1] == [rung]).split()[2])


def check_truth() -> list[str]:
    """Sectors and banks by hand; and a request as it is drawn, times all requests, is what the executor counts."""
    lanes, depth = list(range(32)), 576
    cases = [(len(scheme.sectors(lanes)), 4), (len(scheme.sectors([lane + 1 for lane in lanes])), 5), (len(scheme.sectors([lane * 2 for lane in lanes])), 8),
             (len(scheme.sectors([5] * 32)), 1), (scheme.wavefronts(lanes), 1), (scheme.wavefronts([7] * 32), 1), (scheme.wavefronts([lane * 2 for lane in lanes]), 2),
             (scheme.wavefronts(banks.column(64)), 32), (scheme.wavefronts(banks.column(65)), 1), (scheme.wavefronts(banks.column(63)), 1),
             (scheme.wavefronts(attention_2_staged.read(9)), 1), (linear_3_split.DEPTH // linear_3_split.BLOCK, 9)]
    wrong = [f"case {i}: {found} instead of {expected}" for i, (found, expected) in enumerate(cases) if found != expected]
    # The machine as drawn is the one of the estimates.
    text = (ROOT / "step04_cuda" / "app" / "gpus.hpp").read_text(encoding="utf-8")
    of_estimate = re.search(r'\{"A100", "sm_80", (.*?)\}', text)[1]
    m = multiprocessors
    if [float(figure) for figure in of_estimate.split(",")] != [m.MULTIPROCESSORS, m.CLOCK, m.BANDWIDTH, 64, m.CACHED, m.LATENCY]:
        wrong.append(f"multiprocessors: drawn is another A100 than gpus.hpp's: {of_estimate}")
    # 1555 bytes a ns for 466 / 1.41 ns are 513 922 bytes, of 108 each 4759, or 37 times 128.
    if (round(m.under_way()), round(m.under_way() / 108), int(m.requests_of_one())) != (513922, 4759, 37):
        wrong.append(f"multiprocessors: {m.under_way()} bytes under way, {m.requests_of_one()} requests")
    # Two warps have the 64 outputs. x: one number for all lanes, a sector for each request. y: 64 floats, 8 sectors.
    for rung, request in (("naive", linear_1_naive.request), ("coalesced", linear_2_coalesced.request)):
        of_w = 2 * sum(len(scheme.sectors(request(k))) for k in range(depth))
        if of_w + 2 * depth + 8 != counted("product of one row", rung):
            wrong.append(f"linear {rung}: {of_w} sectors of w as drawn, but {counted('product of one row', rung)} were counted in all")
    return wrong


def self_check() -> list[str]:
    """A scheme that is cut, and one whose texts overlap, must be found."""
    cut, crowded, good = (scheme.Scheme(100, "a title") for _ in range(3))
    cut.text(700, 50, "much too long for what is left")
    cut.box(780, 60, 30, 10, scheme.SHARED)
    crowded.text(16, 30, "on the title")
    good.box(20, 40, 200, 40, scheme.THREADS, "words")
    found = [len(check_page("", ElementTree.fromstring(page.svg()))) for page in (cut, crowded, good)]
    wrong = [] if found == [2, 1, 0] else [f"self-check: found {found} problems"]
    return wrong + dark_check.self_check() + dark_check.check_pictures(ROOT)


def main() -> int:
    with tempfile.TemporaryDirectory() as temporary:
        wrong = self_check() + check_schemes(Path(temporary)) + check_by_hand() + check_refusals(Path(temporary)) + check_truth() + scheme_step01.check(ROOT) + scheme_step04.check(ROOT) + scheme_step05.check(ROOT) + scheme_step06.check(ROOT) + scheme_step07.check(ROOT) + scheme_step08.check(ROOT)
    print("\n".join(wrong) if wrong else "all schemes are drawn, whole and true")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
