#!/usr/bin/env python3
"""Draws the report of an experiment: one picture, as SVG or PNG by the ending of its name.

    python3 tools/plot.py NAME --json FILE... -o OUT.svg
    python3 tools/plot.py NAME -o OUT.svg              # a scheme: drawn from no report, and as SVG only
    python3 tools/plot.py --list                       # the pictures, and the programs whose --json they draw
    python3 tools/plot.py peers                        # the last race: build/peers.json

Each picture is a file in tools/plots/. Needs matplotlib (Debian: apt-get install python3-matplotlib); a scheme does not.
Exit codes: 0 drawn, 1 no matplotlib or OUT cannot be written, 2 wrong usage: another experiment's report too, 3 the report is right,
but what the picture shows has not been trained or measured yet.
"""
from __future__ import annotations

import argparse
import importlib
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PICTURES = sorted(path.stem for path in (ROOT / "tools" / "plots").glob("*.py") if path.stem not in ("__init__", "style", "scheme", "dark"))

sys.dont_write_bytecode = True


class Refused(Exception):
    """One line for the reader, and the exit code."""

    def __init__(self, message: str, code: int = 2):
        super().__init__(message)
        self.code = code


def list_pictures() -> None:
    for name in PICTURES:
        picture = importlib.import_module(f"plots.{name}")
        print(f"{name:18} {picture.__doc__.splitlines()[0]}\n{'':18} from: {', '.join(picture.NEEDS) or 'nothing: a scheme'}")


def load(path: Path, name: str, needs: tuple[str, ...]) -> dict:
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise Refused(f"{path}: {problem}") from None
    except RecursionError:
        raise Refused(f"{path}: JSON that is nested too deeply for a report") from None
    found = report.get("experiment") if isinstance(report, dict) else None
    if found not in needs:
        what = f"the report of '{found}'" if found else "no report of an experiment"
        raise Refused(f"{path}: {what}; {name} is drawn from " + " and ".join(f"'{need}'" for need in needs))
    return report


def load_all(paths: list[Path], name: str, picture) -> dict[str, list[dict]]:
    """The reports by experiment, at least one of each that the picture needs."""
    if not paths:
        if not hasattr(picture, "DEFAULT"):
            raise Refused(f"{name}: which report? --json FILE, written by: {', '.join(picture.NEEDS)}")
        paths = [ROOT / picture.DEFAULT]
    reports: dict[str, list[dict]] = {need: [] for need in picture.NEEDS}
    for path in paths:
        report = load(path, name, picture.NEEDS)
        reports[report["experiment"]].append(report)
    for need, found in reports.items():
        if not found:
            raise Refused(f"{name}: needs a report of '{need}' too")
    return reports


def draw(name: str, picture, reports: dict[str, list[dict]], out: Path) -> None:
    try:
        import matplotlib
    except ImportError:
        raise Refused("matplotlib is missing; install it with: apt-get install python3-matplotlib", 1) from None
    matplotlib.use("Agg")
    from plots import style

    try:
        figure = style.new_figure()
        picture.draw(reports, figure)
    except KeyError as key:
        raise Refused(f"{name}: the report has no {key}; was it written by another version?") from None
    except style.Unfit as problem:
        raise Refused(f"{name}: {problem}", 3 if isinstance(problem, style.NotYet) else 2) from None
    try:
        style.save(figure, out)
    except OSError as problem:
        raise Refused(f"{out}: {problem.strerror}", 1) from None


def draw_scheme(name: str, picture, paths: list[Path], out: Path) -> None:
    if paths:
        raise Refused(f"{name}: a scheme, drawn from no report; leave out --json")
    if out.suffix != ".svg":
        raise Refused(f"{out}: a scheme is drawn as .svg only")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(picture.draw_page().svg(), encoding="utf-8")
    except OSError as problem:
        raise Refused(f"{out}: {problem.strerror}", 1) from None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", choices=PICTURES, nargs="?", metavar="NAME", help=", ".join(PICTURES))
    parser.add_argument("--json", type=Path, nargs="+", default=[], metavar="FILE", help="reports that the experiments wrote with --json")
    parser.add_argument("-o", "--out", type=Path, help="OUT.svg or OUT.png (default: build/pictures/NAME.svg)")
    parser.add_argument("--list", action="store_true", help="the pictures, and what they are drawn from")
    args = parser.parse_args()
    if args.list:
        list_pictures()
        return 0
    if args.picture is None:
        parser.error("which picture? --list shows them")
    out = args.out or ROOT / "build" / "pictures" / f"{args.picture}.svg"
    if out.suffix not in (".svg", ".png"):
        parser.error(f"{out}: expected a name that ends in .svg or .png")
    picture = importlib.import_module(f"plots.{args.picture}")
    try:
        if picture.NEEDS:
            draw(args.picture, picture, load_all(args.json, args.picture, picture), out)
        else:
            draw_scheme(args.picture, picture, args.json, out)
    except Refused as refused:
        print(f"plot: {refused}", file=sys.stderr)
        return refused.code
    print(out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
