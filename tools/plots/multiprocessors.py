"""An A100 from inside: multiprocessors, caches and DRAM, and how many bytes have to be under way."""
from __future__ import annotations

from . import scheme

NEEDS = ()
SHOWS = ["466 clocks from a load to its number; 1555 GB/s in all",
         "4.8 KB for each multiprocessor, 37 requests of a warp with 4 bytes a lane, or 9 with 16."]
# As app/gpus.hpp has them; the sizes are those of the maker's data sheet.
MULTIPROCESSORS, CLOCK, BANDWIDTH, CACHED, LATENCY = 108, 1.41, 1555, 38, 466
SECOND = 260  # clocks, about: Luo et al. 2024, as the other two
REQUEST = scheme.LANES * scheme.FLOAT  # bytes: a warp's, of neighbouring floats


def under_way() -> float:
    """Bytes that have been asked for and are not there yet, when the DRAM is never idle: bandwidth times latency."""
    return BANDWIDTH * LATENCY / CLOCK


def requests_of_one() -> float:
    """The same in requests of a warp, for each multiprocessor."""
    return under_way() / MULTIPROCESSORS / REQUEST


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(432, f"One memory and {MULTIPROCESSORS} multiprocessors: an A100")
    left, width, step = 16, 232, 250
    for i, (name, warps) in enumerate((("multiprocessor 0", 24), ("multiprocessor 1", 24), (f"multiprocessor {MULTIPROCESSORS - 1}", 8))):
        x = left + i * step + (18 if i == 2 else 0)
        page.boxes([(x, 44)], width, 156, "white", scheme.GREY)
        page.text(x + 10, 62, name, bold=True)
        page.text(x + 10, 82, "warps: up to 64, in blocks", scheme.THREADS, size=11)
        page.boxes([(x + 10 + 17 * (w % 12), 90 + 15 * (w // 12)) for w in range(warps)], 14, 11, scheme.PALE[scheme.THREADS], scheme.THREADS)
        page.text(x + 10, 138, "registers: 256 KiB", scheme.THREADS, size=11)
        page.box(x + 10, 148, width - 20, 40, scheme.SHARED, f"shared memory and first-level\ncache: 192 KiB; {CACHED} clocks")
        page.arrows([(x + width / 2, 236, x + width / 2, 204)], scheme.GLOBAL)
    page.text(left + 2 * step - 8, 122, "...", bold=True, anchor="middle")
    page.text(left + width / 2 + 8, 224, f"about {SECOND} clocks", scheme.GLOBAL, size=11)
    page.box(left, 238, 768, 34, scheme.GLOBAL, "second-level cache, one for all: 40 MB")
    page.arrows([(400, 310, 400, 275)], scheme.GLOBAL)
    page.text(410, 298, f"{LATENCY} clocks from a load to its number; {BANDWIDTH} GB/s in all", scheme.GLOBAL, size=11)
    page.box(left, 312, 768, 34, scheme.GLOBAL, "DRAM: 40 GB")
    page.text(16, 374, f"For the DRAM never to be idle, {BANDWIDTH} GB/s x {LATENCY / CLOCK:.0f} ns = {under_way() / 1e3:.0f} KB must be under way at any moment:\n"
              f"{under_way() / MULTIPROCESSORS / 1e3:.1f} KB for each multiprocessor, {requests_of_one():.0f} requests of a warp with 4 bytes a lane, or {requests_of_one() / 4:.0f} with 16.\n"
              f"A multiprocessor without a block asks for nothing.")
    return page
