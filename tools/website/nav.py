"""The order of the pages, and which comes after which."""
from __future__ import annotations

import re

import book
from website.site import Site

BEFORE = ("book/how_to_read.md",)  # read before the chapters
OVERVIEWS = ("book/results.md", "book/speed.md", "book/proofs.md", "book/map.md")
GLOSSARY = "book/glossary.md"
APPENDIX = "weights/README.md"
TEACHING = "tests/course/"
OWN_ENGINE = ("api/README.md", "python/README.md", "step03_kvcache/trace_format.md")
PROJECT = ("CONTRIBUTING.md", "CHANGELOG.md")


def chapters(site: Site) -> dict[str, list[str]]:
    """{a chapter: its pages}"""
    found = [place for place in site.texts if re.fullmatch(r"step\d+_\w+/README\.md", place)]
    return {place: [path.relative_to(site.root).as_posix() for path in book.texts_of((site.root / place).parent)][1:] for place in found}


def short(title: str) -> str:
    """'Chapter 2: attention, and text' is '2 Attention, and text'."""
    found = re.fullmatch(r"Chapter (\d+): (.+)", title)
    return f"{found[1]} {found[2][0].upper()}{found[2][1:]}" if found else title


def entry(site: Site, place: str) -> dict:
    page = site.pages[place]
    return {short(site.titles[page]): page}


def menu(site: Site, live: list[dict], api: list) -> list:
    """The menu as MkDocs takes it. What the site has beyond what is named here, it has without an entry."""
    def known(places):
        return [entry(site, place) for place in places if place in site.pages]

    used = {*BEFORE, *OVERVIEWS, GLOSSARY, APPENDIX, *OWN_ENGINE, *PROJECT, "README.md"}
    contents = []
    for chapter, pages in chapters(site).items():
        used |= {chapter, *pages}
        contents.append({short(site.titles[site.pages[chapter]]): [site.pages[chapter], *known(pages)]})
    more = [place for place in site.texts if place not in used]  # texts that are new
    teaching = sorted((place for place in site.pages if place.startswith(TEACHING)), key=lambda place: (place.count("/"), place))
    parts = [
        {"Book": [{"kvlab": site.pages["README.md"]}, *known(BEFORE), *contents, *known([APPENDIX, *more]), {"As one file": "one_file.md"}]},
        {"Glossary": site.pages[GLOSSARY]} if GLOSSARY in site.pages else {},
        {"Look": live},
        {"Results": known(OVERVIEWS)},
        {"Your own engine": [*known(OWN_ENGINE)]},
        {"Reference": api},
        {"Teach": known(teaching)},
        {"Project": known(PROJECT)},
    ]
    return [part for part in parts if part and all(part.values())]


def reading_order(site: Site) -> list[str]:
    """The pages that 'next' leads through: from the beginning over the chapters, without their pages for the curious, to the appendix."""
    order = ["README.md", *BEFORE, *chapters(site), APPENDIX, GLOSSARY]
    return [site.pages[place] for place in order if place in site.pages]


def whole(site: Site) -> list[str]:
    """All texts of the book as one reads them on paper: each chapter's pages after it."""
    order = ["README.md", *BEFORE]
    for chapter, pages in chapters(site).items():
        order += [chapter, *pages]
    order += [APPENDIX, *OVERVIEWS]
    rest = [place for place in site.texts if place not in order and place != GLOSSARY]
    return [site.pages[place] for place in [*order, *rest, GLOSSARY] if place in site.pages]
