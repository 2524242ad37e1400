"""The page of tools/viewer.py in a real browser: what it shows, and that it works without a mouse.

    viewer_test.py --browser [--screenshots FOLDER]
"""
from __future__ import annotations

import page_case
from fake_trace import bits_of, checksum, fake_trace, floats, head_bits, text, weights

PROMPT = 3  # tokens of the fake prompt


class InBrowser(page_case.PageCase):
    TOOL = "viewer.py"
    ENDS_WITH = (0, 1)  # 1: the two runs differ, and the page says where

    @staticmethod
    def fake(**options) -> str:
        return text(fake_trace(**options))

    def text_of(self, selector: str) -> str:
        return self.browser.evaluate(f"document.querySelector({selector!r}).innerText")

    def focus(self, selector: str) -> None:
        self.browser.evaluate(f"document.querySelector({selector!r}).focus()")


class Shows(InBrowser):
    def test_a_step_of_both_runs(self):
        self.show("#step=5&layer=1&head=2")
        n = PROMPT + 5
        label = lambda run: self.browser.evaluate(f"document.querySelector('#{run} canvas').ariaLabel")
        self.assertIn(f"{n * (n + 1) // 2} weights computed in this step", label("uncached"))
        self.assertIn(f"{n} weights computed in this step", label("cached"))
        self.assertEqual(self.text_of("#kv-head"), "served by KV head 1")
        self.assertEqual(self.browser.evaluate("document.querySelectorAll('#table li:not([hidden])').length"), n)
        self.assertEqual(self.browser.evaluate("[...document.querySelectorAll('#table .fresh')].map((row) => row.ariaLabel.split(',')[0])"),
                         [f"Position {n - 1}"])

    def test_the_prompt_is_new_as_a_whole(self):
        self.show("#step=0")
        self.assertEqual(self.browser.evaluate("document.querySelectorAll('#table .fresh').length"), PROMPT)
        self.assertIn("the cache was empty", self.text_of("#cached .work"))

    def test_the_text_and_its_newest_token(self):
        self.show("#step=5")
        tokens = self.browser.evaluate("[...document.querySelectorAll('#text p > *')].map((token) => token.textContent)")
        self.assertEqual(tokens, ["T", "h", "␣", *"etaoi", "n"])
        self.assertEqual(self.browser.evaluate("[...document.querySelectorAll('mark')].map((token) => token.textContent)"), ["n"])

    def test_tokens_that_are_no_letters_can_be_seen(self):
        self.show("#step=0", prompt=("\0", "\n", "", "\t "))
        self.assertEqual(self.text_of("#text p").replace("\n", ""), "␀⏎∅␉␣e")

    def test_counters_run(self):
        self.show("#step=2")
        counters = self.browser.evaluate("document.querySelector('#counters').textContent").replace("\u202f", "")
        self.assertIn(f"FLOPs{240000 * (3 + 4 + 5)}+{240000 * 5}{240000 * (3 + 1 + 1)}+{240000}2.40 ×", counters)
        self.assertIn("K/V projections24+1010+22.40 ×", counters)
        self.assertIn(f"cache holds, bytes0{512 * 5}", counters)

    def test_k_and_v_of_a_position(self):
        self.show("#step=5&layer=1&head=3&cell=4")
        key, value = (head_bits(op, 1, 1, 4, 32) for op in ("key", "value"))
        shown = self.text_of("#inspector-box")
        for bits in (key, value):
            self.assertEqual(shown.count(checksum(bits)), 2, "one checksum for each run")
            for i in range(0, len(bits), 8):
                self.assertIn(bits[i:i + 8], shown)
        self.assertIn("K: same bits", shown)
        self.assertIn("V: same bits", shown)
        decimals = self.browser.evaluate("[...document.querySelectorAll('.floats tbody tr')].map((r) => Number(r.cells[1].textContent))")
        self.assertEqual(bits_of(decimals), key, "the decimals read back as the floats")

    def test_weight_of_a_cell(self):
        self.show("#step=4&layer=0&head=3&cell=6,2")
        self.assertIn(f"weight {weights(0, 3, 6)[2]:.4f}; with the cache computed in this step, without computed in this step", self.text_of("#cell"))
        self.show("#step=4&layer=0&head=3&cell=5,2")
        self.assertIn(f"weight {weights(0, 3, 5)[2]:.4f}; with the cache computed in step 3 and not again, without computed in this step", self.text_of("#cell"))

    def test_colours_follow_the_weights(self):
        self.show("#step=5&layer=1&head=2")
        n = PROMPT + 5
        opacity = self.browser.evaluate("""(() => {
            const of = (id) => { const canvas = document.querySelector(`#${id} canvas`), side = canvas.width / %d;
                return Array.from({length: %d}, (_, query) => Array.from({length: query + 1}, (_, key) =>
                    canvas.getContext('2d').getImageData((key + 0.5) * side, (query + 0.15) * side, 1, 1).data[3])); };
            return [of('uncached'), of('cached')]; })()""" % (n, n))
        for query in range(n - 1):
            expected = weights(1, 2, query)
            order = sorted(range(query + 1), key=lambda key: expected[key])
            seen = [opacity[0][query][key] for key in order]
            self.assertEqual(seen, sorted(seen), f"query {query}: a larger weight is a stronger colour")
            self.assertTrue(all(seen), "computed")
            self.assertFalse(any(opacity[1][query]), "an old row is not computed again: a dot, and no colour beside it")

    def test_a_difference_is_shown_from_its_step_on(self):
        flip = (3, "key", 1, 2, 5)  # float 5 belongs to KV head 0
        self.show("#step=2&layer=1&head=1&cell=2", flip=flip)
        self.assertIn("0 differ", self.text_of("#compared"))
        self.assertIn("K: same bits", self.text_of("#inspector-box"))
        self.browser.key("ArrowRight")
        self.assertIn("1 differ", self.text_of("#compared"))
        self.assertIn("First difference: step 3, key, layer 1, position 2, float 5", self.text_of("#compared"))
        shown = self.text_of("#inspector-box")
        self.assertIn("K: 1 of 16 floats differ", shown)
        self.assertIn("V: same bits", shown)
        right = head_bits("key", 1, 0, 2, 32)[40:48]
        for bits in (right, f"{int(right, 16) ^ 1:08x}"):
            self.assertIn(bits, shown)
        self.assertEqual(self.browser.evaluate("document.querySelectorAll('.floats tbody tr').length"), 17)
        self.show("#step=3&layer=1&head=2&cell=2", flip=flip)
        self.assertIn("K: same bits", self.text_of("#inspector-box"), "the other KV head")

    def test_one_run_alone(self):
        for name, other in (("cached", "uncached"), ("uncached", "cached")):
            self.show("#step=2&cell=1", runs=(name,))
            self.assertIn("one run only", self.text_of("#compared"))
            self.assertIn(f"holds the run “{name}” only", self.text_of(f"#{other}"))
            self.assertFalse(self.browser.evaluate(f"document.querySelector('#{other} canvas').offsetWidth"))
            self.assertTrue(self.browser.evaluate(f"document.querySelector('#{name} canvas').offsetWidth"))
            self.assertIn(checksum(head_bits("key", 0, 0, 1, 32)), self.text_of("#inspector-box"))

    def test_text_of_a_trace_stays_text(self):
        evil = "</script><img src=x onerror=document.title='x'>"
        self.show("#step=1&cell=1,0", prompt=("a", evil, "c"), model=evil)
        self.assertIn(evil, self.text_of("#about"))
        self.assertEqual(self.browser.evaluate("[document.images.length, document.scripts.length]"), [0, 2])

    def test_an_address_from_elsewhere(self):
        for fragment in ("#step=999&layer=-1&head=x&cell=9,9999", "#step=1e1&cell=,", "#cell=0,1", "#%", "#step=2=3&&"):
            self.show(fragment)
            self.assertEqual(self.address(), "#step=0&layer=0&head=0")
        self.show("#step=0&cell=7,1")  # a cell of a later step waits for it
        self.assertIn("Choose a cell", self.text_of("#cell"))
        self.browser.key("End")
        self.assertIn("Query 7", self.text_of("#cell"))


