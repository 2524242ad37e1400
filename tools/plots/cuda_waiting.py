"""What hides the time of a load: one warp, one warp with four loads under way, four warps."""
from __future__ import annotations

from . import scheme

NEEDS = ()
CHAPTER = "step04_cuda"
LOADS, LATENCY = 4, 20


def timeline(warps: int, at_once: int) -> list[tuple[int, int, str]]:
    """(clock, warp, what) of each instruction: in each clock one warp goes on, and they take turns, as app/waiting.hpp says."""
    started, used, arrives, done = [0] * warps, [0] * warps, [[] for _ in range(warps)], []
    clock = turn = 0
    while len(done) < 2 * warps * LOADS:
        for w in ((turn + i) % warps for i in range(warps)):
            if started[w] < LOADS and started[w] < used[w] + at_once and used[w] % at_once == 0:
                arrives[w].append(clock + LATENCY)
                started[w] += 1
                done.append((clock, w, "load"))
            elif used[w] < started[w] and arrives[w][used[w]] <= clock:
                used[w] += 1
                done.append((clock, w, "use"))
            else:
                continue
            turn = w + 1
            break
        clock += 1
    return done


def clocks(warps: int, at_once: int) -> int:
    return timeline(warps, at_once)[-1][0] + 1


CASES = ((1, 1, "one warp, one load at a time"), (1, LOADS, "one warp, four loads at a time"), (4, 1, "four warps, one load at a time"))
SHOWS = [f"{clocks(1, 1)} clocks for 4 loads", f"{clocks(1, 4)} clocks for 4 loads", f"{clocks(4, 1)} clocks for 16 loads"]
BY_HAND = [f"  {warps:5}   {at_once:13}   {LOADS * warps:5}   {clocks(warps, at_once):6}" for warps, at_once, _ in CASES]


def draw_page() -> scheme.Scheme:
    page = scheme.Scheme(434, f"A load takes {LATENCY} clocks; a multiprocessor starts one instruction in each")
    left, step, y = 90, 7, 60
    for warps, at_once, name in CASES:
        page.text(16, y, name, bold=True)
        page.text(784, y, f"{clocks(warps, at_once)} clocks for {LOADS * warps} loads", anchor="end", bold=True)
        steps = timeline(warps, at_once)
        for w in range(warps):
            top = y + 14 + w * 28
            page.text(left - 8, top + 14, f"warp {w}", scheme.THREADS, size=11, anchor="end")
            page.boxes([(left, top)], clocks(warps, at_once) * step, 20, "white", scheme.FAINT)
            for what, fill in (("load", scheme.GLOBAL), ("use", scheme.THREADS)):
                page.boxes([(left + clock * step, top) for clock, of, kind in steps if of == w and kind == what], step - 1, 20, fill)
        y += 14 + warps * 28 + 30
    page.boxes([(16, y - 4)], 12, 12, scheme.GLOBAL)
    page.text(34, y + 6, "a load starts", size=11)
    page.boxes([(150, y - 4)], 12, 12, scheme.THREADS)
    page.text(168, y + 6, "its number is used", size=11)
    page.boxes([(320, y - 4)], 12, 12, "white", scheme.FAINT)
    page.text(338, y + 6, "the warp waits, and its registers stay where they are", size=11)
    page.text(16, y + 36, "One warp leaves the multiprocessor idle nearly always. With others to go on with, or with more loads\nbefore the first is needed, the same wait serves more loads.")
    return page
