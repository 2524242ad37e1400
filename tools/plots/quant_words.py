"""Where codes of 4 bits lie: sixteen neighbours in sixteen words, at the same bits."""
from __future__ import annotations

from . import scheme

NEEDS = ()
CHAPTER = "step06_quant"
WORDS, BITS, MARKED = 16, 4, 37
CODES = 32 // BITS  # of a word


def place(flat: int) -> tuple[int, int]:
    """Word and lowest bit."""
    chunk, lane = divmod(flat, WORDS)
    return chunk // CODES * WORDS + lane, chunk % CODES * BITS


BY_HAND = [f"  {flat:4}   {BITS:4}   {place(flat)[0]:4}   {place(flat)[1]} to {place(flat)[1] + BITS - 1}" for flat in (5, MARKED, 127, 128, 300)]
SHOWS = ["28 to 31", "0 to 3", "37"]
WIDTH, HEIGHT = 43, 24


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(310, "The first 128 codes of 4 bits, in 16 words of 32 bits: a column is a word")
    left, top = 90, 62
    for word in range(WORDS):
        page.text(left + word * WIDTH + WIDTH / 2, 54, f"{word}", size=11, anchor="middle", bold=True)
    page.text(16, 54, "word", size=11, bold=True)
    marked = place(MARKED)
    cells = {flat: (left + place(flat)[0] * WIDTH, top + (CODES - 1 - place(flat)[1] // BITS) * HEIGHT) for flat in range(WORDS * CODES)}
    chunk = [flat for flat in cells if flat // WORDS == MARKED // WORDS]
    page.boxes([cells[flat] for flat in cells if flat not in chunk], WIDTH, HEIGHT, "white", scheme.FAINT)
    page.boxes([cells[flat] for flat in chunk if flat != MARKED], WIDTH, HEIGHT, scheme.PALE[scheme.THREADS], scheme.THREADS)
    page.boxes([cells[MARKED]], WIDTH, HEIGHT, scheme.PALE[scheme.GLOBAL], scheme.GLOBAL)
    for flat, (x, y) in cells.items():
        page.text(x + WIDTH / 2, y + 16, f"{flat}", size=11, anchor="middle")
    for row in range(CODES):
        first = (CODES - 1 - row) * BITS
        page.text(16, top + row * HEIGHT + 16, f"{first} to {first + BITS - 1}", size=11)
    page.text(16, top + CODES * HEIGHT + 24, f"One load of 16 words and one shift by {marked[1]} bits give the codes {chunk[0]} to {chunk[-1]}, each in its own lane. Code {MARKED} is")
    page.text(16, top + CODES * HEIGHT + 42, f"in word {marked[0]}, bits {marked[1]} to {marked[1] + BITS - 1}.")
    return page
