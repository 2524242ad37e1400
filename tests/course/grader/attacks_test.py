#!/usr/bin/env python3
"""Attacks on the grader, each a submission for chapter 1 (attacks.py): none gains a point, all other tasks keep theirs, each ends with the
right one of the six outcomes, and nothing is left running. The reference gets full points, the starter none.

    attacks_test.py [--work DIR] [--only PART] [--other-user]

--other-user: the grader runs as a user without any rights, too, where Landlock alone confines; this must be called by root.
Prints "N passed, M failed". Five minutes on two slow cores, and a minute and a half more for the first build.
"""
import argparse
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as xml

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "tests" / "tools"), str(ROOT / "tests" / "course"), str(pathlib.Path(__file__).parent)]

os.environ.setdefault("KVLAB_TIMEOUT_SCALE", "0.3")
from attacks import FIRST_POSITION, MISTAKEN, all_chosen, chosen, right_files, submissions, write_submission  # noqa: E402
from course import building, processes  # noqa: E402
from course.asking import FAILED, NOT_COMPILED, PASSED, Limits, judged  # noqa: E402
from course.loading import cases_of  # noqa: E402
from course.markers import with_replaced  # noqa: E402
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
    python, environment = [sys.executable], os.environ
    if user is not None:
        os.chown(results, user, user)
        python, environment = as_other_user(user, results)
    environment = {**environment, "KVLAB_TIMEOUT_SCALE": scale}
    command = [*python, str(ROOT / "tools" / "grade.py"), *map(str, submissions), "--step", "1", "--work", str(work), "--quiet",
               "--json", str(results / "one.json" if len(submissions) == 1 else results), *options]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    check(done.returncode == 0 and "Traceback" not in done.stderr, f"{options}: exit code {done.returncode}: {done.stderr.strip()[-600:]}")
    return {result["submission"]: result for result in (json.loads(path.read_text()) for path in sorted(results.glob("*.json")))}


def as_other_user(user, home):
    """(Python, environment) of a user without any rights. git answers nobody but the owner, unless it is told to."""
    environment = {**os.environ, "HOME": str(home), "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"}
    return ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--no-new-privs",
            "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable], environment


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
    again = grade(work, folder / "results", [right, starter, odd], "--seed", "20260", "--format", "junit", "-o", str(folder / "junit"))
    suites = {name: xml.parse(folder / "junit" / f"{name}.xml").getroot() for name in ("right", "starter", "odd")}
    check(suites["right"].get("failures") == suites["right"].get("errors") == "0" and suites["odd"].get("errors") != "0", "results as JUnit XML")
    for name in ("right", "starter", "odd"):
        check({**again[name], "time": 0} == {**found[name], "time": 0}, f"'{name}' twice: another report")
    other = grade(work, folder / "results", [right], "--seed", "5", "--format", "gradescope", "-o", str(folder / "results.json"))
    check(json.loads((folder / "results.json").read_text())["score"] == full, "results for Gradescope")
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


def judge_chosen(work, port, files):
    """All attacks of one program, each with a question of its own. This process is the grader here."""
    attack = all_chosen(port)
    sources = {**right_files(files), attack.file: attack.text()}
    case = next(case for name, case in cases_of(1).items() if name.startswith("1.5 "))
    with building.Tree(1, "student", work).held() as tree:
        errors = building.built_fairly(tree, {file: text.encode() for file, text in sources.items()})
        check(not errors, f"the attacks compile: {errors}")
        for number, attack in enumerate(chosen(port)):
            line = f"position={FIRST_POSITION + number} rope_dim=4"
            verdict = judged([tree.program], case.name, [(line, *case.question(line, 1))], Limits, tree.running)
            what = f"'{attack.name}' ({tree.running})"
            check(verdict.outcome == attack.outcome, f"{what}: {verdict.outcome}, expected {attack.outcome}: {verdict.message}")
            check(attack.says in verdict.message, f"{what}: '{attack.says}' is not in '{verdict.message}'")
            check("BROKEN OUT" not in verdict.message + verdict.output, f"{what} has broken out: {verdict.message}")
            check(not processes.descendants(), f"{what} has left something running")


