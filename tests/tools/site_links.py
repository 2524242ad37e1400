"""A finished site as files: what each page links, loads and is made of."""
from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

LOADS = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src", "audio": "src", "embed": "src", "object": "data"}
LOADING_LINKS = ("stylesheet", "icon", "preload", "modulepreload", "preconnect", "dns-prefetch", "prefetch", "manifest")
COUNTED = {"li": "items", "tr": "rows", "pre": "blocks of code", "img": "pictures", **{f"h{n}": "headings" for n in range(1, 7)}}
CSS_URL = re.compile(r"url\(\s*['\"]?([^'\")]+)|@import\s+['\"]([^'\"]+)")


@dataclass
class Facts:
    anchors: set = field(default_factory=set)
    links: list = field(default_factory=list)  # (line, target)
    loads: list = field(default_factory=list)
    counts: dict = field(default_factory=dict)  # within the article
    alone: list = field(default_factory=list)  # pictures without an alternative text


class Reader(HTMLParser):
    def __init__(self):
        super().__init__()
        self.facts, self.article, self.style = Facts(), False, False

    def handle_starttag(self, tag, attributes):
        given, line = dict(attributes), self.getpos()[0]
        for name in ("id", "name"):
            if given.get(name) and (name == "id" or tag == "a"):
                self.facts.anchors.add(given[name])
        if tag in ("a", "area") and given.get("href") is not None:
            self.facts.links.append((line, given["href"]))
        if tag == "link" and set((given.get("rel") or "").split()) & set(LOADING_LINKS):
            self.facts.loads.append((line, given.get("href") or ""))
        if tag in LOADS and given.get(LOADS[tag]) is not None:
            self.facts.loads.append((line, given[LOADS[tag]]))
        for entry in (given.get("srcset") or "").split(","):
            if entry.strip():
                self.facts.loads.append((line, entry.split()[0]))
        self.facts.loads += [(line, found[1] or found[2]) for found in CSS_URL.finditer(given.get("style") or "")]
        self.style = tag == "style"
        self.article = self.article or tag == "article"
        if self.article and tag in COUNTED and "task-list" not in (given.get("class") or ""):
            self.facts.counts[COUNTED[tag]] = self.facts.counts.get(COUNTED[tag], 0) + 1
        if tag == "img" and not (given.get("alt") or "").strip():
            self.facts.alone.append((line, given.get("src")))

    def handle_endtag(self, tag):
        self.article = self.article and tag != "article"
        self.style = self.style and tag != "style"

    def handle_data(self, data):
        if self.style:
            self.facts.loads += [(self.getpos()[0], found[1] or found[2]) for found in CSS_URL.finditer(data)]


def read(path: Path) -> Facts:
    reader = Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    return reader.facts


def leaves(target: str) -> bool:
    return re.match(r"(?:https?:)?//", target) is not None


def check(site: Path) -> tuple[dict[str, Facts], list[str]]:
    """All pages, and what is wrong with them: links and anchors that lead nowhere, what is not there to be loaded, and what would be asked of another machine."""
    pages = {path.relative_to(site).as_posix(): read(path) for path in sorted(site.rglob("*.html"))}
    files = {path.relative_to(site).as_posix() for path in site.rglob("*") if path.is_file()}
    wrong = []

    def to(page: str, target: str) -> tuple[str, str]:
        name, _, anchor = unquote(target).partition("#")
        return (posixpath.normpath(posixpath.join(posixpath.dirname(page), name.split("?")[0])) if name else page), anchor

    for page, facts in pages.items():
        for line, target in facts.links:
            if re.match(r"[a-z][a-z+]*:", target):
                if not re.match(r"(https?|mailto|data):", target):
                    wrong.append(f"{page}:{line}: '{target}': a link of a kind that is not known")
                continue
            found, anchor = to(page, target)
            if found in (".", "..") or found + "/index.html" in files:
                found = posixpath.normpath(posixpath.join(found, "index.html"))
            if found not in files:
                wrong.append(f"{page}:{line}: '{target}' leads nowhere")
            elif anchor and found in pages and anchor not in pages[found].anchors and anchor != "__search":
                wrong.append(f"{page}:{line}: '{target}': {found} has no such anchor")
        for line, target in facts.loads:
            if leaves(target):
                wrong.append(f"{page}:{line}: '{target}' is asked of another machine")
            elif not target.startswith(("data:", "#")) and to(page, target)[0] not in files:
                wrong.append(f"{page}:{line}: '{target}' is not there")
        wrong += [f"{page}:{line}: the picture '{source}' has no alternative text" for line, source in facts.alone]
    for path in sorted(site.rglob("*.css")):
        for found in CSS_URL.finditer(path.read_text(encoding="utf-8")):
            target = found[1] or found[2]
            if leaves(target):
                wrong.append(f"{path.relative_to(site)}: '{target}' is asked of another machine")
            elif not target.startswith(("data:", "#")) and not (path.parent / target.split("?")[0].split("#")[0]).exists():
                wrong.append(f"{path.relative_to(site)}: '{target}' is not there")
    return pages, wrong


def counts_of(markdown: str) -> dict:
    """What a text is made of, counted in its Markdown, to be compared with its page."""
    counts: dict[str, int] = {}
    fence, comment = "", False

    def one(what):
        counts[what] = counts.get(what, 0) + 1

    for line in markdown.split("\n"):
        text = line.strip()
        if fence:
            fence = "" if text.startswith(fence) else fence
            continue
        if comment or text.startswith("<!--"):
            comment = "-->" not in text
            continue
        if found := re.match(r"(`{3,}|~{3,})", text):
            fence = found[1]
            one("blocks of code")
        elif re.match(r"#{1,6} ", line):
            one("headings")
        elif text.startswith("|") and not re.fullmatch(r"[|\-: ]+", text):
            one("rows")
        elif re.match(r"!\[.*\)\s*$", text):
            one("pictures")
        elif re.match(r"(?:[-*+]|\d+[.)])\s+", text) and not re.fullmatch(r"(-\s*){3,}|(\*\s*){3,}", text):
            one("items")
    return counts
