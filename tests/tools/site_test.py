#!/usr/bin/env python3
"""The site of the book (tools/book.sh): its staging on small projects, and a finished site.

    site_test.py                             the staging: what becomes a page, and what must not
    site_test.py --site build/book/site [--counts FILE] [--axe axe.min.js]
        every link and anchor leads somewhere, every picture is there, nothing is asked of another machine, and each text's page has
        as many headings, lists, tables, pictures and blocks of code as the text. With a Chromium also, on every text and one page of
        each other kind: no request leaves, the console is silent, nothing is wider than 360 pixels, axe's rules hold (contrast: on
        kinds and chapters); the kinds are asked in light and in dark, wide and narrow. Pictures follow the page's colours, and the search finds.
    site_test.py --site DIR --screenshots FOLDER     each kind of page, light, dark and narrow, to look at

Exit code 0: as expected. 1: not. 77: there is no browser, and the rest is as expected.
"""
from __future__ import annotations

import argparse
import concurrent.futures
import queue
import re
import sys
import tempfile
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.dont_write_bytecode = True

import chromium  # noqa: E402
import site_browser  # noqa: E402
import site_cases  # noqa: E402
import site_links  # noqa: E402
import site_parts  # noqa: E402
from prose_text import book  # noqa: E402
from site_browser import NARROW, WIDE  # noqa: E402
from website import one_page  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
KINDS = {  # what there is beside the texts of the book
    "source": "source/**/*.hpp.html", "folder": "source/**/index.html", "header": "reference/*/*.html", "headers": "reference/index.html", "live": "live/cache.html", "policies": "live/policies.html", "serving": "live/serving.html",
    "project": "C*.html", "file": "one_file.html", "print": "print.html",
}


class Judged(unittest.TestCase):
    """The judge of links finds what is wrong with a small site."""

    def judged(self, **pages: str) -> list[str]:
        with tempfile.TemporaryDirectory() as folder:
            for name, text in {"index": "<a id='here'></a>", "picture.svg": "<svg/>", **pages}.items():
                path = Path(folder, name if "." in name else f"{name}.html")
                path.write_text(text, encoding="utf-8")
            return site_links.check(Path(folder))[1]

    def test_right(self):
        self.assertEqual(self.judged(a="<a href='index.html#here'>x</a><a href='.'>y</a><a href='https://example.org'>z</a><img src='picture.svg' alt='p'><link rel='icon' href='picture.svg'>"), [])

    def test_wrong(self):
        for text, expected in (("<a href='none.html'>", "a.html:1: 'none.html' leads nowhere"), ("<a href='index.html#there'>", "a.html:1: 'index.html#there': index.html has no such anchor"),
                               ("<a href='#b'>", "a.html:1: '#b': a.html has no such anchor"), ("<img src='none.svg' alt='x'>", "a.html:1: 'none.svg' is not there"),
                               ("<img src='picture.svg'>", "a.html:1: the picture 'picture.svg' has no alternative text"),
                               ("<script src='https://example.org/x.js'></script>", "a.html:1: 'https://example.org/x.js' is asked of another machine"),
                               ("<link rel='stylesheet' href='//example.org/x.css'>", "a.html:1: '//example.org/x.css' is asked of another machine"),
                               ("<style>@import 'https://example.org/x.css'</style>", "a.html:1: 'https://example.org/x.css' is asked of another machine"),
                               ("<p style='background:url(http://example.org/x)'>", "a.html:1: 'http://example.org/x' is asked of another machine")):
            self.assertEqual(self.judged(a=text), [expected])
        self.assertEqual(self.judged(**{"a.css": "a { src: url('https://example.org/f.woff2') } b { background: url(none.png) }"}),
                         ["a.css: 'https://example.org/f.woff2' is asked of another machine", "a.css: 'none.png' is not there"])

    def test_counts(self):
        text = "# a\n\n- b\n  1. c\n\n| d |\n|---|\n| e |\n\n```\n# no\n- no\n```\n\n<!-- - no\n| no | -->\n![f](g.svg)\n\n---\n"
        self.assertEqual(site_links.counts_of(text), {"headings": 1, "items": 2, "rows": 2, "blocks of code": 1, "pictures": 1})


