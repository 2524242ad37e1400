"""A step07_serving serve that runs for a test, and how to talk to it with nothing but the standard library."""
from __future__ import annotations

import http.client
import json
import re
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

PATIENCE = 60  # seconds, on a machine that does other things, too


class Server:
    """Starts the program on a free port of 127.0.0.1; its end is SIGTERM."""

    def __init__(self, program: Path, *flags: str) -> None:
        self.said = tempfile.TemporaryFile("w+", encoding="utf-8")
        self.process = subprocess.Popen([str(program), "serve", "--port", "0", *flags], stdin=subprocess.DEVNULL,
                                        stdout=self.said, stderr=subprocess.STDOUT)
        end = time.monotonic() + PATIENCE
        while not (found := re.search(r"^listening on http://127\.0\.0\.1:(\d+)$", self.output(), re.M)):
            if self.process.poll() is not None or time.monotonic() > end:
                self.process.kill()
                raise RuntimeError(f"the server did not start: {self.output()}")
            time.sleep(0.02)
        self.port = int(found[1])

    def output(self) -> str:
        self.said.seek(0)
        return self.said.read()

    def stop(self) -> tuple[int, str]:
        """Asks it to end; its exit code and all that it has said."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def wait(self) -> tuple[int, str]:
        code = self.process.wait(PATIENCE)
        text = self.output()
        self.said.close()
        return code, text

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if not self.said.closed:
            self.said.close()

    def call(self, method: str, path: str, body: object = None, **headers: str) -> tuple[int, dict, bytes]:
        """Status, headers and body of one request; a body that is no bytes is sent as JSON."""
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        sent = {"Content-Type": "application/json"} if body is not None else {}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request(method, path, body, sent)
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()

    def complete(self, prompt: object = "In the beginning", **fields) -> dict:
        """The reply to a completion, which must be one."""
        status, _, body = self.call("POST", "/v1/completions", {"model": "tiny", "prompt": prompt, **fields})
        assert status == 200, (status, body)
        return json.loads(body)

    def stream(self, prompt: object = "In the beginning", **fields) -> list[dict]:
        """The events of a streamed completion without the last one, which must be [DONE]."""
        fields = {"model": "tiny", "prompt": prompt, "stream": True, **fields}
        status, headers, body = self.call("POST", "/v1/completions", fields)
        assert status == 200 and headers["Content-Type"] == "text/event-stream", (status, body)
        return events(body)

    def open(self, **fields) -> socket.socket:
        """A connection on which a streamed completion was asked for, and nothing read yet."""
        body = json.dumps({"model": "tiny", "prompt": "In the beginning", "stream": True, **fields}).encode()
        connection = self.connect()
        connection.sendall(head("POST", "/v1/completions", len(body)) + body)
        return connection

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)

    def metrics(self) -> dict[str, float]:
        text = self.call("GET", "/metrics")[2].decode()
        return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in text.splitlines() if not line.startswith("#")}

    def wait_for(self, holds) -> dict[str, float]:
        """The metrics, as soon as they are as they should be."""
        end = time.monotonic() + PATIENCE
        while not holds(metrics := self.metrics()):
            assert time.monotonic() < end, metrics
            time.sleep(0.02)
        return metrics

    def wait_until_idle(self) -> dict[str, float]:
        """The metrics when no text is left; then every page must be free, or kept for texts to come."""
        metrics = self.wait_for(lambda m: m["kvlab_running"] + m["kvlab_waiting"] == 0)
        assert metrics["kvlab_pages_free"] + metrics["kvlab_pages_kept"] == metrics["kvlab_pages"], metrics
        return metrics


def head(method: str, path: str, length: int) -> bytes:
    return (f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            f"Content-Length: {length}\r\n\r\n").encode()


def read_all(connection: socket.socket, pause: float = 0, size: int = 1 << 16) -> bytes:
    """Everything up to the end of the connection or of a chunked body, in small pieces if need be."""
    parts, tail = [], b""
    while not tail.endswith(b"\r\n0\r\n\r\n"):
        part = connection.recv(size)
        if not part:
            break
        parts.append(part)
        tail = (tail + part)[-16:]
        time.sleep(pause)
    return b"".join(parts)


def dechunk(answer: bytes) -> bytes:
    """The body of a raw answer whose Transfer-Encoding is chunked."""
    at, parts = answer.index(b"\r\n\r\n") + 4, []
    while at < len(answer):
        begin = answer.index(b"\r\n", at) + 2
        size = int(answer[at:begin], 16)
        parts.append(answer[begin : begin + size])
        at = begin + size + 2
    return b"".join(parts)


def events(body: bytes) -> list[dict]:
    lines = body.decode().split("\n\n")
    assert lines[-2:] == ["data: [DONE]", ""], lines[-2:]
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-2]]


def text_of(stream: list[dict], choice: int = 0) -> str:
    return "".join(c["text"] for event in stream for c in event["choices"] if c["index"] == choice)
