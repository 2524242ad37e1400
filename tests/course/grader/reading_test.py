#!/usr/bin/env python3
"""What the grader reads: submissions that are not what they seem, hidden questions, the compiler's output, its own command line."""
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest
import zipfile

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "tests" / "tools"), str(ROOT / "tests" / "course")]

from course import building, extra, submission  # noqa: E402
from course.judge import Case  # noqa: E402
from course.judge import Floats, exact  # noqa: E402
from course.tasks import Failure  # noqa: E402

A, B = "step01_tensor/src/a.cpp", "step01_tensor/src/deep/b.cpp"


class InAFolder(unittest.TestCase):
    def setUp(self):
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.folder = pathlib.Path(holder.name)

    def put(self, name, data=b"int a;\n"):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path


class Folders(InAFolder):
    def read(self):
        return submission.read(self.folder, [A, B])

    def test_a_starter_a_folder_in_a_folder_and_bare_files(self):
        for places in ((A, B), (f"alice/{A}", f"alice/{B}"), ("a.cpp", "b.cpp")):
            with self.subTest(places):
                self.setUp()
                for place, text in zip(places, (b"// a\n", b"// b\n")):
                    self.put(place, text)
                self.assertEqual(self.read().files, {A: b"// a\n", B: b"// b\n"})

    def test_what_is_missing(self):
        self.put(A)
        found = self.read()
        self.assertEqual((list(found.files), found.refused), ([A], {B: f"{B} is missing from the submission"}))

    def test_links_are_never_followed(self):
        secret = self.put("secret/a.cpp", b"// the solution\n")
        for place, target in ((A, secret), ("step01_tensor", secret.parent), ("step01_tensor/src", secret.parent)):
            with self.subTest(place):
                self.setUp()
                path = self.folder / place
                path.parent.mkdir(parents=True, exist_ok=True)
                path.symlink_to(target)
                (self.folder / "a.cpp").symlink_to(target)
                found = self.read()
                self.assertEqual(found.files, {})
                self.assertRegex(found.refused[A], "no plain file|cannot be read|missing")

    def test_other_things_are_no_files(self):
        os.makedirs(self.folder / A)
        os.makedirs((self.folder / B).parent)
        os.mkfifo(self.folder / B)  # opening it would wait for ever
        found = self.read()
        self.assertEqual(found.files, {})
        self.assertTrue(all("no plain file" in why for why in found.refused.values()))

    def test_sizes_and_letters(self):
        for data, words in ((b"x" * (submission.LARGEST + 1), "more than 1 MB"), (b"int a;\xff", "no UTF-8 text"), (b"int a;\0", "zero byte")):
            self.put(A, data)
            self.assertIn(words, self.read().refused[A])
        self.put(A, b"x" * submission.LARGEST)
        self.assertIn(A, self.read().files)

    def test_no_folder(self):
        for path in (self.put("text"), self.folder / "none"):
            with self.assertRaisesRegex(Failure, "neither a folder nor a zip"):
                submission.read(path, [A])


class Zips(InAFolder):
    def zipped(self, members):
        path = self.folder / "one.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            for name, data, mode in members:
                info = zipfile.ZipInfo(name)
                info.external_attr = mode << 16
                info.compress_type = zipfile.ZIP_DEFLATED
                file.writestr(info, data)
        return submission.read(path, [A, B])

    def test_as_a_folder(self):
        for head in ("", "alice/"):
            found = self.zipped([(head + A, b"// a\n", 0o100644), (head + B, b"// b\n", 0)])
            self.assertEqual(found.files, {A: b"// a\n", B: b"// b\n"})
        self.assertEqual(self.zipped([("__MACOSX/x", b"", 0), ("alice/" + A, b"// a\n", 0)]).files, {A: b"// a\n"})

    def test_links_bombs_and_ways_out(self):
        found = self.zipped([(A, b"/etc/passwd", 0o120777), (B, b"0" * (300 << 20), 0o100644)])
        self.assertIn("no plain file", found.refused[A])
        self.assertIn("more than 1 MB", found.refused[B])
        found = self.zipped([("../" + A, b"// a\n", 0), ("/" + B, b"// b\n", 0)])
        self.assertEqual(found.files, {})

    def test_damaged(self):
        found = self.zipped([(A, b"// a\n" * 1000, 0)])
        path = self.folder / "one.zip"
        data = bytearray(path.read_bytes())
        data[60:70] = b"\xff" * 10
        path.write_bytes(data)
        found = submission.read(path, [A])
        self.assertIn("cannot be unpacked", found.refused[A])
        path.write_bytes(data[:40])
        with self.assertRaises(Failure):
            submission.read(path, [A])


