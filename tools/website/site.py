"""The site before MkDocs makes it: a folder of Markdown, collected from the texts of the book and from all that they lead to."""
from __future__ import annotations

import html
import posixpath
import re
import shutil
from pathlib import Path

import book
from website import tree as paths
from website.text import ENTRY, Broken, Page, anchors_of, comments_away, slug

GLOSSARY = "book/glossary.md"
FIRST = ("CHANGELOG.md", "CONTRIBUTING.md", "LICENSE")  # pages that are there even if no text of the book leads to them
LONGEST = 400_000  # of a source that is shown whole
LANGUAGES = {".hpp": "cpp", ".h": "c", ".cpp": "cpp", ".c": "c", ".cu": "cuda", ".cuh": "cuda", ".py": "python", ".sh": "bash", ".toml": "toml", ".json": "json",
             ".js": "javascript", ".css": "css", ".html": "html", ".cmake": "cmake", ".cff": "yaml", ".yml": "yaml"}


class Site:
    def __init__(self, root: Path, out: Path):
        self.root, self.out = root, out
        self.tree = paths.Tree(root)
        self.texts = [path.relative_to(root).as_posix() for path in book.texts(root)]
        self.pages: dict[str, str] = {}  # text: its page
        self.titles: dict[str, str] = {}  # page: what its heading says
        self.sources: dict[str, set[str]] = {}  # file that is shown: the texts that name it
        self.folders: set[str] = set()
        self.pictures: set[str] = set()
        self.waiting: list[str] = []
        self.known_anchors: dict[str, set[str]] = {}
        self.glossary_place = GLOSSARY
        self.glossary = self.read_glossary()
        self.problems: list[str] = []

    def read_glossary(self) -> dict[str, tuple[str, str]]:
        """{term in small letters: (anchor, what it means)}"""
        found, path = {}, self.root / GLOSSARY
        for line in path.read_text(encoding="utf-8").split("\n") if path.exists() else []:
            if entry := ENTRY.match(comments_away(line)):
                found[entry[1].lower()] = (slug(entry[1]), re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", entry[2]).replace('"', "'"))
        return found

    # --- what a page asks ---------------------------------------------------------------------------------------------------------------

    def anchors(self, place: str) -> set[str]:
        if place not in self.known_anchors:
            self.known_anchors[place] = set(anchors_of((self.root / place).read_text(encoding="utf-8")))
        return self.known_anchors[place]

    def link(self, place: str, target: str, words: str) -> tuple[str, str]:
        """Where on the site the target of a link of this text is, and what the reader is told of it before following."""
        name, _, anchor = target.partition("#")
        found = posixpath.normpath(posixpath.join(posixpath.dirname(place), name)) if name else place
        if found.startswith(".."):
            raise Broken("this leads out of the project")
        if found.endswith(paths.SHOWN_AS_THEY_ARE) and found in self.tree.files:
            self.pictures.add(found)
            return self.from_page(place, found), ""
        if found in self.tree.folders:
            if f"{found}/README.md" not in self.tree.files:
                self.folders.add(found)
                return self.from_page(place, paths.page_of_folder(found)), ""
            found += "/README.md"
        if found not in self.tree.files:
            raise Broken("there is no such file")
        if not found.endswith(".md"):
            return self.source(place, found) + (f"#{anchor}" if anchor else ""), ""
        if anchor and anchor not in self.anchors(found):
            raise Broken("there is no such heading")
        title = ""
        if found == GLOSSARY and not anchor:
            anchor, title = self.meaning(words)
        return self.from_page(place, self.page(found)) + (f"#{anchor}" if anchor else ""), title

    def meaning(self, words: str) -> tuple[str, str]:
        words = re.sub(r"[`*]", "", words).lower()
        return next((self.glossary[form] for form in (words, words.removesuffix("s"), words.removesuffix("es"), words + "s") if form in self.glossary), ("", ""))

    def source(self, place: str, found: str) -> str:
        """A file that is no page of its own."""
        if found.endswith(".md"):
            return self.from_page(place, self.page(found))
        if found.endswith(paths.SHOWN_AS_THEY_ARE):
            self.pictures.add(found)
            return self.from_page(place, found)
        self.sources.setdefault(found, set()).add(place)
        return self.from_page(place, paths.page_of_source(found))

    def from_page(self, place: str, target: str) -> str:
        return paths.relative(self.pages.get(place, place), target)

    def page(self, place: str) -> str:
        if place not in self.pages:
            self.pages[place] = paths.page_of_text(place)
            self.waiting.append(place)
        return self.pages[place]

    def snippet_line(self, place: str, anchor: str) -> int | None:
        """The first line of a quoted piece, or None."""
        for number, line in enumerate((self.root / place).read_text(encoding="utf-8").split("\n"), 1):
            if re.fullmatch(rf"\s*(//|#) ANCHOR: {re.escape(anchor)}", line):
                return number + 1
        return None

    # --- what is written ----------------------------------------------------------------------------------------------------------------

    def collect(self) -> None:
        for place in [*self.texts, *(name for name in FIRST if name in self.tree.files and name.endswith(".md"))]:
            self.page(place)
        done: set[str] = set()
        while self.waiting or self.folders - done:
            while self.waiting:
                self.write_text(self.waiting.pop(0))
            for folder in sorted(self.folders - done):
                done.add(folder)
                self.write_folder(folder)
        for picture in sorted(self.pictures):
            target = self.out / picture
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.root / picture, target)

    def write_sources(self) -> None:
        for place, users in sorted(self.sources.items()):
            self.write_source(place, users)

    def write(self, page: str, title: str, text: str, *settings: str) -> None:
        self.titles[page] = title
        path = self.out / page
        path.parent.mkdir(parents=True, exist_ok=True)
        head = "\n".join(["---", f"title: {yaml_text(title)}", *settings, "---", ""])
        path.write_text(f"{head}\n{text}", encoding="utf-8")

    def write_text(self, place: str) -> None:
        folder = book.folder_of(self.root / place).relative_to(self.root).as_posix() if place in self.texts else posixpath.dirname(place)
        try:
            page = Page(place, "" if folder == "." else folder, (self.root / place).read_text(encoding="utf-8"), self)
            made = page.made()
        except Broken as problem:
            self.problems.append(str(problem))
            return
        heading = re.search(r"^# (.+?)(?: \{ #\S+ \})?$", made, re.M)
        title = re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", heading[1]) if heading else posixpath.basename(place)
        self.write(self.pages[place], title, made)

    def write_source(self, place: str, users: set[str]) -> None:
        page, path = paths.page_of_source(place), self.root / place
        data = path.read_bytes()
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            text = None
        lines = [f"# {posixpath.basename(place)} {{ .path }}", "", f"`{place}`{{ .from }}", ""]
        if users:
            named = ", ".join(f"[{self.short_title(user)}]({paths.relative(page, self.pages[user])})" for user in sorted(users, key=self.order))
            lines += [f"Named in: {named}", "{ .named }", ""]
        if text is None:
            lines += [f"A file of {len(data):,} bytes that is no text.".replace(",", " ")]
        else:
            if len(text) > LONGEST:
                text = text[:LONGEST].rpartition("\n")[0]
                lines += [f"The beginning of a file of {len(data):,} bytes.".replace(",", " "), ""]
            fence = "`" * max([3, *(len(run) + 1 for run in re.findall(r"^\s*(`{3,})", text, re.M))])
            language = "cmake" if path.name == "CMakeLists.txt" else LANGUAGES.get(path.suffix, "text")
            lines += [f'{fence} {{ .{language} linenums="1" }}', *text.rstrip("\n").split("\n"), fence]
        self.write(page, path.name, "\n".join(lines) + "\n", "search:", "  exclude: true", "hide:", "  - toc")

    def write_folder(self, folder: str) -> None:
        page = paths.page_of_folder(folder)
        names = sorted(name for name in self.tree.files if posixpath.dirname(name) == folder)
        lines = [f"# {folder}/", ""]
        for name in names:
            target = self.page(name) if name.endswith(".md") else paths.page_of_source(name)
            if not name.endswith(".md"):
                self.sources.setdefault(name, set())
            lines.append(f"- [{posixpath.basename(name)}]({paths.relative(page, target)})")
        self.write(page, f"{folder}/", "\n".join(lines) + "\n", "search:", "  exclude: true")

    def order(self, place: str) -> tuple[int, str]:
        return (self.texts.index(place) if place in self.texts else len(self.texts), place)

    def short_title(self, place: str) -> str:
        return html.escape(self.titles.get(self.pages[place], place), quote=False)


def yaml_text(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
