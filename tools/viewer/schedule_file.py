"""Reads what a scheduler did (step07_serving record), and refuses a file that cannot be, naming the field.

One JSON object: page_slots, pages, the requests, and the steps. Of a step: what each text fed (`parts`), what happened since
the step before (`events`), and who held which page when it ended (`tables` of the requests that run, pages of the prefix
index in `indexed`). A request's events lead from state to state, and its parts from token to token; both are followed here.
"""
from __future__ import annotations

import json
import math
from pathlib import Path

from lines import Malformed, expect, field, is_count

EXPERIMENT = "step07_serving record"
OUTCOMES = ("waiting", "running", "length", "end_token", "context_full", "cancelled")
# What a request may be when an event happens to it, and what it is then. No state: the number of the event is no request.
EVENTS = {
    "added": (("none",), "waiting"), "admitted": (("waiting", "preempted"), "running"),
    "resumed": (("preempted", "swapped"), "running"), "preempted": (("running", "swapped"), "preempted"),
    "swapped": (("running", "preempted"), "swapped"), "ended": (("running",), "over"),
    "cancelled": (("waiting", "preempted", "swapped", "running"), "over"), "evicted": None,
}
PART = ("request", "fed", "wanted", "drafted", "accepted", "written")
MOST = 1 << 14  # of steps, requests and pages: what a page in a browser can show at all


class Text:
    """How far a request is: what it has of prompt and written tokens, and how many of them lie in its pages."""

    def __init__(self, request: dict):
        self.request, self.state = request, "none"
        self.tokens, self.held = request["prompt_tokens"], 0
        self.most_held = 0  # ever: what is fed below that is fed again

    def happens(self, kind: str, count: int, where: str) -> None:
        before, after = EVENTS[kind]
        expect(self.state in before, f"{where}.kind: a request that is '{self.state}' cannot be '{kind}'")
        if kind == "preempted" and self.state == "swapped":
            return  # its pages are kept all the same
        if after == "running" and self.state != "swapped":
            expect(count < self.tokens, f"{where}.count: {count} tokens from other pages, of {self.tokens}")
            self.held = count
            self.most_held = max(self.most_held, count)
        self.state = after

    def feeds(self, part: dict, where: str) -> str:
        """What the part is: prefill, again or decode."""
        expect(self.state == "running", f"{where}.request: request {part['request']} does not run ('{self.state}')")
        expect(part["drafted"] < part["fed"], f"{where}.drafted: {part['drafted']} guesses, but {part['fed']} tokens were fed")
        expect(part["accepted"] <= part["drafted"], f"{where}.accepted: {part['accepted']} of {part['drafted']} guesses")
        expect(part["wanted"] <= part["fed"], f"{where}.wanted: {part['wanted']} rows of {part['fed']} tokens")
        own = part["fed"] - part["drafted"]
        expect(self.held + own <= self.tokens, f"{where}.fed: {self.held + own} tokens, but the text has {self.tokens} so far")
        whole = self.held + own == self.tokens
        expect(whole or part["wanted"] == 0, f"{where}.wanted: logits before the text's last token was fed")
        # A row of logits gives a token; a guess that ends the text is its last one.
        least = part["accepted"] if part["accepted"] else min(part["wanted"], 1)
        expect(least <= part["written"] <= part["accepted"] + min(part["wanted"], 1),
               f"{where}.written: {part['written']} tokens from {part['wanted']} rows and {part['accepted']} right guesses")
        decodes = own == 1 and whole and self.tokens > self.request["prompt_tokens"] and self.held == self.most_held
        kind = "decode" if decodes else "again" if self.held < self.most_held else "prefill"
        self.held += own + part["accepted"]
        self.most_held = max(self.most_held, self.held)
        self.tokens += part["written"]
        return kind


