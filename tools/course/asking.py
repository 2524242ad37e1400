"""Asks a program of tasks, and says what came of it: one of six outcomes that never mix.

The program is the student's: what it prints decides nothing, and its answers come back through a pipe of their own.
"""
import json
import os
import pathlib
import re
import selectors
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass, field

from course.expect import first_of

PASSED, FAILED, NOT_RUN, CRASHED, TIMED_OUT, NOT_COMPILED = OUTCOMES = (
    "passed", "failed", "not run", "crashed", "timed out", "does not compile")
MOST_OF_AN_ANSWER = 16 << 20  # bytes
MOST_OF_THE_OUTPUT = 64 << 20
KEPT_OF_THE_OUTPUT = 1 << 18  # the last bytes of what it printed: a sanitizer says first what happened, and then at length where
SHOWN_OF_THE_OUTPUT = 4000  # of those
EVERY = 0.02  # seconds between two looks at its memory


@dataclass
class Verdict:
    """Of one case."""
    case: str
    outcome: str
    message: str = ""  # one line; empty where it passed
    line: str = ""  # of the question that showed it
    answer: dict = field(default_factory=dict)  # to that question, for whoever looks for a known mistake
    open_task: bool = False  # it failed because the task has not been begun
    output: str = ""  # the end of what it printed: a help for people, which decides nothing
    answers: int = 0  # how many came
    hint: str = ""  # a known mistake that gives the same answers


def questions_of(case, seed, extra=()):
    """[(line, given, expected)] of a case of a judge."""
    return [(line, *case.question(line, seed)) for line in [*case.lines, *extra]]


def first_words(output):
    """What a program that died said of it: the sanitizer's first line and the first place in the project's sources, or the last line at all."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    for number, line in enumerate(lines):
        undefined = re.search(r"([^/\s]+:\d+)(?::\d+)?: (runtime error: .*)", line)
        if undefined:
            return f"{undefined[1]}: {undefined[2]}"[:300]
        if re.search(r"ERROR: \w+Sanitizer|terminate called", line):
            said = re.sub(r"^.*?ERROR: ", "ERROR: ", line)[:250]
            place = next((found for found in (re.search(r"^#\d+ .*/(?:step0\d|weights)\w*/\S*?([^/\s]+:\d+)", frame) for frame in lines[number:]) if found), None)
            return f"{said} at {place[1]}" if place else said
    return lines[-1][:300] if lines else ""


def time_scale():
    """How much slower than usual this machine is: KVLAB_TIMEOUT_SCALE."""
    text = os.environ.get("KVLAB_TIMEOUT_SCALE", "1")
    try:
        scale = float(text)
        if not 0 < scale < 1e6:
            raise ValueError
        return scale
    except ValueError:
        raise SystemExit(f"KVLAB_TIMEOUT_SCALE is '{text}', expected a number above 0") from None


class Limits:
    """What a program of tasks may use for one case."""
    seconds = 10.0 * time_scale()


def without_places(output):
    """Without addresses and numbers of processes, so that the same program says the same twice."""
    return re.sub(r"\b0x[0-9a-f]{6,}", "0x...", re.sub(r"==\d+==", "", output))


class Launcher:
    """Starts a program as it is. The grader's own (confine.py) confines it, too."""
    memory_limit = None  # bytes, of the program and all that it starts

    def start(self, command, **options):
        return subprocess.Popen(command, start_new_session=True, **options)

    def memory(self, process):
        return 0

    def end(self, process):
        """Whatever it has left running ends, too."""
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
        process.wait()


def run(command, requests, limits=Limits, launcher=None):
    """Writes the requests to a new process, and reads its answers: (replies, ending, output).

    `ending` is None if it ended by itself with 0, else a Verdict's outcome and message."""
    launcher = launcher or Launcher()
    with tempfile.TemporaryFile() as asked:
        asked.write(requests)
        asked.seek(0)
        reading, writing = os.pipe()
        try:
            process = launcher.start([*command, "--answers-to", str(writing)], stdin=asked, stdout=subprocess.PIPE,
                                     stderr=subprocess.STDOUT, pass_fds=[writing])
        except OSError:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        with os.fdopen(reading, "rb", buffering=0) as answers, process.stdout:
            try:
                data, printed, ending = collected(process, answers, limits.seconds, launcher)
            finally:
                launcher.end(process)
    output, code = without_places(printed.decode(errors="replace")), process.returncode
    if ending is None and code:
        how = f"ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        words = first_words(output)
        ending = (CRASHED, f"the program {how}" + (f": {words}" if words else ""))
    return data, ending, output[-SHOWN_OF_THE_OUTPUT:]


