#!/usr/bin/env python3
"""What all programs have in common: files that they write, flags that mean what they say, prompts, chat.

    habits_test.py BIN [--chat-model PROGRAM]

BIN is the folder with the programs; PROGRAM makes a small model that can chat (tests/support/chat_model.cpp).
"""
import argparse
import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

from programs import PROGRAMS

BIN = Path()
CHAT_MODEL: Path | None = None


def there(*programs: str) -> list[str]:
    """Those of the programs that this build has: it may be of the first steps alone."""
    return [program for program in programs if (BIN / program).exists()]


def run(program: str, *arguments: str, **more) -> subprocess.CompletedProcess:
    more.setdefault("stdin", None if "input" in more else subprocess.DEVNULL)
    if "stdout" not in more:
        more["stdout"] = subprocess.PIPE
    return subprocess.run([BIN / program, *arguments], stderr=subprocess.PIPE, timeout=600, **{k: v for k, v in more.items() if v is not None})


# A short command of each program that writes a report.
REPORTS = {
    "step01_tensor": ["goldens"],
    "step02_attention": ["-n", "2", "-p", "In"],
    "step03_kvcache": ["generate", "-m", "tiny", "-n", "2", "-p", "In"],
    "step04_cuda": ["generate", "-m", "tiny", "-n", "1", "-p", "I", "--device", "executor"],
    "step05_policies": ["generate", "-m", "tiny", "-n", "2", "-p", "In"],
    "step06_quant": ["bytes", "--lengths", "1", "--codes", "q8_0"],
    "step07_serving": ["trace", "--requests", "3", "--context", "64"],
    "step08_architectures": ["bytes", "--lengths", "64"],
}


