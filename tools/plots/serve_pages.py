"""Three texts in a pool of six pages of four tokens: tables, pages, and how many texts use each page."""
from __future__ import annotations

from . import scheme
from .style import PURPLE

NEEDS = ()
CHAPTER = "step07_serving"
PAGES, SLOTS = 6, 4
TEXTS = "ABC"
COLORS = {"A": scheme.THREADS, "B": scheme.GLOBAL, "C": scheme.SHARED}


class Pool:
    """What the program's pool and tables do, with lists."""

    def __init__(self) -> None:
        self.free = list(range(PAGES - 1, -1, -1))  # the next one to be taken is the last
        self.users = [0] * PAGES
        self.tables: dict[str, list[int]] = {}
        self.tokens: dict[str, int] = {}
        self.lines: list[str] = []

    def take(self) -> int:
        page = self.free.pop()
        self.users[page] = 1
        return page

    def share(self, pages: list[int]) -> list[int]:
        for page in pages:
            self.users[page] += 1
        return list(pages)

    def release(self, page: int) -> None:
        self.users[page] -= 1
        if not self.users[page]:
            self.free.append(page)

    def write(self, text: str, count: int) -> None:
        table, held = self.tables.setdefault(text, []), self.tokens.get(text, 0)
        if held % SLOTS and self.users[table[-1]] > 1:
            shared = table.pop()
            table.append(self.take())
            self.release(shared)
        while len(table) * SLOTS < held + count:
            table.append(self.take())
        self.tokens[text] = held + count

    def end(self, text: str) -> None:
        for page in self.tables.pop(text):
            self.release(page)

    def note(self, what: str) -> None:
        tables = "".join((" ".join(map(str, self.tables[text])) if text in self.tables else "-").ljust(10) for text in TEXTS)
        self.lines.append("  " + what.ljust(24) + tables + "".join("  " + (str(users) if users else ".") for users in self.users))


def run(until: str = "") -> Pool:
    """The example of the chapter, up to a line of it."""
    pool = Pool()

    def fork() -> None:
        pool.tables["C"], pool.tokens["C"] = pool.share(pool.tables["A"]), pool.tokens["A"]

    def begin_alike() -> None:
        pool.tables["B"], pool.tokens["B"] = pool.share(pool.tables["A"][:2]), 8
        pool.write("B", 3)

    steps = [("A: a prompt of 10", lambda: pool.write("A", 10)), ("B: 8 of A's, 3 more", begin_alike), ("C: a fork of A", fork),
             ("C writes a token", lambda: pool.write("C", 1)), ("A ends", lambda: pool.end("A")), ("B writes 2 tokens", lambda: pool.write("B", 2))]
    for what, act in steps:
        act()
        pool.note(what)
        if what == until:
            break
    return pool


def draw_page_box(page: scheme.Scheme, x: float, y: float, number: int, filled: int, users: int, color: str = scheme.THREADS, wide: float = 92) -> None:
    """One page of four slots, some of them full."""
    page.text(x, y - 6, f"page {number}", size=11, bold=True)
    cell = wide / SLOTS
    page.boxes([(x + s * cell, y) for s in range(SLOTS) if s < filled], cell - 2, 30, scheme.PALE.get(color, "#f5e3ec"), color)
    page.boxes([(x + s * cell, y) for s in range(SLOTS) if s >= filled], cell - 2, 30, "white", scheme.FAINT)
    page.text(x + wide / 2, y + 48, {0: "free", 1: "1 user"}.get(users, f"{users} users"), scheme.INK if users else scheme.GREY, size=11, anchor="middle")


def filled_of(pool: Pool, number: int) -> int:
    return max((min(SLOTS, pool.tokens[text] - SLOTS * table.index(number)) for text, table in pool.tables.items() if number in table), default=0)


POOL = run("C writes a token")
BY_HAND = [line.rstrip() for line in run().lines]
SHOWS = ["page 0", "3 users", "table of C"]


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(330, "Three texts, five pages of four tokens; the beginning is there once")
    for i, text in enumerate(TEXTS):
        x = 60 + i * 250
        page.text(x, 60, f"table of {text}", COLORS[text], bold=True)
        page.text(x + 92, 60, f"{POOL.tokens[text]} tokens", size=11)
        for place, number in enumerate(POOL.tables[text]):
            page.box(x + place * 44, 70, 40, 26, COLORS[text], str(number))
            # To the page, a little apart where several lead to the same one.
            page.arrows([(x + place * 44 + 20, 98, 40 + number * 124 + 26 + i * 20, 192)], COLORS[text])
    for number in range(PAGES):
        owners = [text for text in TEXTS if number in POOL.tables[text]]
        color = COLORS[owners[0]] if len(owners) == 1 else PURPLE
        draw_page_box(page, 40 + number * 124, 214, number, filled_of(POOL, number), POOL.users[number], color)
    page.text(16, 296, "Each cell is a slot: full cells hold keys and values of a token, in all layers. The first eight tokens of the three", size=11)
    page.text(16, 314, "texts are the same, and lie in pages 0 and 1 (purple), which have three users. What follows is each text's own.", size=11)
    return page
