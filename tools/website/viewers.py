"""The three viewers as pages of the site: recorded while the site is made, by programs that are built, and looked at in a frame."""
from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

TOOLS = Path(__file__).resolve().parents[1]
PATIENCE = 600  # seconds for a recording

VIEWERS = (
    # file, title, what is to be seen, program, its arguments, tool
    ("cache", "With and without the cache",
     "One short text, generated twice by the tiny model, without a cache and with it. Press *Play*, or move the step. Every cell is an attention weight; "
     "click one to see its query, its key and their bits. The counters below say what each run had to compute.",
     "step03_kvcache", ("generate", "-m", "tiny", "-n", "32", "--compare", "--trace"), "viewer.py"),
    ("policies", "What each policy keeps",
     "One text and every policy of chapter 5, step by step: which tokens each of them still holds, what that costs in bytes, and whether the model can still recall what stood at the beginning.",
     "step05_policies", ("record", "--out"), "policy_viewer.py"),
    ("serving", "Who runs, and who owns which page",
     "Eight requests in a pool of eight pages: too few. Step by step: who waits, who is fed and who decodes, whose guesses are right, who has to give up pages, and which pages several requests share.",
     "step07_serving", ("record", "--out"), "schedule_viewer.py"),
)


def recorded(program: Path, arguments: tuple, tool: str, page: Path) -> str:
    """Makes the page; returns why there is none, or nothing."""
    if not program.exists():
        return f"`{program.name}` was not built when this site was made"
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder, "run.jsonl")
        for command in ([program, *arguments, trace], [sys.executable, TOOLS / tool, trace, "-o", page]):
            try:
                done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
            except (OSError, subprocess.TimeoutExpired) as problem:
                return f"`{Path(command[0]).name}` did not run: {type(problem).__name__}"
            if done.returncode:
                return f"`{Path(command[0]).name} {' '.join(map(str, command[1:2]))}` failed: {(done.stderr.strip().splitlines() or ['without a word'])[-1]}"
    return ""


def add(site, programs: Path | None) -> tuple[list[dict], list[str]]:
    """The entries of the menu, and what is missing."""
    entries, missing = [], []
    for name, title, text, program, arguments, tool in VIEWERS:
        page = site.out / "live" / f"{name}.page.html"
        page.parent.mkdir(parents=True, exist_ok=True)
        why = recorded(programs / program, arguments, tool, page) if programs else f"`{program}` was not built when this site was made"
        by_hand = f"```{{ .console }}\n$ build/release/bin/{program} {' '.join(arguments)} run.jsonl\n$ python3 tools/{tool} run.jsonl -o run.html\n```\n"
        if why:
            missing.append(why)
            body = f"{text}\n\nThe page is not here: {why}. To make it:\n\n{by_hand}"
        else:
            frame = f'<iframe class="viewer" src="{page.name}" title="{title}"></iframe>'
            body = f"{text}\n\n[On a page of its own]({page.name}){{ .md-button }}\n\n{frame}\n\nIt was made by two commands, and you can make one of any text:\n\n{by_hand}"
        site.write(f"live/{name}.md", title, f"# {title}\n\n{body}", "hide:", "  - toc")  # its frame takes that column, too
        entries.append({title: f"live/{name}.md"})
    return entries, missing
