"""The page of tools/policy_viewer.py in a real browser: what it shows, and that it works without a mouse.

    policy_viewer_test.py --browser [--screenshots FOLDER]
"""
from __future__ import annotations

import page_case
from fake_recording import CLASSES, PIECES, WHOLE, class_of, fake_recording, text

LAST = len(PIECES) - 1 - WHOLE  # the last step


class InBrowser(page_case.PageCase):
    TOOL = "policy_viewer.py"

    @staticmethod
    def fake(**options) -> str:
        return text(fake_recording(**options))

    def text_of(self, selector: str) -> str:
        return self.browser.evaluate(f"document.querySelector({selector!r}).textContent").replace("\u202f", "")

    def in_card(self, policy: str, selector: str) -> str:
        return self.text_of(f"section[aria-label={policy}] {selector}")

    def token_classes(self, policy: str) -> list[str]:
        return self.browser.evaluate(f"[...document.querySelectorAll('section[aria-label={policy}] .tokens span')].map((t) => t.className)")


class Shows(InBrowser):
    def test_the_text_under_each_grid_has_the_classes_of_the_step(self):
        for step, layer, head in ((0, 0, 0), (7, 1, 1), (LAST, 1, 0)):
            self.show(f"#step={step}&layer={layer}&head={head}")
            end, place = WHOLE + step, 2 * layer + head
            for policy in ("full", "window", "heavy"):
                expected = [CLASSES[class_of(policy, place, p, end)] if p < end else "unfed" for p in range(len(PIECES) - 1)]
                found = self.token_classes(policy)
                self.assertEqual([now.split()[0] for now in found], expected, (policy, step, place))
                self.assertEqual([p for p, now in enumerate(found) if "needle" in now], [1, 2, 3, 4])
                self.assertEqual([p for p, now in enumerate(found) if "question" in now], [24, 25, 26])

    def test_colours_of_the_grid_are_those_of_the_classes(self):
        self.show(f"#step={LAST}&layer=1&head=1")
        n = len(PIECES) - 1
        # Four to the right of the middle: the lines of the marks run between cells.
        seen = self.browser.evaluate("""(() => {
            const colours = %s.map((name) => getComputedStyle(document.documentElement).getPropertyValue('--' + name).trim());
            const hex = (data) => '#' + [...data.slice(0, 3)].map((x) => x.toString(16).padStart(2, '0')).join('');
            return [...document.querySelectorAll('canvas')].map((canvas) => Array.from({length: %d}, (_, row) => Array.from({length: %d}, (_, p) => {
                const data = canvas.getContext('2d').getImageData(3 + (p + 0.5) * (canvas.width - 6) / %d, 12 + row * 9 + 4, 1, 1).data;
                return data[3] ? colours.indexOf(hex(data)) : null; }))); })()""" % (CLASSES, LAST + 1, n, n))
        for policy, grid in zip(("full", "window", "heavy"), seen):
            for step, row in enumerate(grid):
                self.assertEqual(row, [class_of(policy, 3, p, WHOLE + step) if p < WHOLE + step else None for p in range(n)], (policy, step))

    def test_what_is_held_and_recalled(self):
        self.show("#step=0")
        self.assertIn("holds 10 of 10 tokens here", self.in_card("full", ".held"))
        self.assertIn("holds 8 of 10 tokens here; 4356 bytes", self.in_card("window", ".held"))
        self.assertIn("needle: 3 of 4 tokens here, whole in 1 of 4 heads", self.in_card("window", ".found"))
        self.browser.key("ArrowRight")
        self.assertIn("needle: 2 of 4 tokens here, whole in 0 of 4 heads", self.in_card("window", ".found"))
        self.assertIn("answer, at the end: “7”, right", self.in_card("full", ".found"))
        self.assertIn("answer, at the end: “x”, wrong, not “7”", self.in_card("window", ".found"))
        self.assertIn("the question “ab?” asks for “7”, said 22 bytes before in the needle “ab=7”", self.text_of("#asked"))
        rows = self.browser.evaluate("[...document.querySelectorAll('#summary tbody tr')].map((r) => [...r.cells].map((c) => c.textContent))")
        self.assertEqual(rows[1], ["window", "8", "4\u202f356", "0 of 4", "2 of 2", "1.000", "“x”, wrong, not “7”"])

    def test_a_token_is_followed(self):
        self.show(f"#step={LAST}&at=4")
        self.assertEqual(self.in_card("window", ".fate"), "position 4 “7”: recent from step 0, evicted from step 3")
        self.assertEqual(self.in_card("heavy", ".fate"), "position 4 “7”: recent from step 0, heavy from step 3")
        self.assertIn("of the needle", self.text_of("#cell"))
        self.browser.evaluate("document.querySelectorAll('section[aria-label=window] .tokens span')[26].click()")
        self.assertEqual(self.in_card("window", ".fate"), f"position 26 “?”: recent from step {LAST}")
        self.assertTrue(self.address().endswith("&at=26"))

    def test_a_text_without_a_question(self):
        self.show("#step=3", recall=False)
        self.assertIn("No question", self.text_of("#asked"))
        self.assertNotIn("needle", self.text_of("main"))
        self.assertIn("last token: “x”, wrong", self.in_card("window", ".found"))

    def test_the_legend_has_the_classes_that_occur(self):
        self.show()
        self.assertEqual(self.browser.evaluate("[...document.querySelectorAll('#legend .item')].map((i) => i.textContent.trim())"),
                         ["evicted", "kept", "recent", "heavy", "needle", "question"])

    def test_text_of_a_recording_stays_text(self):
        evil = "</script><img src=x onerror=document.title='x'>"
        self.show("#at=1", pieces=("a", evil, "c", "d"), whole=2, recall=False, model=evil)
        self.assertIn(evil, self.text_of("#about"))
        self.assertEqual(self.browser.evaluate("[document.images.length, document.scripts.length]"), [0, 2])

    def test_an_address_from_elsewhere(self):
        for fragment in ("#step=999&layer=2&head=x&at=27", "#step=1e1&at=,", "#at=-1", "#%", "#step=2=3&&"):
            self.show(fragment)
            self.assertEqual(self.address(), f"#step={LAST}&layer=0&head=0")


