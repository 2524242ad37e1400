"""Which files there are, and where the site shows each: texts as pages of their own, sources as pages with numbered lines."""
from __future__ import annotations

import os
import posixpath
import subprocess
from pathlib import Path

SHOWN_AS_THEY_ARE = (".svg", ".png")
SOURCES = "source"  # the folder of the site in which sources lie
LEFT_OUT = ("build", ".git", "downloads", "__pycache__")


def tracked(root: Path) -> set[str]:
    """The paths of all files of the project, from git; of a tree without it, all but what a build leaves behind."""
    try:
        listed = subprocess.run(["git", "-C", root, "ls-files", "-z"], capture_output=True, text=True, check=False) if (root / ".git").exists() else None
    except OSError:  # there is no git
        listed = None
    if listed and listed.returncode == 0 and listed.stdout:
        return {name for name in listed.stdout.split("\0") if name and (root / name).is_file()}
    found = set()
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name not in LEFT_OUT]
        found |= {Path(folder, name).relative_to(root).as_posix() for name in names}
    return found


def page_of_text(place: str) -> str:
    """README.md is the page of its folder."""
    return posixpath.join(posixpath.dirname(place), "index.md") if posixpath.basename(place) == "README.md" else place


def page_of_source(place: str) -> str:
    return f"{SOURCES}/{place}.md"


def page_of_folder(place: str) -> str:
    return posixpath.join(SOURCES, place, "index.md")


def relative(page: str, target: str) -> str:
    """`target` as a link from `page`, both within the site."""
    return posixpath.relpath(target, posixpath.dirname(page) or ".")


class Tree:
    """The project's files, found by what a text calls them."""

    def __init__(self, root: Path):
        self.root = root
        self.files = tracked(root)
        self.folders = {parent.as_posix() for name in self.files for parent in Path(name).parents} - {"."}
        self.by_name: dict[str, list[str]] = {}
        for name in sorted(self.files):
            self.by_name.setdefault(posixpath.basename(name), []).append(name)

    def named(self, words: str, folder: str) -> str | None:
        """The file that a text of this folder means by such words: a path from the root or from the folder, or a name that no other file has."""
        for base in ("", folder):
            place = posixpath.normpath(posixpath.join(base, words))
            if place in self.files:
                return place
        if "/" in words:
            return None
        everywhere = self.by_name.get(words, [])
        here = [place for place in everywhere if folder and place.startswith(f"{folder}/")]
        return here[0] if len(here) == 1 else everywhere[0] if len(everywhere) == 1 else None
