"""A finished site in a browser: what it asks for, what it logs, how wide it gets, and axe's rules, in light and in dark."""
from __future__ import annotations

import json
import time
from pathlib import Path

import chromium

NARROW, WIDE = (360, 740), (1280, 900)
# The frames of the viewers have their own tests (viewer_test.py, policy_viewer_test.py). Style sheets are not
# fetched once more (preload): a page from a file may not, and the console would say so.
AXE = "axe.run(document, {iframes: false, preload: false, rules: RULES, resultTypes: ['violations']}).then(found => JSON.stringify(found.violations.map(v => ({id: v.id, help: v.help, nodes: v.nodes.slice(0, 3).map(n => n.html.slice(0, 160)), count: v.nodes.length}))))"
# What sticks out at the right, where the page as a whole is too wide.
STICKS_OUT = """[...document.querySelectorAll('body *')].filter(e => { const box = e.getBoundingClientRect(); return box.width && box.right > innerWidth + 1 && !e.closest('pre, .md-typeset__scrollwrap, .md-sidebar, .md-search'); })
    .slice(0, 3).map(e => e.tagName + '.' + e.className + ': ' + e.textContent.trim().slice(0, 40)).join(' | ')"""
READY = "document.readyState === 'complete' && (!document.getElementById('__config') || document.documentElement.classList.contains('js'))"


class Looked:
    """One browser on one site. Each answer is a list of what is wrong."""

    def __init__(self, site: Path, axe: str):
        self.site, self.axe = site, axe
        self.browser = chromium.Browser(chromium.find(), patience=300)
        # Not a list of blocked addresses: its patterns also match within the pictures that style sheets carry as "data:", and icons would be missing.
        self.browser.call("Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=-1, uploadThroughput=-1)
        self.browser.call("Page.addScriptToEvaluateOnNewDocument", source="try { localStorage.clear(); } catch { }")  # colours that were chosen on another page

    def close(self) -> None:
        self.browser.close()

    def show(self, page: str, scheme: str, size: tuple = WIDE, fragment: str = "") -> None:
        self.browser.screen(*size, scheme)
        self.browser.open(self.site / page, fragment)
        end = time.monotonic() + 30
        while not self.browser.evaluate(READY) and time.monotonic() < end:
            time.sleep(0.02)

    def resize(self, scheme: str, size: tuple) -> None:
        """The same page on another screen, without loading it again."""
        self.browser.screen(*size, scheme)
        self.browser.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def quiet(self, page: str) -> list[str]:
        return [f"{page}: the console has: {failure[:200]}" for failure in self.browser.failures] + [
            f"{page}: asks for {request}" for request in self.browser.requests if not request.startswith(("file:", "data:", "blob:", "about:"))]

    def dark(self, page: str, scheme: str) -> list[str]:
        background = self.browser.evaluate("getComputedStyle(document.body).backgroundColor.match(/[\\d.]+/g).slice(0, 3).map(Number)")
        expected = sum(background) < 384 if scheme == "dark" else sum(background) > 384
        pictures = self.browser.evaluate("[...new Set([...document.querySelectorAll('article img')].map(img => getComputedStyle(img).colorScheme))]")
        wrong = [] if expected else [f"{page}: the background is {background} where {scheme} was asked for"]
        return wrong + ([] if pictures in ([], [scheme]) else [f"{page}: pictures are {pictures} on a {scheme} page"])

    def width(self, page: str) -> list[str]:
        width = self.browser.evaluate("document.documentElement.scrollWidth")
        return [] if width <= NARROW[0] else [f"{page}: {width} pixels wide on a screen of {NARROW[0]}: {self.browser.evaluate(STICKS_OUT)}"]

    def rules(self, page: str, how: str, contrast: bool = True) -> list[str]:
        """Contrast takes four fifths of the time, so it can be left out."""
        self.browser.evaluate(self.axe + "; 0")
        found = json.loads(self.browser.evaluate(AXE.replace("RULES", json.dumps({"color-contrast": {"enabled": contrast}}))))
        return [f"{page} ({how}): {one['id']}: {one['help']}; {one['count']} times, such as {one['nodes']}" for one in found]

    def search(self, word: str) -> int:
        """How many pages the search finds."""
        self.browser.evaluate("document.querySelector('label[for=__search]').click()")
        self.browser.evaluate(f"(() => {{ const box = document.querySelector('.md-search__input'); box.focus(); box.value = {json.dumps(word)}; box.dispatchEvent(new Event('input', {{bubbles: true}})); box.dispatchEvent(new KeyboardEvent('keyup', {{bubbles: true}})); }})()")
        end = time.monotonic() + 60
        while time.monotonic() < end:
            if count := self.browser.evaluate("document.querySelectorAll('.md-search-result__item').length"):
                return count
            time.sleep(0.1)
        return 0
