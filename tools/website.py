#!/usr/bin/env python3
"""Collects the site's pages for MkDocs, and what the site has beyond them. tools/book.sh calls this, and is what to call.

    website.py collect OUT [--programs BIN] [--doxygen XML]   OUT/docs and OUT/mkdocs.yml, from the texts and all that they lead to
    website.py whole SITE                                     SITE/print.html, from the pages that MkDocs has made

Exit codes: 0 done, 1 a text cannot be a page (a dead link, a missing anchor): each is named with its place.
"""
from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "tests" / "tools")]
sys.dont_write_bytecode = True

from website import nav  # noqa: E402
from website.site import Site  # noqa: E402

LOOKS = Path(__file__).resolve().parent / "website"


def collect(root: Path, out: Path, programs: Path | None, doxygen: Path | None) -> list[str]:
    """What is wrong; nothing is left of an earlier time."""
    docs = out / "docs"
    shutil.rmtree(docs, ignore_errors=True)
    site = Site(root, docs)
    site.collect()
    if site.problems:
        return site.problems
    assets = docs / "assets"
    assets.mkdir(parents=True, exist_ok=True)
    for name in ("book.css", "kvlab.svg", "worker.js"):
        shutil.copyfile(LOOKS / name, assets / name)
    (out / "order.json").write_text(json.dumps(nav.reading_order(site)), encoding="utf-8")
    settings = {"INHERIT": str(LOOKS / "mkdocs.yml"), "docs_dir": str(docs), "site_dir": str(out / "site"), "hooks": [str(LOOKS / "hooks.py")],
                "nav": nav.menu(site, [], [])}
    (out / "mkdocs.yml").write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")  # JSON is YAML
    print(f"{len(site.pages)} texts, {len(site.sources)} sources, {len(site.pictures)} pictures")
    return []


def main() -> int:
    parser = argparse.ArgumentParser(description="collects the site's pages; tools/book.sh is what to call")
    commands = parser.add_subparsers(dest="command", required=True)
    collecting = commands.add_parser("collect", help="the pages for MkDocs")
    collecting.add_argument("out", metavar="OUT", type=Path)
    collecting.add_argument("--root", type=Path, default=ROOT, help="the project")
    collecting.add_argument("--programs", type=Path, metavar="BIN", help="where the built programs are, for the viewers")
    collecting.add_argument("--doxygen", type=Path, metavar="XML", help="what Doxygen has made of the headers")
    options = parser.parse_args()
    problems = collect(options.root.resolve(), options.out.resolve(), options.programs, options.doxygen)
    for problem in problems:
        print(f"website: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