def toy(p, random):
    values = random.floats(p.n)
    if p.get("shift"):
        values = Floats([p.n], [v + p.shift for v in values.values])
    return {"x": values}, {"y": exact(Floats([p.n], values.values), "i")} if p.n else {}


class Extra(InAFolder):
    cases = {name: Case(name, ["n=1", "n=2"], toy) for name in ("1.1 toy: one", "1.1 toy: two", "1.2 other: three")}

    def lines(self, text):
        self.put("step01.txt", text.encode())
        return extra.lines_of(self.folder, 1, self.cases)

    def test_rows(self):
        found = self.lines("# hidden\n\n1.1 toy: one | n=5 seed=77\n1.1 toy: one|n=6 shift=0.5\n1.2 other | n=3\n")
        self.assertEqual(found, {"1.1 toy: one": ["n=5 seed=77", "n=6 shift=0.5"], "1.2 other: three": ["n=3"]})

    def test_refusals_have_their_place(self):
        for row, words in (("1.1 toy: one n=5", "expected 'CASE | PARAMETERS'"), ("| n=5", "expected 'CASE"), ("1.3 none | n=5", "no case of chapter 1"),
                           ("1.1 toy | n=5", "2 cases of chapter 1 are called"), ("1.2 other | n", "is no parameter of a case"),
                           ("1.2 other | shift=1", "the line has no 'n'"), ("1.2 other | n=5 tokns=3", "has no parameter 'tokns'"),
                           ("1.2 other | n=5 seed=x", "the seed is 'x'"), ("1.2 other | n=-5", "cannot be asked so"), ("1.2 other | n=text", "cannot be asked so"),
                           ("1.2 other | n=0", "nothing is expected"), ("1.2 other | n=2", "is asked already"), ("1.2 other | n=5 n=5", "each name once"),
                           ("1.2 other | n=262145", "more than 262144 numbers")):
            with self.subTest(row), self.assertRaisesRegex(Failure, r"^step01\.txt:2: .*" + words.replace("|", r"\|")):
                self.lines("# a comment\n" + row + "\n")
        with self.assertRaisesRegex(Failure, "is asked already"):
            self.lines("1.2 other | n=5\n1.2 other | n=5\n")

    def test_no_file(self):
        with self.assertRaisesRegex(Failure, "no such file"):
            extra.lines_of(self.folder, 1, self.cases)


NINJA = """[1/9] Building CXX object step01_tensor/CMakeFiles/kvlab_tensor.dir/src/a.cpp.o
FAILED: step01_tensor/CMakeFiles/kvlab_tensor.dir/src/a.cpp.o
/usr/bin/c++ -I include -o step01_tensor/CMakeFiles/kvlab_tensor.dir/src/a.cpp.o -c step01_tensor/src/a.cpp
step01_tensor/src/a.cpp: In function 'int kvlab::f()':
step01_tensor/src/a.cpp:7:5: warning: unused
step01_tensor/src/a.cpp:8:5: error: expected ';' before '}' token
step01_tensor/src/a.cpp:9:5: error: another
[2/9] Building CXX object step01_tensor/CMakeFiles/kvlab_tensor.dir/src/deep/b.cpp.o
ninja: build stopped: cannot make progress due to previous errors.
"""
LINKER = """[9/9] Linking CXX executable bin/step01_tasks
FAILED: bin/step01_tasks
: && /usr/bin/c++ -g tests/course/CMakeFiles/x.dir/task_case.cpp.o -o bin/step01_tasks step01_tensor/libkvlab_tensor.a && :
/usr/bin/ld: step01_tensor/libkvlab_tensor.a(b.cpp.o): in function `main':
step01_tensor/src/deep/b.cpp:3: multiple definition of `main'; task_case.cpp.o:task_case.cpp:188: first defined here
collect2: error: ld returned 1 exit status
"""
MISSING = LINKER.replace("(b.cpp.o): in function `main'", "(c.cpp.o): in function `g'").replace(
    "step01_tensor/src/deep/b.cpp:3: multiple definition of `main'; task_case.cpp.o:task_case.cpp:188: first defined here", "c.cpp:5: undefined reference to `f()'")


