#!/usr/bin/env python3
"""Makes what the site is made of, before MkDocs and after it. tools/book.sh calls this, and is what to call.

    website.py collect OUT [--programs BIN] [--doxygen PROGRAM] [--pdf]   OUT/docs and OUT/mkdocs.yml, from the texts and all that they lead to
    website.py whole OUT [--chromium PROGRAM]                             OUT/site/print.html, and OUT/site/kvlab.pdf if there is a Chromium

Exit codes: 0 done, 1 a text cannot be a page (a dead link, a missing anchor): each is named with its place.
"""
from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "tests" / "tools")]
sys.dont_write_bytecode = True

from website import nav, one_page, reference, viewers  # noqa: E402
from website.site import Site  # noqa: E402

LOOKS = Path(__file__).resolve().parent / "website"
ASSETS = ("book.css", "book.js", "kvlab.svg", "worker.js")
AS_ONE_TEXT = """# As one file

The whole book, with its pages for the curious, is also [one page to print]({page}){pdf}. Links within the book work there; links to sources are only their words.
"""


def ways_in(page: str, pdf: bool) -> str:
    """The first page with buttons after its first paragraph."""
    shown = [("How to read this book", "book/how_to_read.md", " .md-button--primary"), ("Chapter 1", "step01_tensor/index.md", ""), ("See it run", "live/cache.md", ""), *([("One PDF", "kvlab.pdf", "")] if pdf else [])]
    buttons = " ".join(f"[{words}]({target}){{ .md-button{more} }}" for words, target, more in shown)
    return re.sub(r"^# .+?\n\n.+?\n(?=\n)", lambda begin: f"{begin[0]}\n{buttons}\n{{ .ways-in }}\n", page, count=1, flags=re.M | re.S)


def collect(root: Path, out: Path, programs: Path | None = None, doxygen: str | None = None, pdf: bool = False) -> list[str]:
    """What is wrong; nothing is left of an earlier time."""
    docs = out / "docs"
    shutil.rmtree(docs, ignore_errors=True)
    site = Site(root, docs)
    site.collect()
    if site.problems:
        return site.problems
    live, missing = viewers.add(site, programs)
    headers, left_out = reference.add(site, out / "doxygen", doxygen)
    site.write_sources()
    first = docs / site.pages["README.md"]
    first.write_text(ways_in(first.read_text(encoding="utf-8"), pdf), encoding="utf-8")
    site.write("one_file.md", "As one file", AS_ONE_TEXT.format(page="print.html", pdf=", and [a PDF](kvlab.pdf)" if pdf else "; no PDF was made, because no Chromium was there"))
    (docs / "assets").mkdir(parents=True, exist_ok=True)
    for name in ASSETS:
        shutil.copyfile(LOOKS / name, docs / "assets" / name)
    (out / "order.json").write_text(json.dumps({"next": nav.reading_order(site), "whole": nav.whole(site)}), encoding="utf-8")
    settings = {"INHERIT": str(LOOKS / "mkdocs.yml"), "docs_dir": str(docs), "site_dir": str(out / "site"), "hooks": [str(LOOKS / "hooks.py")],
                "nav": nav.menu(site, live, headers)}
    (out / "mkdocs.yml").write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")  # JSON is YAML
    print(f"{len(site.pages)} texts, {len(site.sources)} sources, {len(site.pictures)} pictures")
    for what in missing + left_out:
        print(f"left out: {what}")
    return []


def whole(root: Path, out: Path, chromium: str | None) -> None:
    pages = [re.sub(r"\.md$", ".html", page) for page in json.loads((out / "order.json").read_text(encoding="utf-8"))["whole"]]
    version = re.search(r"^project\(kvlab VERSION ([0-9.]+)", (root / "CMakeLists.txt").read_text(encoding="utf-8"), re.M)
    (out / "site" / "404.html").unlink(missing_ok=True)  # its links begin at the root of a server; who has one has such a page
    page = one_page.whole(out / "site", pages, version[1] if version else "unknown")
    if chromium:
        one_page.print_pdf(chromium, page, out / "site" / "kvlab.pdf")


def main() -> int:
    parser = argparse.ArgumentParser(description="makes what the site is made of; tools/book.sh is what to call")
    parser.add_argument("command", choices=("collect", "whole"))
    parser.add_argument("out", metavar="OUT", type=Path)
    parser.add_argument("--programs", type=Path, metavar="BIN", help="where the built programs are, for the viewers")
    parser.add_argument("--doxygen", metavar="PROGRAM", help="reads the headers, for the reference")
    parser.add_argument("--pdf", action="store_true", help="a PDF will be made")
    parser.add_argument("--chromium", metavar="PROGRAM", help="prints the PDF")
    options = parser.parse_args()
    if options.command == "whole":
        whole(ROOT, options.out.resolve(), options.chromium)
        return 0
    problems = collect(ROOT, options.out.resolve(), options.programs, options.doxygen, options.pdf)
    for problem in problems:
        print(f"website: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
