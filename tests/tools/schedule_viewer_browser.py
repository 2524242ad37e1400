"""The page of tools/schedule_viewer.py in a real browser: what it shows, and that it works without a mouse.

    schedule_viewer_test.py --browser [--screenshots FOLDER]
"""
from __future__ import annotations

import page_case
from fake_schedule import NAMES, PAGES, STATES, STEPS, fake_schedule, owners, text

LAST = len(STEPS) - 1
LABELS, MARGIN = 26, 3     # as in schedule_charts.js and cells.js
ROW = {"pages": 16, "batch": 18}
INDEX = -1


class InBrowser(page_case.PageCase):
    TOOL = "schedule_viewer.py"

    @staticmethod
    def fake(**options) -> str:
        return text(fake_schedule(**options))

    def text_of(self, selector: str) -> str:
        return self.browser.evaluate(f"document.querySelector({selector!r}).textContent").replace("\u202f", "")

    def colour(self, name: str) -> str:
        return self.browser.evaluate(f"getComputedStyle(document.documentElement).getPropertyValue('--{name}').trim()")

    def seen(self, canvas: str, rows: int, x: float, y: float, steps: int = len(STEPS)) -> list[list[str | None]]:
        """The colour of each cell at a place in it, both from 0 to 1; None where nothing is painted."""
        return self.browser.evaluate("""(() => { const canvas = document.getElementById('%s'), paint = canvas.getContext('2d');
            const hex = (data) => data[3] ? '#' + [...data.slice(0, 3)].map((x) => x.toString(16).padStart(2, '0')).join('') : null;
            return Array.from({length: %d}, (_, row) => Array.from({length: %d}, (_, step) => hex(paint.getImageData(
                %d + (step + %f) * (canvas.width - %d) / %d, 3 + (row + %f) * %d, 1, 1).data))); })()"""
                                     % (canvas, rows, steps, LABELS + MARGIN, x, LABELS + 2 * MARGIN, steps, y, ROW[canvas]))

    def middle(self, canvas: str, row: int, step: int) -> tuple[float, float]:
        x, y, width = self.browser.evaluate(f"(() => {{ const box = document.getElementById('{canvas}').getBoundingClientRect(); return [box.x, box.y, box.width]; }})()")
        return x + LABELS + MARGIN + (step + 0.5) * (width - LABELS - 2 * MARGIN) / len(STEPS), y + MARGIN + (row + 0.5) * ROW[canvas]

    def hover(self, canvas: str, row: int, step: int) -> str:
        x, y = self.middle(canvas, row, step)
        self.browser.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        return self.text_of("#cell")