def page_of(text: Path) -> str:
    place = text.relative_to(ROOT)
    return (place.parent / ("index.html" if place.name == "README.md" else f"{place.stem}.html")).as_posix()


def files(site: Path) -> tuple[list[str], int]:
    """(what is wrong with the site as files, how many things were looked at)."""
    pages, wrong = site_links.check(site)
    for text in book.texts(ROOT):
        page, made = page_of(text), site_links.counts_of(text.read_text(encoding="utf-8"))
        found = pages[page].counts if page in pages else {}
        if page not in pages:
            wrong.append(f"{text.relative_to(ROOT)} has no page")
        wrong += [f"{page}: {found.get(what, 0)} {what}, and {made.get(what, 0)} in the text" for what in sorted({*made, *found}) if page in pages and made.get(what, 0) != found.get(what, 0)]
    for name in ("assets/worker.js", "print.html"):
        if not (site / name).exists():
            wrong.append(f"there is no {name}")
    whole = pages["print.html"].anchors if "print.html" in pages else set()
    wrong += [f"print.html has no {text.relative_to(ROOT)}" for text in book.texts(ROOT) if one_page.name_of(page_of(text)) not in whole]
    if (site / "kvlab.pdf").exists():
        wrong += of_the_pdf((site / "kvlab.pdf").read_bytes())
    return wrong, sum(len(facts.links) + len(facts.loads) for facts in pages.values())


def of_the_pdf(data: bytes) -> list[str]:
    """It has pages and an outline, and no link into the machine that made it."""
    wrong = [] if data.startswith(b"%PDF-") and len(re.findall(rb"/Type\s*/Page\b", data)) > len(book.texts(ROOT)) else ["kvlab.pdf has too few pages"]
    wrong += [] if b"/Outlines" in data else ["kvlab.pdf has no outline"]
    return wrong + [f"kvlab.pdf links {uri.decode(errors='replace')}" for uri in sorted(set(re.findall(rb"/URI\s*\((file:[^)]*)", data)))[:5]]


def kinds(site: Path) -> dict[str, str]:
    """One page of each kind that there is."""
    found = {kind: next((path.relative_to(site).as_posix() for path in sorted(site.glob(pattern)) if not path.name.endswith(".page.html")), "") for kind, pattern in KINDS.items()}
    first = next(path for path in book.texts(ROOT) if path.parent.name == book.PAGES)
    return {"first": "index.html", "chapter": "step01_tensor/index.html", "page": page_of(first), "glossary": "book/glossary.html", **{kind: page for kind, page in found.items() if page}}


def of_page(looked: site_browser.Looked, page: str, is_kind: bool, whole: bool) -> list[str]:
    """A page that stands for its kind is asked in both colours, and its rules narrow, too. Contrast is asked of those and of the chapters: other texts
    are made of the same parts, and narrow the colours are the same."""
    wrong = []
    for scheme in ("light", "dark") if is_kind and not whole else ("light",):
        looked.show(page, scheme)
        wrong += looked.dark(page, scheme) + (looked.rules(page, f"{scheme}, wide", is_kind or page.startswith("step") and "/pages/" not in page) if not whole else [])
        looked.resize(scheme, NARROW)
        wrong += looked.width(page) + (looked.rules(page, f"{scheme}, narrow", contrast=False) if is_kind and not whole and scheme == "light" else [])
        wrong += looked.quiet(page)
    return wrong


def some_pages(site: Path, axe: str, pages: queue.SimpleQueue, one_of_each: dict[str, str], say) -> list[str]:
    looked, wrong = site_browser.Looked(site, axe), []
    try:
        while not pages.empty():
            try:
                page = pages.get_nowait()
            except queue.Empty:
                break
            begun = time.monotonic()
            found = of_page(looked, page, page in one_of_each.values(), page == one_of_each.get("print"))  # print's texts are asked one by one
            say(f"  {page}: {f'{len(found)} wrong' if found else 'as it should be'} ({time.monotonic() - begun:.0f} s)", flush=True)
            wrong += found
    finally:
        looked.close()
    return wrong


