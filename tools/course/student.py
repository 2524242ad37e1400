"""What a student does with a starter: ./course, check, hint."""
import argparse
import base64
import json
import os
import shutil
import subprocess
import sys
import textwrap

from course.asking import FAILED, PASSED, judged

PRESET = "student"


class Starter:
    """The folder of a starter."""

    def __init__(self, root):
        self.root, self.build = root, root / "build" / PRESET
        self.tasks = {task["id"]: task for task in json.loads((root / "tests/course/tasks.json").read_text())}
        self.examples = {}
        for path in sorted((root / "tests/course").glob("examples*.json")):
            self.examples.update(json.loads(path.read_text()))
        self.state = root / "build" / "course.json"

    def program(self, task):
        return self.build / "bin" / f"step0{task[0]}_tasks"

    def cases(self, task):
        return {name: examples for name, examples in self.examples.items() if name.split()[0] == task}

    def chosen(self, wanted):
        """Tasks by their numbers; '3' is all of chapter 3, nothing is all."""
        if not wanted:
            return list(self.tasks)
        found = []
        for name in wanted:
            ids = [id for id in self.tasks if name in (id, id.split(".")[0])]
            if not ids:
                raise SystemExit(f"course: there is no task {name}; the tasks here are {', '.join(self.tasks)}")
            found += ids
        return found

    def known(self):
        """What was seen last: {task: outcome, hints}."""
        try:
            return json.loads(self.state.read_text())
        except (OSError, ValueError):
            return {}

    def written(self, task):
        """When the task's files were last changed."""
        return max((self.root / file).stat().st_mtime for file in self.tasks[task]["files"])

    def note(self, task, **what):
        known = self.known()
        known.setdefault(task, {}).update(what)
        self.state.parent.mkdir(exist_ok=True)
        self.state.write_text(json.dumps(known, indent=1))


def build(starter, targets):
    """Configures if need be, and builds. What the compiler says is shown if it fails."""
    if not (starter.build / "CMakeCache.txt").exists():
        generator = ["-G", "Ninja"] if shutil.which("ninja") else []
        print("configuring (once) ...", flush=True)
        quietly(["cmake", "--preset", PRESET, *generator], starter.root)
    first = not all((starter.build / "bin" / target).exists() for target in targets)
    print("building ... (the first time takes some minutes)" if first else "building ...", flush=True)
    command = ["cmake", "--build", str(starter.build), "-j", str(os.cpu_count() or 2), "--target", *targets]
    if first and sys.stdout.isatty():  # so long that one wants to see it go on
        if subprocess.run(command, cwd=starter.root).returncode == 0:
            return
    quietly(command, starter.root)


def quietly(command, folder):
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    except OSError as error:
        raise SystemExit(f"course: {command[0]}: {error.strerror}") from None
    if done.returncode:
        print(done.stdout + done.stderr)
        raise SystemExit(f"course: '{' '.join(command[:3])} ...' failed; the first error is the one to mend")


def check(starter, args):
    ids = starter.chosen(args.task)
    build(starter, sorted({starter.program(id).name for id in ids}))
    right = 0
    for id in ids:
        task, good = starter.tasks[id], True
        print(f"\n{id} {task['title']}  ({', '.join(task['files'])})")
        for name, examples in starter.cases(id).items():
            verdict = judged([str(starter.program(id))], name, examples)
            good = good and verdict.outcome == PASSED
            print(f"  {'ok  ' if verdict.outcome == PASSED else 'OPEN' if verdict.open_task else 'NO  '} {name}")
            if verdict.outcome != PASSED and not verdict.open_task:
                tell(starter, name, examples, verdict)
        starter.note(id, solved=good, of=starter.written(id))
        right += good
    print(f"\n{right} of {len(ids)} tasks solved")
    return 0 if right == len(ids) else 1


def tell(starter, name, examples, verdict):
    """The first difference, and how to look at it with a debugger."""
    said = verdict.message if verdict.outcome == FAILED else f"{verdict.outcome}: {verdict.message}"
    where = f"with {verdict.line}: " if verdict.line else ""
    print(textwrap.fill(where + said, 110, initial_indent="       ", subsequent_indent="       "))
    question = next((given for line, given, _ in examples if line == verdict.line), None)
    if question is not None:
        path = starter.root / "build" / "questions" / f"{name.split()[0]}-{list(starter.cases(name.split()[0])).index(name) + 1}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"case": name, "given": question}) + "\n")
        print(f"       the question alone: {starter.program(name).relative_to(starter.root)} < {path.relative_to(starter.root)}")


def one_case(starter, args):
    """For ctest: a case by its name, with a program that is built."""
    if args.name not in starter.examples:
        raise SystemExit(f"course: there is no case '{args.name}'")
    verdict = judged([args.program], args.name, starter.examples[args.name])
    if verdict.outcome != PASSED:
        print(f"{verdict.outcome}: {verdict.message}" + (f" [{verdict.line}]" if verdict.line else ""))
    return 0 if verdict.outcome == PASSED else 1


def hint(starter, args):
    (id,) = starter.chosen([args.task])
    hints = [base64.b64decode(text).decode() for text in starter.tasks[id]["hints"]]
    seen = min(starter.known().get(id, {}).get("hints", 0) + 1, len(hints))
    for number, text in enumerate(hints[:seen], 1):
        print(textwrap.fill(f"{number}. {text}", 110, subsequent_indent="   "))
    print(f"({seen} of {len(hints)})" if seen < len(hints) else "(that was the last)")
    starter.note(id, hints=seen)
    return 0


def tasks(starter, _):
    known = starter.known()
    for id, task in starter.tasks.items():
        seen = known.get(id, {})
        state = {True: "solved", False: "open"}.get(seen.get("solved"), "not checked yet")
        if "solved" in seen and seen.get("of") != starter.written(id):
            state += " when last checked; changed since then"
        print(f"{id}  {task['title']}  [{state}]")
        print(textwrap.fill(task["idea"], 110, initial_indent="     ", subsequent_indent="     "))
        lines = f"about {task['lines']} lines" if task["lines"] > 1 else "one line"
        print(f"     {', '.join(task['files'])}; {lines}, {task['minutes']} minutes, {task['points']} points; read: {task['needs']} ({task['text']})")
    print("\n./course check N.M checks a task, ./course hint N.M gives a hint")
    return 0


def main(root):
    starter = Starter(root)
    parser = argparse.ArgumentParser(prog="./course", description="the tasks of this starter; without a command: what they are, and which are solved")
    parser.set_defaults(run=tasks)
    commands = parser.add_subparsers(metavar="COMMAND")
    one = commands.add_parser("tasks", help="the tasks (the default)")
    one.set_defaults(run=tasks)
    one = commands.add_parser("check", help="builds, and asks your code the questions of some tasks, or of all")
    one.add_argument("task", nargs="*", help="1.2, or 1 for the whole chapter")
    one.set_defaults(run=check)
    one = commands.add_parser("hint", help="a hint; asked again, one more")
    one.add_argument("task")
    one.set_defaults(run=hint)
    one = commands.add_parser("case", help="one case, by a program that is built (what ctest calls)")
    one.add_argument("name")
    one.add_argument("program")
    one.set_defaults(run=one_case)
    args = parser.parse_args()
    try:
        return args.run(starter, args)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 1