class Shows(InBrowser):
    def test_a_page_has_the_colours_of_its_owners(self):
        self.show("#step=0")
        schedule = fake_schedule()
        first, second, lowest = (self.seen("pages", PAGES, 0.8, y) for y in (0.16, 0.5, 0.86))
        count = {"shared": 0, "index": 0, "free": 0, "own": 0}
        for page in range(PAGES):
            for step in range(len(STEPS)):
                now = owners(schedule, step, page)
                requests = [owner for owner in now if owner != INDEX]
                names = [f"owner{request}" for request in requests] or ["index-only" if now else "free"]
                below = "index-only" if INDEX in now else names[-1]
                found = tuple(grid[page][step] for grid in (first, second, lowest))
                self.assertEqual(found, tuple(map(self.colour, (names[0], names[-1], below))), (page, step, now))
                count["shared" if len(now) > 1 else "free" if not now else "index" if now == [INDEX] else "own"] += 1
        self.assertGreater(min(count.values()), 0, "each kind is there")

    def test_a_shared_page_has_ends_in_ink(self):
        self.show("#step=0")
        schedule = fake_schedule()
        left = self.seen("pages", PAGES, 0.004, 0.5)
        for page in range(PAGES):
            for step in range(1, len(STEPS)):
                now, before = owners(schedule, step, page), owners(schedule, step - 1, page)
                if len(now) > 1 and now != before:
                    self.assertEqual(left[page][step], self.colour("ink"), (page, step))
                elif len(now) == 1 and now[0] != INDEX and now == before:
                    self.assertEqual(left[page][step], self.colour(f"owner{now[0]}"), (page, step))

    def test_the_batch_has_the_colours_of_its_states(self):
        self.show("#step=0")
        seen = self.seen("batch", len(STATES), 0.8, 0.3)
        for request, states in enumerate(STATES):
            for step, letter in enumerate(states):
                self.assertEqual(seen[request][step], self.colour(NAMES[letter]) if letter in NAMES else None, (request, step))
        self.assertEqual(seen[2].count(self.colour("preempted")), 2, "a preempted request shows it")

    def test_what_happened_has_its_mark(self):
        self.show("#step=0")
        ink = self.colour("ink")
        corner, end, middle, low, lower = (self.seen("batch", len(STATES), x, y) for x, y in ((0.96, 0.1), (0.99, 0.5), (0.5, 0.47), (0.2, 0.8), (0.8, 0.8)))
        cells = [(request, step) for request in range(len(STATES)) for step in range(len(STEPS))]
        self.assertEqual([cell for cell in cells if corner[cell[0]][cell[1]] == ink], [(1, 2)], "tokens from other pages")
        self.assertEqual([cell for cell in cells if end[cell[0]][cell[1]] == ink], [(0, 6), (2, 10)], "ended")
        self.assertEqual([cell for cell in cells if middle[cell[0]][cell[1]] not in (None, *map(self.colour, NAMES.values()))], [(1, 9), (3, 10)], "cancelled")
        self.assertEqual([cell for cell in cells if low[cell[0]][cell[1]] == self.colour("right-guesses")], [(0, 3)])
        self.assertEqual([cell for cell in cells if lower[cell[0]][cell[1]] == self.colour("wrong-guesses")], [(0, 3)], "one of two was right")

    def test_what_a_cell_is_in_words(self):
        self.show("#step=3")
        for request, step, words in ((0, 3, "decode, 3 tokens fed, of them 2 guesses, 1 right, 2 written"), (1, 2, "prefill, 1 token fed, 1 written; added; admitted, with 7 tokens from other"),
                                     (2, 5, "waits, preempted: its pages were taken from it; preempted"), (2, 7, "prefill again"), (2, 4, "runs, but the step had no tokens"),
                                     (3, 9, "waits; added"), (3, 10, "is over; cancelled"), (3, 0, "has not come yet")):
            self.assertIn(f"Step {step}, request {request} (prompt of", self.hover("batch", request, step))
            self.assertIn(f"): {words}", self.text_of("#cell"))
        for page, step, words in ((0, 3, "shared, of requests 0 and 1 and the prefix index"), (1, 3, "shared, of request 0 and the prefix index"), (3, 3, "of request 1"),
                                  (2, 6, "held by the prefix index alone"), (5, 6, "free")):
            self.assertEqual(self.hover("pages", page, step), f"Step {step}, page {page}: {words}.")
        self.browser.call("Input.dispatchMouseEvent", type="mouseMoved", x=5, y=5)
        self.assertIn("Point at a cell", self.text_of("#cell"))

    def test_the_tables_are_those_of_the_step(self):
        schedule = fake_schedule()
        for step in range(len(STEPS)):
            self.show(f"#step={step}")
            rows = self.browser.evaluate("[...document.querySelectorAll('#tables tbody tr')].map((r) => [...r.cells].map((c) => c.textContent))")
            tables = {row[0]: row[2] for row in rows if row[2]}
            self.assertEqual(tables, {name: " ".join(map(str, pages)) for name, pages in schedule["steps"][step]["tables"].items()}, step)
            shared = self.browser.evaluate("[...document.querySelectorAll('#tables .shared')].map((s) => s.textContent)")
            every = [page for pages in schedule["steps"][step]["tables"].values() for page in pages]
            self.assertEqual(shared, [str(page) for page in every if len(owners(schedule, step, page)) > 1], step)
            free = sum(not owners(schedule, step, page) for page in range(PAGES))
            alone = [page for page in range(PAGES) if owners(schedule, step, page) == [INDEX]]
            self.assertEqual(self.text_of("#others"), f"Held by the prefix index alone: {' '.join(map(str, alone)) or 'no page'}. Free: {free} page{'s' if free != 1 else ''}.")
        self.show("#step=2")
        self.assertEqual(self.browser.evaluate("[...document.querySelectorAll('#events li')].map((l) => l.textContent)"),
                         ["request 1: added", "request 2: added", "request 1: admitted, with 7 tokens from other texts’ pages", "1 page copied, to be written by one of the users"])

    def test_what_is_said_to_those_who_do_not_see_it(self):
        self.show("#step=3")
        self.assertIn("4 requests by 11 steps. In step 3 3 of them feed tokens.", self.browser.evaluate("document.getElementById('batch').ariaLabel"))
        self.assertIn("6 pages by 11 steps. After step 3: 6 in use by requests, 2 shared, 0 held by the prefix index alone, 0 free.",
                      self.browser.evaluate("document.getElementById('pages').ariaLabel"))

    def test_the_legend_has_the_states_that_occur(self):
        self.show()
        self.assertEqual(self.browser.evaluate("[...document.querySelectorAll('#batch-legend .item')].map((i) => i.lastChild.textContent.trim())"),
                         ["waits", "prefill, and its tokens", "prefill again", "decode", "runs without tokens", "preempted", "guesses, as far as right",
                          "tokens from other pages", "ended", "cancelled"])

    def test_the_others_pages_are_pale_beside_those_of_the_chosen_request(self):
        self.show("#step=0&request=1")
        seen = self.seen("pages", PAGES, 0.8, 0.16)
        self.assertEqual(seen[3][4], self.colour("owner1"))
        self.assertNotEqual(seen[2][4], self.colour("owner0"))

    def test_text_of_a_schedule_stays_text(self):
        evil = "</script><img src=x onerror=document.title='x'>"
        self.show("#request=1", model=evil, scope=evil)
        for place in ("#about", "#cell"):
            self.assertIn(evil.replace(" ", "␣") if place == "#cell" else evil, self.text_of(place))
        self.assertEqual(self.browser.evaluate("[document.images.length, document.scripts.length]"), [0, 2])

    def test_an_address_from_elsewhere(self):
        for fragment in ("#step=999&request=4&page=6", "#step=1e1&page=,", "#request=-1", "#%", "#step=2=3&&"):
            self.show(fragment)
            self.assertEqual(self.address(), "#step=0")
        self.show("#step=3&request=1&page=2")
        self.assertEqual(self.address(), "#step=3&request=1")