def in_browser(site: Path, axe: Path, say=print) -> list[str]:
    """Two browsers take page after page from one line."""
    one_of_each, pages, rules = kinds(site), queue.SimpleQueue(), axe.read_text(encoding="utf-8")
    # The longest texts first, so that neither of the two is left with one at the end.
    for page in sorted({*map(page_of, book.texts(ROOT)), *one_of_each.values()}, key=lambda page: -(site / page).stat().st_size * (4 if page in one_of_each.values() else 1)):
        pages.put(page)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        wrong = [problem for one in [pool.submit(some_pages, site, rules, pages, one_of_each, say) for _ in range(2)] for problem in one.result()]
    return wrong + by_hand(site, rules)


def by_hand(site: Path, axe: str) -> list[str]:
    """What a reader does: searches, copies, reads on, changes the colours."""
    looked, wrong = site_browser.Looked(site, axe), []
    try:
        looked.show("index.html", "light")
        found = looked.search("checksum")
        wrong += [] if found else ["the search finds nothing for 'checksum'"]
        looked.show("step01_tensor/index.html", "light")
        wrong += [] if looked.browser.evaluate("document.querySelectorAll('.md-code__button, .md-clipboard').length") else ["code has no button to copy it"]
        after = looked.browser.evaluate("document.querySelector('.md-footer__link--next').getAttribute('href')")
        wrong += [] if after == "../step02_attention/index.html" else [f"after chapter 1 comes {after}"]
        looked.browser.evaluate("document.querySelector('[data-md-color-scheme] label[for=__palette_1]').click()")
        wrong += looked.dark("chapter 1 after a click on its switch", "dark") + looked.quiet("search, copy and switch")
    finally:
        looked.close()
    return wrong


def screenshots(site: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    looked = site_browser.Looked(site, "")
    for kind, page in kinds(site).items():
        for size in (WIDE, NARROW):
            for scheme in ("light", "dark"):
                looked.show(page, scheme, size)
                looked.browser.screenshot(folder / f"{kind}_{size[0]}_{scheme}.png")
    for scheme in ("light", "dark"):
        looked.show("index.html", scheme)
        looked.search("checksum")
        looked.browser.screenshot(folder / f"search_{WIDE[0]}_{scheme}.png")
    looked.close()


def main() -> int:
    parser = argparse.ArgumentParser(description="the staging of the site, or a finished site")
    parser.add_argument("--site", type=Path, metavar="DIR", help="a finished site")
    parser.add_argument("--axe", type=Path, metavar="FILE", help="axe.min.js; if not given, that of the environment in which the site was made")
    parser.add_argument("--counts", metavar="FILE", help="add a line 'passed failed skipped' to it: pages, problems, and 1 without a browser")
    parser.add_argument("--screenshots", type=Path, metavar="FOLDER")
    options = parser.parse_args()
    if not options.site:
        suite = unittest.TestSuite(unittest.defaultTestLoader.loadTestsFromTestCase(case) for case in (*site_cases.CASES, *site_parts.CASES, Judged))
        return 0 if unittest.TextTestRunner().run(suite).wasSuccessful() else 1
    site = options.site.resolve()
    if options.screenshots:
        screenshots(site, options.screenshots)
        return 0
    wrong, looked_at = files(site)
    print(f"{looked_at} links and files of {len(list(site.rglob('*.html')))} pages: {len(wrong)} wrong", flush=True)
    axe = options.axe or next(site.parent.glob("venv/lib/python*/site-packages/axe_playwright_python/axe.min.js"), None)
    why = "no Chromium here (Debian: apt-get install chromium)" if not chromium.find() else "no axe.min.js" if not axe else ""
    if not why:
        wrong += in_browser(site, axe)
    print("\n".join(f"FAILED: {problem}" for problem in wrong))
    print(f"skipped: the site was not looked at in a browser: {why}" if why else f"{len(wrong)} wrong in all")
    if options.counts:
        with open(options.counts, "a", encoding="utf-8") as file:
            print(len(list(site.rglob("*.html"))) - len({problem.split(":")[0].split(" ")[0] for problem in wrong}), len(wrong), 1 if why else 0, file=file)
    return 1 if wrong else 77 if why else 0


if __name__ == "__main__":
    sys.exit(main())
