#!/usr/bin/env python3
"""What a stranger's model file may do to a program and its user: nothing.

    python3 tests/tools/model_files.py BIN_FOLDER

Files are made of tiny.gguf, with keys and tensors changed: text that a terminal would obey, a context of
16 million, no pre-tokenizer, tensors and types that kvlab does not read. Beside them: recall cases with mistakes, and
folders where files should be.
"""
from __future__ import annotations

import json
import os
import resource
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

BIN = Path(sys.argv[1]).resolve()
ROOT = Path(__file__).resolve().parents[2]
U32, F32, STRING, ARRAY = 4, 6, 8, 9
EVIL = "\x1b[2J\u009b31m\u202eevil\u2066\x07\x7f"


def text(value: str) -> bytes:
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw


class Gguf:
    """A GGUF file in parts: keys as (name, type, bytes of the value), tensors as [name, extents, type, data]."""

    def __init__(self, path: Path):
        self.raw, self.at = path.read_bytes(), 8
        tensors, keys = self.take("<QQ")
        self.keys = [self.key() for _ in range(keys)]
        infos = []
        for _ in range(tensors):
            name, rank = self.string(), self.take("<I")[0]
            infos.append([name, list(self.take(f"<{rank}Q")), *self.take("<IQ")])
        start = (self.at + 31) // 32 * 32
        ends = [info[3] for info in infos[1:]] + [len(self.raw) - start]
        self.tensors = [[name, extents, kind, self.raw[start + offset : start + end]]
                        for (name, extents, kind, offset), end in zip(infos, ends)]

    def take(self, form: str) -> tuple:
        values = struct.unpack_from(form, self.raw, self.at)
        self.at += struct.calcsize(form)
        return values

    def string(self) -> str:
        size = self.take("<Q")[0]
        self.at += size
        return self.raw[self.at - size : self.at].decode()

    def key(self) -> tuple[str, int, bytes]:
        name, kind = self.string(), self.take("<I")[0]
        begin = self.at
        self.skip(kind)
        return name, kind, self.raw[begin : self.at]

    def skip(self, kind: int) -> None:
        if kind == STRING:
            self.string()
        elif kind == ARRAY:
            inner, count = self.take("<IQ")
            for _ in range(count):
                self.skip(inner)
        else:
            self.at += {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}[kind]

    def set(self, name: str, kind: int, value: bytes) -> "Gguf":
        self.drop(name)
        self.keys.append((name, kind, value))
        return self

    def drop(self, name: str) -> "Gguf":
        self.keys = [key for key in self.keys if key[0] != name]
        return self

    def tensor(self, name: str) -> list:
        return next(tensor for tensor in self.tensors if tensor[0] == name)

    def write(self, path: Path) -> Path:
        head = b"GGUF" + struct.pack("<IQQ", 3, len(self.tensors), len(self.keys))
        for name, kind, value in self.keys:
            head += text(name) + struct.pack("<I", kind) + value
        data = b""
        for name, extents, kind, raw in self.tensors:
            head += text(name) + struct.pack(f"<I{len(extents)}QIQ", len(extents), *extents, kind, len(data))
            data += raw + bytes(-len(raw) % 32)
        path.write_bytes(head + bytes(-len(head) % 32) + data)
        return path


def tiny() -> Gguf:
    return Gguf(ROOT / "weights" / "tiny.gguf")


def run(program: str, *arguments: object, folder: Path | None = None) -> tuple[int, str, str]:
    done = subprocess.run([BIN / program, *map(str, arguments)], capture_output=True, cwd=folder, timeout=600,
                          env=dict(os.environ, NO_COLOR="1"))
    return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")


def obeyed(output: str) -> list[str]:
    """The characters of an output that a terminal obeys, or that reorder or hide what is beside them."""
    hidden = [0x61c, *range(0x200b, 0x2010), *range(0x2028, 0x202f), *range(0x2060, 0x2070), 0xfeff]
    return sorted({f"U+{ord(c):04X}" for c in output
                   if ord(c) < 32 and c not in "\n\t" or 0x7f <= ord(c) < 0xa0 or ord(c) in hidden})


class Judge:
    def __init__(self):
        self.wrong: list[str] = []

    def expect(self, what: str, done: tuple[int, str, str], code: int, held: str) -> None:
        output = done[1] + done[2]
        if done[0] != code or held not in output or (code == 1 and done[2].count("\n") != 1):
            self.wrong.append(f"{what}: exit {done[0]}, expected {code} and {held!r}: {output[-400:]!r}")
        if obeyed(output):
            self.wrong.append(f"{what}: prints {' '.join(obeyed(output))}")


