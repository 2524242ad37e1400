"""The reference of all public headers: a page each, with every declaration, the comment above it, and links between types."""
from __future__ import annotations

import posixpath
import re
import subprocess
from pathlib import Path

from website import tree as paths
from website.declarations import Header, Type, comment_above, grouped, head_comment, read, text_of

FOLDERS = ("step*/include", "weights/include", "api/include")
HOME = "reference/index.md"
PLAIN_MOST = 40  # lines of a struct that is shown whole
NAMES = {"weights": "Weights", "api": "C interface"}
SETTINGS = """INPUT = {folders}
FILE_PATTERNS = *.hpp *.h
RECURSIVE = YES
OUTPUT_DIRECTORY = "{out}"
STRIP_FROM_PATH = "{root}"
GENERATE_HTML = NO
GENERATE_LATEX = NO
GENERATE_XML = YES
XML_PROGRAMLISTING = NO
EXTRACT_ALL = YES
EXTRACT_STATIC = YES
EXTENSION_MAPPING = h=C++
HAVE_DOT = NO
CLASS_GRAPH = NO
QUIET = YES
WARNINGS = NO
"""


def parsed(root: Path, out: Path, program: str) -> dict[str, Header]:
    """What Doxygen finds in the headers. Raises OSError or CalledProcessError."""
    out.mkdir(parents=True, exist_ok=True)
    folders = " ".join(f'"{folder}"' for pattern in FOLDERS for folder in sorted(root.glob(pattern)))
    (out / "Doxyfile").write_text(SETTINGS.format(folders=folders, out=out, root=root), encoding="utf-8")
    subprocess.run([program, out / "Doxyfile"], check=True, capture_output=True, text=True, timeout=600, cwd=root)
    headers = read(out / "xml", root)
    return {place.removeprefix(f"{root}/"): header for place, header in headers.items()}


def page_of(place: str) -> str:
    """step03_kvcache/include/kvlab/kvcache/kv_cache.hpp is reference/kvcache/kv_cache.hpp; whatever the folder is called, #include says the same."""
    return f"reference/{place.rpartition('/include/')[2].removeprefix('kvlab/')}.md"


