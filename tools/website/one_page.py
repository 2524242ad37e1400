"""All texts of the book as one page to print, and as a PDF: links between its texts lead to places in it, others are only their words."""
from __future__ import annotations

import base64
import html
import posixpath
import re
from html.parser import HTMLParser
from pathlib import Path

VOID = {"img", "br", "hr", "input", "col", "source", "wbr", "meta", "link"}
LEFT_OUT = ("headerlink", "md-source-file", "md-path", "md-feedback", "md-tags", "md-code__nav", "ways-in")
FOOTER = ('<div style="width:100%;font-size:8px;color:#555;text-align:center;font-family:sans-serif">'
          '<span class="pageNumber"></span></div>')
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
{styles}
</head>
<body class="whole" data-md-color-scheme="default" data-md-color-primary="custom" data-md-color-accent="custom">
<main class="md-typeset md-content__inner">
<section class="cover">
<h1>kvlab</h1>
<p>A book about the KV cache whose code runs, and an engine that is tested with <code>==</code>.</p>
<p>Version {version}</p>
<nav aria-label="Contents"><ol>
{contents}
</ol></nav>
</section>
{texts}
</main>
</body>
</html>
"""


class Article(HTMLParser):
    """The article of one page, as it is to stand in the whole: its anchors begin with its own name."""

    def __init__(self, page: str, names: dict[str, str]):
        super().__init__(convert_charrefs=False)
        self.page, self.names, self.name = page, names, names[page]
        self.out: list[str] = []
        self.depth = self.skip = 0
        self.links: list[bool] = []  # whether each open link stays one
        self.title = ""

    def target(self, href: str) -> str | None:
        if re.match(r"[a-z]+:", href):
            return href
        path, _, anchor = href.partition("#")
        page = posixpath.normpath(posixpath.join(posixpath.dirname(self.page), path)) if path else self.page
        return f"#{self.names[page]}{'-' + anchor if anchor else ''}" if page in self.names else None

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        if not self.depth:
            if tag == "article":
                self.depth = 1
            return
        classes = (given.get("class") or "").split()
        if self.skip or set(classes) & set(LEFT_OUT) or tag in ("script", "button", "iframe"):
            self.skip += tag not in VOID
            return
        self.depth += tag not in VOID
        if tag == "a":
            target = self.target(given["href"]) if "href" in given else None
            self.links.append(target is not None)
            if target is None:
                self.out.append('<span class="from">' if "from" in classes else "<span>")
                return
            given = {"href": target}
        if "id" in given:
            given["id"] = f"{self.name}-{given['id']}"
        if tag == "img":
            given["src"] = posixpath.normpath(posixpath.join(posixpath.dirname(self.page), given["src"]))
        given.pop("title", None)
        self.out.append(f"<{tag}{''.join(f' {key}' if value is None else f' {key}={chr(34)}{html.escape(value)}{chr(34)}' for key, value in given.items())}>")

    def handle_endtag(self, tag):
        if not self.depth or tag in VOID:
            return
        if self.skip:
            self.skip -= 1
            return
        self.depth -= 1
        if self.depth:
            self.out.append("</span>" if tag == "a" and not self.links.pop() else f"</{tag}>")

    def text(self, data):
        if self.depth and not self.skip:
            self.out.append(data)

    def handle_data(self, data):
        self.text(data)

    def handle_entityref(self, name):
        self.text(f"&{name};")

    def handle_charref(self, name):
        self.text(f"&#{name};")


def name_of(page: str) -> str:
    return "at-" + re.sub(r"[^a-z0-9]+", "-", page.removesuffix(".html").lower()).strip("-")


def whole(site: Path, pages: list[str], version: str) -> Path:
    """Writes SITE/print.html of these pages, in this order."""
    names = {page: name_of(page) for page in pages}
    styles, texts, contents = "", [], []
    for page in pages:
        text = (site / page).read_text(encoding="utf-8")
        article = Article(page, names)
        article.feed(text)
        body = "".join(article.out)
        title = re.search(r"<h1[^>]*>(.*?)</h1>", body, re.S)
        contents.append(f'<li{" class=" + chr(34) + "page" + chr(34) if "/pages/" in page else ""}><a href="#{names[page]}">{re.sub(r"<[^>]+>", "", title[1]).strip() if title else page}</a></li>')
        texts.append(f'<section class="text" id="{names[page]}">\n{body}\n</section>')
        if not styles:
            styles = "\n".join(f'<link rel="stylesheet" href="{posixpath.normpath(posixpath.join(posixpath.dirname(page), found))}">'
                               for found in re.findall(r'<link rel="stylesheet" href="([^"]+)"', text))
    path = site / "print.html"
    path.write_text(PAGE.format(title="kvlab, the whole book", styles=styles, version=version, contents="\n".join(contents), texts="\n".join(texts)), encoding="utf-8")
    return path


def print_pdf(program: str, page: Path, pdf: Path) -> None:
    """Prints with a headless Chromium; its outline are the headings."""
    from chromium import Browser  # of tests/tools

    browser = Browser(program, patience=3600)  # a minute on a quiet machine
    try:
        browser.screen(1000, 1400, "light")
        browser.open(page)
        answer = browser.call("Page.printToPDF", printBackground=True, preferCSSPageSize=True, displayHeaderFooter=True, headerTemplate="<span></span>", footerTemplate=FOOTER,
                              generateDocumentOutline=True, generateTaggedPDF=True, paperWidth=8.27, paperHeight=11.69, marginTop=0.7, marginBottom=0.8, marginLeft=0.7, marginRight=0.7)
        pdf.write_bytes(base64.b64decode(answer["data"]))
    finally:
        browser.close()
