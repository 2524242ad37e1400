"""A small model with a byte-level BPE vocabulary that can chat, made up here; its tokens by a BPE of a few lines."""
import functools
import random
import re
import struct

from reports.book_model import ARRAY, BOOL, F32, I32, SIMPLE, TEXT, U32, Model

# Letters of GPT-2's alphabet for bytes: those that can be printed stand for themselves.
PRINTED = [*range(0x21, 0x7f), *range(0xa1, 0xad), *range(0xae, 0x100)]
LETTERS = {b: chr(b) for b in PRINTED} | {b: chr(256 + i) for i, b in enumerate(b for b in range(256) if b not in PRINTED)}
MERGES = [("l", "o"), ("lo", "w"), ("e", "r"), (" ", "low"), ("n", "e"), ("ne", "w"), (" ", "new")]
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
PIECES = [bytes([b]) for b in range(256)] + [(a + b).encode() for a, b in MERGES]
START, END = len(PIECES) + 1, len(PIECES) + 2
ENDS = (len(PIECES), END)  # of a text, or of a reply
TEMPLATE = ("{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
            "{{ '<|im_start|>system\nBe brief.<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + "
            "message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}"
            "{{ '<|im_start|>assistant\n' }}{% endif %}")
SHAPE = {"name": "small", "width": 32, "layers": 1, "heads": 2, "kv_heads": 1, "head_dim": 16, "feed_forward": 32,
         "vocab": len(PIECES) + len(SPECIAL), "context": 120}


def letters(piece):
    return "".join(LETTERS[b] for b in piece)


def encode(text):
    """Tokens of lower-case words, points and line ends: of each word, the pair that was merged first, again and again."""
    tokens = []
    for word in re.findall(r" ?[a-z]+| ?[A-Z][a-z]*| ?[^\sa-zA-Z]+|\s", text):
        parts = [bytes([b]) for b in word.encode()]
        while True:
            pairs = [(a.decode("latin-1"), b.decode("latin-1")) for a, b in zip(parts, parts[1:])]
            known = [MERGES.index(pair) for pair in pairs if pair in MERGES]
            if not known:
                break
            at = pairs.index(MERGES[min(known)])
            parts[at:at + 2] = [parts[at] + parts[at + 1]]
        tokens += [PIECES.index(part) for part in parts]
    return tokens


def decode(tokens):
    return b"".join(PIECES[t] if t < len(PIECES) else SPECIAL[t - len(PIECES)].encode() for t in tokens)


def value(kind, thing):
    if kind == TEXT:
        return struct.pack("<Q", len(thing.encode())) + thing.encode()
    if kind == ARRAY:
        inner = TEXT if isinstance(thing[0], str) else I32
        return struct.pack("<IQ", inner, len(thing)) + b"".join(value(inner, one) for one in thing)
    return struct.pack(SIMPLE[kind], thing)


@functools.cache
def file(layers=1):
    c, numbers = SHAPE | {"layers": layers}, random.Random(5)
    tokens = [*map(letters, PIECES), *SPECIAL]
    meta = {
        "general.architecture": (TEXT, "llama"), "general.name": (TEXT, c["name"]),
        "llama.context_length": (U32, c["context"]), "llama.embedding_length": (U32, c["width"]),
        "llama.block_count": (U32, c["layers"]), "llama.feed_forward_length": (U32, c["feed_forward"]),
        "llama.attention.head_count": (U32, c["heads"]), "llama.attention.head_count_kv": (U32, c["kv_heads"]),
        "llama.attention.layer_norm_rms_epsilon": (F32, 1e-5), "llama.rope.dimension_count": (U32, c["head_dim"]),
        "llama.rope.freq_base": (F32, 10000.0), "llama.vocab_size": (U32, len(tokens)),
        "tokenizer.ggml.model": (TEXT, "gpt2"), "tokenizer.ggml.pre": (TEXT, "smollm"), "tokenizer.ggml.tokens": (ARRAY, tokens),
        "tokenizer.ggml.token_type": (ARRAY, [1] * len(PIECES) + [3] * len(SPECIAL)),
        "tokenizer.ggml.merges": (ARRAY, [f"{letters(a.encode())} {letters(b.encode())}" for a, b in MERGES]),
        "tokenizer.ggml.bos_token_id": (U32, START), "tokenizer.ggml.eos_token_id": (U32, END),
        "tokenizer.ggml.add_bos_token": (BOOL, False), "tokenizer.chat_template": (TEXT, TEMPLATE)}
    q, kv, width, hidden = c["heads"] * c["head_dim"], c["kv_heads"] * c["head_dim"], c["width"], c["feed_forward"]
    shapes = {"token_embd": (width, len(tokens)), "output": (width, len(tokens)), "output_norm": (width,)}
    shapes |= {f"blk.{layer}.{name}": shape for layer in range(layers) for name, shape in {
        "attn_norm": (width,), "attn_q": (width, q), "attn_k": (width, kv), "attn_v": (width, kv), "attn_output": (q, width),
        "ffn_norm": (width,), "ffn_gate": (width, hidden), "ffn_up": (width, hidden), "ffn_down": (hidden, width)}.items()}
    head, data = b"GGUF" + struct.pack("<IQQ", 3, len(shapes), len(meta)), b""
    for key, (kind, thing) in meta.items():
        head += value(TEXT, key) + struct.pack("<I", kind) + value(kind, thing)
    for name, shape in shapes.items():
        head += value(TEXT, name + ".weight") + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, 0, len(data))
        count = shape[0] * (shape[1] if len(shape) > 1 else 1)
        scale = 1.5 / shape[0] ** 0.5
        data += struct.pack(f"<{count}f", *(1.0 if len(shape) == 1 else numbers.gauss(0, scale) for _ in range(count)))
        data += bytes(-len(data) % 32)
    return head + bytes(-len(head) % 32) + data


@functools.cache
def model(layers=1):
    return Model(file(layers))
