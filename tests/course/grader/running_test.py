#!/usr/bin/env python3
"""How the grader runs programs: six outcomes that never mix, what a confined process cannot do, and mistakes that are recognised by their
answers. The programs are a few lines of Python or of the shell, so that nothing has to be built."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "tests" / "tools"), str(ROOT / "tests" / "course")]

from course import confine, landlock, processes, signatures  # noqa: E402
from course.asking import CRASHED, FAILED, NOT_RUN, PASSED, TIMED_OUT, Launcher, Limits, judged, questions_of, run  # noqa: E402
from course.judge import Case, Floats, close, exact, integers  # noqa: E402
from course.tasks import Failure  # noqa: E402

PROGRAM = """#!{python} -S
import json, os, struct, sys, time
to = int(sys.argv[sys.argv.index("--answers-to") + 1])
def floats(bits): return [struct.unpack("<f", struct.pack("<I", b))[0] for b in bits]
def bits(floats): return [struct.unpack("<I", struct.pack("<f", f))[0] for f in floats]
def say(text): os.write(to, text.encode())
for line in sys.stdin:
    given = json.loads(line)["given"]
    x = floats(given["x"]["f32"])
    def answer(values): say(json.dumps({{"answer": {{"y": {{"shape": [len(x)], "f32": bits(values)}}}}}}) + "\\n")
    {body}
