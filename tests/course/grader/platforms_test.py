#!/usr/bin/env python3
"""The small files that platforms want, with stand-ins for what is not here: Gradescope's folders, sudo, and the grader."""
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]
PLATFORMS = ROOT / "tools" / "course" / "platforms"
GRADE = (ROOT / "tools" / "grade.py").read_text()


class Platforms(unittest.TestCase):
    def setUp(self):
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.folder = pathlib.Path(holder.name)
        (self.folder / "bin").mkdir()
        self.environment = {**os.environ, "PATH": f"{self.folder / 'bin'}:/usr/bin:/bin"}

    def stand_in(self, name, script):
        path = self.folder / "bin" / name
        path.write_text(f"#!/bin/sh\necho \"$0 $*\" >>{self.folder}/called\n{script}\n")
        path.chmod(0o755)

    def called(self):
        return (self.folder / "called").read_text()

    def gradescope(self, script):
        """A script of Gradescope's, with its folder elsewhere."""
        for name in ("source", "results", "submission"):
            (self.folder / name).mkdir(exist_ok=True)
        (self.folder / "source" / "step").write_text("3\n")
        path = self.folder / script
        path.write_text((PLATFORMS / "gradescope" / script).read_text().replace("/autograder/", f"{self.folder}/"))
        return subprocess.run(["bash", str(path)], capture_output=True, text=True, env=self.environment)

    def test_gradescope_grades(self):
        self.stand_in("python3", f"echo {{}} >{self.folder}/results/results.json")
        self.assertEqual(self.gradescope("run_autograder").returncode, 0)
        self.assertIn(f"tools/grade.py {self.folder}/submission --step 3 --format gradescope -o {self.folder}/results/results.json", self.called())
        (self.folder / "source" / "extra").mkdir()
        self.gradescope("run_autograder")
        self.assertIn("--step 3 --extra extra --format", self.called())

    def test_gradescope_shows_no_old_result_when_the_grader_fails(self):
        self.stand_in("python3", "exit 1")
        (self.folder / "results").mkdir()
        (self.folder / "results" / "results.json").write_text("{}")
        self.assertNotEqual(self.gradescope("run_autograder").returncode, 0)
        self.assertFalse((self.folder / "results" / "results.json").exists())

    def test_gradescope_is_set_up(self):
        self.stand_in("python3", "")
        (self.folder / "source" / "tools").mkdir(parents=True)
        (self.folder / "source" / "tools" / "setup.sh").write_text("build_packages=(g++ cmake)\ninstall_packages() { echo \"install $*\"; }\n")
        done = self.gradescope("setup.sh")
        self.assertEqual((done.returncode, done.stdout), (0, "install g++ cmake\n"))
        self.assertIn("tools/grade.py --prepare --step 3", self.called())
        self.assertEqual((self.folder / "source" / "step").stat().st_mode & 0o077, 0)

    def test_classroom50(self):
        script = PLATFORMS / "classroom50" / "autograder.py"
        for code, result in ((0, '{"score": 5}\n'), (1, None)):
            self.stand_in("sudo", f"echo '{{\"score\": 5}}'\nexit {code}")
            (self.folder / "result.json").write_text("a student's own")
            done = subprocess.run([sys.executable, str(script)], cwd=self.folder, env=self.environment, capture_output=True, text=True)
            self.assertEqual(done.returncode, code)
            self.assertEqual((self.folder / "result.json").read_text() if result else None, result)
            self.assertEqual((self.folder / "result.json").exists(), result is not None)
        allowed = re.search(r"NOPASSWD: (.*)", script.read_text())[1].replace("[1-8]", "1")
        self.assertIn(f"sudo -n {allowed}", self.called())

    def test_options_are_the_graders(self):
        for path in sorted(p for p in PLATFORMS.rglob("*") if p.is_file()):
            for line in path.read_text().splitlines():
                if "grade.py" in line:
                    for option in re.findall(r"(?<!\S)\"?(--[a-z0-9]+)", line.partition("grade.py")[2]):
                        self.assertIn(f'"{option}"', GRADE, f"{path.name}: {line}")

    def test_scripts_are_bash(self):
        for name in ("setup.sh", "run_autograder"):
            path = PLATFORMS / "gradescope" / name
            self.assertTrue(os.access(path, os.X_OK))
            self.assertEqual(subprocess.run(["bash", "-n", str(path)]).returncode, 0)


if __name__ == "__main__":
    unittest.main()
