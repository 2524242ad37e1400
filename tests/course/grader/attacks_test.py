#!/usr/bin/env python3
"""Attacks on the grader, each a submission for chapter 1 (attacks.py): none gains a point, all other tasks keep theirs, each ends with the
right one of the six outcomes, and nothing is left running. The reference gets full points, the starter none.

    attacks_test.py [--work DIR] [--only WORD] [--other-user]

--other-user: the grader runs as a user without any rights, too, where Landlock alone confines; this must be called by root.
Prints "N passed, M failed". Six minutes on two slow cores, half of them for the first build.
"""
import argparse
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "tests" / "tools"), str(pathlib.Path(__file__).parent)]

from attacks import attacks, right_files, write_submission  # noqa: E402
from course.asking import FAILED, NOT_COMPILED, PASSED  # noqa: E402
from course.tasks import tasks_of  # noqa: E402

NOBODY = 65534
passed, failed = 0, 0


def check(holds, what):
    global passed, failed
    passed, failed = passed + bool(holds), failed + (not holds)
    if not holds:
        print(f"FAILED: {what}", flush=True)


def grade(work, results, submissions, *options, user=None, scale="0.3"):
    """The results of one call, {name: result}; its exit code and what it said are checked."""
    shutil.rmtree(results, ignore_errors=True)
    results.mkdir()
    environment = {**os.environ, "KVLAB_TIMEOUT_SCALE": scale}
    python = sys.executable
    prefix = []
    if user is not None:
        os.chown(results, user, user)
        prefix = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--no-new-privs"]
        python = "/usr/bin/python3"
        # git answers no other user than the owner, unless it is told to.
        environment |= {"HOME": str(results), "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"}
    command = [*prefix, python, str(ROOT / "tools" / "grade.py"), *map(str, submissions), "--step", "1", "--work", str(work), "--quiet",
               "--json", str(results / "one.json" if len(submissions) == 1 else results), *options]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    check(done.returncode == 0 and "Traceback" not in done.stderr, f"{options}: exit code {done.returncode}: {done.stderr.strip()[-600:]}")
    return {result["submission"]: result for result in (json.loads(path.read_text()) for path in sorted(results.glob("*.json")))}


def case_of(result, task):
    return next(case for row in result["tasks"] if row["id"] == task for case in row["cases"])


def judge_attack(attack, result, points):
    task = next(row for row in result["tasks"] if row["id"] == attack.task)
    case = next((case for case in task["cases"] if case["outcome"] != PASSED), {"outcome": PASSED, "message": ""})
    what = f"'{attack.name}'"
    check(task["score"] == 0, f"{what} gains points")
    check(case["outcome"] == attack.outcome, f"{what}: {case['outcome']}, expected {attack.outcome}: {case['message']}")
    check(attack.says in case["message"], f"{what}: '{attack.says}' is not in '{case['message']}'")
    check("BROKEN OUT" not in json.dumps(result), f"{what} has broken out: {case['message']}")
    others = {row["id"]: row["score"] for row in result["tasks"] if row["id"] != attack.task}
    check(others == {id: p for id, p in points.items() if id != attack.task}, f"{what}: the other tasks have {others}")
    check(result["score"] == sum(points.values()) - points[attack.task], f"{what}: score {result['score']}")