def judge_submissions(work, folder, files, points, attack_list, user=None):
    """Attacks that are graded as a whole."""
    paths = [folder / attack.name.replace(" ", "_") for attack in attack_list]
    for attack, path in zip(attack_list, paths):
        if not path.exists():
            write_submission(path, attack, files)
    found = grade(work, folder / "results", paths, user=user)
    for attack, path in zip(attack_list, paths):
        if path.name in found:
            judge_attack(attack, found[path.name], points)
        else:
            check(False, f"'{attack.name}' has no result")
    check(not alive("kvlab_daemon"), "a daemon is alive")


def nobody_called(listeners):
    for listener in listeners:
        listener.setblocking(False)
        try:
            listener.accept()
            check(False, "somebody has called")
        except BlockingIOError:
            check(True, "")


def timed(what, function, *arguments, **options):
    begin = time.monotonic()
    function(*arguments, **options)
    print(f"{what}: {time.monotonic() - begin:.0f} s", flush=True)


def mistaken_ones(work, folder, files):
    """Every task is wrong, and the report names each mistake."""
    for file in files:
        path = folder / "mistaken" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("#include <cmath>\n" + with_replaced((ROOT / file).read_text(), file, lambda region: MISTAKEN[region.task][0].splitlines()))
    result = grade(work, folder / "results", [folder / "mistaken"])["mistaken"]
    check(result["score"] == 0, f"mistakes: score {result['score']}")
    for task, (_, words) in MISTAKEN.items():
        cases = [case for row in result["tasks"] if row["id"] == task for case in row["cases"]]
        check(any(words in case.get("hint", "") for case in cases), f"mistakes: '{words}' is not said of {cases}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", type=pathlib.Path, default=pathlib.Path("/var/tmp/kvlab-grade-test"))
    parser.add_argument("--only", choices=("plain", "mistakes", "submissions", "chosen", "other-user"), action="append")
    parser.add_argument("--other-user", action="store_true")
    args = parser.parse_args()
    parts = set(args.only or ("plain", "mistakes", "submissions", "chosen", *(["other-user"] if args.other_user else [])))
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
        if "plain" in parts:
            timed("the reference, the starter, what is no file", plain_ones, args.work, folder, files, points)
        if "mistakes" in parts:
            timed("a mistake in each task", mistaken_ones, args.work, folder, files)
        if "chosen" in parts:
            timed(f"{len(chosen(port))} attacks of one program", judge_chosen, args.work, port, files)
        if "submissions" in parts:
            timed(f"{len(submissions())} submissions that attack", judge_submissions, args.work, folder, files, points, submissions())
        if "other-user" in parts and not reads_the_project(NOBODY):
            print("skipped: another user cannot read the project here")
        elif "other-user" in parts:
            subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", str(args.work)], check=True)
            some = [attack for attack in submissions() if attack.name in ("reads the reference", "includes the reference", "leaves a daemon")]
            timed("three submissions without rights", judge_submissions, args.work, folder, files, points, some, user=NOBODY)
            timed("attacks of one program without rights", as_user, NOBODY, args.work)
        nobody_called((server, other))
    check(all(path.read_bytes() == data for path, data in before.items()), "the judges are as they were")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


def reads_the_project(user):
    python, environment = as_other_user(user, "/")
    read = f"import sys; assert sys.version_info >= (3, 11); open({str(ROOT / 'tools' / 'grade.py')!r})"
    return subprocess.run([*python, "-c", read], env=environment, capture_output=True).returncode == 0


def as_user(user, work):
    """This script once more, as somebody else."""
    global passed, failed
    command, environment = as_other_user(user, work)
    done = subprocess.run([*command, str(pathlib.Path(__file__).resolve()), "--work", str(work), "--only", "chosen"], capture_output=True, text=True, env=environment)
    lines = done.stdout.splitlines()
    found = re.fullmatch(r"(\d+) passed, (\d+) failed", lines[-1]) if lines else None
    check(found, f"without rights: {done.stdout[-500:]}{done.stderr[-1000:]}")
    if found:
        print("\n".join(line for line in lines if line.startswith("FAILED")), flush=True)
        passed, failed = passed + int(found[1]), failed + int(found[2])


if __name__ == "__main__":
    sys.exit(main())