"""


def double(p, random):
    x = random.floats(p.n)
    return {"x": x}, {"y": exact(Floats([p.n], [2 * v for v in x.values]), "place")}


CASE = Case("9.1 double: each number", ["n=1", "n=3", "n=4 seed=1", "n=9"], double)


class Short(Limits):
    seconds = 2.0 * Limits.seconds / 10.0


class Programs(unittest.TestCase):
    def setUp(self):
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.folder = pathlib.Path(holder.name)

    def program(self, body, name="program"):
        path = self.folder / name
        path.write_text(PROGRAM.format(python=sys.executable, body=body))
        path.chmod(0o755)
        return [str(path)]


class Outcomes(Programs):
    def outcome(self, body):
        verdict = judged(self.program(body), CASE.name, questions_of(CASE, 5), Short)
        return verdict

    def test_each(self):
        for body, outcome, words in (
                ("answer([2 * v for v in x])", PASSED, ""),
                ("print('PASSED'); answer(x)", FAILED, "at place 0: got"),
                ("answer([2 * v for v in x] if len(x) < 9 else x)", FAILED, "at place 0"),
                ("answer([])", FAILED, "no array of floats"),
                ("say(json.dumps({'answer': {}}) + '\\n')", FAILED, "'y' is missing"),
                ("say('PASSED\\n')", FAILED, "no JSON object"),
                ("say('[' * 100000 + '\\n')", FAILED, "no JSON object"),
                ("say('{\"answer\": 5}\\n')", FAILED, "no JSON object"),
                ("say(json.dumps({'error': 'no rows'}) + '\\n')", FAILED, "an Error was thrown: no rows"),
                ("answer([2 * v for v in x]); answer([2 * v for v in x])", FAILED, "the shape is [1], expected [3]"),
                ("answer([2 * v for v in x])\n    if len(x) == 9: answer(x)", FAILED, "5 answers to 4 questions"),
                ("sys.exit(0)", CRASHED, "ended after 0 of 4 answers"),
                ("answer([2 * v for v in x]); sys.exit(0)", CRASHED, "ended after 1 of 4 answers"),
                ("say('{\"answer\": '); sys.exit(0)", CRASHED, "ended after 0 of 4 answers"),
                ("sys.exit(3)", CRASHED, "exit code 3"),
                ("answer([2 * v for v in x])\n    if len(x) == 9: sys.exit(3)", CRASHED, "exit code 3"),
                ("os.kill(os.getpid(), 11)", CRASHED, "SIGSEGV"),
                ("print('a.cpp:7:3: runtime error: shift'); sys.exit(1)", CRASHED, "runtime error: shift"),
                ("print('a.cpp:7:3: runtime error: shift\\n' + 'in a frame\\n' * 9000); sys.exit(1)", CRASHED, "runtime error: shift"),
                ("time.sleep(60)", TIMED_OUT, "no answer within"),
                ("os.close(to); os.close(1); os.close(2); time.sleep(60)", TIMED_OUT, "no answer within"),
                ("answer([2 * v for v in x])\n    if len(x) == 9: time.sleep(60)", TIMED_OUT, "did not end within"),
                ("os.write(1, b'x' * (80 << 20))", CRASHED, "more than 64 MiB of output")):
            with self.subTest(body):
                verdict = self.outcome(body)
                self.assertEqual((verdict.outcome, words in verdict.message), (outcome, True), verdict.message)

    def test_an_open_task(self):
        verdict = self.outcome("say(json.dumps({'todo': 'task 9.1 is not solved yet'}) + '\\n')")
        self.assertEqual((verdict.outcome, verdict.open_task), (FAILED, True))

    def test_what_cannot_be_started(self):
        self.assertEqual(judged([str(self.folder / "none")], CASE.name, questions_of(CASE, 5)).outcome, NOT_RUN)

    def test_what_it_leaves_behind(self):
        begin = time.monotonic()
        verdict = self.outcome("answer([2 * v for v in x])\n    if len(x) == 9 and os.fork() == 0: time.sleep(60)")
        self.assertEqual(verdict.outcome, PASSED)
        self.assertLess(time.monotonic() - begin, 20)  # nobody waits for a child that holds the pipes

    def test_the_same_words_twice(self):
        verdict = self.outcome("print(f'=={os.getpid()}==ERROR: AddressSanitizer: SEGV on unknown address {id(object()):#x} at 0x10'); sys.exit(1)")
        self.assertEqual(verdict.message, "the program ended with exit code 1: ERROR: AddressSanitizer: SEGV on unknown address 0x... at 0x10")
        self.assertEqual(verdict.output, "ERROR: AddressSanitizer: SEGV on unknown address 0x... at 0x10\n")

    def test_the_last_words_are_kept(self):
        verdict = self.outcome("print('a' * 10000, 'the end'); answer(x)")
        self.assertTrue(verdict.output.rstrip().endswith("the end"))
        self.assertLessEqual(len(verdict.output), 4000)


class Signatures(Programs):
    """Mistakes of 9.1: recorded, and found again in programs that are written otherwise."""

    def known(self, **bodies):
        known = signatures.Known.__new__(signatures.Known)
        known.cases = {CASE.name: CASE}
        known.entries = []
        for name, body in bodies.items():
            entry = signatures.recorded(CASE, name, self.program(body, name))
            known.entries.append((json.loads(json.dumps(entry)), f"says {name}"))
        return known

    def test_recognised(self):
        known = self.known(square="answer([v * v for v in x])", first="answer([2 * x[0]] * len(x))", last="answer([2 * v for v in x[:-1]] + [0.0])",
                           near="answer([2 * v * (1 + 2e-7) for v in x])", thrown="say(json.dumps({'error': 'n is odd'}) + '\\n')", died="os.abort()")
        for body, found in (("answer([v ** 2 for v in x])", "square"), ("answer([v * v * 1.0001 for v in x])", "square"),
                            ("answer([2 * x[0] for _ in x])", "first"), ("answer([v + v for v in x[:-1]] + [0.0])", "last"),
                            ("answer([2 * v * (1 + 2e-7) for v in x])", "near"), ("say(json.dumps({'error': 'n is odd'}) + '\\n')", "thrown"),
                            ("os.kill(os.getpid(), 6)", "died"), ("answer([2 * v * (1 - 2e-7) for v in x])", None), ("answer([3 * v for v in x])", None),
                            ("answer(x[:-1])", None), ("say('no\\n')", None), ("say('[1]\\n')", None), ("sys.exit(0)", None), ("time.sleep(60)", None),
                            ("say(json.dumps({'answer': {'y': {'shape': 'x', 'f32': [None]}}}) + '\\n')", None),
                            ("say(json.dumps({'answer': {'y': 5}}) + '\\n')", None)):
            with self.subTest(body):
                self.assertEqual(known.of(CASE.name, self.program(body), Launcher()), f"says {found}" if found else "")

    def test_a_right_program_has_none(self):
        self.assertIsNone(signatures.recorded(CASE, "none", self.program("answer([2 * v for v in x])")))

    def test_other_kinds_of_answers(self):
        for recorded, reply, expected, likeness in (
                ({"answer": {"n": 5}}, {"answer": {"n": 5}}, {"n": {"kind": "number", "value": 4}}, 3),
                ({"answer": {"n": 5}}, {"answer": {"n": 6}}, {"n": {"kind": "number", "value": 4}}, 0),
                ({"answer": {"i": {"shape": [2], "int": [1, 2]}}}, {"answer": {"i": {"shape": [2], "int": [1, 3]}}}, {"i": integers([1, 1], "i")}, 0),
                ({"answer": {"t": "a"}}, {"answer": {"t": "a", "u": "b"}}, {"t": {"kind": "text", "value": "c"}}, 0)):
            self.assertEqual(signatures.like(recorded, reply, expected), likeness)

    def test_near_is_nearer_than_to_what_is_right(self):
        def of(value):
            return {"answer": {"y": Floats([1], [value]).to_json()}}
        right = {"y": close(Floats([1], [1.0]), "i", 1e-7, "")}
        for mistake, student, is_like in ((5.0, 5.0004, True), (5.0, 5.1, False), (1.0001, 1.000101, True), (1.0001, 1.00007, False), (1.0001, 1.0, False),
                                          (float("nan"), -float("nan"), True), (float("inf"), float("inf"), True), (float("inf"), 5.0, False)):
            self.assertEqual(signatures.like(of(mistake), of(student), right) > 0, is_like, (mistake, student))

    def test_the_recorded_files(self):
        for path in sorted(signatures.path_of(1).parent.glob("step*.json")):
            self.assertTrue(signatures.loaded(path, int(path.stem[4:])), path.name)


@unittest.skipUnless(os.geteuid() == 0 or landlock.abi() >= 6, "nothing here confines a process")
class Confined(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.holder = tempfile.TemporaryDirectory(dir="/var/tmp")
        cls.folder = pathlib.Path(cls.holder.name)
        cls.folder.chmod(0o755)
        for name in ("tree", "scratch", "secret"):
            (cls.folder / name).mkdir()
        (cls.folder / "tree" / "file").write_text("tree")
        (cls.folder / "secret" / "file").write_text("secret")
        share = confine.Share(seconds=20, memory=300 << 20, file=1 << 20, processes=20, files=32)
        cls.confinement = confine.Confinement([cls.folder / "tree"], [cls.folder / "scratch"], share)
        if cls.confinement.uid is not None:
            os.chown(cls.folder / "scratch", cls.confinement.uid, cls.confinement.uid)

    @classmethod
    def tearDownClass(cls):
        cls.holder.cleanup()

    def shell(self, script, limits=Short):
        _, ending, output = run(["/bin/sh", "-c", script, "sh"], b"", limits, self.confinement)
        return ending, output

    def test_the_probe_holds_and_can_fail(self):
        secret, outside, tree = self.folder / "secret" / "file", [self.folder / "secret"], self.folder / "tree" / "file"
        self.confinement.prove(secret, outside, tree)
        loose = confine.Confinement([self.folder], [self.folder / "scratch", self.folder / "secret"], self.confinement.share)
        with self.assertRaisesRegex(Failure, "it can read the reference"):
            loose.prove(secret, outside, tree)
        with self.assertRaisesRegex(Failure, "cannot read its own tree"):
            self.confinement.prove(secret, outside, self.folder / "none")
        trusted = confine.Confinement([], [], self.confinement.share, trusted=True)
        self.assertEqual(str(trusted), "NOT CONFINED (--trust)")

    def test_root_without_landlock(self):
        if os.geteuid() != 0:
            self.skipTest("needs root")
        alone = confine.Confinement([], [], self.confinement.share)
        self.addCleanup(alone.lock.close)
        alone.version = 0
        secret, tree = self.folder / "secret" / "file", self.folder / "tree" / "file"
        with self.assertRaisesRegex(Failure, "it can read the reference"):
            alone.prove(secret, [secret.parent], tree)
        self.addCleanup(secret.parent.chmod, 0o755)
        secret.parent.chmod(0o700)
        alone.prove(secret, [secret.parent], tree)

    def test_files(self):
        for script, output in (("cat tree/file", ""), (f"cat {self.folder}/tree/file", "tree"), (f"cat {self.folder}/secret/file", None),
                               (f"ls {self.folder}", None), (f"echo x >{self.folder}/scratch/new && echo yes", "yes"), ("echo x >/tmp/kvlab_confined", None),
                               (f"echo x >{self.folder}/tree/file", None), (f"rm {self.folder}/tree/file", None), ("echo x >/dev/null && echo yes", "yes"),
                               (f"cat {ROOT}/tools/grade.py", None), ("cat /etc/shadow", None), (f"cat /proc/{os.getpid()}/environ", None),
                               (f"kill -9 {os.getpid()}", None), (f"ln -s {self.folder}/secret/file {self.folder}/scratch/l; cat {self.folder}/scratch/l", None)):
            with self.subTest(script):
                ending, said = self.shell(script)
                if output is None:
                    self.assertEqual(ending[0] if ending else None, CRASHED, said)
                    self.assertNotEqual(said.strip(), "secret")
                elif output:
                    self.assertEqual((ending, said.strip()), (None, output))
        self.assertFalse(pathlib.Path("/tmp/kvlab_confined").exists())

    def test_its_share(self):
        self.shell(f"yes | head -c 4000000 >{self.folder}/scratch/big")
        self.assertLessEqual((self.folder / "scratch" / "big").stat().st_size, 1 << 20)
        _, said = self.shell("i=0; while [ $i -lt 60 ]; do sleep 1 & i=$((i+1)); done; echo all")
        self.assertNotIn("all", said)
        ending, said = self.shell("yes | head -c 800000000 | tail -c 700000000 >/dev/null; echo all", Limits)
        self.assertEqual(ending, (CRASHED, "it was ended: more than 300 MiB of memory"), said)
        self.assertEqual(self.shell("ulimit -c")[1].strip(), "0")

    def test_nothing_is_left(self):
        for script in ("sleep 61 & exit 0", "(setsid sleep 61 &) ; exit 0", "setsid sh -c 'setsid sleep 61 & sleep 61' & exit 0", "sleep 61 & kill -STOP $!; exit 0"):
            with self.subTest(script):
                self.shell(script)
                self.assertEqual(processes.descendants(), [])
        ps = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True)
        self.assertNotIn("sleep 61", ps.stdout.splitlines())

    def test_its_environment(self):
        os.environ["KVLAB_SECRET"] = "token"
        self.addCleanup(os.environ.pop, "KVLAB_SECRET")
        _, said = self.shell("env")
        self.assertNotIn("token", said)
        self.assertNotIn(str(ROOT), said)

    def test_no_rights_come_back(self):
        self.assertIn("NoNewPrivs:\t1", self.shell("grep NoNewPrivs /proc/self/status")[1] + self.shell("cat /proc/$$/status")[1])
        if self.confinement.uid is not None:
            self.assertEqual(self.shell("id -u; id -G")[1].split(), [str(self.confinement.uid)] * 2)
            another = confine.Confinement([], [], self.confinement.share)
            self.assertNotEqual(another.uid, self.confinement.uid)
            another.lock.close()

    def test_the_trusted_have_limits_too(self):
        trusted = confine.Confinement([], [], self.confinement.share, trusted=True)
        _, ending, said = run(["/bin/sh", "-c", "ulimit -n", "sh"], b"", Short, trusted)
        self.assertEqual(said.strip(), "32")


if __name__ == "__main__":
    unittest.main()
