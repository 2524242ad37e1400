#!/usr/bin/env python3
"""Makes a starter: the project up to a chapter, with holes where the chapter's tasks are.

    starter.py --step N OUT     the finished chapters before N, chapter N with open tasks, and nothing after it
    starter.py --all OUT        all chapters, all tasks open, for those who work alone

OUT must not be there yet. Nothing of a solution is in it: that is searched for, line by line, before OUT gets its name.
In it `./course` lists the tasks, checks them and gives hints; README.md says how to begin.
"""
import argparse
import pathlib
import shutil
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "tests" / "tools"), str(ROOT / "tests" / "course")]

from course.export import Failure, export  # noqa: E402
from course.markers import MarkerError  # noqa: E402
from course.tasks import STEPS  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description="makes a starter: the project up to a chapter, with holes where its tasks are")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--step", type=int, choices=STEPS, metavar="N", help=f"the chapter whose tasks are open, 1 to {max(STEPS)}")
    which.add_argument("--all", action="store_true", help="all chapters, all tasks open")
    parser.add_argument("out", metavar="OUT", type=pathlib.Path, help="a folder that is not there yet")
    args = parser.parse_args()
    out = args.out.absolute()
    if out.exists() or out.is_symlink():
        print(f"starter: {args.out} is there already, expected a new folder", file=sys.stderr)
        return 2
    if ROOT == out or ROOT in out.parents:
        print(f"starter: {args.out} lies inside of the project, expected a folder elsewhere", file=sys.stderr)
        return 2
    unfinished = None
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        unfinished = pathlib.Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
        unfinished.chmod(0o755)
        tasks = export(None if args.all else args.step, unfinished)
        unfinished.rename(out)
    except (Failure, MarkerError) as failure:
        print(f"starter: {failure}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"starter: {error.filename or args.out}: {error.strerror}", file=sys.stderr)
        return 1
    finally:
        if unfinished and unfinished.exists():
            shutil.rmtree(unfinished)
    print(f"{args.out}: {len(tasks)} open tasks; begin with its README.md")
    return 0


if __name__ == "__main__":
    sys.exit(main())