class Keyboard(InBrowser):
    def test_steps(self):
        self.show()
        for key, step in (("ArrowLeft", 0), ("ArrowRight", 1), ("ArrowRight", 2), ("ArrowLeft", 1), ("End", 5), ("ArrowRight", 5), ("Home", 0)):
            self.browser.key(key)
            self.assertTrue(self.address().startswith(f"#step={step}&"), f"{key}: {self.address()}")

    def test_the_slider_moves_one_step_at_a_time(self):
        self.show()
        self.focus("#step")
        self.browser.key("ArrowRight")
        self.assertTrue(self.address().startswith("#step=1&"), self.address())

    def test_space_plays_and_stops(self):
        self.show()
        playing = lambda: self.text_of("#play")
        self.assertEqual(playing(), "Play")
        self.browser.key(" ")
        self.assertEqual(playing(), "Pause")
        self.browser.key(" ")
        self.assertEqual(playing(), "Play")
        self.focus("#play")  # the button's own space is not played twice
        self.browser.key(" ")
        self.assertEqual(playing(), "Pause")

    def test_playing_ends_with_the_last_step(self):
        self.show("#step=4")
        self.browser.key(" ")
        self.browser.evaluate("""new Promise((done) => { const look = () =>
            document.getElementById('play').textContent === 'Play' ? done() : setTimeout(look, 50); look(); })""")
        self.assertTrue(self.address().startswith("#step=5&"), self.address())

    def test_cells_of_a_triangle(self):
        self.show("#step=5")
        self.focus("#uncached canvas")
        for key in ("ArrowUp", "ArrowLeft", "ArrowLeft", "ArrowLeft"):
            self.browser.key(key)
        self.assertIn("Query 6", self.text_of("#cell"), "a visited cell is announced")
        self.browser.key("Enter")
        self.assertEqual(self.address(), "#step=5&layer=0&head=0&cell=6,3")
        for key in ("ArrowRight",) * 9 + ("Enter",):
            self.browser.key(key)
        self.assertTrue(self.address().endswith("cell=6,6"), "no key behind its query")
        self.browser.key("Home")
        self.assertTrue(self.address().startswith("#step=0&"))

    def test_rows_of_the_cache(self):
        self.show("#step=5")
        self.focus("#table [tabindex='0']")
        for key in ("ArrowUp", "ArrowUp", "Enter"):
            self.browser.key(key)
        self.assertEqual(self.address(), "#step=5&layer=0&head=0&cell=5")
        self.browser.key("Home")
        self.assertIn("Position 2,", self.browser.evaluate("document.activeElement.ariaLabel"), "the focus is not lost with its row")

    def test_clicks(self):
        self.show("#step=5")
        for run in ("cached", "uncached"):
            x, y, side = self.browser.evaluate(f"(() => {{ const box = document.querySelector('#{run} canvas').getBoundingClientRect(); "
                                               f"return [box.x, box.y, box.width / {PROMPT + 5}]; }})()")
            self.browser.click(x + 2.5 * side, y + 4.5 * side)
            self.assertTrue(self.address().endswith("cell=4,2"), self.address())
            self.browser.click(x + 6.5 * side, y + 4.5 * side)
            self.assertTrue(self.address().endswith("cell=4,2"), "above the diagonal is nothing")
            self.browser.evaluate("document.querySelector('#table button').click()")

    def test_every_stop_of_the_tab_key_shows_its_focus_and_has_a_name(self):
        self.show("#step=5&cell=2")
        stops = []
        for _ in range(20):
            self.browser.key("Tab")
            stop = self.browser.evaluate("(() => { const at = document.activeElement; return at === document.body ? null : "
                                         "[at.id || at.tagName, getComputedStyle(at).outlineStyle, getComputedStyle(at).outlineWidth]; })()")
            if stop is None:
                break
            stops.append(stop)
        self.assertEqual([stop[0] for stop in stops], ["play", "step", "layer", "head", "CANVAS", "CANVAS", "BUTTON"])
        self.assertEqual({(style, width) for _, style, width in stops}, {("solid", "3px")})
        nodes = self.browser.call("Accessibility.getFullAXTree")["nodes"]
        nameless = [node for node in nodes if not node["ignored"] and not node.get("name", {}).get("value")
                    and any(p["name"] == "focusable" and p["value"]["value"] for p in node.get("properties", []))]
        self.assertEqual([node["role"]["value"] for node in nameless], [])