class Keyboard(InBrowser):
    def test_steps(self):
        self.show()
        for key, step in (("ArrowRight", 1), ("End", LAST), ("ArrowRight", LAST), ("ArrowLeft", LAST - 1), ("Home", 0), ("ArrowLeft", 0)):
            self.browser.key(key)
            self.assertEqual(self.address(), f"#step={step}", key)

    def test_playing_ends_with_the_last_step(self):
        self.show(f"#step={LAST - 1}")
        self.browser.key(" ")
        self.assertEqual(self.text_of("#play"), "Pause")
        self.browser.evaluate("""new Promise((done) => { const look = () =>
            document.getElementById('play').textContent === 'Play' ? done() : setTimeout(look, 50); look(); })""")
        self.assertEqual(self.address(), f"#step={LAST}")

    def test_cells_of_the_charts(self):
        self.show("#step=5&request=2")
        self.browser.evaluate("document.getElementById('batch').focus()")
        self.assertIn("Step 5, request 2", self.text_of("#cell"))
        for key in ("ArrowUp", "ArrowLeft", "ArrowLeft"):
            self.browser.key(key)
        self.assertIn("Step 3, request 1", self.text_of("#cell"))
        self.browser.key("Enter")
        self.assertEqual(self.address(), "#step=3&request=1")
        self.browser.evaluate("document.getElementById('pages').focus()")
        for key in ("ArrowDown",) * 9 + ("ArrowLeft",) * 9 + ("Enter",):
            self.browser.key(key)
        self.assertEqual(self.address(), f"#step=0&page={PAGES - 1}")

    def test_clicks(self):
        self.show()
        self.browser.click(*self.middle("pages", 4, 7))
        self.assertEqual(self.address(), "#step=7&page=4")
        self.browser.click(*self.middle("batch", 3, 9))
        self.assertEqual(self.address(), "#step=9&request=3")
        x, y = self.middle("batch", 0, 0)
        self.browser.click(x, y - ROW["batch"])
        self.browser.click(x - 200 if x > 200 else 2, y)
        self.assertEqual(self.address(), "#step=9&request=3", "beside the cells is nothing")

    def test_every_stop_of_the_tab_key_shows_its_focus_and_has_a_name(self):
        self.show("#step=3")
        stops = []
        for _ in range(20):
            self.browser.key("Tab")
            stop = self.browser.evaluate("(() => { const at = document.activeElement; return at === document.body ? null : "
                                         "[at.id || at.tagName, getComputedStyle(at).outlineStyle, getComputedStyle(at).outlineWidth]; })()")
            if stop is None:
                break
            stops.append(stop)
        self.assertEqual([stop[0] for stop in stops], ["play", "step", "batch", "pages", "DIV"])
        self.assertEqual({(style, width) for _, style, width in stops}, {("solid", "3px")})
        nodes = self.browser.call("Accessibility.getFullAXTree")["nodes"]
        nameless = [node for node in nodes if not node["ignored"] and not node.get("name", {}).get("value")
                    and any(p["name"] == "focusable" and p["value"]["value"] for p in node.get("properties", []))]
        self.assertEqual([node["role"]["value"] for node in nameless], [])