class Schedule:
    """The file, checked, and what each request did in each step."""

    def __init__(self, report):
        expect(type(report) is dict and report.get("experiment") == EXPERIMENT, f"'experiment' must be '{EXPERIMENT}'")
        expect(type(report.get("schema")) is int and report["schema"] == 1, "'schema' must be 1")
        self.report = report
        field(report, "model", str)
        for name in ("page_slots", "pages"):
            expect(is_count(report.get(name)) and 0 < report[name] <= MOST, f"'{name}' must be a whole number from 1 to {MOST}")
        for name in ("requests", "steps"):
            expect(0 < len(field(report, name, list)) <= MOST, f"'{name}' must hold 1 to {MOST}")
        self.requests = [self.check_request(request, number) for number, request in enumerate(field(report, "requests", list))]
        self.texts = [Text(request) for request in self.requests]
        self.states: list[list[str]] = []  # step -> request -> prefill, again, decode, or what it is without a part
        for number, step in enumerate(report["steps"]):
            self.add_step(step, number)
        self.check_end()

    @staticmethod
    def check_request(request, number: int) -> dict:
        where = f"requests[{number}]"
        expect(type(request) is dict and request.get("number") == number and type(request["number"]) is int, f"{where}.number: expected {number}")
        for name in ("arrival_step", "prompt_tokens", "max_tokens", "cached", "written"):
            expect(is_count(request.get(name)), f"{where}.{name}: expected a whole number")
        expect(request["prompt_tokens"] > 0, f"{where}.prompt_tokens: a request has at least one")
        expect(type(request.get("scope")) is str, f"{where}.scope: expected a text")
        expect(request.get("outcome") in OUTCOMES, f"{where}.outcome: expected one of {', '.join(OUTCOMES)}")
        return request

    def request_of(self, value, where: str) -> Text:
        expect(is_count(value) and value < len(self.texts), f"{where}: there is no request {value!r}")
        return self.texts[value]

    def add_step(self, step, number: int) -> None:
        where = f"steps[{number}]"
        expect(type(step) is dict and step.get("step") == number and type(step["step"]) is int, f"{where}.step: expected {number}")
        seconds = step.get("seconds")
        expect(type(seconds) in (int, float) and 0 <= seconds < math.inf, f"{where}.seconds: expected a number, at least 0")
        expect(is_count(step.get("copied")), f"{where}.copied: expected a whole number")
        for name, kind in (("parts", list), ("events", list), ("tables", dict), ("indexed", list)):
            expect(type(step.get(name)) is kind, f"{where}.{name}: expected a {kind.__name__}")
        ended = [self.add_event(event, number, f"{where}.events[{i}]") for i, event in enumerate(step["events"])]
        now: dict[int, str] = {}
        for i, part in enumerate(step["parts"]):
            at = f"{where}.parts[{i}]"
            expect(type(part) is dict and all(is_count(part.get(name)) for name in PART), f"{at}: expected whole numbers: {', '.join(PART)}")
            expect(part["request"] not in now, f"{at}.request: request {part['request']} comes twice in this step")
            now[part["request"]] = self.request_of(part["request"], f"{at}.request").feeds(part, at)
        for over in filter(None, ended):
            over.state = "over"
        self.states.append([now.get(i, "idle" if text.state == "running" else text.state) for i, text in enumerate(self.texts)])
        self.check_pages(step, where)

    def add_event(self, event, number: int, where: str) -> Text | None:
        """Follows it; the text, if its end is to be followed after the step's parts: it was still fed in this step."""
        expect(type(event) is dict and type(event.get("kind")) is str and event["kind"] in EVENTS, f"{where}.kind: expected one of {', '.join(EVENTS)}")
        expect(is_count(event.get("count")), f"{where}.count: expected a whole number")
        if EVENTS[event["kind"]] is None:
            return None
        text = self.request_of(event.get("request"), f"{where}.request")
        if event["kind"] == "added":
            expect(text.request["arrival_step"] == number, f"{where}: request {event['request']} says that it arrives in step {text.request['arrival_step']}")
        if event["kind"] == "ended":
            expect(text.state == "running", f"{where}.kind: a request that is '{text.state}' cannot be 'ended'")
            return text
        text.happens(event["kind"], event["count"], where)
        return None

    def check_pages(self, step: dict, where: str) -> None:
        self.check_table(step["indexed"], f"{where}.indexed")
        running = {str(i) for i, text in enumerate(self.texts) if text.state == "running"}
        for name, table in step["tables"].items():
            at = f"{where}.tables[{json.dumps(name)}]"
            expect(name in running, f"{at}: no request that runs after this step")
            expect(type(table) is list, f"{at}: expected a list")
            self.check_table(table, at)
            held, slots = self.texts[int(name)].held, self.report["page_slots"]
            expect(len(table) == -(-held // slots), f"{at}: {len(table)} pages for {held} tokens, {slots} in a page")
        for name in sorted(running - step["tables"].keys(), key=int):
            raise Malformed(f"{where}.tables: request {name} runs, and has no table")

    def check_table(self, pages: list, where: str) -> None:
        for i, page in enumerate(pages):
            expect(is_count(page) and page < self.report["pages"], f"{where}[{i}]: there is no page {page!r}")
        twice = [page for page in set(pages) if pages.count(page) > 1]
        expect(not twice, f"{where}: page {min(twice, default=0)} stands there twice")

    def check_end(self) -> None:
        for number, text in enumerate(self.texts):
            where, request = f"requests[{number}]", text.request
            over = request["outcome"] not in ("waiting", "running")
            expect(text.state != "none", f"{where}: no step adds it")
            expect(over == (text.state == "over"), f"{where}.outcome: '{request['outcome']}', but its last state is '{text.state}'")
            written = text.tokens - request["prompt_tokens"]
            expect(written == request["written"], f"{where}.written: {request['written']}, but its parts write {written}")


def refuse_twice(pairs: list[tuple]) -> dict:
    names = [name for name, _ in pairs]
    for name in names:
        expect(names.count(name) == 1, f"{json.dumps(name)} stands twice in one object")
    return dict(pairs)


def read(path: Path) -> Schedule:
    try:
        report = json.loads(path.read_bytes().decode("utf-8"), object_pairs_hook=refuse_twice)
    except (ValueError, RecursionError) as problem:  # not UTF-8, not JSON, nested without end
        raise Malformed(f"not JSON ({str(problem).splitlines()[0]})") from None
    return Schedule(report)