class Layout(InBrowser):
    def test_no_page_wider_than_the_screen(self):
        for width in (360, 600, 1200):
            for options in ({}, {"flip": (3, "key", 1, 2, 5)}, {"runs": ("cached",)}, {"prompt": ("x" * 300, "h")}, {"steps": 61}):
                self.show("#step=5&layer=1&cell=3,2", (width, 740), **options)
                self.assertLessEqual(self.browser.evaluate("document.documentElement.scrollWidth"), width, options)

    def test_dark_and_light(self):
        grounds = []
        for scheme in ("light", "dark"):
            self.show("", (1200, 800, scheme))
            grounds.append(self.browser.evaluate("getComputedStyle(document.body).backgroundColor"))
        self.assertEqual(grounds, ["rgb(255, 255, 255)", "rgb(20, 24, 28)"])


SHOTS = {
    "few": ("#step=5&layer=1&head=2&cell=6,3", {}),
    "many": ("#step=45&layer=0&head=1&cell=20", {"steps": 61}),
    "first": ("#step=0", {"steps": 61}),
    "differs": ("#step=4&layer=1&head=0&cell=2", {"flip": (3, "key", 1, 2, 5)}),
    "alone": ("#step=4", {"runs": ("cached",)}),
}


def main(arguments: list[str]) -> int:
    return page_case.run(arguments, InBrowser, (Shows, Keyboard, Layout), SHOTS)
