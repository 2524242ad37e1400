#!/usr/bin/env python3
"""The server of chapter 7 under load: clients that send slowly, more connections than it takes, and load generators.

    python3 tests/tools/server_load_test.py BIN [--seconds N] [TEST ...]

BIN is the folder with the programs. wrk and hey (Debian packages of these names) are used if they are here, for N
seconds each (2). Exit codes: 0 all hold, 1 not, 77 this build has no server. All traffic stays on 127.0.0.1.
"""
from __future__ import annotations

import argparse
import json
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path

from server_process import Server, dechunk, head, read_all

BIN = Path()
SECONDS = 2
MARGIN = 20.0  # seconds, on a machine that does other things, too
GREEDY = {"max_tokens": 60, "temperature": 0}
BODY = json.dumps({"model": "tiny", "prompt": "In the beginning", **GREEDY}).encode()
REQUEST = head("POST", "/v1/completions", len(BODY)) + BODY


def text_of(answer: bytes) -> str:
    return json.loads(dechunk(answer))["choices"][0]["text"]


class Writer(threading.Thread):
    """Sends bytes on a connection, one after each pause, until all are sent or the server has closed it."""

    def __init__(self, server: Server, data: bytes, pause: float, at_once: int = 0) -> None:
        super().__init__(daemon=True)
        self.connection, self.data, self.pause, self.at_once = server.connect(), data, pause, at_once
        self.began, self.seconds, self.answer = time.monotonic(), 0.0, b""

    def run(self) -> None:
        try:
            self.connection.sendall(self.data[: self.at_once])
            for i in range(self.at_once, len(self.data)):
                self.connection.sendall(self.data[i : i + 1])
                if select.select([self.connection], [], [], self.pause)[0]:  # an answer, or the end
                    break
            self.answer = read_all(self.connection)
        except ConnectionError:
            pass
        self.seconds = time.monotonic() - self.began
        self.connection.close()


class Slow(unittest.TestCase):
    LIMIT = 2

    def setUp(self) -> None:
        self.server = self.start(self.LIMIT)
        self.expected = self.server.complete(**GREEDY)["choices"][0]["text"]

    def start(self, limit: int) -> Server:
        server = Server(BIN / "step07_serving", "-m", "tiny", "--connections", "8", "--read-timeout", str(limit))
        self.addCleanup(server.kill)
        return server

    def tearDown(self) -> None:
        code, said = self.server.stop()
        self.assertEqual(code, 0, said)
        self.assertIn("\npages free 256 of 256\n", said)

    def test_slow_writers_on_all_connections(self) -> None:
        headers, long = b"GET /health HTTP/1.1\r\nX-Long: " + b"a" * 5000, head("POST", "/v1/completions", 5000) + b" " * 5000
        writers = []
        for i in range(24):  # three on each thread: the second and the third wait in the line
            writers.append(Writer(self.server, *((headers, 0.2), (long, 0.2, 120))[i % 2]))
            writers[-1].start()
        time.sleep(0.3)
        began = time.monotonic()
        self.assertEqual(self.server.call("GET", "/health")[0], 200)
        health = time.monotonic() - began
        self.assertGreater(health, 0.5)  # they did hold all threads
        self.assertLess(health, self.LIMIT + MARGIN)
        self.assertEqual(self.server.complete(**GREEDY)["choices"][0]["text"], self.expected)
        for writer in writers:
            writer.join(self.LIMIT + MARGIN)
            self.assertFalse(writer.is_alive(), "a slow connection is still open")
            self.assertLess(writer.seconds, self.LIMIT + MARGIN)
            self.assertGreater(writer.seconds, self.LIMIT - 0.5)
            self.assertIn(writer.answer.split()[1:2], ([], [b"400"]))
        self.assertIn("body_incomplete", " ".join(writer.answer.decode() for writer in writers))

    def test_an_endless_head_has_an_end(self) -> None:
        connection = self.server.connect()
        connection.sendall(b"GET /health HTTP/1.1\r\n")
        began = time.monotonic()
        with connection, self.assertRaises(ConnectionError):
            while time.monotonic() - began < self.LIMIT + MARGIN:
                connection.sendall(b"X-More: x\r\n" * 20)
                time.sleep(0.001)
        self.assertGreater(time.monotonic() - began, self.LIMIT - 0.5)

    def test_slow_is_not_too_slow(self) -> None:
        patient = self.start(int(MARGIN))  # on a busy machine a second of pauses takes several
        answers = Writer(patient, REQUEST, 1.0 / len(REQUEST))
        answers.start()
        answers.join(2 * MARGIN)
        self.assertEqual(text_of(answers.answer), self.expected)

    def test_every_request_has_the_time_anew(self) -> None:
        limit = 4
        patient = self.start(limit)
        with patient.connect() as connection:
            began = time.monotonic()
            for _ in range(4):
                connection.sendall(REQUEST[:150])
                time.sleep(1.2)
                connection.sendall(REQUEST[150:])
                self.assertEqual(text_of(read_all(connection)), self.expected)
            self.assertGreater(time.monotonic() - began, limit)

    def test_the_line_of_those_who_wait_has_an_end(self) -> None:
        began = time.monotonic()
        silent = [self.server.connect() for _ in range(8 + 256 + 30)]
        for connection in silent:
            connection.setblocking(False)
        time.sleep(1)
        def open_ones() -> int:
            count = 0
            for connection in silent:
                try:
                    count += connection.recv(1) != b""
                except BlockingIOError:
                    count += 1
                except ConnectionError:
                    pass
            return count
        still_open = open_ones()
        self.assertLessEqual(still_open, 8 + 256)
        if time.monotonic() - began < 2.5:  # nobody has waited for three seconds yet, so the line is full
            self.assertGreaterEqual(still_open, 256)
            with self.assertRaises(ConnectionError):
                self.server.complete(**GREEDY)
        end = time.monotonic() + 3 + MARGIN  # nobody waits for a word longer than three seconds
        while open_ones() > 0:
            self.assertLess(time.monotonic(), end)
            time.sleep(0.05)
        self.assertEqual(self.server.complete(**GREEDY)["choices"][0]["text"], self.expected)
        for connection in silent:
            connection.close()


