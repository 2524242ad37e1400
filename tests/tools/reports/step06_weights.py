"""Chapter 6: weights in every format: bits and bytes in closed form, quality from weights rounded in Python."""
import re

from reports import calibrated, formats, plain_model as plain, step06_trial as trial
from reports.checked import case
from reports.step06_trial import HELDOUT, NARROW, NARROW_FILES, WORDS, WORDS_FILES
from reports.times import Counting, median

# Rows of 256 numbers in ffn_down alone: there Q4_K has blocks.
BLOCKS_FILE = plain.made("blocks", layers=1, ffn=256, seed=3)
# A file in Q8_0 with a matrix in F16; and its norms, which are no matrices, in F32.
ROUNDED_FILE = plain.made("rounded", layers=1, ffn=32, seed=4, kinds={2: "Q8_0", "blk.0.attn_k.weight": "F16"})
BLOCKS, ROUNDED = plain.Model(formats.Gguf(BLOCKS_FILE)), plain.Model(formats.Gguf(ROUNDED_FILE))

BLOCK_CODES = {"q8_0": formats.q8_0, "q4_0": formats.q4_0, "q4_1": formats.q4_1}
PLAIN_CODES = {"f16": formats.f16, "bf16": formats.bf16}
TYPES = ("f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "q4_k")
DEFAULTS = [*TYPES, "int8-row", "nf4", "nf4-head", "nf4-twice",
            *(f"{method}{grid}" for grid in ("4-g32", "4-g32-head", "4-g64", "4-g128", "3-g32", "3-g32-head")
              for method in ("rtn", "gptq", "awq"))]


def layers_only(name):
    """A type is that of a whole file; all else leaves the token table and the head, but where the name says so."""
    return name not in TYPES and not name.endswith("-head")


def is_rounded(name, tensor):
    return tensor.startswith("blk.") or not layers_only(name)


def grouped(name):
    """(method, bits, group, clip) of rtn4-g32 and its kind."""
    found = re.fullmatch(r"(rtn|gptq|awq)(\d)-g(\d+)(-noclip)?(-head)?", name)
    return found and (found[1], int(found[2]), int(found[3]), not found[4])


def takes(name, K):
    return name not in TYPES or K % formats.TYPES[name.upper()][1] == 0


def matrix_bytes(name, N, K):
    if not takes(name, K):
        return 4 * N * K
    if name in TYPES:
        return N * formats.bytes_of(name.upper(), K)
    if name.startswith("int8-row"):
        return N * (K + 4)
    if name.startswith("nf4"):
        return formats.nf4_bytes(N * K, name.startswith("nf4-twice"))
    return N * formats.rtn_row_bytes(K, *grouped(name)[1:3])


def rounded_matrix(name, rows):
    if not takes(name, len(rows[0])) or name == "f32":
        return rows
    if name in PLAIN_CODES:
        return [[PLAIN_CODES[name](x) for x in row] for row in rows]
    if name in BLOCK_CODES:
        return [formats.in_blocks(BLOCK_CODES[name], row) for row in rows]
    if name.startswith("int8-row"):
        return [formats.by_row(row) for row in rows]
    if name.startswith("nf4"):
        K = len(rows[0])
        flat = formats.nf4([x for row in rows for x in row], name.startswith("nf4-twice"))
        return [flat[at:at + K] for at in range(0, len(flat), K)]
    _, bits, group, _ = grouped(name)
    return [formats.rtn(row, bits, group) for row in rows]


def model_in(run, name, model, file, text):
    method = grouped(name)
    if name == "q4_k":  # its search for the best line is the converter's, which has a reference of its own
        done = run.start("kvlab_weights", "convert", f"SCRATCH/{file}", "SCRATCH/q4_k.gguf", "--type", "q4_k")
        run.holds(done.returncode == 0, f"convert: {done.stderr}")
        other = plain.Model(formats.Gguf((run.scratch / "q4_k.gguf").read_bytes()))
        return model.edited({n: other.tensors[n] for n, rows in model.matrices().items() if takes(name, len(rows[0]))})
    if method and method[0] == "gptq":
        return calibrated.gptq_model(model, text, *method[1:3], not layers_only(name))
    if method and method[0] == "awq":
        return calibrated.awq_model(model, text, *method[1:], not layers_only(name))
    return model.edited({n: rounded_matrix(name, rows) for n, rows in model.matrices().items() if is_rounded(name, n)})


def check_weights(run, model, names, text, other, size, steps, rounds, file=None, channel=7, factor=1, source="F32", tolerances={}):
    plain_bits = trial.trial_head(run, "step06_quant weights", model, text, size, source, other.count, "rtn4-g32")
    base = calibrated.with_channel(model, channel, factor) if factor != 1 else model
    sizes = {tensor: (len(rows), len(rows[0])) for tensor, rows in model.matrices().items()}
    stored = {tensor: len(model.file.tensors[tensor][2]) for tensor in sizes}
    kept, clock = {}, Counting()
    run.holds(len(run.json["rows"]) == len(names), f"{len(run.json['rows'])} rows, expected {len(names)}")
    for i, name in enumerate(names):
        path, row = f"rows[{i}]", run.json["rows"][i]
        total = sum(matrix_bytes(name, N, K) if is_rounded(name, tensor) else stored[tensor] for tensor, (N, K) in sizes.items())
        left = [tensor for tensor, (_, K) in sizes.items() if not takes(name, K)]
        of = "layers" if layers_only(name) else "all"
        kept |= {name: left} if left else {}
        run.given(f"{path}.format", name)
        run.given(f"{path}.of", of)
        run.closed_form(f"{path}.bytes", total)
        run.closed_form(f"{path}.bits", 8 * total / sum(N * K for N, K in sizes.values()), 1e-15)
        run.closed_form(f'{path}."in F32"', len(left))
        if name in TYPES:  # the clock is read when a round begins; when it ends, too, but for the first, which warms up
            clock.read()
            run.counted_clock(f'{path}."ms/token"', median([1e3 * clock.interval() / steps for _ in range(rounds)]), 1e-12)
        else:
            run.by_hand(f'{path}."ms/token"', None)
        if (name == "f32" or len(left) == len(sizes)) and factor == 1 and source == "F32":
            trial.exactly_plain(run, path, plain_bits)
        else:
            shift = plain.judged(model, text, model_in(run, name, base, file, other))
            trial.quality(run, path, shift, size, name == "f32", tolerances.get(name, 5e-3))
        trial.says_row(run, [name, of, row["bits"], row["bytes"], row["in F32"], row["ms/token"]], row)
    run.by_hand("kept_f32", kept)
    run.given("factor", factor)
    for left in {tuple(one) for one in kept.values()}:
        which = ", ".join(name for name in kept if tuple(kept[name]) == left)
        shapes = [f"{tensor} [{sizes[tensor][0]}, {sizes[tensor][1]}]" for tensor in left[:4]]
        run.says(f"in F32, not in {which}: {len(left)} matrices whose rows are no whole blocks: {' '.join(shapes)}"
                 + (" ..." if len(left) > 4 else ""))
    trial.says_header(run, "format", "of", "bits", "bytes", "in F32", "ms/token")
    run.says(f"{model.name}, {trial.engine(run)}: {text.count} windows of {text.window} tokens, calibrated on {other.count} others",
             f"The model itself: {plain_bits:.4f} bits per byte. of: all matrices are in the format, or those of",
             f"RESULT rows={len(names)}")
    run.words("that differ here are no comparison. bits: per number of any matrix, scales and what")
    if source != "F32":
        run.says(f"The file is in {source}: everything here is relative to its {source} values.")


def texts(window, tokens, calibration):
    """To judge by, and behind it to calibrate on; of the former, how many bytes."""
    text = plain.Text(HELDOUT, 0, window, max(1, tokens // window))
    other = plain.Text(HELDOUT, 0, window, max(1, calibration // window), skip=text.count * window + 1)
    return text, other, text.count * window


CODED = "f32,f16,bf16,q8_0,q4_0,q4_1,q4_k,int8-row,int8-row-head,nf4,nf4-twice,nf4-twice-head,rtn4-g32,rtn3-g100,rtn2-g128-head"
CALIBRATED = "gptq3-g8,awq3-g8-head,awq3-g8-noclip,awq3-g8-noclip-head,rtn3-g8"


@case("step06_quant", f"weights -m SCRATCH/blocks.gguf --window 20 --tokens 45 --calibration 1 --recall 0 --steps 3 --rounds 4 --formats {CODED}",
      files={"blocks.gguf": BLOCKS_FILE})
def weights_coded(run):
    check_weights(run, BLOCKS, CODED.split(","), *texts(20, 45, 1), 3, 4, "blocks.gguf")


@case("step06_quant", "weights -m SCRATCH/narrow.gguf --window 16 --tokens 16 --calibration 40 --recall 0 --steps 2 --rounds 1",
      files=NARROW_FILES)
def weights_all(run):
    """The default formats; those with blocks do not fit rows of 20 and 24, but for attention's output."""
    check_weights(run, NARROW, DEFAULTS, *texts(16, 16, 40), 2, 1)


@case("step06_quant", "weights -m SCRATCH/narrow.gguf --window 16 --tokens 32 --calibration 32 --recall 0 --factor 9 --channel 3 --steps 2 "
      f"--rounds 2 --formats f32,q8_0,{CALIBRATED}", files=NARROW_FILES)
def weights_of_large_channel(run):
    check_weights(run, NARROW, ["f32", "q8_0", *CALIBRATED.split(",")], *texts(16, 32, 32), 2, 2, channel=3, factor=9)


@case("step06_quant", "weights -m SCRATCH/rounded.gguf --window 16 --tokens 16 --calibration 16 --recall 0 --formats f32,q4_0,rtn4-g8 --steps 1 --rounds 2",
      files={"rounded.gguf": ROUNDED_FILE})
def weights_of_rounded_file(run):
    """Relative to what the file says, which is rounded already; a head that is left takes what it takes there."""
    check_weights(run, ROUNDED, ["f32", "q4_0", "rtn4-g8"], *texts(16, 16, 16), 1, 2, source="Q8_0")


@case("step06_quant", "weights -m SCRATCH/words.gguf --text SCRATCH/low.txt --window 10 --tokens 10 --calibration 10 --formats gptq4-g16 --steps 1",
      files=WORDS_FILES)
def weights_of_words(run):
    """Calibrated on what follows the text that it is judged by, without a BOS."""
    text = trial.words_text(10, 1)
    check_weights(run, WORDS, ["gptq4-g16"], text, trial.words_text(10, 1, skip=11), trial.words_bytes(text), 1, 5)
