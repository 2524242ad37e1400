"""Small projects for the staging of the site: what a page is made of, and what must not become one."""
from __future__ import annotations

import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "tests" / "tools")]

from website.site import Site  # noqa: E402

CODE = "// first\n// ANCHOR: f\nint f();\n// ANCHOR_END: f\n"
BASE = {
    "README.md": "# Book\n\nSee [one](step01_x/README.md).\n",
    "book/glossary.md": "# Glossary\n\n- **KV cache**: rows that are kept, for \"later\". [chapter 1](../step01_x/README.md#two-words)\n",
    "step01_x/README.md": "# Chapter 1: x\n\n## Two words\n\nText.\n",
    "step01_x/src/f.cpp": CODE, "step01_x/src/other.cpp": "int g();\n", "step02_y/src/other.cpp": "int h();\n",
    "step01_x/results/t.txt": "1\n", "step01_x/pictures/p.svg": "<svg xmlns='http://www.w3.org/2000/svg'/>",
    "tests/course/answers/a.md": "# A\n", "tests/course/answers/b.txt": "b\n", "data.bin": "\0\1",
}


class Staged(unittest.TestCase):
    def staged(self, text: str = "", place: str = "step01_x/README.md", **files) -> tuple[Site, Path]:
        """The site of the small project, whose chapter has this text more."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        root, out = Path(folder.name, "root"), Path(folder.name, "out")
        for name, content in {**BASE, **{name.replace("__", "/"): content for name, content in files.items()}}.items():
            if name == place:
                content += "\n" + text
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(content, encoding="utf-8")
        site = Site(root, out)
        site.collect()
        site.write_sources()
        return site, out

    def page(self, text: str, page: str = "step01_x/index.md", **files) -> str:
        """The page's Markdown after what BASE has in it."""
        site, out = self.staged(text, **files)
        self.assertEqual(site.problems, [])
        return (out / page).read_text(encoding="utf-8").split("Text.\n", 1)[-1].strip("\n")

    def broken(self, text: str, expected: str, place: str = "step01_x/README.md") -> None:
        site, _ = self.staged(text, place)
        self.assertEqual(site.problems, [f"{place}:{expected}"])


class Refused(Staged):
    """The text begins in line 7 of the chapter."""

    def test_dead_links(self):
        self.broken("[a](nowhere.md)", "7: 'nowhere.md': there is no such file")
        self.broken("one\n\ntwo [a](../step09_z/README.md#b)", "9: '../step09_z/README.md#b': there is no such file")
        self.broken("wrapped\nlines [with a\nlink](src/none.cpp)", "8: 'src/none.cpp': there is no such file")
        self.broken("- item [a](x.md)", "7: 'x.md': there is no such file")
        self.broken("| [a](x.md) |\n|---|\n", "7: 'x.md': there is no such file")
        self.broken("## [a](x.md)", "7: 'x.md': there is no such file")
        self.broken("[a](../../outside.md)", "7: '../../outside.md': this leads out of the project")

    def test_missing_anchors(self):
        self.broken("[a](#three-words)", "7: '#three-words': there is no such heading")
        self.broken("[a](../book/glossary.md#other)", "7: '../book/glossary.md#other': there is no such heading")
        self.broken("[a](#in-code)\n\n```\n## In code\n```", "7: '#in-code': there is no such heading")

    def test_missing_pictures_and_sources(self):
        self.broken("![what is on it](pictures/none.svg)", "7: 'pictures/none.svg': there is no such file")
        self.broken("<!-- snippet: src/none.cpp#f -->\n```cpp\nint f();\n```", "7: snippet 'src/none.cpp#f': there is no such file")
        self.broken("<!-- snippet: src/f.cpp#g -->\n```cpp\nint f();\n```", "7: snippet 'src/f.cpp#g': step01_x/src/f.cpp has no such anchor")
        self.broken("<!-- measured: none -->\n```\n1\n```", "7: measured 'none': there is no step01_x/results/none.txt")

    def test_what_has_no_end(self):
        self.broken("```\ncode", "7: this code has no end")
        self.broken("<!-- comment", "7: this comment has no end")

    def test_a_page_that_a_link_leads_to_is_read_as_well(self):
        site, _ = self.staged("[a](../CONTRIBUTING.md)", **{"CONTRIBUTING.md": "# C\n\n[b](none.md)\n"})
        self.assertEqual(site.problems, ["CONTRIBUTING.md:3: 'none.md': there is no such file"])


