"""What the browser tests of all pages share: a page for each fake input, opened in one Chromium.

A page's own tests derive from PageCase, name the tool that makes the page, and say in fake() what it is made of.
"""
from __future__ import annotations

import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import chromium

TOOLS = Path(__file__).resolve().parents[2] / "tools"
SKIPPED = 77


class PageCase(unittest.TestCase):
    TOOL = ""        # of TOOLS
    ENDS_WITH = (0,)  # exit codes with which it may say what it found in its input

    @staticmethod
    def fake(**options) -> str:
        """The input's text."""
        raise NotImplementedError

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.browser = chromium.Browser(chromium.find())
        cls.pages: dict[str, Path] = {}

    @classmethod
    def tearDownClass(cls):
        cls.browser.close()
        cls.folder.cleanup()

    def show(self, fragment: str = "", screen: tuple = (1200, 800), **options) -> None:
        """Opens the page of a fake input; each page is made once."""
        name = str(sorted(options.items()))
        if name not in self.pages:
            base = Path(self.folder.name) / f"{len(self.pages)}"
            base.with_suffix(".jsonl").write_text(self.fake(**options), encoding="utf-8")
            done = subprocess.run([sys.executable, TOOLS / self.TOOL, base.with_suffix(".jsonl"), "-o", base.with_suffix(".html")],
                                  capture_output=True, text=True, timeout=120)
            self.assertIn(done.returncode, self.ENDS_WITH, done.stderr)
            self.pages[name] = base.with_suffix(".html")
        self.browser.screen(*screen)
        self.browser.open(self.pages[name], fragment)

    def tearDown(self):
        self.assertEqual(self.browser.failures, [])
        self.assertTrue(all(url.startswith("file:") for url in self.browser.requests), self.browser.requests)

    def address(self) -> str:
        return self.browser.evaluate("location.hash")


def screenshots(case: type[PageCase], shots: dict, folder: Path) -> None:
    """Pictures for a look at the page: each size in light and dark. `shots`: name -> (fragment, options of the fake)."""
    folder.mkdir(parents=True, exist_ok=True)
    case.setUpClass()
    test = case()
    for name, (fragment, options) in shots.items():
        for width, height in ((1200, 800), (360, 740)):
            for scheme in ("light", "dark"):
                test.show(fragment, (width, height, scheme), **options)
                test.browser.screenshot(folder / f"{name}_{width}_{scheme}.png", whole=width == 360)
    case.tearDownClass()


def run(arguments: list[str], case: type[PageCase], cases: tuple, shots: dict) -> int:
    """The tests of `cases`, or --screenshots FOLDER of `case`. Returns an exit code."""
    if chromium.find() is None:
        print("skipped: no Chromium here (Debian: apt-get install chromium)")
        return SKIPPED
    if arguments[:1] == ["--screenshots"]:
        screenshots(case, shots, Path(arguments[1]))
        return 0
    suite = unittest.TestSuite(unittest.defaultTestLoader.loadTestsFromTestCase(each) for each in cases)
    return 0 if unittest.TextTestRunner().run(suite).wasSuccessful() else 1
