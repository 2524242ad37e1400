#!/usr/bin/env python3
"""The server of chapter 7, as its clients meet it: texts, refusals, clients that misbehave, and its end.

    python3 tests/tools/server_test.py BIN [--chat-model PROGRAM] [--full] [TEST ...]

BIN is the folder with the programs; PROGRAM makes a small model that can chat (tests/support/chat_model.cpp).
--full opens and drops 1000 connections instead of 200. Exit codes: 0 all hold, 1 not, 77 this build has no server.
All traffic stays on 127.0.0.1. The openai package and curl are tried as clients if they are here.
"""
from __future__ import annotations

import argparse
import gzip
import importlib.util
import json
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path

from server_process import PATIENCE, Server, dechunk, events, head, read_all, text_of

BIN = Path()
CHAT_MODEL: Path | None = None
DROPPED = 200
LONG = "And the LORD spake unto Moses, saying, " * 5  # more than three pages of 64 bytes


def generate(*flags: str, prompt: str = "In the beginning", steps: int = 60) -> str:
    """The text that chapter 3's program writes."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "run.json"
        subprocess.run([BIN / "step03_kvcache", "generate", "-m", "tiny", "-p", prompt, "-n", str(steps), *flags, "--json", file],
                       check=True, capture_output=True, timeout=120)
        tokens = json.loads(file.read_text())["cached"]["tokens"][0]
    return bytes(tokens).removesuffix(b"\0").decode()  # 0 ends a text


class Served(unittest.TestCase):
    """One server for all tests of a class, with the class's flags; afterwards it must end as it should."""
    FLAGS: tuple[str, ...] = ()

    @classmethod
    def setUpClass(cls) -> None:
        cls.server = Server(BIN / "step07_serving", "-m", "tiny", *cls.FLAGS)

    @classmethod
    def tearDownClass(cls) -> None:
        try:
            code, said = cls.server.stop()
        finally:
            cls.server.kill()
        pages = int(said.rpartition(" pages=")[2].split()[0])
        if code != 0 or f"pages free {pages} of {pages}" not in said or f"pages_free={pages}" not in said.splitlines()[-1]:
            raise AssertionError(f"the server ended with {code}: {said}")

    def refused(self, body: object, status: int, param: str | None, path: str = "/v1/completions", **headers: str) -> dict:
        found, answered, text = self.server.call("POST", path, body, **headers)
        self.assertEqual(found, status, text)
        error = json.loads(text)["error"]
        self.assertEqual(error["param"], param, error)
        self.assertEqual(set(error), {"message", "type", "param", "code"})
        self.assertNotIn("\n", error["message"])
        return error | {"headers": answered}


