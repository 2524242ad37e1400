#!/usr/bin/env python3
"""What llama.cpp's tokenizer makes of difficult texts, as reference data for the C++ tests.

    python3 tests/reference/llama_tokenizer.py SmolLM2-135M-Instruct-Q4_1.gguf

Writes to tests/data/reference/:
  tokenizer_cases.jsonl   {"name", "hex" (the text's bytes), "special" (parse_special), "tokens"}
  tokenizer_sweep.json    for every block of 4096 code points, a checksum of the tokens of a text that
                          shows the class (letter, number, space, other) of each
  chat_cases.jsonl        {"messages", "generation_prompt", "rendered" (by jinja2), "tokens"}
Needs: llama-cpp-python, jinja2, gguf (PyPI). The texts are in tokenizer_texts.py.
"""
from __future__ import annotations

import argparse
import ctypes
import json
from pathlib import Path

import gguf
import jinja2.sandbox
import llama_cpp

from tokenizer_texts import CHATS, texts

OUTPUT = Path(__file__).resolve().parent.parent / "data" / "reference"


class Vocabulary:
    """A model file, loaded without its weights."""

    def __init__(self, path: Path):
        llama_cpp.llama_backend_init()
        params = llama_cpp.llama_model_default_params()
        params.vocab_only = True
        self.model = llama_cpp.llama_model_load_from_file(str(path).encode(), params)
        assert self.model, f"llama.cpp cannot load {path}"
        self.vocab = llama_cpp.llama_model_get_vocab(self.model)

    def encode(self, text: bytes, special: bool) -> list[int]:
        room = len(text) + 8
        out = (ctypes.c_int32 * room)()
        n = llama_cpp.llama_tokenize(self.vocab, text, len(text), out, room, False, special)
        assert 0 <= n <= room, n
        return list(out[:n])


def fnv1a(tokens: list[int]) -> str:
    """The project's checksum: one 32-bit pattern per step."""
    value = 0xCBF29CE484222325
    for token in tokens:
        value = ((value ^ (token & 0xFFFFFFFF)) * 1099511628211) & 0xFFFFFFFFFFFFFFFF
    return f"{value:016x}"


def sweep(vocab: Vocabulary) -> list[str]:
    """Each code point c stands in "  c's": the two spaces stay together before a number and become one run
    with a space, "'s" stays together after a letter and not after a sign. So the tokens tell c's class."""
    sums = []
    for block in range(0, 0x110000, 4096):
        text = "".join(f"  {chr(c)}'s" for c in range(block, block + 4096))
        sums.append(fnv1a(vocab.encode(text.encode("utf-8", "surrogatepass"), False)))
    return sums


def chat_cases(vocab: Vocabulary, template: str) -> list[dict]:
    render = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    compiled = render.from_string(template)
    cases = []
    for messages, generation_prompt in CHATS:
        rendered = compiled.render(messages=messages, add_generation_prompt=generation_prompt)
        # The user's words are tokenized without special tokens, all that the template adds with them. A private
        # character marks each message's place, so that the template itself decides what stands around it.
        marked = [{"role": m["role"], "content": f"{m['role']}\n{m['content']}"} for m in messages]
        places = [{"role": m["role"], "content": chr(0xE000 + i)} for i, m in enumerate(messages)]
        frame = compiled.render(messages=places, add_generation_prompt=generation_prompt)
        tokens: list[int] = []
        for i, m in enumerate(messages):
            before, frame = frame.split(f"{m['role']}\n{chr(0xE000 + i)}", 1)
            tokens += vocab.encode(before.encode(), True) + vocab.encode(marked[i]["content"].encode(), False)
        tokens += vocab.encode(frame.encode(), True)
        if not any("<|" in m["content"] for m in messages):
            assert tokens == vocab.encode(rendered.encode(), True), rendered
        cases.append({"messages": messages, "generation_prompt": generation_prompt, "rendered": rendered,
                      "tokens": tokens})
    return cases


def write_lines(name: str, rows: list[dict]) -> None:
    lines = [json.dumps(row, ensure_ascii=True, separators=(",", ":")) for row in rows]
    (OUTPUT / name).write_text("\n".join(lines) + "\n")
    print(f"{name}: {len(rows)} cases")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    args = parser.parse_args()
    vocab = Vocabulary(args.model)
    OUTPUT.mkdir(parents=True, exist_ok=True)
    rows = [{"name": name, "hex": text.hex(), "special": special, "tokens": vocab.encode(text, special)}
            for name, text, special in texts()]
    assert len({row["name"] for row in rows}) == len(rows), "two cases of one name"
    write_lines("tokenizer_cases.jsonl", rows)
    sums = sweep(vocab)
    (OUTPUT / "tokenizer_sweep.json").write_text(json.dumps(
        {"llama_cpp_python": llama_cpp.__version__, "block": 4096, "text": "  c's", "checksums": sums},
        indent=0) + "\n")
    print(f"tokenizer_sweep.json: {len(sums)} blocks")
    field = gguf.GGUFReader(args.model).fields["tokenizer.chat_template"]
    write_lines("chat_cases.jsonl", chat_cases(vocab, field.contents()))


if __name__ == "__main__":
    main()
