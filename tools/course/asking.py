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
SHOWN_OF_THE_OUTPUT = 4000  # the last characters of what it printed


@dataclass
class Verdict:
    """Of one case."""
    case: str
    outcome: str
    message: str = ""  # one line; empty where it passed
    line: str = ""  # of the question that showed it
    answer: dict = field(default_factory=dict)  # to that question, for whoever looks for a known mistake
    open_task: bool = False  # it failed because the task has not been begun


def questions_of(case, seed, extra=()):
    """[(line, given, expected)] of a case of a judge."""
    return [(line, *case.question(line, seed)) for line in [*case.lines, *extra]]


def first_words(output):
    """What a program that died said of it: the sanitizer's first line, or the last line at all."""
    for line in output.splitlines():
        if re.search(r"runtime error|ERROR: \w+Sanitizer|terminate called", line):
            return re.sub(r"^.*?(runtime error|ERROR: )", r"\1", line.strip())[:300]
    lines = [line for line in output.splitlines() if line.strip()]
    return lines[-1].strip()[:300] if lines else ""


class Limits:
    """What a program of tasks may use for one case."""
    seconds = 10.0 * float(os.environ.get("KVLAB_TIMEOUT_SCALE", "1"))


def run(command, requests, limits=Limits, environment=None):
    """Writes the requests to a new process, and reads its answers: (replies, ending, output).

    `ending` is None if it ended by itself with 0, else a Verdict's outcome and message."""
    with tempfile.TemporaryFile() as printed, tempfile.TemporaryFile() as asked:
        asked.write(requests)
        asked.seek(0)
        reading, writing = os.pipe()
        process = subprocess.Popen([*command, "--answers-to", str(writing)], stdin=asked, stdout=printed, stderr=printed,
                                   pass_fds=[writing], start_new_session=True, env=environment)
        os.close(writing)
        data, late = collected(reading, process, limits.seconds)
        try:
            os.killpg(process.pid, signal.SIGKILL)  # whatever it left behind
        except (ProcessLookupError, PermissionError):
            pass
        code = process.wait()
        printed.seek(max(0, printed.seek(0, os.SEEK_END) - SHOWN_OF_THE_OUTPUT))
        output = printed.read().decode(errors="replace")
    if late:
        return data, (TIMED_OUT, late), output
    if code:
        how = f"ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        words = first_words(output)
        return data, (CRASHED, f"the program {how}" + (f": {words}" if words else "")), output
    return data, None, output


def collected(reading, process, seconds):
    """All bytes of the pipe until the program ends, and why it was not waited for longer."""
    data, end, late = bytearray(), time.monotonic() + seconds, None
    with selectors.DefaultSelector() as selector, os.fdopen(reading, "rb", buffering=0) as pipe:
        selector.register(pipe, selectors.EVENT_READ)
        while True:
            left = end - time.monotonic()
            if left <= 0:
                late = f"no answer within {seconds:g} s"
                break
            if not selector.select(min(left, 0.1)):
                if process.poll() is not None:
                    break  # a child of its own may still hold the pipe
                continue
            chunk = pipe.read(1 << 16)
            if not chunk:
                break
            data += chunk
            if len(data) > MOST_OF_AN_ANSWER:
                late = f"more than {MOST_OF_AN_ANSWER >> 20} MiB of answers"
                break
        if late is None:
            try:
                process.wait(max(0.0, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                late = f"it answered, and did not end within {seconds:g} s"
    return bytes(data), late


def judged(command, name, questions, limits=Limits, environment=None):
    """The verdict of one case: all its questions are asked, and the first that goes wrong decides."""
    requests = "".join(json.dumps({"case": name, "given": given}) + "\n" for _, given, _ in questions).encode()
    try:
        data, ending, _ = run(command, requests, limits, environment)
    except OSError as error:
        return Verdict(name, NOT_RUN, f"the program cannot be started: {error}")
    replies = data.decode(errors="replace").splitlines()
    if data and not data.endswith(b"\n"):
        replies.pop()  # cut off
    for (line, _, expected), reply in zip(questions, replies):
        verdict = of_reply(name, line, expected, reply)
        if verdict:
            return verdict
    if ending:
        return Verdict(name, *ending, line=questions[min(len(replies), len(questions) - 1)][0])
    if len(replies) < len(questions):
        return Verdict(name, CRASHED, f"the program ended after {len(replies)} of {len(questions)} answers", questions[len(replies)][0])
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