class Keyboard(InBrowser):
    def test_steps(self):
        self.show()
        for key, step in (("ArrowRight", LAST), ("Home", 0), ("ArrowLeft", 0), ("ArrowRight", 1), ("End", LAST), ("ArrowLeft", LAST - 1)):
            self.browser.key(key)
            self.assertTrue(self.address().startswith(f"#step={step}&"), f"{key}: {self.address()}")

    def test_playing_ends_with_the_last_step(self):
        self.show(f"#step={LAST - 1}")
        self.browser.key(" ")
        self.assertEqual(self.text_of("#play"), "Pause")
        self.browser.evaluate("""new Promise((done) => { const look = () =>
            document.getElementById('play').textContent === 'Play' ? done() : setTimeout(look, 50); look(); })""")
        self.assertTrue(self.address().startswith(f"#step={LAST}&"), self.address())

    def test_cells_of_a_grid(self):
        self.show("#step=5&at=4")
        self.browser.evaluate("document.querySelector('section[aria-label=window] canvas').focus()")
        for key in ("ArrowUp", "ArrowUp", "ArrowUp", "ArrowLeft"):
            self.browser.key(key)
        self.assertIn("window, step 2, position 3 “=”, of the needle: evicted (recent from step 0, evicted from step 2)", self.text_of("#cell"))
        self.browser.key("Enter")
        self.assertEqual(self.address(), "#step=2&layer=0&head=0&at=3")
        for key in ("ArrowUp",) * 4 + ("ArrowLeft",) * 9 + ("Enter",):
            self.browser.key(key)
        self.assertEqual(self.address(), "#step=0&layer=0&head=0&at=0")

    def test_clicks(self):
        self.show()
        x, y, width = self.browser.evaluate("(() => { const box = document.querySelector('canvas').getBoundingClientRect(); return [box.x, box.y, box.width]; })()")
        self.browser.click(x + 3 + 6.5 * (width - 6) / (len(PIECES) - 1), y + 12 + 9 * 5 + 4)
        self.assertEqual(self.address(), "#step=5&layer=0&head=0&at=6")
        self.browser.click(x + 40, y + 2)
        self.assertEqual(self.address(), "#step=5&layer=0&head=0&at=6", "above the grid is nothing")

    def test_every_stop_of_the_tab_key_shows_its_focus_and_has_a_name(self):
        self.show("#step=5")
        stops = []
        for _ in range(20):
            self.browser.key("Tab")
            stop = self.browser.evaluate("(() => { const at = document.activeElement; return at === document.body ? null : "
                                         "[at.id || at.tagName, getComputedStyle(at).outlineStyle, getComputedStyle(at).outlineWidth]; })()")
            if stop is None:
                break
            stops.append(stop)
        self.assertEqual([stop[0] for stop in stops], ["play", "step", "layer", "head", "CANVAS", "CANVAS", "CANVAS", "DIV"])
        self.assertEqual({(style, width) for _, style, width in stops}, {("solid", "3px")})
        nodes = self.browser.call("Accessibility.getFullAXTree")["nodes"]
        nameless = [node for node in nodes if not node["ignored"] and not node.get("name", {}).get("value")
                    and any(p["name"] == "focusable" and p["value"]["value"] for p in node.get("properties", []))]
        self.assertEqual([node["role"]["value"] for node in nameless], [])


class Layout(InBrowser):
    def test_no_page_wider_than_the_screen(self):
        for width in (360, 600, 1200):
            for options in ({}, {"recall": False}, {"pieces": ("x" * 300,) + PIECES[1:]}, {"pieces": PIECES + tuple("y" * 250), "recall": False}):
                self.show("#step=5&layer=1&at=3", (width, 740), **options)
                self.assertLessEqual(self.browser.evaluate("document.documentElement.scrollWidth"), width, options)

    def test_cards_stand_beside_each_other_with_their_grids_at_one_height(self):
        self.show()
        tops = self.browser.evaluate("[...document.querySelectorAll('canvas')].map((canvas) => canvas.getBoundingClientRect().top)")
        self.assertEqual(len(set(tops)), 1, tops)

    def test_dark_and_light(self):
        grounds = []
        for scheme in ("light", "dark"):
            self.show("", (1200, 800, scheme))
            grounds.append(self.browser.evaluate("[getComputedStyle(document.body).backgroundColor, colours()[0]]"))
        self.assertEqual(grounds, [["rgb(255, 255, 255)", "#eceff1"], ["rgb(20, 24, 28)", "#242b31"]])


SHOTS = {
    "end": ("", {}),
    "middle": ("#step=8&layer=1&head=1&at=4", {}),
    "prompt": ("#step=9", {"recall": False}),
}


def main(arguments: list[str]) -> int:
    return page_case.run(arguments, InBrowser, (Shows, Keyboard, Layout), SHOTS)
