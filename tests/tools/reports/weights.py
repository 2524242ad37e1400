"""Files of weights: what they are shown to hold and what is written into another type, read back in Python; tokens."""
import math
import re

from reports import formats, plain_model as plain, small_model
from reports.book_model import printable, quoted
from reports.checked import case
from reports.formats import SCALAR_NAMES, TYPES, Gguf, gguf_bytes
from reports.step06_trial import NARROW_FILE
from reports.step06_weights import BLOCKS_FILE, ROUNDED_FILE, rounded_matrix, takes

# llama.cpp's number of a file that is mostly of this type.
FILE_TYPES = {"F32": 0, "F16": 1, "Q4_0": 2, "Q4_1": 3, "Q8_0": 7, "Q4_K": 14, "BF16": 32}


# --- show ---------------------------------------------------------------------------------------


def shortened(text):
    return quoted(text) if len(text.encode()) <= 40 else quoted(text[:40])[:-1] + "...'"


def described(kind, value):
    """A value of the metadata, as it is shown."""
    if kind == 9:
        inner, values = value
        first = " ".join(described(inner, v).partition(" ")[2] for v in values[:4])
        return f"array of {len(values)} {SCALAR_NAMES[inner]}: {first}" + (" ..." if len(values) > 4 else "")
    shown = shortened(value) if kind == 8 else str(value).lower() if kind == 7 else f"{value:g}" if kind in (6, 12) else str(value)
    return f"{SCALAR_NAMES[kind]} {shown}"


def check_show(run, path, raw):
    file = Gguf(raw)
    numbers = {name: len(file.numbers(name)) for name in file.tensors}
    run.says(path, f"GGUF version 3, alignment {file.alignment}, {len(raw)} bytes")
    for key, (kind, value) in file.metadata.items():
        run.says(f"{key} {described(kind, value)}")
    for name, (kind, shape, data) in file.tensors.items():
        run.says(f"{name} {kind} [{', '.join(map(str, shape))}] {len(data)}")
    kinds = [kind for kind, _, _ in file.tensors.values()]
    for kind in set(kinds):
        count = sum(numbers[name] for name, (k, _, _) in file.tensors.items() if k == kind)
        _, block, size = TYPES[kind]
        run.says(f"{kind} {kinds.count(kind)} tensors, {count} numbers, {count // block * size} bytes")
    run.says(f"RESULT tensors={len(numbers)} numbers={sum(numbers.values())} "
             f"tensor_bytes={sum(len(data) for _, _, data in file.tensors.values())} file_bytes={len(raw)}")


@case("kvlab_weights")
def shown_by_default(run):
    path = run.lines[0]
    run.holds(path.endswith("tiny.gguf"), path)
    check_show(run, path, (plain.WEIGHTS / "tiny.gguf").read_bytes())


@case("kvlab_weights", "show SCRATCH/rounded.gguf", files={"rounded.gguf": ROUNDED_FILE})
def shown_types(run):
    check_show(run, f"{run.scratch}/rounded.gguf", ROUNDED_FILE)


def every_kind():
    """Metadata of every type, with an alignment of its own; a tensor whose bytes do not fill it."""
    scalars = {f"of.{name}": (kind, {"f32": 0.25, "f64": -1e-9, "bool": False}.get(name, 7 + kind))
               for kind, name in enumerate(SCALAR_NAMES) if name not in ("string", "array")}
    meta = {"general.architecture": (8, "llama"), "general.alignment": (4, 32), **scalars, "short": (9, (6, [0.5, -2.0])),
            "empty": (8, ""), "long": (8, "x" * 41), "whole": (8, "y" * 40), "five": (9, (8, ["a", "b'", "c", "d\n", "e"]))}
    return gguf_bytes(meta, {"one.weight": ("F16", (3,), b"\0\x3c" * 3), "two.weight": ("F32", (2, 1), bytes(8))})


@case("kvlab_weights", "show SCRATCH/kinds.gguf", files={"kinds.gguf": every_kind})
def shown_metadata(run):
    check_show(run, f"{run.scratch}/kinds.gguf", every_kind())


# --- convert ------------------------------------------------------------------------------------


def becomes(kind, source, shape):
    """The type of a tensor in the new file; whether it is a vector, converted or a misfit."""
    if len(shape) == 1:
        return "F32", "vector"
    if shape[-1] % TYPES[kind][1] == 0:
        return kind, "converted"
    plain_numbers = source in ("F32", "F16", "BF16")
    return ("Q8_0" if plain_numbers and shape[-1] % 32 == 0 else source), "misfit"