class Reference:
    def __init__(self, site, headers: dict[str, Header]):
        self.site, self.headers = site, headers
        self.types = {one.name: (page_of(place), anchor(one.name)) for place, header in headers.items() for one in header.types}

    def write(self) -> list:
        """The pages, and their entries of the menu."""
        by_folder: dict[str, list[str]] = {}
        for place, header in self.headers.items():
            self.site.sources.setdefault(place, set())
            self.site.write(page_of(place), posixpath.basename(place), self.page(place, header))
            by_folder.setdefault(place.split("/")[0], []).append(place)
        lines, menu = ["# Reference of the headers", "", "Every public header, with all that it declares. The comments are the headers' own, where letters in brackets are shapes: T tokens of a call, S tokens that "
                       "are visible, C the model's width, Hq and Hkv heads of queries and of keys and values, D a head's width, V the vocabulary, L layers.", ""], []
        for folder, places in by_folder.items():
            title = NAMES.get(folder, f"Step {int(folder[4:6])}: {folder[7:]}" if folder.startswith("step") else folder)
            lines += [f"## {title}", "", "| header | what it is |", "|---|---|"]
            lines += [f"| [`{posixpath.basename(place)}`]({paths.relative(HOME, page_of(place))}) | {self.prose(first_sentence(self.headers[place]), HOME).replace('|', '&#124;')} |" for place in places] + [""]
            menu.append({title: [{posixpath.basename(place): page_of(place)} for place in places]})
        self.site.write(HOME, "Reference of the headers", "\n".join(lines))
        return [HOME, *menu]

    def page(self, place: str, header: Header) -> str:
        page = page_of(place)
        source = paths.relative(page, paths.page_of_source(place))
        lines = [f"# {posixpath.basename(place)} {{ .path }}", "", f"[#include <{place.rpartition('/include/')[2]}\\>]({source}){{ .from }}", ""]
        head = head_comment(header.lines)
        if head:
            head[0] = re.sub(r"^\S+ - (?:chapter \d+: )?", "", head[0])
            head[0] = head[0][:1].upper() + head[0][1:]
        lines += [*self.comment(head, page), ""]
        inside = {one.name for one in header.types}
        for one in header.types:
            lines += self.type(one, header, page, source)
        others = [one for one in header.others if one.name not in inside]
        if others:
            lines += ["## Beside them" if header.types else "## Declarations", ""]
            lines += self.members(others, header, page, source)
        return "\n".join(lines) + "\n"

    def type(self, one: Type, header: Header, page: str, source: str) -> list:
        lines = [f"## {one.name} {{ #{anchor(one.name)} }}", ""]
        about = [f"{one.kind}, [line {one.line}]({source}#__span-0-{one.line})"]
        about += [f"is a {self.named(one.bases, page)}"] if one.bases else []
        about += [f"derived: {self.named(one.derived, page)}"] if one.derived else []
        lines += ["; ".join(about), "{ .named }", "", *self.comment(comment_above(header.lines, one.line), page), ""]
        whole = header.lines[one.line - 1:one.body_end]
        if one.body_end and len(whole) <= PLAIN_MOST and not any(found.kind == "function" for found in one.members):
            return [*lines, "``` { .cpp }", *whole, "```", ""]
        return [*lines, *self.members(one.members, header, page, source, one.name)]

    def members(self, members: list, header: Header, page: str, source: str, owner: str = "") -> list:
        lines = []
        for group in grouped(header.lines, members):
            names = list(dict.fromkeys(one.name for one in group))
            shown = ", ".join(f"`{name}`" for name in names)
            lines += [f"### {shown} {{ #{anchor(owner + '-' if owner else '')}{anchor(names[0])}-{group[0].line} }}", "", "``` { .cpp }"]
            for one in group:
                whole = one.kind == "enum" and one.body_end
                lines += header.lines[one.line - 1:one.body_end] if whole else text_of(header.lines, one.line)[0]
            lines += ["```", "", *self.comment(comment_above(header.lines, group[0].line), page), ""]
            types = sorted({name for one in group for name in one.types if name in self.types and name != owner})
            line = group[0].line
            lines += [f"[line {line}]({source}#__span-0-{line})" + (f"; types: {self.named(types, page)}" if types else ""), "{ .named }", ""]
        return lines

    def named(self, names: list, page: str) -> str:
        return ", ".join(f"[`{name}`]({paths.relative(page, self.types[name][0])}#{self.types[name][1]})" if name in self.types else f"`{name}`" for name in names)

    def comment(self, lines: list, page: str) -> list:
        """A comment as Markdown: what is indented is a drawing or code."""
        out, paragraph, drawing = [], [], []

        def settle():
            if paragraph:
                out.extend([self.prose(" ".join(paragraph), page), ""])
            if drawing:
                while not drawing[-1].strip():
                    drawing.pop()
                out.extend(["``` { .text }", *drawing, "```", ""])
            paragraph.clear(), drawing.clear()

        for line in lines:
            bullet = re.match(r"\s{0,3}(- |\d+\. )(.+)", line)
            if bullet and not drawing:
                settle()
                paragraph.append("- " + bullet[2])
            elif line.startswith("  ") and not (paragraph and paragraph[0].startswith("- ")):
                if paragraph:
                    settle()
                drawing.append(line)
            elif not line.strip():
                drawing.append("") if drawing else settle()
            else:
                if drawing:
                    settle()
                paragraph.append(line.strip())
        settle()
        return out

    def prose(self, text: str, page: str) -> str:
        """Signs of Markdown that are none, and names of types as links, each once."""
        met = set()
        bullet = text.startswith("- ")
        parts = re.split(r"(`[^`]+`)", text[2:] if bullet else text)
        for at in range(0, len(parts), 2):
            parts[at] = re.sub(r"([\\*_\[\]{}#|])", r"\\\1", parts[at]).replace("<", "&lt;").replace("\\|", "&#124;")

            def linked(found):
                name = found[0]
                if name not in self.types or name in met or self.types[name][0] == page:
                    return name
                met.add(name)
                return self.named([name], page)
            parts[at] = re.sub(r"\b[A-Z]\w*[a-z]\w*\b", linked, parts[at])
        return ("- " if bullet else "") + "".join(parts)


def first_sentence(header: Header) -> str:
    text = " ".join(line.strip() for line in head_comment(header.lines)[:6])
    text = re.sub(r"^\S+ - (?:chapter \d+: )?", "", text)
    return re.split(r"(?<=[.:])\s", text)[0].rstrip(":.")


def anchor(name: str) -> str:
    return re.sub(r"[^\w-]+", "-", name).strip("-").lower() + ("-" if name.endswith("-") else "")


def add(site, folder: Path, program: str | None) -> tuple[list, list[str]]:
    """The entries of the menu, and what is missing. Without Doxygen a page says so."""
    why = "Doxygen is not installed"
    if program:
        try:
            return Reference(site, parsed(site.root, folder, program)).write(), []
        except (OSError, subprocess.SubprocessError) as problem:
            why = f"Doxygen failed ({type(problem).__name__})"
    site.write(HOME, "Reference of the headers", f"# Reference of the headers\n\n{why} where this site was made, so the pages of the headers are not here. Debian and Ubuntu have it as `doxygen`; "
               "with it, `tools/book.sh` makes them. The headers themselves lie in `stepNN_NAME/include/kvlab/`.\n")
    return [HOME], [f"the reference of the headers: {why}"]