class Pages(Staged):
    def test_links_between_texts(self):
        self.assertEqual(self.page("[a](../README.md) [b](#two-words) [c](../book/glossary.md#glossary)"),
                         "[a](../index.md) [b](index.md#two-words) [c](../book/glossary.md#glossary)")
        self.assertEqual(self.page("[a](https://example.org/x.md), `[b](none.md)`"), "[a](https://example.org/x.md), `[b](none.md)`")

    def test_the_glossary_is_told_before_it_is_followed(self):
        self.assertEqual(self.page("[KV caches](../book/glossary.md), [other](../book/glossary.md)"),
                         "[KV caches](../book/glossary.md#kv-cache \"rows that are kept, for 'later'.\"), [other](../book/glossary.md)")
        self.assertIn("- **KV cache**{ #kv-cache }: rows", self.page("", "book/glossary.md"))

    def test_names_of_files_lead_to_them(self):
        self.assertEqual(self.page("`src/f.cpp`, `f.cpp`, `step01_x/src/f.cpp`"), ", ".join(f"[`{name}`](../source/step01_x/src/f.cpp.md)" for name in ("src/f.cpp", "f.cpp", "step01_x/src/f.cpp")))
        self.assertEqual(self.page("`other.cpp` is the chapter's own"), "[`other.cpp`](../source/step01_x/src/other.cpp.md) is the chapter's own")
        self.assertEqual(self.page("`none.cpp` `a.b` ``f.cpp `x` ``"), "`none.cpp` `a.b` ``f.cpp `x` ``")
        self.assertEqual(self.page("[`f.cpp`](src/other.cpp)"), "[`f.cpp`](../source/step01_x/src/other.cpp.md)")

    def test_sources_and_folders(self):
        site, out = self.staged("`f.cpp` [answers](../tests/course/answers) [raw](../data.bin)")
        source = (out / "source/step01_x/src/f.cpp.md").read_text()
        self.assertIn('``` { .cpp linenums="1" }\n' + CODE.rstrip(), source)
        self.assertIn("Named in: [Chapter 1: x](../../../step01_x/index.md)", source)
        self.assertIn("- [a.md](../../../../tests/course/answers/a.md)\n- [b.txt](b.txt.md)", (out / "source/tests/course/answers/index.md").read_text())
        self.assertTrue((out / "tests/course/answers/a.md").exists())
        self.assertIn("``` { .text", (out / "source/tests/course/answers/b.txt.md").read_text())
        self.assertTrue((out / "source/data.bin.md").exists())

    def test_code_within_code(self):
        _, out = self.staged("`deep.py`", **{"step01_x__deep.py": '"""\n````\nx\n````\n"""\n'})
        self.assertIn("````` { .python", (out / "source/step01_x/deep.py.md").read_text())

    def test_quoted_code_says_from_where(self):
        self.assertEqual(self.page("<!-- snippet: src/f.cpp#f -->\n```cpp\nint f();\n```"),
                         "[src/f.cpp, line 3](../source/step01_x/src/f.cpp.md#__span-0-3){ .from }\n\n``` { .cpp }\nint f();\n```")
        self.assertEqual(self.page("<!-- output: step01_x -->\n```\n1\n```"), "`step01_x`{ .from }\n\n``` { .text }\n1\n```")
        self.assertEqual(self.page("<!-- measured: t -->\n```\n1\n```"), "[measured: results/t.txt](../source/step01_x/results/t.txt.md){ .from }\n\n``` { .text }\n1\n```")
        self.assertEqual(self.page("<!-- sketch -->\n```cpp\nint f();\n```"), "``` { .cpp }\nint f();\n```")

    def test_markers_go(self):
        self.assertEqual(self.page("One. <!-- claim: a 1/8: b < c in 8 of 8 -->\n<!-- no claim: d -->\n\n<!-- term: e, f -->\n\nTwo.\n<!-- table: tools/x.py -->\n| a |\n|---|\n| 1 |\n<!-- end of table -->\nThree."),
                         "One.\n\nTwo.\n\n| a |\n|---|\n| 1 |\n\nThree.")
        self.assertEqual(self.page("A mark is written `<!-- term: x -->`."), "A mark is written `<!-- term: x -->`.")

    def test_the_project_speaks_and_not_the_starter(self):
        self.assertEqual(self.page("<!-- project -->\nOf the project.\n<!-- starter: Of the starter. -->\n\nBoth."), "Of the project.\n\nBoth.")

    def test_headings_have_the_anchors_of_a_code_host(self):
        self.assertEqual(self.page("## A `b_c`, d\n\n## Two words\n\n### A — b"), "## A `b_c`, d { #a-b_c-d }\n\n## Two words { #two-words-1 }\n\n### A — b { #a--b }")

    def test_pictures(self):
        _, out = self.staged("![three words here](pictures/p.svg)\n\n*Figure 1.1: see [here](#two-words).*\n")
        page = (out / "step01_x/index.md").read_text()
        self.assertIn('<figure markdown="1">\n\n[![three words here](pictures/p.svg)](pictures/p.svg)\n\n<figcaption markdown="span">Figure 1.1: see [here](index.md#two-words).</figcaption>\n\n</figure>', page)
        self.assertTrue((out / "step01_x/pictures/p.svg").exists())

    def test_lists_and_tables_as_mkdocs_reads_them(self):
        self.assertEqual(self.page("A list:\n- one\n  goes on\n  - inner\n    1. deep\n- two\n\nAfter."), "A list:\n\n- one\n    goes on\n    - inner\n        1. deep\n- two\n\nAfter.")
        self.assertEqual(self.page("1) one\n2) two"), "1. one\n2. two")
        self.assertEqual(self.page("- one\n\n  ```\n  code\n    more\n  ```\n- two"), "- one\n\n    ``` { .text }\n    code\n      more\n    ```\n\n- two")
        self.assertEqual(self.page("Before\n| a | `b\\|c` |\n|---|---|"), "Before\n\n| a | `b|c` |\n|---|---|")


CASES = (Refused, Pages)