class Case(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def names(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())

    def ends(self, done: subprocess.CompletedProcess, code: int, text: str = "") -> None:
        """With this exit code, and this text in what was said."""
        said = (done.stdout or b"") + done.stderr
        self.assertEqual(done.returncode, code, said[-600:])
        self.assertIn(text.encode(), said)

    def refused(self, program: str, *arguments: str, text: str = "") -> None:
        """Wrong usage: exit code 2, and nothing printed as if it had begun."""
        done = run(program, *arguments)
        self.ends(done, 2, text)
        self.assertEqual(done.stdout, b"", arguments)


class OutputFiles(Case):
    def test_a_path_that_cannot_be_written_fails_before_the_run(self) -> None:
        for program in there(*REPORTS):
            for path, reason in ((self.folder / "none" / "x.json", "No such file or directory"), (self.folder, "found a folder")):
                done = run(program, *REPORTS[program], "--json", str(path))
                self.ends(done, 1, f"{path}: cannot write: ")
                self.assertIn(reason.encode(), done.stderr)
                self.assertEqual(done.stdout, b"", program)
                self.assertEqual(done.stderr.count(b"\n"), 1, program)

    def test_links_modes_and_what_others_have_planted(self) -> None:
        for program in there(*REPORTS):
            target, link, planted, victim = (self.folder / name for name in ("target.json", "link.json", "target.json.part", "victim"))
            target.write_text("old")
            target.chmod(0o640)
            victim.write_text("untouched")
            link.symlink_to("target.json")
            planted.symlink_to("victim")
            self.ends(run(program, *REPORTS[program], "--json", str(link)), 0, "RESULT")
            self.assertTrue(link.is_symlink(), program)
            self.assertEqual(json.loads(target.read_text())["schema"], 1)
            self.assertEqual(stat.S_IMODE(target.stat().st_mode), 0o640)
            self.assertEqual(victim.read_text(), "untouched")
            self.assertEqual(self.names(), ["link.json", "target.json", "target.json.part", "victim"])
            for path in (link, planted, target, victim):
                path.unlink()

    def test_devices_are_written_into(self) -> None:
        device = Path("/dev/null")
        if os.geteuid() == 0:
            device = self.folder / "null"
            try:
                os.mknod(device, stat.S_IFCHR | 0o666, os.makedev(1, 3))
                device.read_bytes()
            except OSError:  # a file system without devices
                device = Path("/dev/null")
        for program in there(*REPORTS):
            run(program, *REPORTS[program], "--json", str(device))
            self.assertTrue(stat.S_ISCHR(device.stat().st_mode), program)
        if there("kvlab_weights"):
            self.ends(run("kvlab_weights", "convert", "tiny", str(device), "--type", "q8_0"), 0, "RESULT")
            self.assertTrue(stat.S_ISCHR(device.stat().st_mode))
            self.ends(run("kvlab_weights", "convert", "tiny", "/dev/full", "--type", "q8_0"), 1, "/dev/full: cannot write: No space left on device")
        for program, flags in (("step03_kvcache", ["generate", "-m", "tiny", "-n", "2", "-p", "I", "--trace"]),
                               ("step05_policies", ["record", "-m", "tiny", "-n", "2", "-p", "I", "--policy", "window", "-o"])):
            if there(program):
                self.ends(run(program, *flags, str(device)), 0, "RESULT")
                self.assertTrue(stat.S_ISCHR(device.stat().st_mode), program)

    def test_a_report_behind_the_table_on_standard_output(self) -> None:
        for program in there("step01_tensor"):
            path = self.folder / "all.txt"
            with path.open("w") as file:
                self.ends(run(program, "goldens", "--json", "/dev/stdout", stdout=file), 0)
            self.assertIn("Golden values", path.read_text())
            self.assertIn('"schema": 1', path.read_text())

    def test_names_that_are_none(self) -> None:
        for program in there(*REPORTS):
            self.refused(program, *REPORTS[program], "--json", "", text="name of a file")
            self.refused(program, *REPORTS[program], "--json", "-", text="/dev/stdout")
        if there("step03_kvcache"):  # but speed has it
            done = run("step03_kvcache", "speed", "--prefill", "2", "--tokens", "0", "--rounds", "1", "--seconds", "0", "--json", "-")
            self.assertEqual(json.loads(done.stdout)["experiment"], "step03_kvcache speed")

    def test_wrong_usage_leaves_no_file(self) -> None:
        for program in there(*REPORTS):
            self.refused(program, *REPORTS[program], "--json", str(self.folder / "x.json"), "--no-such-flag")
            self.assertEqual(self.names(), [])

    def test_an_interrupted_run_leaves_no_file(self) -> None:
        if not there("step03_kvcache"):
            return
        long = {"speed": ["speed", "--rounds", "1000", "--json"], "trace": ["generate", "-m", "tiny", "-n", "400", "--ignore-end", "--trace"]}
        for name, flags in long.items():
            for number in (signal.SIGINT, signal.SIGTERM):
                target = self.folder / f"{name}.json"
                target.write_text("old")
                # Who starts this test in the background of a shell has it ignore SIGINT, and so its children.
                program = subprocess.Popen([BIN / "step03_kvcache", *flags, str(target)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                           preexec_fn=lambda number=number: signal.signal(number, signal.SIG_DFL))
                for _ in range(40000):  # 200 s: a machine that does much else may take long to begin
                    if len(self.names()) == 2 or program.poll() is not None:
                        break
                    time.sleep(0.005)
                self.assertEqual(len(self.names()), 2, f"{name}: no unfinished file was seen")
                program.send_signal(number)
                self.assertEqual(program.wait(600), -number)
                self.assertEqual(self.names(), [target.name])
                self.assertEqual(target.read_text(), "old")
                target.unlink()

    def test_standard_output_that_cannot_be_written(self) -> None:
        if not Path("/dev/full").exists():
            self.skipTest("no /dev/full")
        commands = [(program, flags) for program, flags in REPORTS.items()] + [("kvlab_weights", ["show", "tiny"]), ("kvlab_weights", ["tokens", "tiny", "a"])]
        commands += [(program, ["--help"]) for program in PROGRAMS]
        for program, flags in commands:
            if there(program):
                with open("/dev/full", "w") as full:
                    self.ends(run(program, *flags, stdout=full), 1, "standard output: cannot write")
        done = subprocess.run(["sh", "-c", 'exec "$0" show tiny >&-', BIN / "kvlab_weights"], stderr=subprocess.PIPE, timeout=600)
        self.ends(done, 1, "standard output: cannot write")


class Flags(Case):
    def test_numbers_are_decimal(self) -> None:
        for program in there("step02_attention", "step03_kvcache", "step04_cuda", "step05_policies"):
            generate = [] if program == "step02_attention" else ["generate"]
            for number in ("010", "0x10", "+5", "5.0", "1e3", " 5", "", "five", "-1", "99999999999999999999"):
                self.refused(program, *generate, "-n", number, text="--steps")
            for seed in ("-1", "010", "0x1", "18446744073709551616"):
                self.refused(program, *generate, "-s", seed, text="--seed")
            for temperature in ("1e-9", "1e-60", "-1", "nan", "inf", "0x1p0", "100.5", "00.5", ".", "e5", "1e"):
                self.refused(program, *generate, "-t", temperature, text="--temperature")
            for share in ("0", "1.5", "nan", "-0.5", "1e-60"):
                self.refused(program, *generate, "--top-p", share, text="--top-p")
        for program in there("step03_kvcache"):
            for flags in (["-s", "18446744073709551615"], ["-t", "1e-6"], ["-t", ".5", "--top-p", "1e-3"], ["-t", "1.", "--top-p", "1"], ["-n", "0"]):
                self.ends(run(program, "generate", "-m", "tiny", "-p", "In", "-n", "1", *flags) if flags[0] != "-n" else
                          run(program, "generate", "-m", "tiny", "-p", "In", *flags), 0, "RESULT")
            self.refused(program, "clock", "-n", "8,010", text="--steps")

    def test_brackets_are_text(self) -> None:
        for program in there("step03_kvcache"):
            for text in ("[]", "[a,b]", "[a", "{}", '"x"'):
                done = run(program, "generate", "-m", "tiny", "-p", text, "-n", "2", "--json", str(self.folder / "x.json"))
                self.ends(done, 0, text)
                self.assertEqual(len(json.loads((self.folder / "x.json").read_text())["cached"]["tokens"][0]), 2)
            done = run(program, "verify", "-m", "tiny", "-p", "[]", "-n", "2")
            self.ends(done, 0, "prompts of 3 tokens in one batch, 2 steps")  # BOS and two bytes
            done = run(program, "verify", "-m", "tiny", "-p", "[a,b]", "-p", "c", "-n", "2")
            self.ends(done, 0, "prompts of 6 2 tokens in one batch, 2 steps")
            self.refused(program, "verify", "-m", "tiny", "-p", "a", "b")

    def test_prompts_from_a_file_and_from_standard_input(self) -> None:
        text = "In the beginning\n\n God"
        commands = {"step02_attention": [], "step03_kvcache": ["generate", "-m", "tiny"], "step04_cuda": ["generate", "-m", "tiny", "--device", "executor"],
                    "step05_policies": ["generate", "-m", "tiny"]}
        for program in there(*commands):
            sums = set()
            for end in ("", "\n", "\r\n"):
                path = self.folder / "prompt.txt"
                path.write_bytes((text + end).encode())
                for flags, given in ((["-f", str(path)], b""), (["-p", "-"], (text + end).encode())):
                    done = run(program, *commands[program], "-n", "1", *flags, input=given)
                    self.ends(done, 0, "RESULT")
                    sums.add(done.stdout.split(b"checksum=")[-1])
            done = run(program, *commands[program], "-n", "1", "-p", text)
            self.assertEqual(sums, {done.stdout.split(b"checksum=")[-1]}, program)
            self.refused(program, *commands[program], "-f", str(path), "-p", "x", text="excludes")
            self.refused(program, *commands[program], "-f", str(self.folder / "none"), text="none")
            self.refused(program, *commands[program], "-f", str(self.folder), text=self.folder.name)
        for program in there("step03_kvcache"):
            path.write_text("abc\n")
            done = run(program, "verify", "-m", "tiny", "-p", "-", "-f", str(path), "-n", "1", input=b"x")
            self.ends(done, 0, "prompts of 2 4 tokens in one batch")

    def test_diverge_expects_what_must_come(self) -> None:
        for program in there("step03_kvcache"):
            for a, b, switch, same in (("f32", "int8", "none", False), ("none", "f16", "none", False), ("int8", "int8", "none", True),
                                       ("none", "f32", "none", True), ("none", "f32", "order", False), ("f32", "f32", "order", True)):
                done = run(program, "diverge", "-m", "tiny", "-a", a, "-b", b, "--switch", switch, "-n", "3", "-p", "In the")
                self.ends(done, 0, "as_expected=yes")
                self.assertEqual(b"differ=0 " in done.stdout, same, (a, b, switch))

    def test_verify_takes_what_generate_takes(self) -> None:
        for program in there("step03_kvcache"):
            text = "x" * 511  # and BOS: the whole context of 512
            self.ends(run(program, "generate", "-m", "tiny", "-p", text, "-n", "1"), 0, "RESULT tokens=1 ")
            self.ends(run(program, "verify", "-m", "tiny", "-p", text, "-n", "1"), 0, "identical=yes")
            self.ends(run(program, "verify", "-m", "tiny", "-p", text, "-n", "2"), 1, "do not fit the context of 512")

    def test_shares_of_a_budget(self) -> None:
        for program in there("step05_policies"):
            self.refused(program, "generate", "--policy", "window", "--ratio", "0", text="--ratio")
            self.refused(program, "generate", "--policy", "window", "--ratio", "0.5", "--budget", "5", text="excludes")
            done = run(program, "generate", "-m", "tiny", "--policy", "window", "--ratio", "0.0001", "-n", "4", "-p", "In the")
            self.ends(done, 0, "kept=1 ")
            self.assertIn(b"at least one", run(program, "generate", "--help").stdout)

    def test_a_prompt_longer_than_the_context(self) -> None:
        for program in there("step05_policies"):
            text = "In the beginning God created. " * 20  # 600 bytes, context 512
            done = run(program, "generate", "-m", "tiny", "--policy", "sinks-relative", "--budget", "64", "-n", "5", "-p", text)
            self.ends(done, 0, "RESULT tokens=5 kept=64 ")
            self.ends(run(program, "generate", "-m", "tiny", "--policy", "sinks", "--budget", "64", "-n", "5", "-p", text), 1, "context of 512")


class Chat(Case):
    def setUp(self) -> None:
        super().setUp()
        if CHAT_MODEL is None or not there("step03_kvcache"):
            self.skipTest("no model that can chat")
        self.model = self.folder / "chat.gguf"
        subprocess.run([CHAT_MODEL, "make", self.model], check=True, timeout=600)

    def chat(self, said: bytes | None, *flags: str) -> dict:
        """Talks, checks the transcript against the template, and returns the report."""
        path = self.folder / "chat.json"
        done = run("step03_kvcache", "generate", "-m", str(self.model), "--chat", "--json", str(path), *flags, input=said)
        self.ends(done, 0, "RESULT tokens=")
        self.said = done.stdout + done.stderr
        checked = subprocess.run([CHAT_MODEL, "check", self.model, path], capture_output=True, timeout=600)
        self.assertEqual(checked.returncode, 0, checked.stdout.decode("utf-8", "replace"))
        return json.loads(path.read_text())

    def test_a_reply_that_is_cut_ends_as_the_template_says(self) -> None:
        for steps in ("0", "1", "7"):
            report = self.chat(b"low\nnew er\nlow\n", "-n", steps)
            self.assertEqual([turn["user"] for turn in report["turns"]], ["low", "new er", "low"])
            self.assertEqual({turn["finish"] for turn in report["turns"]}, {"length"})
            self.assertEqual({len(turn["tokens"]) for turn in report["turns"]}, {int(steps)})

    def test_line_ends_and_empty_lines(self) -> None:
        plain = self.chat(b"low\nnew\n", "-n", "4")
        self.assertEqual(self.chat(b"low\r\nnew\r\n", "-n", "4"), plain)
        self.assertEqual(self.chat(b"low\r\nnew", "-n", "4"), plain)
        self.assertEqual(self.chat(b"low\r\nnew\r\n\r\nlow\r\n", "-n", "4"), plain)  # an empty line ends it
        self.assertEqual(self.chat(b"\r\nlow\n", "-n", "4")["turns"], [])

    def test_one_sampler_for_all_replies(self) -> None:
        # At this temperature all tokens are nearly as likely: a token is the number that was drawn. A second reply that
        # began with the seed again would be the first one, give or take a few places.
        first, second = (turn["tokens"] for turn in self.chat(b"low\nnew\n", "-n", "12", "-t", "100", "-s", "3")["turns"])
        drawn_again = sum(abs(a - b) <= 8 for a, b in zip(first, second))
        self.assertGreater(min(len(first), len(second)), 8)
        self.assertLess(drawn_again, 5, (first, second))

    def test_system_message(self) -> None:
        self.assertEqual(self.chat(b"low\n", "-n", "2")["system"], "Be brief.")
        self.assertEqual(self.chat(b"low\n", "-n", "2", "--system", "new")["system"], "new")
        self.assertEqual(self.chat(b"low\n", "-n", "2", "--system", "")["system"], "")
        self.refused("step03_kvcache", "generate", "-m", "tiny", "--system", "x", text="--chat")

    def test_flags_are_honoured_or_refused(self) -> None:
        whole = self.chat(b"low low low low\nnew\n", "-n", "4", "--chunk", "0")
        self.assertEqual(self.chat(b"low low low low\nnew\n", "-n", "4", "--chunk", "3"), whole)
        one = self.chat(None, "-n", "4", "-p", "low")
        self.assertEqual(one["turns"], self.chat(b"low\n", "-n", "4")["turns"])
        for flags in (["--batch", "2"], ["--ignore-end"], ["--compare"], ["--no-cache"], ["--trace", str(self.folder / "t")]):
            self.refused("step03_kvcache", "generate", "-m", str(self.model), "--chat", *flags, text="excludes")

    def test_a_full_context(self) -> None:
        short = len(self.chat(b"q\n", "-n", "0")["transcript"])
        fills = self.chat(b"q" * (256 - 3 - short) + b"\nlow\n", "-n", "1000")  # a reply of four tokens fills it
        self.assertEqual([(turn["finish"], len(turn["tokens"])) for turn in fills["turns"]], [("context full", 5)])
        self.assertIn(b"note: the context of 256 tokens is full", self.said)
        long = self.chat(b"low\n" + b"zq" * 300 + b"\nlow\n", "-n", "2")  # a message that does not fit
        self.assertEqual([turn["finish"] for turn in long["turns"]], ["length", "context full"])
        self.assertEqual(long["turns"][1]["tokens"], [])
        self.assertIn(b"note: the context of 256 tokens is full", self.said)
        first = self.chat(b"zq" * 300 + b"\n")
        self.assertEqual([turn["finish"] for turn in first["turns"]], ["context full"])


def main() -> int:
    global BIN, CHAT_MODEL
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bin", type=Path)
    parser.add_argument("--chat-model", type=Path)
    parser.add_argument("-k", help="only tests whose name holds this")
    options = parser.parse_args()
    BIN, CHAT_MODEL = options.bin.resolve(), options.chat_model
    return 0 if unittest.main(argv=[sys.argv[0], *(["-k", options.k] if options.k else [])], exit=False).result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
