"""The texts of the book, for all tools that read them.

A chapter is stepNN_NAME/README.md. What is reference, or for the curious, stands on pages of its own: stepNN_NAME/pages/*.md. A page names
sources and results as its chapter does, relative to the chapter's folder; its links and pictures are relative to itself, as everywhere.
"""
from pathlib import Path

PAGES, OWN = "pages", "book"
PATTERNS = ("README.md", f"{OWN}/*.md", "step*/README.md", f"step*/{PAGES}/*.md", "weights/README.md")


def texts(root) -> list[Path]:
    """All of them, those of the whole book first, then chapter by chapter with its pages after it."""
    found = [path for pattern in PATTERNS for path in Path(root).glob(pattern)]
    return sorted(found, key=lambda path: (path.parent != Path(root), folder_of(path), path.parent.name == PAGES, path))


def folder_of(text) -> Path:
    """The folder that a text's sources, results and claims belong to: its chapter's, and of the book's own pages the root."""
    return Path(text).parent if Path(text).name == "README.md" else Path(text).parent.parent


def texts_of(chapter) -> list[Path]:
    """A chapter's own: README.md, if it has one, and its pages."""
    return [path for path in (Path(chapter) / "README.md", *sorted((Path(chapter) / PAGES).glob("*.md"))) if path.exists()]