class Layout(InBrowser):
    def test_no_page_wider_than_the_screen(self):
        for width in (360, 600, 1200):
            for options in ({}, {"more_steps": 400}, {"more_pages": 500}, {"model": "x" * 300, "scope": "y" * 300}):
                self.show("#step=5&request=1", (width, 740), **options)
                self.assertLessEqual(self.browser.evaluate("document.documentElement.scrollWidth"), width, options)

    def test_a_wide_chart_scrolls_to_the_step(self):
        self.show("#step=399", (360, 740), more_steps=400)
        for canvas in ("batch", "pages"):
            left, width, whole = self.browser.evaluate(f"(() => {{ const box = document.getElementById('{canvas}').parentElement; return [box.scrollLeft, box.clientWidth, box.scrollWidth]; }})()")
            self.assertGreater(whole, width)
            x = LABELS + MARGIN + 399.5 * (whole - LABELS - 2 * MARGIN) / 411
            self.assertTrue(left < x < left + width, (left, x, width))

    def test_dark_and_light(self):
        grounds = []
        for scheme in ("light", "dark"):
            self.show("", (1200, 800, scheme))
            seen = self.seen("batch", 1, 0.8, 0.3)[0][3]
            self.assertEqual(seen, self.colour("decode"))
            grounds.append((self.browser.evaluate("getComputedStyle(document.body).backgroundColor"), seen))
        self.assertEqual(grounds, [("rgb(255, 255, 255)", "#009e73"), ("rgb(20, 24, 28)", "#2bbf96")])


SHOTS = {
    "middle": ("#step=3&request=0", {}),
    "preempted": ("#step=5&page=0", {}),
    "wide": ("#step=40", {"more_steps": 150}),
}


def main(arguments: list[str]) -> int:
    return page_case.run(arguments, InBrowser, (Shows, Keyboard, Layout), SHOTS)