def check_text(judge: Judge, folder: Path) -> None:
    named = tiny().set("general.name", STRING, text(EVIL)).set("key" + EVIL, STRING, text(EVIL)).write(folder / "named.gguf")
    judge.expect("show names", run("kvlab_weights", "show", named), 0, "key\\x1b[2J\\u{009b}31m\\u{202e}evil")
    runs = [("step02_attention", "-n", 2), ("step03_kvcache", "generate", "-n", 2), ("step03_kvcache", "count", "-n", 2),
            ("step03_kvcache", "verify", "--prompts", 2), ("step04_cuda", "generate", "-n", 1),
            ("step05_policies", "generate", "-n", 2), ("step05_policies", "memory", "--lengths", 64), ("step06_quant", "bytes")]
    for program, *arguments in runs:
        if (BIN / program).exists():
            code, out, err = run(program, *arguments, "-m", named)
            if obeyed(out + err) or code == 1 and "2J" not in out + err:
                judge.wrong.append(f"{program} {arguments[0]} with a name: exit {code}, prints {obeyed(out + err)}: {(out + err)[-300:]!r}")
    odd = tiny()
    odd.tensors.append([EVIL, [32], 0, bytes(128)])
    odd.write(folder / "odd.gguf")
    judge.expect("show tensors", run("kvlab_weights", "show", folder / "odd.gguf"), 0, "\\x1b[2J\\u{009b}31m\\u{202e}evil")
    judge.expect("a tensor more", run("step02_attention", "-m", folder / "odd.gguf"), 1, "tensor '\\x1b[2J")
    other = tiny().set("general.architecture", STRING, text(EVIL)).write(folder / "other.gguf")
    judge.expect("architecture", run("step02_attention", "-m", other), 1, "expected llama or gpt2, found '\\x1b")
    loud = tiny()
    head = loud.tensor("output.weight")
    head[3] = bytes(len(head[3]))  # every byte as likely as any other
    loud.write(folder / "loud.gguf")
    judge.expect("generated", run("step02_attention", "-m", folder / "loud.gguf", "-t", 1, "-n", 120, "-s", 1), 0, "\\x1b")


def check_refusals(judge: Judge, folder: Path) -> None:
    strange = tiny()
    strange.tensor("blk.0.attn_q.weight")[2] = 6
    strange.write(folder / "q5.gguf")
    judge.expect("a type", run("kvlab_weights", "show", folder / "q5.gguf"), 1,
                 "expected F32 (0), F16 (1), BF16 (30), Q8_0 (8), Q4_0 (2), Q4_1 (3) or Q4_K (12), found Q5_0 (6)")
    family = tiny().set("general.architecture", STRING, text("qwen2")).set("tokenizer.ggml.model", STRING, text("bert"))
    judge.expect("another family", run("step02_attention", "-m", family.write(folder / "family.gguf")), 1,
                 "general.architecture: expected llama or gpt2, found 'qwen2'")
    experts = tiny().set("llama.expert_count", U32, struct.pack("<I", 8)).write(folder / "experts.gguf")
    judge.expect("experts", run("step02_attention", "-m", experts), 1, "found u32 8: a mixture of experts (not supported)")
    none = tiny().set("llama.rope.scaling.type", STRING, text("linear")).set("llama.rope.scaling.factor", F32,
                                                                             struct.pack("<f", 1)).write(folder / "one.gguf")
    results = [run("step02_attention", "-m", model, "-n", 5)[1].split("checksum=")[-1] for model in (none, "tiny")]
    if results[0] != results[1] or not results[0]:
        judge.wrong.append(f"linear scaling by 1 changes the checksum: {results}")


def check_context(judge: Judge, folder: Path) -> None:
    """Last of all: the peak is of all processes so far."""
    deep = tiny().set("llama.context_length", U32, struct.pack("<I", 1 << 24)).write(folder / "deep.gguf")
    runs = [("step02_attention", "-n", 3), ("step03_kvcache", "generate", "-n", 3), ("step03_kvcache", "count", "-n", 3),
            ("step05_policies", "generate", "-n", 3, "--policy", "sinks-relative", "--budget", 64),
            ("step06_quant", "bytes")]
    for program, *arguments in runs:
        if not (BIN / program).exists():
            continue
        judge.expect(f"{program} {arguments[0]}, a context of 2^24", run(program, *arguments, "-m", deep), 0, "RESULT")
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        if peak > 400:  # a table of all angles alone has 1 GiB; a sanitizer takes some memory of its own
            judge.wrong.append(f"{program} {arguments[0]}: {peak:.0f} MiB for three tokens of a context of 2^24")


