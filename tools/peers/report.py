"""The report as a table: plain text for a terminal, markdown for a page."""
from __future__ import annotations

COLUMNS = ("row", "threads", "kvlab, tokens/s", "peer", "its tokens/s", "ratio", "of DRAM", "same tokens")


def number(value: float) -> str:
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


def rate(side: dict | None) -> str:
    if not side:
        return "-"
    return f"{number(side['median'])} ({number(side['low'])}-{number(side['high'])})"


def cells(result: dict) -> list[str]:
    """One line of the table. What was not measured says so, and has no ratio."""
    theirs, ratio = rate(result.get("theirs")), "-"
    for state in ("missing", "failed", "error"):
        if state in result:
            theirs = state if state != "error" else "-"
    if "ratio" in result:
        ratio = f"{result['ratio']:.2f} ({result['ratio_low']:.2f}-{result['ratio_high']:.2f})"
    share = [f"{100 * result[side]['dram_share']:.0f} %" for side in ("ours", "theirs")
             if result.get(side) and "dram_share" in result[side]]
    ours = "FAILED" if "error" in result else rate(result.get("ours"))
    return [result["row"], str(result["threads"]), ours, result["peer"], theirs, ratio, " / ".join(share), result.get("same_tokens", "")]


def facts(report: dict) -> list[str]:
    """What the table has to be read with."""
    machine, ours, settings = report["machine"], report["kvlab"], report["settings"]
    lines = [
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB, {machine['system']}; {report['date']}",
        f"kvlab: commit {ours['commit']}, {ours.get('compiler', '?')} {ours.get('flags', '')}, {ours.get('engine', '')}",
        f"{settings['rounds']} rounds each in alternation after {settings['warm_up']} of warm-up, each at least {settings['seconds']} s;"
        " median (quartiles); a ratio above 1 means that kvlab is faster; its quartiles are those of the single rounds",
        "timed: forward pass and argmax, on the same file, the same tokens, the same number of threads",
    ]
    shares = [share for r in report["results"] if (share := ((r.get("theirs") or {}).get("about") or {}).get("loop_share")) is not None]
    if any(r["row"].split()[2] == "serve" for r in report["results"]):
        lines.append("serve: all requests wait from the start, and as many run as there are clients; tokens/s are those that are written, in the time of"
                     " prompts and answers; ours is step07_serving's scheduler, llama.cpp's a loop round its batches as its server has it"
                     + (f", which took {100 * min(shares):.1f} to {100 * max(shares):.1f} % of the time" if shares else ""))
    for name, peer in report["peers"].items():
        if "missing" in peer:
            lines.append(f"{name}: MISSING ({peer['missing']})")
            continue
        line = f"{name}: {peer['package']}; {peer['build']}"
        if "switches" in peer:
            built = peer["switches"]
            line += "; built with " + (built if isinstance(built, str) else " ".join(f"{k}='{v}'" for k, v in built.items()))
            line += f"; AMX {'ON' if peer['amx'] else 'off'}; repack {'on' if 'REPACK = 1' in peer['build'] else 'off'}"
            line += f"; cache {settings['kv']}, flash attention auto, everything else its default"
            if any(r.get("cache") and r["peer"] == name for r in report["results"]):
                line += "; in rows that name a cache: that one, flash attention on"
            rotated = {r["cache"] for r in report["results"]
                       if r["peer"] == name and ((r.get("theirs") or {}).get("about") or {}).get("rotated")}
            if rotated:
                line += f"; it rotates keys and values kept in {', '.join(sorted(rotated))} (its default), kvlab does not"
        lines.append(line)
    for threads, limit in sorted(report["roofline"]["used"].items(), key=lambda item: int(item[0])):
        lines.append(f"limits with {threads} thread{'s' if int(threads) > 1 else ''}: {limit['gb_per_s']:.1f} GB/s from DRAM, "
                     f"{limit['gflops']:.0f} GFLOP/s")
    lines.append("of DRAM: the file's weight bytes per token x tokens/s over that bandwidth, kvlab / peer")
    lines.append("same tokens: up to the first that differs; in quantised formats llama.cpp rounds activations to 8 bits too, kvlab"
                 " does not, so that their texts part early")
    others = machine.get("cores_taken_by_others")
    if others is not None:
        lines.append(f"other programs took {others:.2f} of {machine['cores']} cores meanwhile"
                     + (": THE MACHINE WAS BUSY, measure again; engines whose threads spin lose most"
                       " by that, and their ratios with every core in use mean nothing" if others > 0.1 else ""))
    return lines


def problems(report: dict) -> list[str]:
    """Why rows failed, each reason once."""
    found = [f"{r['row']}, threads {r['threads']}: {r.get('error') or r.get('failed')}"
             for r in report["results"] if "error" in r or "failed" in r]
    return list(dict.fromkeys(found))


def text_table(report: dict) -> str:
    table = [list(COLUMNS)] + [cells(result) for result in report["results"]]
    widths = [max(len(line[i]) for line in table) for i in range(len(COLUMNS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in table]
    lines.insert(1, "-" * len(lines[0]))
    return "\n".join(facts(report) + [""] + lines + problems(report)) + "\n"


def markdown_table(report: dict) -> str:
    lines = [f"| {' | '.join(COLUMNS)} |", "|" + "---|" * len(COLUMNS)]
    lines += [f"| {' | '.join(cells(result))} |" for result in report["results"]]
    notes = [f"- {line}" for line in facts(report) + problems(report)]
    return "\n".join([*lines, "", *notes]) + "\n"