class Texts(Served):
    def test_greedy_is_chapter_3s_text_whole_and_streamed(self) -> None:
        expected = generate()
        whole = self.server.complete(temperature=0, max_tokens=60)
        choice = whole["choices"][0]
        self.assertEqual((choice["text"], choice["finish_reason"]), (expected, "length"))
        self.assertEqual(whole["object"], "text_completion")
        usage = whole["usage"]
        self.assertEqual((usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]), (17, 60, 77))
        stream = self.server.stream(temperature=0, max_tokens=60, stream_options={"include_usage": True})
        self.assertEqual(text_of(stream), expected)
        self.assertGreater(len(stream), 30)
        self.assertEqual(stream[-1]["usage"]["completion_tokens"], 60)
        self.assertEqual([c["finish_reason"] for e in stream for c in e["choices"]][-1], "length")

    def test_a_seed_is_a_text_whatever_else_runs(self) -> None:
        for flags, fields in ((("-t", "1"), {}), (("-t", "0.7", "--top-k", "9", "--top-p", "0.8"), {"temperature": 0.7, "top_k": 9, "top_p": 0.8})):
            expected = generate("-s", "7", *flags)
            alone = self.server.complete(seed=7, max_tokens=60, **fields)["choices"][0]["text"]
            self.assertEqual(alone, expected)
            texts: list[str] = [""] * 12
            def ask(i: int) -> None:
                prompt = "In the beginning" if i % 3 == 0 else LONG[i:]
                seed = 7 if i % 3 == 0 else i
                texts[i] = self.server.complete(prompt, seed=seed, max_tokens=60, **fields)["choices"][0]["text"]
            clients = [threading.Thread(target=ask, args=(i,)) for i in range(12)]
            for client in clients:
                client.start()
            for client in clients:
                client.join()
            self.assertEqual({texts[i] for i in range(0, 12, 3)}, {expected})
            self.assertGreater(len(set(texts)), 6)

    def test_text_i_of_n_has_the_seed_plus_i(self) -> None:
        two = self.server.complete(seed=5, n=2, max_tokens=40)
        self.assertEqual([c["index"] for c in two["choices"]], [0, 1])
        self.assertEqual([c["text"] for c in two["choices"]], [generate("-t", "1", "-s", s, steps=40) for s in ("5", "6")])
        self.assertEqual((two["usage"]["prompt_tokens"], two["usage"]["completion_tokens"]), (17, 80))
        stream = self.server.stream(["In the beginning", "And"], seed=5, n=2, max_tokens=40)
        self.assertEqual([text_of(stream, i) for i in (0, 1)], [c["text"] for c in two["choices"]])
        self.assertEqual([text_of(stream, i) for i in (2, 3)], [generate("-t", "1", "-s", s, prompt="And", steps=40) for s in ("5", "6")])

    def test_a_stop_string_across_tokens(self) -> None:
        text = generate()
        stop = text[7:12]
        expected = text[: text.index(stop)]
        for stops in (stop, ["not there", stop, "nor there"]):
            whole = self.server.complete(temperature=0, max_tokens=60, stop=stops)
            self.assertEqual((whole["choices"][0]["text"], whole["choices"][0]["finish_reason"]), (expected, "stop"))
            self.assertEqual(whole["usage"]["completion_tokens"], len(expected) + 5)
            self.assertEqual(text_of(self.server.stream(temperature=0, max_tokens=60, stop=stops)), expected)
        self.assertEqual(self.server.complete(temperature=0, max_tokens=60, stop=text[58:] + "#")["choices"][0]["text"], text)

    def test_logprobs(self) -> None:
        whole = self.server.complete(temperature=0, max_tokens=20, logprobs=3)["choices"][0]
        logs = whole["logprobs"]
        self.assertEqual("".join(logs["tokens"]), whole["text"])
        self.assertEqual(logs["text_offset"], list(range(20)))
        for token, logprob, top in zip(logs["tokens"], logs["token_logprobs"], logs["top_logprobs"]):
            self.assertEqual((len(top), max(top, key=top.get), top[token]), (3, token, logprob))
            self.assertLess(logprob, 0)
        stream = self.server.stream(temperature=0, max_tokens=20, logprobs=3)
        parts = [c["logprobs"]["token_logprobs"] for e in stream for c in e["choices"] if c["logprobs"]]
        self.assertEqual(sum(parts, []), logs["token_logprobs"])

    def test_the_other_fields_do_what_they_say(self) -> None:
        greedy = generate(steps=30)
        for fields in ({"top_k": 1}, {"min_p": 1}, {"top_p": 1e-6}):
            self.assertEqual(self.server.complete(max_tokens=30, **fields)["choices"][0]["text"], greedy, fields)
        penal = self.server.complete(max_tokens=60, temperature=0, repetition_penalty=1.5)["choices"][0]["text"]
        self.assertNotEqual(penal, generate())
        echo = self.server.complete(max_tokens=5, temperature=0, echo=True)["choices"][0]["text"]
        self.assertEqual(echo, "In the beginning" + greedy[:5])
        tokens = self.server.complete([0, *b"In the beginning"], max_tokens=30, temperature=0)["choices"][0]["text"]
        self.assertEqual(tokens, greedy)
        self.assertEqual(len({self.server.complete(max_tokens=30)["choices"][0]["text"] for _ in range(4)}), 4)

    def test_no_user_learns_what_another_one_asked(self) -> None:
        def cached(prompt: str, **fields) -> int:
            reply = self.server.complete(prompt, max_tokens=2, temperature=0, **fields)
            return reply["usage"]["prompt_tokens_details"]["cached_tokens"]
        self.assertEqual(cached(LONG, user="ann"), 0)
        self.assertEqual(cached(LONG, user="ann"), 192)
        self.assertEqual(cached(LONG + "more", user="ann"), 192)
        self.assertEqual(cached(LONG, user="bob"), 0)
        self.assertEqual(cached(LONG), 0)
        self.assertEqual(cached(LONG), 192)  # who names nobody shares with the others who do not
        self.assertEqual(cached(LONG, user="everybody"), 0)

    def test_models_health_and_metrics(self) -> None:
        self.assertEqual(json.loads(self.server.call("GET", "/v1/models")[2])["data"][0]["id"], "tiny")
        self.assertEqual(self.server.call("GET", "/health")[0], 200)
        before = self.server.metrics()
        self.server.complete(max_tokens=9, ignore_eos=True)
        after = self.server.metrics()
        self.assertEqual(after["kvlab_generated_tokens_total"] - before["kvlab_generated_tokens_total"], 9)
        self.assertEqual(after["kvlab_requests_total"] - before["kvlab_requests_total"], 1)
        self.assertEqual(after["kvlab_pages_free"] + after["kvlab_pages_kept"], after["kvlab_pages"])
        self.assertEqual((after["kvlab_running"], after["kvlab_waiting"]), (0, 0))