def alive(name):
    """Processes of that name, whoever has them."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/comm"):
        try:
            found += [path.parent.name] if path.read_text().strip() == name else []
        except OSError:
            pass
    return found


def plain_ones(work, folder, files, points):
    """The reference, the starter, the same submission twice, and files that are none."""
    right = folder / "right"
    for file, text in right_files(files).items():
        (right / file).parent.mkdir(parents=True, exist_ok=True)
        (right / file).write_text(text)
    starter = folder / "starter"
    subprocess.run([sys.executable, str(ROOT / "tools" / "starter.py"), "--step", "1", str(starter)], check=True, capture_output=True)
    flat = folder / "flat"
    flat.mkdir()
    for file, text in right_files(files).items():
        (flat / pathlib.Path(file).name).write_text(text)
    odd = folder / "odd"
    shutil.copytree(right, odd)
    rope, sampling, checksum, numerics = (next(file for file in files if word in file) for word in ("rope", "sampling", "checksum", "numerics"))
    (odd / rope).unlink()
    (odd / rope).symlink_to(ROOT / rope)
    (odd / sampling).write_bytes((right / sampling).read_bytes() + b"// \xff\xfe\n")
    (odd / checksum).write_text((right / checksum).read_text() + "//" + "x" * (1 << 20))
    zipped = shutil.make_archive(str(folder / "zipped"), "zip", right)
    found = grade(work, folder / "results", [right, starter, flat, odd, zipped])
    full = sum(points.values())
    check([found[name]["score"] for name in ("right", "flat", "zipped.zip")] == [full] * 3, f"right files: {[(n, r['score']) for n, r in found.items()]}")
    check(found["starter"]["score"] == 0 and all(case["open"] and case["outcome"] == FAILED for task in found["starter"]["tasks"] for case in task["cases"]),
          "the starter: 0 points, and every case fails as its task is open")
    refused = {task: case_of(found["odd"], task) for task in points}
    check(all(refused[task]["outcome"] == NOT_COMPILED for task in ("1.1", "1.2", "1.5", "1.6")), f"files that are none: {refused}")
    words = {"1.1": "more than 1 MB", "1.5": "no plain file", "1.6": "no UTF-8 text"}
    check(all(word in refused[task]["message"] for task, word in words.items()), f"files that are none: {refused}")
    check(found["odd"]["score"] == points["1.3"] + points["1.4"], "the task in a sound file keeps its points")
    again = grade(work, folder / "results", [right, starter, odd], "--seed", "20260")
    for name in ("right", "starter", "odd"):
        check({**again[name], "time": 0} == {**found[name], "time": 0}, f"'{name}' twice: another report")
    other = grade(work, folder / "results", [right], "--seed", "5")
    check(other["right"]["score"] == full and other["right"]["seed"] == 5, "another seed")
    special = folder / "special"
    shutil.copytree(right, special)
    text = (special / rope).read_text()
    (special / rope).write_text(text.replace("float *c = cos(position), *s = sin(position)", "float *c = cos(position == 3 ? 4 : position), *s = sin(position)"))
    check((special / rope).read_text() != text, "the special case stands in the text")
    (folder / "extra").mkdir()
    (folder / "extra" / "step01.txt").write_text("1.5 rope | position=3 rope_dim=4 seed=77\n")
    visible = grade(work, folder / "results", [special])["special"]
    hidden = grade(work, folder / "results", [special, right], "--extra", str(folder / "extra"))
    check(visible["score"] == full, "what only a hidden question shows passes without it")
    check(hidden["right"]["score"] == full and hidden["special"]["score"] == full - points["1.5"], "a hidden question costs points")
    case = case_of(hidden["special"], "1.5")
    check(case["hidden"] and case["outcome"] == FAILED, f"a hidden question: {case}")
    check(hidden["right"]["tests"] != visible["tests"], "the hash of the tests knows of hidden questions")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", type=pathlib.Path, default=pathlib.Path("/var/tmp/kvlab-grade-test"))
    parser.add_argument("--only", default="")
    parser.add_argument("--other-user", action="store_true")
    args = parser.parse_args()
    points = {id: task.points for id, task in tasks_of(1).items()}
    files = sorted({file for task in tasks_of(1).values() for file in task.files})
    before = {path: path.read_bytes() for path in (ROOT / "tests" / "course").glob("*.py")}
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name, socket.create_server(("127.0.0.1", 0)) as server, \
            socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
        folder = pathlib.Path(name)
        folder.chmod(0o755)
        port = server.getsockname()[1]
        other.bind(f"\0kvlab-attack-{port}")
        other.listen()
        if not args.only:
            plain_ones(args.work, folder, files, points)
        chosen = [attack for attack in attacks(port) if args.only in attack.name]
        submissions = []
        for attack in chosen:
            submissions.append(folder / attack.name.replace(" ", "_"))
            write_submission(submissions[-1], attack, files)
        users = [None, NOBODY] if args.other_user else [None]
        for user in users:
            begin = time.monotonic()
            if user is not None:
                subprocess.run(["chown", "-R", f"{user}:{user}", str(args.work)], check=True)
            found = grade(args.work, folder / "results", submissions, user=user)
            for attack, path in zip(chosen, submissions):
                if path.name in found:
                    judge_attack(attack, found[path.name], points)
                else:
                    check(False, f"'{attack.name}' has no result")
            check(not alive("kvlab_daemon"), "a daemon is alive")
            for listener in (server, other):
                listener.setblocking(False)
                try:
                    listener.accept()
                    check(False, "somebody has called")
                except BlockingIOError:
                    check(True, "")
            print(f"{len(chosen)} attacks {'as root' if user is None and os.geteuid() == 0 else 'without rights'}: {time.monotonic() - begin:.0f} s", flush=True)
    check(all(path.read_bytes() == data for path, data in before.items()), "the judges are as they were")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
