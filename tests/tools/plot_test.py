#!/usr/bin/env python3
"""tools/plot.py: every picture from a small made-up report, and every refusal. The schemes: scheme_test.py.

    python3 tests/tools/plot_test.py [--keep FOLDER]    # keeps the pictures, as SVG and PNG, to look at

Exit code 77 (skipped) where matplotlib is missing; wrong usage is checked all the same.
"""
from __future__ import annotations

import contextlib
import copy
import importlib
import io
import json
import math
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PLOT = ROOT / "tools" / "plot.py"
sys.path.insert(0, str(ROOT / "tools"))
sys.dont_write_bytecode = True

import plot  # noqa: E402
import plot_mixers  # noqa: E402
from plot_reports import REPORTS  # noqa: E402

# What is drawn from reports; a scheme is not.
DRAWN = [name for name in plot.PICTURES if importlib.import_module(f"plots.{name}").NEEDS]


def write(folder: Path, name: str, reports: dict[str, list[dict]]) -> list[str]:
    """The files of what a picture needs, out of `reports`."""
    files = []
    for need in importlib.import_module(f"plots.{name}").NEEDS:
        for report in reports[need]:
            files.append(str(folder / f"{name}{len(files)}.json"))
            Path(files[-1]).write_text(json.dumps(report))
    return files


