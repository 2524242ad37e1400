"""Parts of the site beyond its texts: the reference of the headers, the page of all texts, and the command that makes it all."""
from __future__ import annotations

import importlib.util
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

from site_cases import ROOT, Staged  # its path leads to tools/, too
from website import declarations, one_page, reference

HEADER = '''// x.hpp - chapter 1: what it is. More of it.
//
//   slot  0  1
//
// And [S, D] * 2.
#pragma once

#define KVLAB_X(a) \\
    a;

namespace kvlab {

// A shape.
struct Shape {
    int rows = 0;  // at least 1
};

// A cache; see Shape.
class Cache : public Shape {
public:
    // Room for `n` tokens.
    explicit Cache(int n) : n_(n) {}

    // Both of one row.
    template <class T>
    T key(int row,
          int i) const;  // [D]
    float value(int row) const { return row; }

    int size() const { return n_; }

private:
    int n_;
};

// ANCHOR: free
// What is "a;b".
const char* name(const char* other = "a;b");
// ANCHOR_END: free

namespace detail {
void hidden();
}

}  // namespace kvlab
'''


class Declarations(Staged):
    def test_texts(self):
        lines = HEADER.split("\n")

        def at(words):
            return next(number for number, line in enumerate(lines, 1) if words in line)
        for words, expected in (("explicit Cache", ["explicit Cache(int n);"]), ("T key", ["template <class T>", "T key(int row,", "      int i) const;  // [D]"]),
                                ("float value", ["float value(int row) const;"]), ("char* name", ['const char* name(const char* other = "a;b");']), ("KVLAB_X", ["#define KVLAB_X(a) \\", "    a;"])):
            self.assertEqual(declarations.text_of(lines, at(words))[0], expected)
        self.assertEqual(declarations.comment_above(lines, at("T key")), ["Both of one row."])
        self.assertEqual(declarations.comment_above(lines, at("char* name")), ['What is "a;b".'])
        self.assertEqual(declarations.head_comment(lines)[2], "  slot  0  1")
        initialised = ["A(int a,", "  int b)", "    : a_(a),", "      b_(b) {", "}"]
        self.assertEqual(declarations.text_of(initialised, 1)[0], ["A(int a,", "  int b);"])

    @unittest.skipUnless(shutil.which("doxygen"), "there is no Doxygen")
    def test_a_header_becomes_a_page(self):
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder, "root")
            path = root / "step01_x/include/kvlab/x/x.hpp"
            path.parent.mkdir(parents=True)
            path.write_text(HEADER, encoding="utf-8")
            headers = reference.parsed(root, Path(folder, "doxygen"), shutil.which("doxygen"))
            self.assertEqual([(place, [one.name for one in header.types], [one.name for one in header.others]) for place, header in headers.items()],
                             [("step01_x/include/kvlab/x/x.hpp", ["Shape", "Cache"], ["KVLAB_X", "name"])])
            page = reference.Reference(None, headers).page(*next(iter(headers.items())))
        for part in ("What it is. More of it.\n", "``` { .text }\n  slot  0  1\n```\n", "And \\[S, D\\] \\* 2.\n", "## Cache { #cache }\n\nclass, [line 19]", "is a [`Shape`](x.hpp.md#shape)",
                     "    int rows = 0;  // at least 1\n", "### `key`, `value` {", "Room for `n` tokens.\n", "### `size`"):
            self.assertIn(part, page)
        self.assertNotIn("n_;", page)
        self.assertNotIn("hidden", page)

    def test_without_doxygen_a_page_says_so(self):
        for program in (None, "false"):
            site, out = self.staged()
            menu, missing = reference.add(site, out.parent / "doxygen", program)
            self.assertEqual((menu, len(missing)), ([reference.HOME], 1))
            self.assertIn("so the pages of the headers are not here", (out / reference.HOME).read_text(encoding="utf-8"))


class AsOne(unittest.TestCase):
    def test_links_of_the_whole(self):
        page = """<nav><a href="x.html">out</a></nav><article id="a"><h1 id="t">T<a class="headerlink" href="#t">#</a></h1><p>1 &lt; 2 &amp; <a href="b.html#u" title="w">b</a>
        <a href="#t">here</a> <a href="../source/c.html"><code>c</code></a> <a class="from" href="d.html">d</a> <a href="https://example.org">e</a><img src="p.svg" alt="p"></p><button>no</button></article><p>after</p>"""
        with tempfile.TemporaryDirectory() as folder:
            site = Path(folder)
            (site / "one").mkdir()
            (site / "one/a.html").write_text(page, encoding="utf-8")
            (site / "one/b.html").write_text("<article><h1 id='u'>B</h1></article>", encoding="utf-8")
            text = one_page.whole(site, ["one/a.html", "one/b.html"], "1.2.3").read_text(encoding="utf-8")
        for part in ('<h1 id="at-one-a-t">T</h1>', '1 &lt; 2 &amp; <a href="#at-one-b-u">b</a>', '<a href="#at-one-a-t">here</a>', "<span><code>c</code></span>", '<span class="from">d</span>', '<a href="https://example.org">e</a>',
                     '<img src="one/p.svg" alt="p">', '<h1 id="at-one-b-u">B</h1>', "Version 1.2.3", '<li><a href="#at-one-a">T</a></li>'):
            self.assertIn(part, text)
        for part in ("headerlink", "no</button>", "after", ">out<"):
            self.assertNotIn(part, text)


class First(unittest.TestCase):
    def test_ways_in(self):
        for pdf in (True, False):
            made = website_command().ways_in("---\ntitle: T\n---\n\n# T { #t }\n\n**First\nparagraph.**\n\nSecond.\n", pdf)
            self.assertTrue(made.startswith("---\ntitle: T\n---\n\n# T { #t }\n\n**First\nparagraph.**\n\n[How to read this book](book/how_to_read.md){ .md-button .md-button--primary } [Chapter 1]"))
            self.assertTrue(made.endswith(" }\n{ .ways-in }\n\nSecond.\n"))
            self.assertEqual("kvlab.pdf" in made, pdf)


def website_command():
    """tools/website.py, whose name a package has as well."""
    spec = importlib.util.spec_from_file_location("website_command", ROOT / "tools" / "website.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class CommandLine(unittest.TestCase):
    def test_what_it_refuses(self):
        for arguments, code, words in ((["--help"], 0, "--programs BIN"), (["--nonsense"], 2, "book.sh: unknown option '--nonsense'"), (["--out"], 2, "book.sh: --out needs a folder")):
            done = subprocess.run([ROOT / "tools" / "book.sh", *arguments], capture_output=True, text=True, timeout=60, check=False)
            self.assertEqual(done.returncode, code)
            self.assertIn(words, done.stdout + done.stderr)


CASES = (Declarations, AsOne, First, CommandLine)
