"""A maximum that grows: three tiles of two slots, each weighed against its own maximum, then put together."""
from __future__ import annotations

from . import scheme

NEEDS = ()
CHAPTER = "step04_cuda"
TILES = ((3, 2), (5, 3), (4, 4))


def states() -> list[tuple[int, float, int, float, float, float]]:
    """Of each tile: its maximum, its sum, the maximum so far, the factor of what was before, the tile's factor, the sum so far."""
    found, maximum, total = [], None, 0.0
    for tile in TILES:
        own = max(tile)
        own_sum = sum(2.0**(score - own) for score in tile)
        before = own if maximum is None else maximum
        maximum = max(own, before)
        old, new = 2.0**(before - maximum), 2.0**(own - maximum)
        total = own_sum if not found else total * old + own_sum * new
        found.append((own, own_sum, maximum, old, new, total))
    return found


BY_HAND = [f"  {i:4}     {a}, {b}   {own:11}   {own_sum:7.2f}   {maximum:7}   {total:13.3f}" for i, ((a, b), (own, own_sum, maximum, _, _, total)) in enumerate(zip(TILES, states()))]
SHOWS = ["tile 1", "sum 0.375 + 1.25 = 1.625", "sum 1.625 + 1 = 2.625"]


def figure(number: float) -> str:
    return f"{number:g}"


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(338, "Tiles arrive one after another, and the maximum grows: sums move by powers of two")
    left, step = 20, 260
    for i, ((a, b), (own, own_sum, maximum, old, new, total)) in enumerate(zip(TILES, states())):
        x = left + i * step
        page.text(x, 58, f"tile {i}", scheme.GLOBAL, bold=True)
        page.box(x, 68, 220, 62, scheme.GLOBAL, f"scores {a}, {b}\nmaximum {own}\nweights {figure(2.0**(a - own))}, {figure(2.0**(b - own))}: sum {figure(own_sum)}")
        page.arrows([(x + 110, 132, x + 110, 190)], scheme.SHARED)
        page.text(x + 120, 164, f"times {figure(new)}" if i else "as it is", scheme.SHARED, size=11)
        if i == 0:
            words = f"maximum {maximum}\nsum {figure(total)}"
        else:
            before = states()[i - 1][5]
            words = f"maximum {maximum}\nsum {figure(before * old)} + {figure(own_sum * new)} = {figure(total)}"
        page.box(x, 192, 220, 52, scheme.SHARED)
        page.text(x + 110, 214, words.split("\n")[0], anchor="middle")
        page.text(x + 110, 230, words.split("\n")[1], anchor="middle", bold=i > 0)
        if i:
            page.arrows([(x - step + 222, 218, x - 2, 218)], scheme.SHARED)
            page.text(x - 20, 184, f"times {figure(old)}", scheme.SHARED, size=11, anchor="middle")
    top = max(score for tile in TILES for score in tile)
    weights = [2.0**(score - top) for tile in TILES for score in tile]
    page.text(16, 284, f"All six slots against {top}, in one go: {' + '.join(figure(w) for w in weights)} = {figure(sum(weights))}.\nA power of two changes the exponent and no digit: both ways have the same bits, down to 2^−126.")
    return page