def check_note(judge: Judge, folder: Path) -> None:
    """GPT-2's tokenizer of single bytes, whose file does not say how words are split."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = {byte: byte for byte in plain}
    for byte in range(256):
        letters.setdefault(byte, 256 + len(letters) - len(plain))
    names = b"".join(text(chr(letters[byte])) for byte in range(256))
    model = tiny().set("tokenizer.ggml.model", STRING, text("gpt2"))
    model.set("tokenizer.ggml.tokens", ARRAY, struct.pack("<IQ", STRING, 256) + names)
    model.set("tokenizer.ggml.token_type", ARRAY, struct.pack("<IQ", 5, 256) + struct.pack("<i", 1) * 256)
    model.write(folder / "bpe.gguf")
    for arguments in (("step02_attention", "-n", 2, "-m", folder / "bpe.gguf"),
                      ("kvlab_weights", "tokens", folder / "bpe.gguf", "word")):
        done = run(*arguments)
        judge.expect(f"{arguments[0]} without a pre-tokenizer", done, 0, "key 'tokenizer.ggml.pre': expected")
        if not done[2].startswith("note: ") or "words are split as by 'gpt-2'" not in done[2]:
            judge.wrong.append(f"{arguments[0]}: no note on standard error: {done[2]!r}")
    model.set("tokenizer.ggml.pre", STRING, text("gpt-2")).write(folder / "bpe.gguf")
    if run("step02_attention", "-n", 2, "-m", folder / "bpe.gguf")[2]:
        judge.wrong.append("a note although the pre-tokenizer is named")


def check_cases(judge: Judge, folder: Path) -> None:
    good = {"kind": "recall", "distance": 16, "text": "ab=c;ab?c", "answer": [8]}
    path = folder / "cases.jsonl"

    def refused(what: str, line: str, held: str) -> None:
        path.write_text(json.dumps(good) + "\n" + line + "\n")
        judge.expect(f"recall case {what}", run("step02_attention", "score", "--windows", 1, "--cases", path), 1,
                     f"cases.jsonl: line 2: {held}")

    for field in good:
        refused(f"without {field}", json.dumps({k: v for k, v in good.items() if k != field}), f"{field}: expected in the object")
    for field, value, held in (
            ("distance", "16", "a whole number from 0 on, found"),
            ("distance", -1, "a whole number"), ("distance", 1.5, "a whole number"), ("distance", None, "a whole number"),
            ("kind", 3, "a text that is not empty"), ("kind", "", "a text"), ("text", "", "a text"), ("text", ["a"], "a text"),
            ("answer", [], "an array"), ("answer", 8, "an array"), ("answer", [9], "a place in the text, 0 to 8"),
            ("answer", [-1], "a place"), ("answer", [1e300], "a place"), ("answer", [2**64 - 1], "a place"),
            ("answer", ["8"], "a place")):
        refused(f"with {field} {value!r}", json.dumps({**good, field: value}), f"{field}: expected {held}")
    refused("of no JSON", "{", "expected an object with kind, distance, text and answer, found no JSON")
    refused("of an array", "[]", "expected an object")
    refused("that is empty", "", "expected an object")
    path.write_text("")
    score = ("step02_attention", "score", "--windows", 1)
    judge.expect("no recall cases", run(*score, "--cases", path), 1, "cases.jsonl: expected recall cases, one in a line, found none")
    path.write_text(json.dumps({**good, "kind": "k" + EVIL}) + "\n")
    judge.expect("a kind with controls", run(*score, "--cases", path), 0, "k\\x1b[2J")
    short = folder / "short.txt"
    short.write_text("And God said, " * 80)
    judge.expect("a short text", run(*score, "--cases", path, "--text", short), 0, "RESULT bits_per_byte=")


def check_folders(judge: Judge, folder: Path) -> None:
    (folder / "tiny").mkdir()
    (folder / "gone").mkdir()
    judge.expect("a folder of the model's name", run("step02_attention", "-n", 2, folder=folder), 0, "checksum=")
    judge.expect("a folder as a model", run("step02_attention", "-m", "gone", folder=folder), 1, "found a folder as given")
    judge.expect("a folder as a model", run("kvlab_weights", "show", folder / "gone"), 1, "found a folder as given")
    for flag in ("--text", "--cases"):
        judge.expect(f"a folder as {flag}", run("step02_attention", "score", "--windows", 1, flag, folder), 2,
                     f"'{folder}': expected a file, found a folder as given")
    if (BIN / "step03_kvcache").exists():
        judge.expect("a folder as a trace", run("step03_kvcache", "diverge", "--traces", folder, folder), 1, "found a folder")


def main() -> int:
    judge = Judge()
    with tempfile.TemporaryDirectory() as name:
        for check in (check_text, check_refusals, check_note, check_cases, check_folders, check_context):
            check(judge, Path(name))
    print("\n".join(judge.wrong) or "ok")
    return 1 if judge.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