def run(*arguments: str) -> tuple[int, str]:
    done = subprocess.run([sys.executable, "-B", PLOT, *arguments], capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout + done.stderr


def draw_here(*arguments: str) -> tuple[int, str]:
    """As run(), without starting matplotlib again."""
    sys.argv = ["plot.py", *arguments]
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        return plot.main(), output.getvalue()


def check_refusals(folder: Path, wrong: list[str]) -> None:
    """Each is one line that names what is wrong, exit code 2, and no picture."""
    good = json.dumps(REPORTS["step03_kvcache clock"][0])
    files = {"clock": good, "cut": good[:-9], "list": "[1]", "nameless": "{}", "deep": "[" * 100_000, "verify": json.dumps(REPORTS["step03_kvcache verify"][0])}
    paths = {name: folder / f"{name}.json" for name in files}
    for name, text in files.items():
        paths[name].write_text(text)
    out = folder / "refused.svg"
    cases = [([name, "--json", str(paths["verify"])], "report of 'step03_kvcache verify'; " + name) for name in DRAWN if name != "equivalence"]
    cases += [(["equivalence", "--json", str(paths["clock"])], "'step03_kvcache clock'; equivalence is drawn from 'step03_kvcache verify' and 'step03_kvcache diverge'"),
              (["equivalence", "--json", str(paths["verify"])], "needs a report of 'step03_kvcache diverge' too"),
              (["batch", "--json", str(paths["cut"])], "cut.json"), (["batch", "--json", str(paths["list"])], "no report of an experiment"),
              (["batch", "--json", str(paths["nameless"])], "no report of an experiment"), (["batch", "--json", str(folder / "none.json")], "none.json"),
              (["batch", "--json", str(paths["deep"])], "deep.json: JSON that is nested too deeply"), (["batch"], "which report?"), (["frobnicate"], "frobnicate"), ([], "which picture?"), (["style"], "style")]
    for arguments, text in cases:
        code, output = run(*arguments, "-o", str(out))
        if code != 2 or text not in output or "Traceback" in output:
            wrong.append(f"plot {arguments}: expected exit 2 and '{text}', found {code}: {output[-300:]}")
    code, output = run("batch", "--json", str(paths["clock"]), "-o", str(folder / "x.gif"))
    if code != 2 or ".svg or .png" not in output:
        wrong.append(f"a picture as GIF: exit {code}: {output[-300:]}")
    if out.exists():
        wrong.append("a refused picture was written")
    code, output = run("--list")
    if code != 0 or not all(name in output for name in plot.PICTURES):
        wrong.append(f"--list: exit {code}: {output[-300:]}")


def check_pictures(folder: Path, wrong: list[str]) -> None:
    for name in DRAWN:
        picture = importlib.import_module(f"plots.{name}")
        if not picture.SHOWS:
            wrong.append(f"{name}: nothing is said that a reader must find in it")
        files = write(folder, name, REPORTS)
        svg = folder / f"{name}.svg"
        for out in (svg, folder / f"{name}.png"):
            if draw_here(name, "--json", *files, "-o", str(out))[0] != 0:
                wrong.append(f"{name}: not drawn as {out.suffix}")
        root = ElementTree.parse(svg).getroot()
        if root.tag != "{http://www.w3.org/2000/svg}svg" or root.get("width") != "600pt":
            wrong.append(f"{name}: expected an SVG 600pt (800 pixels) wide, found {root.tag} {root.get('width')}")
        found = [" ".join("".join(node.itertext()).split()) for node in root.iter("{http://www.w3.org/2000/svg}text")]
        # Older versions of matplotlib write a label of two lines as two texts.
        missing = [text for text in picture.SHOWS if not any(text in line for line in found)]
        if missing:
            wrong.append(f"{name}: no {missing} among its texts: {found}")
        if not getattr(picture, "SAME_EVERYWHERE", False) and not any("made-up processor" in line for line in found):
            wrong.append(f"{name}: does not name the machine")
        if not (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG"):
            wrong.append(f"{name}: no PNG")
        first = svg.read_bytes()
        draw_here(name, "--json", *files, "-o", str(svg))
        if svg.read_bytes() != first:
            wrong.append(f"{name}: the same report gives another file")


def check_nothing_cut(wrong: list[str]) -> None:
    from plots import style
    for name in DRAWN:
        picture = importlib.import_module(f"plots.{name}")
        figure = style.new_figure()
        picture.draw({need: copy.deepcopy(REPORTS[need]) for need in picture.NEEDS}, figure)
        figure.draw_without_rendering()
        box, page = figure.get_tightbbox(), figure.bbox_inches
        if min(box.x0, box.y0) < -0.03 or box.x1 > page.x1 + 0.03 or box.y1 > page.y1 + 0.03:
            wrong.append(f"{name}: something lies outside of the picture: {box} of {page}")


def check_truth(folder: Path, wrong: list[str]) -> None:
    """A picture must not say of bad data what it says of good."""
    from plots import cache_memory, equivalence, style, ulp_heat

    def texts_of(draw, reports) -> str:
        figure = style.new_figure()
        draw(reports, figure)
        return "\n".join(text.get_text() for axes in figure.axes for text in axes.texts) + "\n".join(text.get_text() for text in figure.texts)

    bad = copy.deepcopy({need: REPORTS[need] for need in equivalence.NEEDS})
    bad["step03_kvcache verify"][0]["models"][1]["max_abs_by_step"][3] = 1e-6
    text = texts_of(equivalence.draw, bad)
    if "exactly 0" in text or "up to 1e-06" not in text:
        wrong.append(f"equivalence: a run that differs is called equal: {text}")
    figure = style.new_figure()
    ulp_heat.draw({"step03_kvcache diverge": REPORTS["step03_kvcache diverge"]}, figure)
    cells = REPORTS["step03_kvcache diverge"][0]["runs"][0]["max_ulp"]
    shown = figure.axes[0].images[0].get_array()
    for step, row in enumerate(cells):
        for label, ulp in enumerate(row):
            if bool(shown.mask[label, step]) != (ulp == 0) or (ulp and shown[label, step] != ulp):
                wrong.append(f"ulp_heat: step {step}, operator {label}: {ulp} is drawn as {shown[label, step]}")
    slope, start, r = cache_memory.fit([1, 2, 3, 4], [3, 5, 7, 9])
    if not (math.isclose(slope, 2) and math.isclose(start, 1) and math.isclose(r, 1)):
        wrong.append(f"fit: a straight line gives {slope} {start} {r}")
    if not cache_memory.fit([1, 2, 3, 4], [3, 5, 7, 20])[2] < 0.95:
        wrong.append("fit: a bent line has r = 1")
    check_bars(wrong)
    check_pages(wrong)
    check_measured(wrong)
    check_policies(wrong)
    check_numbers(wrong)
    plot_mixers.check(wrong)
    # Each unfit report is refused, in words.
    for name, change, message in [
            ("flops", lambda report: report["tokens_processed"][0].update(without=10487808), "closed form"),
            ("wall_clock", lambda report: report.update(rows=[row for row in report["rows"] if row["cache"] == "f32"]), "--no-uncached"),
            ("batch", lambda report: report.pop("rows"), "no 'rows'"), ("cache_memory", lambda report: report.update(model="another"), "one model"),
            ("quality", lambda report: report.update(models=[]), "no cache but f32"),
            ("cuda_traffic", lambda report: report["ladders"].clear(), "no ladder"), ("cuda_traffic", lambda report: report["ladders"]["argmax"].update(least_sectors=0), "no sectors"),
            ("cuda_estimate", lambda report: report["ladders"]["decode"]["estimates"].pop("A100"), "no estimate for an A100"),
            ("quant_error", lambda report: [row.update(mean_kl=0.0) for row in report["rows"]], "nothing differs"),
            ("quant_histogram", lambda report: report["rows"].pop(), "by token and by channel"),
            ("quant_bytes", lambda report: report["rows"][3].update(closed_form=7), "by its form 7"), ("quant_bytes", lambda report: report.update(rows=report["rows"][::4]), "two lengths"),
            ("quant_time", lambda report: report.update(rows=report["rows"][::3]), "two formats"), ("quant_weights", lambda report: report.update(rows=report["rows"][:1]), "nothing differs"),
            ("quant_smooth", lambda report: report.update(rows=report["rows"][:4]), "two alphas"), ("quant_lowrank", lambda report: report.update(rows=report["rows"][:1]), "no rank between"),
            ("policy_kl", lambda report: report.update(budgets=report["budgets"][:1]), "two budgets"),
            ("policy_kl", lambda report: [block.update(equal_tokens=block["equal_tokens"][:1]) for block in report["budgets"]], "two budgets"),
            ("policy_time", lambda report: report.update(rows=report["rows"][::3]), "two lengths"),
            ("policy_minicache", lambda report: report.update(policies=[{"policy": "full"}]), "--set minicache"),
            ("serve_acceptance", lambda report: report.update(equal=False), "guesses changed a text"),
            ("serve_acceptance", lambda report: report.update(rows=report["rows"][::8]), "two draft lengths"),
            ("serve_hit_rate", lambda report: report["traces"][0]["sizes"].__delitem__(slice(1, None)), "mooncake-conversation: needs two sizes"),
            ("serve_load", lambda report: report["loads"].__delitem__(slice(1, None)), "two loads"), ("serve_waste_by_page", lambda report: report["lines"].pop(), "the same sizes"),
            ("serve_pages_over_time", lambda report: report.update(pages=101), "at most 100 pages"),
            ("serve_timeline", lambda report: report["steps"][3]["parts"][0].update(fed=99), "steps[3].parts[0].fed"),
            ("cuda_estimate", lambda report: report["ladders"]["linear"]["estimates"]["A100"][0].update(limit="DRAM"), "not its largest"), ("ablation", lambda report: report["rows"].clear(), "with the cache and without"), *plot_mixers.UNFIT, *plot_mixers.NOT_YET]:
        reports = copy.deepcopy(REPORTS)
        change(reports[importlib.import_module(f"plots.{name}").NEEDS[0]][0])
        code, output = draw_here(name, "--json", *write(folder, name, reports), "-o", str(folder / "unfit.svg"))
        expected = 3 if (name, change, message) in plot_mixers.NOT_YET else 2
        if code != expected or message not in output or (folder / "unfit.svg").exists():
            wrong.append(f"{name} of an unfit report: expected exit {expected} and '{message}', found {code}: {output[-300:]}")


def check_bars(wrong: list[str]) -> None:
    """Every bar of chapter 4 ends where its report says, rungs from top to bottom."""
    from plots import cuda_estimate, cuda_traffic, style
    for picture, key in ((cuda_traffic, lambda ladder: [max(rung["sectors"] / ladder["least_sectors"], 1) for rung in ladder["rungs"]]),
                         (cuda_estimate, lambda ladder: [rung["microseconds"] for rung in ladder["estimates"]["A100"]])):
        report = REPORTS[picture.NEEDS[0]][0]
        figure = style.new_figure()
        picture.draw({picture.NEEDS[0]: [report]}, figure)
        for axes, ladder in zip(figure.axes, report["ladders"].values()):
            ends: dict[float, float] = {}
            for bar in axes.patches:
                place = bar.get_y() + bar.get_height() / 2
                ends[place] = max(ends.get(place, 0), bar.get_x() + bar.get_width())
            found, expected = [ends[place] for place in sorted(ends, reverse=True)], key(ladder)
            if len(found) != len(expected) or not all(math.isclose(a, b, rel_tol=1e-9) for a, b in zip(found, expected)):
                wrong.append(f"{picture.__name__}, {ladder['operation']}: bars end at {found}, the report says {expected}")


def check_pages(wrong: list[str]) -> None:
    """Of chapter 7: each page in each step has the colours of those whose it is, and shared ones a frame."""
    from matplotlib.colors import to_hex
    from plots import serve_pages_over_time as picture
    from plots import style
    report, figure = REPORTS[picture.NEEDS[0]][0], style.new_figure()
    picture.draw({picture.NEEDS[0]: [report]}, figure)
    bars = [(bar.get_x(), bar.get_x() + bar.get_width(), bar.get_y(), bar.get_y() + bar.get_height(), bar) for bar in figure.axes[0].patches]
    for page in range(report["pages"]):
        for number, step in enumerate(report["steps"]):
            over = [bar for left, right, low, high, bar in bars if left <= number < right and low < high <= page + 0.5 and low >= page - 0.5]
            found = sorted(to_hex(bar.get_facecolor()) for bar in over if bar.get_facecolor()[3] > 0)
            now = picture.owners(step, page)
            expected = sorted(style.FAINT if owner == picture.INDEX else picture.owner_color(owner) for owner in now)
            framed = any(bar.get_facecolor()[3] == 0 for bar in over)
            if found != expected or framed != (len([owner for owner in now if owner != picture.INDEX]) > 1):
                wrong.append(f"serve_pages_over_time: page {page} in step {number} is of {now}, drawn {found}, framed {framed}")


def check_measured(wrong: list[str]) -> None:
    """What was measured is drawn where it lies, on the GPU that it was measured on; a report that says otherwise than it holds is refused."""
    from plots import cuda_estimate, style
    from plot_reports import estimate as made_up_estimate

    def drawn(report: dict) -> tuple[str, list[list[float]]]:
        figure = style.new_figure()
        cuda_estimate.draw({cuda_estimate.NEEDS[0]: [report]}, figure)
        stars = [[float(line.get_xdata()[0]) for line in axes.lines if line.get_marker() == "*"] for axes in figure.axes]
        return figure._suptitle.get_text(), stars
    title, stars = drawn(made_up_estimate())
    if "not measured yet: the time on an A100" not in title or any(stars):
        wrong.append(f"cuda_estimate without a measurement: '{title}', {stars}")
    title, stars = drawn(made_up_estimate("NVIDIA A100-SXM4"))
    if "measured on NVIDIA A100-SXM4: the time on an A100" not in title or stars[:2] != [[777.0]] * 2:
        wrong.append(f"cuda_estimate beside measurements: '{title}', {stars}")
    title, _ = drawn(made_up_estimate("NVIDIA H100 80GB HBM3"))
    if "on an H100" not in title:
        wrong.append(f"cuda_estimate of an H100: '{title}'")
    for device, measured in (("not measured yet", {"naive": 777.0}), ("NVIDIA A100", {})):
        report = made_up_estimate()
        report["measured_on"] = device
        for ladder in report["ladders"].values():
            ladder["measured_microseconds"] = measured
        try:
            drawn(report)
            wrong.append(f"cuda_estimate: a report that says '{device}' and holds {measured} was drawn")
        except style.Unfit:
            pass


def check_policies(wrong: list[str]) -> None:
    """Chapter 5's lines go through the figures of the reports, and a cell says its share."""
    from plots import policy_kl, policy_recall, policy_stream, style
    for picture, key in ((policy_kl, lambda report: [[row["mean_kl"] or math.nan for row in (block["equal_tokens"][i] for block in report["budgets"][::-1])]
                                                     for i in range(1, len(report["budgets"][0]["equal_tokens"]))]),
                         (policy_stream, lambda report: [[one["bits_per_byte"] for one in row["stretches"]] for row in report["policies"]])):
        figure = style.new_figure()
        picture.draw({picture.NEEDS[0]: REPORTS[picture.NEEDS[0]]}, figure)
        for axes, report in zip(figure.axes, REPORTS[picture.NEEDS[0]], strict=True):
            expected = key(report)
            found = [[float(value) for value in line.get_ydata()] for line in axes.lines[:len(expected)]]
            if str(found) != str([[float(value) for value in line] for line in expected]):  # as text: nan is not itself
                wrong.append(f"{picture.__name__}, {report['model']}: lines {found}, the report says {expected}")
    figure = style.new_figure()
    policy_recall.draw({policy_recall.NEEDS[0]: REPORTS[policy_recall.NEEDS[0]]}, figure)
    found = [[text.get_text() for text in axes.texts] for axes in figure.axes]
    if found != [["100", "100", "95", "100", "5", "0", "100", "100", "100"], ["95", "100", "100", "0", "5", "100", "100", "100", "100"], ["37", "21"] * 2]:
        wrong.append(f"policy_recall: cells {found}")


def check_numbers(wrong: list[str]) -> None:
    """Chapter 6's points stand at the bits that the positions see, lines go through the reports' figures, bars end there."""
    from plots import quant_error, quant_lowrank, quant_smooth, quant_time, quant_weights, style

    def drawn(picture) -> list:
        figure = style.new_figure()
        picture.draw({picture.NEEDS[0]: REPORTS[picture.NEEDS[0]]}, figure)
        return figure.axes

    def expect(what: str, found, expected) -> None:
        if len(found) != len(expected) or not all(math.isclose(a, b, rel_tol=1e-9) for one, other in zip(found, expected) for a, b in zip(one, other, strict=True)):
            wrong.append(f"{what}: drawn {found}, expected {expected}")

    axes = drawn(quant_error)[0]
    points = [(float(line.get_xdata()[0]), float(line.get_ydata()[0])) for line in axes.lines if len(line.get_xdata()) == 1]
    expect("quant_error", points, [(8.5, 4e-5), (4.5, 0.01), (4.6, 0.004)])  # f16 is left out
    if sorted(text.get_text() for text in axes.texts) != ["kivi2", "q4_0", "q8_0"]:
        wrong.append(f"quant_error: labels {[text.get_text() for text in axes.texts]}")
    points = [tuple(map(float, point)) for line in drawn(quant_weights)[1].lines for point in zip(line.get_xdata(), line.get_ydata())]
    expect("quant_weights", sorted(points), sorted((row["bits"], row["mean_kl"]) for row in REPORTS["step06_quant weights"][1]["rows"][1:]))
    lines = drawn(quant_smooth)[0].lines
    expect("quant_smooth", [tuple(map(float, line.get_ydata())) for line in lines],
           [(7.7e-4, 7e-4 / 3), (7e-4, 7e-4), (3.5e-4, 3.5e-4), (4.4e-3, 4e-3 / 3), (4e-3, 4e-3), (2e-3, 2e-3)])
    # All directions as floats differ by rounding alone and are left out; a line of them would hide the others.
    expect("quant_lowrank", [tuple(map(float, line.get_ydata())) for line in drawn(quant_lowrank)[1].lines], [(0.06,), (0.02,), (0.021, 3e-4), (0.05,)])
    ends = [tuple(bar.get_width() for bar in axes.patches) for axes in drawn(quant_time)[:4]]
    expect("quant_time", ends, [(19.5, 24.0, 30.0)] * 4)


def main() -> int:
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as temporary:
        check_refusals(Path(temporary), wrong)
        try:
            import matplotlib  # noqa: F401
        except ImportError:
            print("\n".join(wrong) if wrong else "skipped: matplotlib is missing; refusals are right")
            return 1 if wrong else 77
        folder = Path(sys.argv[2]) if sys.argv[1:2] == ["--keep"] else Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        check_pictures(folder, wrong)
        check_nothing_cut(wrong)
        check_truth(Path(temporary), wrong)
    print("\n".join(wrong) if wrong else f"{len(DRAWN)} pictures are drawn, and wrong reports refused")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