def collected(process, answers, seconds, launcher, kept=KEPT_OF_THE_OUTPUT):
    """(answers, the end of what it printed, why it has to be ended or None): all of it until the program ends by itself."""
    data, printed, count, end = bytearray(), b"", 0, time.monotonic() + seconds
    with selectors.DefaultSelector() as selector:
        for pipe in (answers, process.stdout):
            os.set_blocking(pipe.fileno(), False)
            selector.register(pipe, selectors.EVENT_READ)
        seen = time.monotonic()
        while selector.get_map() or process.poll() is None:
            ended = process.poll() is not None
            ready = selector.select(0 if ended else EVERY) if selector.get_map() else waited(process)
            for key, _ in ready:
                chunk = os.read(key.fd, 1 << 16)
                if not chunk:
                    selector.unregister(key.fileobj)
                elif key.fileobj is answers:
                    data += chunk
                else:
                    printed, count = (printed + chunk)[-kept:], count + len(chunk)
            now = time.monotonic()
            if now > end:
                what = f"no answer within {seconds:g} s" if not data else f"it did not end within {seconds:g} s"
                return bytes(data), printed, (TIMED_OUT, what)
            if len(data) > MOST_OF_AN_ANSWER or count > MOST_OF_THE_OUTPUT:
                what = "answers" if len(data) > MOST_OF_AN_ANSWER else "output"
                most = MOST_OF_AN_ANSWER if len(data) > MOST_OF_AN_ANSWER else MOST_OF_THE_OUTPUT
                return bytes(data), printed, (CRASHED, f"it was ended: more than {most >> 20} MiB of {what}")
            if launcher.memory_limit and now - seen >= EVERY:
                seen = now
                if launcher.memory(process) > launcher.memory_limit:
                    return bytes(data), printed, (CRASHED, f"it was ended: more than {launcher.memory_limit >> 20} MiB of memory")
            if ended and not ready:
                break  # a child of its own may still hold a pipe
    return bytes(data), printed, None


def waited(process):
    try:
        process.wait(EVERY)
    except subprocess.TimeoutExpired:
        pass
    return []


def requests_of(name, givens):
    return "".join(json.dumps({"case": name, "given": given}) + "\n" for given in givens).encode()


def replies_of(data):
    replies = data.decode(errors="replace").splitlines()
    if data and not data.endswith(b"\n"):
        replies.pop()  # cut off
    return replies


def judged(command, name, questions, limits=Limits, launcher=None):
    """The verdict of one case: all its questions are asked, and the first that goes wrong decides."""
    try:
        data, ending, output = run(command, requests_of(name, [given for _, given, _ in questions]), limits, launcher)
    except OSError as error:
        return Verdict(name, NOT_RUN, f"the program cannot be started: {error}")
    replies = replies_of(data)
    verdict = of_replies(name, questions, replies, ending)
    verdict.output, verdict.answers = output, len(replies)
    return verdict


def of_replies(name, questions, replies, ending):
    for (line, _, expected), reply in zip(questions, replies):
        verdict = of_reply(name, line, expected, reply)
        if verdict:
            return verdict
    if ending:
        return Verdict(name, *ending, line=questions[min(len(replies), len(questions) - 1)][0])
    if len(replies) < len(questions):
        return Verdict(name, CRASHED, f"the program ended after {len(replies)} of {len(questions)} answers", questions[len(replies)][0])
    if len(replies) > len(questions):
        return Verdict(name, FAILED, f"{len(replies)} answers to {len(questions)} questions", questions[-1][0])
    return Verdict(name, PASSED)


def of_reply(name, line, expected, reply):
    """A verdict, or None where the answer is right."""
    try:
        reply = json.loads(reply)
        assert isinstance(reply, dict)
    except (ValueError, AssertionError, RecursionError):
        return Verdict(name, FAILED, "the answer is no JSON object", line)
    if isinstance(reply.get("todo"), str):
        return Verdict(name, FAILED, reply["todo"], line, open_task=True)
    if "error" in reply:
        return Verdict(name, FAILED, f"an Error was thrown: {str(reply['error'])[:300]}", line)
    answer = reply.get("answer")
    if not isinstance(answer, dict):
        return Verdict(name, FAILED, "the answer is no JSON object", line)
    found = first_of(expected, answer)
    return Verdict(name, FAILED, found, line, answer) if found else None


def listed(program):
    """The names of the program's cases."""
    return subprocess.run([pathlib.Path(program), "--list"], capture_output=True, text=True, check=True, timeout=60).stdout.splitlines()