class Refusals(Served):
    FLAGS = ("--max-body", "20000", "--queue", "38", "--max-running", "2")
    GOOD = {"model": "tiny", "prompt": "a", "max_tokens": 1}

    def test_fields(self) -> None:
        for fields, status, param in (
                ({"frobnicate": 1}, 400, "frobnicate"), ({"presence_penalty": 0.5}, 400, "presence_penalty"),
                ({"logit_bias": {"5": 1}}, 400, "logit_bias"), ({"temperature": "1"}, 400, "temperature"), ({"max_tokens": 0}, 400, "max_tokens"),
                ({"max_tokens": 600}, 400, "prompt"), ({"prompt": "a" * 600}, 400, "prompt"), ({"prompt": 7}, 400, "prompt"),
                ({"n": 41}, 400, "n"), ({"stop": [""]}, 400, "stop"), ({"stream": 1}, 400, "stream"), ({"model": "gpt"}, 404, "model"),
                ({"model": None}, 400, "model"), ({"prompt": [256]}, 400, "prompt"), ({"best_of": 2}, 400, "best_of")):
            with self.subTest(fields=fields):
                self.refused(self.GOOD | fields, status, param)
        self.server.complete("a", max_tokens=1, presence_penalty=0, frequency_penalty=0.0, logit_bias={}, user="u", tools=[])
        self.refused({"model": "tiny", "messages": [{"role": "user", "content": "a"}]}, 400, "model", "/v1/chat/completions")

    def test_bodies(self) -> None:
        for body in (b"", b"{", b"[]", b"null", b"\xff", b"[" * 15000, b'{"n": 1e999}', json.dumps(self.GOOD).encode() + b"}"):
            with self.subTest(body=body[:20]):
                self.refused(body, 400, "body" if body in (b"[]", b"null") else None)
        self.refused(b"a=b", 415, None, Content_Type="application/x-www-form-urlencoded")
        self.refused(self.GOOD | {"prompt": "a" * 30000}, 413, None)
        self.refused(self.GOOD | {"prompt": "a" * 1000000}, 413, None)

    def test_methods_and_paths(self) -> None:
        for method, path, status in (("GET", "/v1/completions", 405), ("DELETE", "/v1/chat/completions", 405), ("PUT", "/health", 405),
                                     ("POST", "/v1/models", 405), ("GET", "/v1/nothing", 404), ("GET", "/", 404), ("POST", "/v1", 404)):
            with self.subTest(method=method, path=path):
                found, headers, body = self.server.call(method, path, {} if method == "POST" else None)
                self.assertEqual(found, status)
                self.assertEqual("Allow" in headers, status == 405)
                self.assertIn("message", json.loads(body)["error"])

    def test_chunked_bodies(self) -> None:
        for body, status in ((json.dumps(self.GOOD).encode(), b"200"), (b"x" * 50000, b"413")):
            with self.server.connect() as connection:
                connection.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n"
                                   b"Transfer-Encoding: chunked\r\n\r\n")
                for i in range(0, len(body), 1000):
                    part = body[i : i + 1000]
                    connection.sendall(f"{len(part):x}\r\n".encode() + part + b"\r\n")
                connection.sendall(b"0\r\n\r\n")
                self.assertEqual(read_all(connection).split()[1], status)

    def test_a_body_that_is_not_read_is_not_the_next_request(self) -> None:
        body, line = json.dumps(self.GOOD).encode(), b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        packed = gzip.compress(b"a" * 50_000_000)
        for headers, content, status in (
                (b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", b"", b"400"), (b"Content-Length: 3\r\nContent-Length: 5\r\n\r\n", body, b"400"),
                (b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", body, b"400"), (b"\r\n", b"", b"411"),
                (b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed), packed, b"413")):
            with self.subTest(headers=headers), self.server.connect() as connection:
                connection.sendall(line + headers + content + b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
                try:
                    answer = read_all(connection)
                except ConnectionError:  # what was not read may end the connection early
                    continue
                self.assertEqual((answer.count(b"HTTP/1.1 "), answer.split()[1]), (1, status), answer)
        with self.server.connect() as connection:
            connection.sendall(head("POST", "/v1/completions", len(body)).replace(b"Host", b"Range: bytes=0-5\r\nHost") + body)
            self.assertEqual(read_all(connection).split()[1], b"200")

    def test_what_is_no_http(self) -> None:
        for garbage in (b"\x16\x03\x01\x02\x00" * 20, b"GET\r\n\r\n", b"\r\n" * 5, b"A" * 20000 + b"\r\n\r\n", b"POST /v1/completions HTTP/9.9\r\n\r\n"):
            with self.server.connect() as connection:
                try:
                    connection.sendall(garbage)
                    connection.shutdown(socket.SHUT_WR)
                    self.assertNotIn(b" 200 ", read_all(connection))
                except ConnectionError:
                    pass
        self.assertEqual(self.server.call("GET", "/health")[0], 200)

    def test_a_full_queue(self) -> None:
        with self.server.open(n=40, max_tokens=490, ignore_eos=True) as busy:  # all places
            self.server.wait_for(lambda m: m["kvlab_waiting"] > 0)
            # As many again: on a fast machine one text may have ended by now, but not all of them.
            error = self.refused(self.GOOD | {"n": 40}, 429, None)
            self.assertEqual((error["code"], error["headers"]["Retry-After"]), ("queue_full", "1"))
            self.assertEqual(self.server.metrics()["kvlab_requests_refused_total"], 1)
            self.assertEqual(len({e["id"] for e in events(dechunk(read_all(busy)))}), 1)
        self.server.complete("a", max_tokens=1)

    def test_http_1_0_and_many_requests_on_one_connection(self) -> None:
        body = json.dumps(self.GOOD | {"temperature": 0}).encode()
        request = head("POST", "/v1/completions", len(body)) + body
        with self.server.connect() as connection:
            connection.sendall(request.replace(b"HTTP/1.1", b"HTTP/1.0", 1))
            answer = read_all(connection)
            self.assertNotIn(b"chunked", answer)
            self.assertEqual(json.loads(answer.partition(b"\r\n\r\n")[2])["usage"]["completion_tokens"], 1)
        with self.server.connect() as connection:
            for _ in range(20):
                connection.sendall(request)
                self.assertEqual(json.loads(dechunk(read_all(connection)))["usage"]["completion_tokens"], 1)


class Clients(Served):
    """Those who misbehave. The server has work for seconds, of two texts at a time."""
    FLAGS = ("--max-running", "2", "--queue", "400", "--timeout", "20")

    def test_a_slow_reader_holds_nothing(self) -> None:
        fields = {"n": 6, "max_tokens": 480, "logprobs": 20, "temperature": 1, "seed": 3, "ignore_eos": True}
        expected = self.server.complete(**fields)["choices"]
        before = self.server.wait_until_idle()["kvlab_generated_tokens_total"]
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(60)
        connection.connect(("127.0.0.1", self.server.port))
        with connection:
            body = json.dumps({"model": "tiny", "prompt": "In the beginning", "stream": True, **fields}).encode()
            connection.sendall(head("POST", "/v1/completions", len(body)) + body)
            self.server.complete(max_tokens=3)  # another one is answered meanwhile
            self.server.wait_for(lambda m: m["kvlab_generated_tokens_total"] >= before + 6 * 480)  # while nothing is read
            self.server.wait_until_idle()
            stream = events(dechunk(read_all(connection, 0.0001, 1 << 15)))
        self.assertEqual([text_of(stream, i) for i in range(6)], [choice["text"] for choice in expected])

    def test_streams_that_are_dropped_in_the_middle(self) -> None:
        cancelled = 'kvlab_texts_total{reason="cancelled"}'
        before = self.server.metrics()[cancelled]
        for reset in (False, True):
            connection = self.server.open(n=100, max_tokens=480, ignore_eos=True)
            self.assertTrue(connection.recv(1000))
            if reset:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()
            self.server.wait_until_idle()
        # A whole reply, too, is given up when nobody waits for it.
        body = json.dumps({"model": "tiny", "prompt": "a", "n": 100, "max_tokens": 480, "ignore_eos": True}).encode()
        connection = self.server.connect()
        connection.sendall(head("POST", "/v1/completions", len(body)) + body)
        self.server.wait_for(lambda m: m["kvlab_waiting"] > 0)
        connection.close()
        after = self.server.wait_until_idle()
        self.assertGreater(after[cancelled] - before, 100)

    def complete_soon(self, *prompt: str, **fields) -> dict:
        """The reply of a server whose line of connections was full a moment ago: it closes those that are too many."""
        end = time.monotonic() + PATIENCE
        while True:
            try:
                return self.server.complete(*prompt, **fields)
            except ConnectionError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)

    def test_connections_that_are_opened_and_dropped(self) -> None:
        body = json.dumps({"model": "tiny", "prompt": "a", "max_tokens": 400, "stream": True}).encode()
        whole = head("POST", "/v1/completions", len(body)) + body
        for i in range(DROPPED):
            connection = self.server.connect()
            connection.sendall((b"", whole[:40], whole[:-9], whole)[i % 4])
            if i % 8 < 4:  # these with a reset
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()
        many = [self.server.connect() for _ in range(100)]  # at once, and silent
        text = self.complete_soon("In", max_tokens=8, temperature=0)["choices"][0]["text"]
        self.assertEqual(text, generate(prompt="In", steps=8))
        for connection in many:
            connection.close()
        self.server.wait_until_idle()

    def test_curl(self) -> None:
        curl = shutil.which("curl")
        if curl is None:
            self.skipTest("curl is not here")
        def ask(*flags: str) -> str:
            command = [curl, "-sS", "-m", "30", f"http://127.0.0.1:{self.server.port}/v1/completions", "-H", "Content-Type: application/json", *flags]
            return subprocess.run(command, check=True, capture_output=True, text=True).stdout
        body = {"model": "tiny", "prompt": "In the beginning", "max_tokens": 20, "temperature": 0}
        self.assertEqual(json.loads(ask("-d", json.dumps(body), "--compressed"))["choices"][0]["text"], generate(steps=20))
        self.assertEqual(text_of(events(ask("-N", "-d", json.dumps(body | {"stream": True})).encode())), generate(steps=20))
        with tempfile.NamedTemporaryFile() as large:  # curl asks first (Expect: 100-continue)
            large.write(b"x" * 3000000)
            large.flush()
            self.assertIn("body_too_large", ask("-d", f"@{large.name}", "-H", "Expect: 100-continue"))


class Ends(unittest.TestCase):
    def start(self, *flags: str) -> Server:
        server = Server(BIN / "step07_serving", "-m", "tiny", *flags)
        self.addCleanup(server.kill)
        return server

    def test_sigterm_under_load(self) -> None:
        server = self.start("--max-running", "4", "--queue", "2000", "--grace", "1", "--pages", "24")
        clients = [server.open(n=150, max_tokens=480, seed=i, ignore_eos=True) for i in range(6)]
        silent = [server.connect() for _ in range(4)]
        server.wait_for(lambda m: m["kvlab_requests_total"] == 6 and m["kvlab_generated_tokens_total"] > 500)
        self.assertGreater(server.metrics()["kvlab_waiting"], 0)
        server.process.send_signal(signal.SIGTERM)
        reasons = []
        for client in clients:
            with client:
                ended = events(dechunk(read_all(client)))
            reasons += [c["finish_reason"] for e in ended for c in e["choices"] if c["finish_reason"]]
        code, said = server.wait()
        for connection in silent:
            connection.close()
        self.assertEqual(code, 0, said)
        self.assertIn("\npages free 24 of 24\n", said)
        self.assertEqual(len(reasons), 900)
        self.assertGreater(reasons.count("cancelled"), 0)
        self.assertRegex(said.splitlines()[-1], r"^RESULT requests=6 texts=900 .* pages=24 pages_free=24$")

    def test_a_second_signal_ends_it_at_once(self) -> None:
        server = self.start("--grace", "600", "--max-running", "1", "--queue", "2000")
        with server.open(n=2000, max_tokens=480, ignore_eos=True) as client:
            client.recv(1000)
            server.process.send_signal(signal.SIGINT)
            while "SIGINT: no new requests; the others have 600 s" not in server.output():
                time.sleep(0.02)
            self.assertEqual(server.call("POST", "/v1/completions", {"model": "tiny", "prompt": "a"})[0], 503)
            server.process.send_signal(signal.SIGINT)
            self.assertEqual(server.process.wait(60), -signal.SIGINT)

    def test_sigint_lets_what_runs_finish(self) -> None:
        server = self.start("--max-running", "2", "--grace", "60")
        with server.open(n=20, max_tokens=300, temperature=0) as client:
            first = client.recv(1000)
            server.process.send_signal(signal.SIGINT)
            time.sleep(0.1)
            stream = events(dechunk(first + read_all(client)))
        self.assertEqual({text_of(stream, i) for i in range(20)}, {generate(steps=300)})
        self.assertEqual(server.process.wait(60), 0)

    def test_a_time_limit(self) -> None:
        server = self.start("--max-running", "1", "--queue", "2000", "--timeout", "1")
        reply = server.complete(n=1500, max_tokens=480, ignore_eos=True)
        reasons = [choice["finish_reason"] for choice in reply["choices"]]
        self.assertGreater(reasons.count("timeout"), 0)
        self.assertEqual(set(reasons) - {"timeout", "length"}, set())
        self.assertEqual(server.stop()[0], 0)

    def test_preemption_drafts_and_swaps_change_no_text(self) -> None:
        fields = {"n": 8, "max_tokens": 250, "seed": 11, "ignore_eos": True}
        texts = []
        for flags in ((), ("--pages", "12"), ("--pages", "12", "--swap"), ("--drafts", "4"), ("--no-prefixes", "--token-budget", "16")):
            server = self.start(*flags)
            texts.append([choice["text"] for choice in server.complete(LONG, **fields)["choices"]])
            metrics = server.metrics()
            self.assertEqual(metrics["kvlab_preemptions_total"] > 0, "--pages" in flags, flags)
            self.assertEqual(metrics["kvlab_accepted_tokens_total"] > 0, "--drafts" in flags, flags)
            self.assertEqual(server.stop()[0], 0)
        self.assertEqual([text for text in texts if text != texts[0]], [])

    def test_a_port_that_is_taken(self) -> None:
        server = self.start()
        done = subprocess.run([BIN / "step07_serving", "serve", "-m", "tiny", "--port", str(server.port)], capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stderr, f"step07_serving: serve: cannot listen on 127.0.0.1, port {server.port}\n")


class Chats(unittest.TestCase):
    def setUp(self) -> None:
        if CHAT_MODEL is None:
            self.skipTest("no --chat-model")
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.model = Path(folder.name) / "chat.gguf"
        subprocess.run([CHAT_MODEL, "make", self.model], check=True, timeout=60)
        self.server = Server(BIN / "step07_serving", "-m", str(self.model))
        self.addCleanup(self.server.kill)

    def reply(self, said: str) -> str:
        file = self.model.with_suffix(".json")
        subprocess.run([BIN / "step03_kvcache", "generate", "-m", self.model, "--chat", "-p", said, "-n", "24", "--json", file],
                       check=True, capture_output=True, timeout=60)
        return json.loads(file.read_text())["turns"][0]["reply"]

    def test_a_chat_is_chapter_3s(self) -> None:
        body = {"model": "chat", "messages": [{"role": "user", "content": "low water"}], "max_tokens": 24, "temperature": 0}
        status, _, text = self.server.call("POST", "/v1/chat/completions", body)
        self.assertEqual(status, 200, text)
        reply = json.loads(text)
        expected = self.reply("low water").encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        self.assertEqual(reply["choices"][0]["message"], {"role": "assistant", "content": expected, "refusal": None})
        stream = events(self.server.call("POST", "/v1/chat/completions", body | {"stream": True})[2])
        self.assertEqual(stream[0]["choices"][0]["delta"]["role"], "assistant")
        self.assertEqual("".join(e["choices"][0]["delta"].get("content", "") for e in stream), expected)
        self.assertEqual(stream[-1]["choices"][0]["finish_reason"], reply["choices"][0]["finish_reason"])

    @unittest.skipIf(importlib.util.find_spec("openai") is None, "the openai package is not here")
    def test_the_openai_client(self) -> None:
        import openai
        client = openai.OpenAI(base_url=f"http://127.0.0.1:{self.server.port}/v1", api_key="none", max_retries=0, timeout=30)
        self.assertEqual([model.id for model in client.models.list()], ["chat"])
        ask = {"model": "chat", "messages": [{"role": "user", "content": "low"}], "max_tokens": 20, "seed": 4}
        whole = client.chat.completions.create(**ask, logprobs=True, top_logprobs=2, n=2)
        self.assertEqual(len(whole.choices), 2)
        self.assertEqual(len(whole.choices[0].logprobs.content[0].top_logprobs), 2)
        parts = client.chat.completions.create(**ask, stream=True, stream_options={"include_usage": True})
        parts = list(parts)
        self.assertEqual("".join(p.choices[0].delta.content or "" for p in parts if p.choices), whole.choices[0].message.content)
        self.assertEqual(parts[-1].usage.prompt_tokens, whole.usage.prompt_tokens)
        text = client.completions.create(model="chat", prompt="low", max_tokens=5, temperature=0)
        self.assertEqual(text.usage.completion_tokens, 5)
        with self.assertRaises(openai.BadRequestError):
            client.completions.create(model="chat", prompt="low", presence_penalty=1)
        with self.assertRaises(openai.NotFoundError):
            client.completions.create(model="other", prompt="low")


def main() -> int:
    global BIN, CHAT_MODEL, DROPPED
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bin", type=Path)
    parser.add_argument("--chat-model", type=Path)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("tests", nargs="*")
    flags = parser.parse_intermixed_args()
    BIN, CHAT_MODEL = flags.bin.resolve(), flags.chat_model and flags.chat_model.resolve()
    DROPPED = 1000 if flags.full else 200
    tried = subprocess.run([BIN / "step07_serving", "serve", "-m", "tiny", "--host", "999.0.0.1"], capture_output=True, text=True, timeout=60)
    if "without an HTTP library" in tried.stderr:
        print("skipped: this build has no HTTP library, so no server")
        return 77
    if tried.returncode != 1:
        print(f"FAILED: an address that is none: {tried}")
        return 1
    return 0 if unittest.main(argv=["server_test.py", *flags.tests], exit=False).result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
