"""What the viewers share: a page that needs no other file, and wrong use that is told in one line."""
from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

SOURCES = Path(__file__).resolve().parent


def build(template: str, styles: tuple, scripts: tuple, data: dict) -> str:
    """The template with style, scripts and data in their places, replaced in one pass: the data may hold any text."""
    def together(names: tuple) -> str:
        return "\n".join((SOURCES / name).read_text(encoding="utf-8") for name in names)
    parts = {
        "style": together(styles), "script": together(scripts),
        # ASCII, and without '<' nothing in it can end the element that holds it.
        "data": json.dumps(data, separators=(",", ":")).replace("<", "\\u003c"),
    }
    return re.sub(r"\{\{(style|script|data)\}\}", lambda match: parts[match[1]], together((template,)))


class OneLineParser(argparse.ArgumentParser):
    def error(self, message: str):
        self.exit(2, f"{self.prog.removesuffix('.py')}: {message}\n")


def write(parser: OneLineParser, path: Path, html: str) -> None:
    try:
        path.write_text(html, encoding="utf-8")
    except OSError as problem:
        parser.error(f"cannot write {path}: {problem.strerror}")