def check_numbers(run, name, kind, old, new, K):
    """What was written, against the format's definition."""
    rows = [old[at:at + K] for at in range(0, len(old), K)]
    if kind == "Q4_K":  # of each 32 numbers the line is the best of some: no worse than half a step of all, and its scales' rounding
        for at in range(0, len(old), 32):
            part = old[at:at + 32]
            step = (max(*part, 0) - min(*part, 0)) / 15
            run.holds(max(abs(a - b) for a, b in zip(part, new[at:at + 32])) <= 1.5 * step, f"{name}: numbers from {at}")
        return
    expected = [x for row in rounded_matrix(kind.lower(), rows) for x in row]
    off = [i for i, (a, b) in enumerate(zip(expected, new)) if abs(a - b) > 1e-6 * abs(a)]
    # A number in the middle of two codes: floats and doubles may differ about it.
    run.holds(len(new) == len(old) and len(off) <= len(old) // 1000, f"{name}: {len(off)} of {len(old)} numbers are not those of {kind}")


def check_convert(run, raw, out, kind):
    old, new = Gguf(raw), Gguf(run.files[out])
    run.holds(list(new.tensors) == list(old.tensors), "the tensors' names")
    sizes, tallies, matrices = {}, {"vector": 0, "converted": 0, "misfit": 0}, {}
    for name, (source, shape, data) in old.tensors.items():
        target, what = becomes(kind, source, shape)
        found, new_shape, new_data = new.tensors[name]
        run.holds((found, new_shape) == (target, shape), f"{name} is {found} {new_shape}, expected {target} {shape}")
        if target == source:
            run.holds(new_data == data, f"{name} did not keep its bytes")
        else:
            check_numbers(run, name, target, old.numbers(name), new.numbers(name), shape[-1])
        tallies[what] += 1
        sizes.setdefault(target, []).append(len(new_data))
        if what != "vector":
            matrices[target] = matrices.get(target, 0) + len(new.numbers(name))
        if what == "misfit":
            run.says(f"{'kept as' if target == source else 'made'} {target}: {name} [{', '.join(map(str, shape))}] "
                     f"(its row is not a multiple of {TYPES[kind][1]})")
    run.says(f"{run.scratch}/{out}: {tallies['converted']} matrices as {kind}, {tallies['misfit']} that cannot be, "
             f"{tallies['vector']} vectors as F32", *(f"{k}: {len(s)} tensors, {sum(s)} bytes" for k, s in sizes.items()))
    run.says(f"RESULT converted={tallies['converted']} kept={tallies['misfit']} vectors={tallies['vector']} "
             f"bytes_in={sum(len(data) for _, _, data in old.tensors.values())} bytes_out={sum(map(sum, sizes.values()))}")
    expected = {key: value for key, value in old.metadata.items() if key != "general.quantization_version"}
    expected["general.file_type"] = 4, FILE_TYPES[max(matrices, key=lambda k: (matrices[k], k == kind))]
    if any(k.startswith("Q") for k in sizes):
        expected["general.quantization_version"] = 4, 2
    for key in {*expected, *new.metadata}:
        run.holds(new.metadata.get(key) == expected.get(key), f"{key} is {new.metadata.get(key)}, expected {expected.get(key)}")


def converted_by(program, source, raw, kind, flag=True):
    """A check of one conversion, by either program; both write the same file."""
    arguments = [f"SCRATCH/{source}.gguf", "SCRATCH/out.gguf", *(["--type", kind.lower()] if flag else [])]

    def check(run):
        check_convert(run, raw, "out.gguf", kind)
        other = {"step06_quant": "kvlab_weights", "kvlab_weights": "step06_quant"}[program]
        if (run.bin / other).exists():
            again = [arguments[0], "SCRATCH/again.gguf", "--type", kind.lower()]
            run.holds(run.start(other, "convert", *again).returncode == 0, f"{other} does not convert")
            run.holds((run.scratch / "again.gguf").read_bytes() == run.files["out.gguf"], f"{other} writes another file")

    check.__name__ = f"{source}_as_{kind.lower()}" + ("" if flag else "_by_default")
    check.__module__ = __name__
    case(program, ["convert", *arguments], files={f"{source}.gguf": raw}, report=False)(check)


for one in TYPES:
    converted_by("kvlab_weights", "blocks", BLOCKS_FILE, one)
for one in ("F32", "Q4_K", "Q4_0"):
    converted_by("kvlab_weights", "rounded", ROUNDED_FILE, one)
# One matrix with most of the numbers, two with most of the names: the former says what a file is mostly of.
UNEVEN_FILE = gguf_bytes({"general.architecture": (8, "llama")}, {
    name: ("F32", shape, formats.encode("F32", [math.sin(i) for i in range(math.prod(shape))]))
    for name, shape in {"big.weight": (8, 256), "one.weight": (2, 32), "two.weight": (2, 32)}.items()})
converted_by("kvlab_weights", "uneven", UNEVEN_FILE, "Q4_K")
converted_by("step06_quant", "narrow", NARROW_FILE, "Q8_0", flag=False)
converted_by("step06_quant", "rounded", ROUNDED_FILE, "BF16")


# --- tokens -------------------------------------------------------------------------------------


def result(run, tokens, size, dropped=0, invalid=0):
    run.says(f"RESULT tokens={tokens} bytes={size} dropped={dropped} invalid={invalid}")


def says_tokens(run, tokens, pieces):
    run.says(*(f"{token} {one}" for token, one in zip(tokens, pieces)))


def piece(token):
    """As it is shown: text where it is UTF-8, its bytes where not."""
    raw = small_model.decode([token])
    try:
        return quoted(raw.decode())
    except UnicodeDecodeError:
        return "'" + "".join(f"\\x{b:02x}" for b in raw) + "'"


@case("kvlab_weights", ["tokens", "tiny", "a\udcff\n'"])
def tokens_of_bytes(run):
    """A model of bytes writes everything, also what is no UTF-8."""
    says_tokens(run, (97, 255, 10, 39), ("'a'", r"'\xff'", r"'\x0a'", r"'\x27'"))
    result(run, 4, 4)


@case("kvlab_weights", ["tokens", "SCRATCH/words.gguf", "lower new  low. Newer<|im_end|>"], files={"words.gguf": small_model.file})
def tokens_of_words(run):
    """Without --special the name of a control token is text."""
    text = "lower new  low. Newer<|im_end|>"
    tokens = small_model.encode("lower new") + [32] + small_model.encode(" low. Newer<|im_end|>")
    says_tokens(run, tokens, map(piece, tokens))
    result(run, len(tokens), len(text))


@case("kvlab_weights", ["tokens", "SCRATCH/words.gguf", "low<|im_end|>er", "--special", "--steps"], files={"words.gguf": small_model.file})
def tokens_in_steps(run):
    """Inside of a special token nothing is merged."""
    run.holds(run.lines[:7] == ["word 'low'", "'l' 'o' 'w'", "'lo' 'w'", "'low'", "special '<|im_end|>'", "word 'er'", "'e' 'r'"]
              and run.lines[7] == "'er'", f"steps: {run.lines}")
    tokens = [*small_model.encode("low"), small_model.END, *small_model.encode("er")]
    says_tokens(run, tokens, ("'low'", "'<|im_end|>'", "'er'"))
    result(run, 3, len("low<|im_end|>er"))


def gap_file():
    """No token for byte 4."""
    file = Gguf(small_model.file())
    kind, (inner, names) = file.metadata["tokenizer.ggml.tokens"]
    names = ["zz" if i == 4 else name for i, name in enumerate(names)]
    return gguf_bytes({**file.metadata, "tokenizer.ggml.tokens": (kind, (inner, names))}, file.tensors)


@case("kvlab_weights", ["tokens", "SCRATCH/gap.gguf", "lo\x04w\udcff\udcfe.", "--steps"], files={"gap.gguf": gap_file})
def tokens_lost(run):
    """A byte that no token can write is left out; what is no UTF-8 becomes U+FFFD, three bytes."""
    replacement = [0xef, 0xbf, 0xbd] * 2
    tokens = [*small_model.encode("lo"), ord("w"), *replacement, ord(".")]
    run.words("'\\xef' '\\xbf' '\\xbd' '\\xef' '\\xbf' '\\xbd' '.'")
    for word in ("lo", "\\x04", "w"):
        run.words(f"word '{word}'") if re.search(r"\d", word) else None
    says_tokens(run, tokens, map(piece, tokens))
    run.says("lost: 1 bytes that the vocabulary cannot write, 2 bytes that were not UTF-8")
    result(run, len(tokens), len("lo") + 1 + len("w") + 2 + 1, 1, 2)