class Generators(unittest.TestCase):
    """16 connections that ask as fast as they are answered; every page must come back."""

    def start(self) -> Server:
        server = Server(BIN / "step07_serving", "-m", "tiny", "--pages", "40", "--grace", "1")  # few: texts are preempted
        self.addCleanup(server.kill)
        return server

    def generator(self, name: str, server: Server, seconds: int) -> subprocess.Popen:
        url = f"http://127.0.0.1:{server.port}/v1/completions"
        body = json.dumps({"model": "tiny", "prompt": "In the beginning " * 8, "max_tokens": 200, "ignore_eos": True})
        if name == "hey":
            flags = ["-z", f"{seconds}s", "-c", "16", "-m", "POST", "-T", "application/json", "-d", body]
        else:
            script = tempfile.NamedTemporaryFile("w", suffix=".lua")
            self.addCleanup(script.close)
            script.write(f'wrk.method = "POST"\nwrk.headers["Content-Type"] = "application/json"\nwrk.body = [[{body}]]\n')
            script.flush()
            flags = ["-t", "2", "-c", "16", "-d", f"{seconds}s", "--timeout", "30s", "-s", script.name]
        process = subprocess.Popen([str(shutil.which(name)), *flags, url], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.addCleanup(process.kill)
        return process

    def check_end(self, code: int, said: str) -> None:
        self.assertEqual(code, 0, said)
        self.assertIn("\npages free 40 of 40\n", said)

    def check_load(self, name: str) -> None:
        if shutil.which(name) is None:
            self.skipTest(f"{name} is not here")
        server = self.start()
        found = self.generator(name, server, SECONDS).communicate(timeout=SECONDS + 60)[0]
        metrics = server.wait_until_idle()
        self.assertGreaterEqual(metrics["kvlab_requests_total"], 16, found)  # on a busy machine one for each connection
        self.assertEqual(metrics["kvlab_requests_refused_total"], 0, found)
        self.assertEqual(metrics['kvlab_texts_total{reason="failed"}'], 0, found)
        self.assertGreater(metrics["kvlab_preemptions_total"], 0)
        self.assertNotRegex(found, r"Non-2xx|\[[345]\d\d\]")
        self.assertRegex(found, r"Requests/sec:\s+[\d.]*[1-9]")
        self.check_end(*server.stop())

    def test_wrk(self) -> None:
        self.check_load("wrk")

    def test_hey(self) -> None:
        self.check_load("hey")

    def test_sigterm_under_load(self) -> None:
        name = next((name for name in ("wrk", "hey") if shutil.which(name)), None)
        if name is None:
            self.skipTest("neither wrk nor hey is here")
        server = self.start()
        process = self.generator(name, server, SECONDS + 1)
        server.wait_for(lambda m: m["kvlab_running"] >= 4)
        server.process.send_signal(signal.SIGTERM)
        code, said = server.wait()
        self.check_end(code, said)
        self.assertNotIn("did not end in time", said)
        self.assertGreater(int(re.search(r"RESULT requests=(\d+)", said)[1]), 0)
        process.communicate(timeout=SECONDS + 60)


def main() -> int:
    global BIN, SECONDS
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bin", type=Path)
    parser.add_argument("--seconds", type=int, default=SECONDS)
    parser.add_argument("tests", nargs="*")
    flags = parser.parse_intermixed_args()
    BIN, SECONDS = flags.bin.resolve(), flags.seconds
    tried = subprocess.run([BIN / "step07_serving", "serve", "-m", "tiny", "--host", "999.0.0.1"], capture_output=True, text=True, timeout=60)
    if "without an HTTP library" in tried.stderr:
        print("skipped: this build has no HTTP library, so no server")
        return 77
    return 0 if unittest.main(argv=["server_load_test.py", *flags.tests], exit=False).result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