class Blame(unittest.TestCase):
    def test_the_first_error_of_each_file(self):
        self.assertEqual(building.blamed(NINJA, [A, B]), {A: "step01_tensor/src/a.cpp:8: expected ';' before '}' token"})
        self.assertEqual(building.blamed(NINJA, [B]), {})

    def test_the_linker(self):
        found = building.blamed(LINKER, [A, B])
        self.assertEqual(list(found), [B])
        self.assertIn("multiple definition of `main'", found[B])
        self.assertEqual(building.blamed(MISSING, [A, B]), {})

    def test_an_error_in_what_is_included(self):
        text = NINJA.replace("step01_tensor/src/a.cpp:8:5: error", "/usr/include/c++/12/vector:8:5: error").replace("src/a.cpp:9:5: error: another\n", "")
        self.assertIn("vector:8: expected", building.blamed(text, [A])[A])

    def test_where_nobody_is_named_it_is_tried(self):
        class Tree:
            originals = {A: b"hole a", B: b"hole b"}
            bad = A

            def put(self, files):
                self.files = files

            def built(self):
                return MISSING if self.bad in self.files and self.files[self.bad] != self.originals[self.bad] else None
        found = building.built_fairly(Tree(), {A: b"bad", B: b"good"})
        self.assertEqual(list(found), [A])

        class Broken(Tree):
            def built(self):
                return MISSING
        with self.assertRaisesRegex(Failure, "the starter itself does not build"):
            building.built_fairly(Broken(), {A: b"bad", B: b"good"})


class CommandLine(InAFolder):
    def grade(self, *words):
        done = subprocess.run([sys.executable, str(ROOT / "tools" / "grade.py"), *map(str, words)], capture_output=True, text=True)
        self.assertNotIn("Traceback", done.stderr)
        return done.returncode, done.stderr

    def test_misuse(self):
        for words, said in ((["--step", "1"], "at least one SUBMISSION"), ([self.folder], "--step"), ([self.folder, "--step", "9"], "invalid choice"),
                            ([self.folder, "--step", "1", "--format", "junit"], "belong together"), ([self.folder, "--step", "1", "-o", "x"], "belong together"),
                            ([self.folder, self.folder, "--step", "1", "--json", "x"], "overwrite one another"),
                            ([self.folder, "--step", "1", "--format", "word", "-o", "x"], "invalid choice"), (["stats"], "DIR"),
                            ([self.folder, "--step", "1", "--prepare"], "or --prepare")):
            with self.subTest(words):
                code, error = self.grade(*words)
                self.assertEqual(code, 2)
                self.assertIn(said, error)

    def test_a_scale_of_time(self):
        for scale in ("x", "0", "-1", "nan"):
            done = subprocess.run([sys.executable, str(ROOT / "tools" / "grade.py"), "stats", "."], capture_output=True, text=True,
                                  env={**os.environ, "KVLAB_TIMEOUT_SCALE": scale})
            self.assertEqual((done.returncode, done.stderr), (1, f"KVLAB_TIMEOUT_SCALE is '{scale}', expected a number above 0\n"))

    def test_bad_data(self):
        for words, said in (([self.folder / "none", "--step", "1"], "neither a folder nor a zip"), (["stats", self.folder], "no result"),
                            ([self.folder, "--step", "1", "--extra", self.folder], "no such file")):
            with self.subTest(words):
                code, error = self.grade(*words)
                self.assertEqual((code, error.count("\n")), (1, 1))
                self.assertIn(said, error)


if __name__ == "__main__":
    unittest.main()
