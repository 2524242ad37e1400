"""Chapter 6: the cache in every format: its bytes in closed form, and what it changes, computed again in Python."""
from reports import formats, plain_model as plain, step06_trial as trial, turbo
from reports.checked import case
from reports.step06_trial import FILES, HELDOUT, NARROW, NARROW_FILES, SMALL, WORDS, WORDS_FILES

BLOCKS_OF_32 = ("q8_0", "q4_0", "q4_1", "kivi4", "kivi2")
# Of 6000 numbers about 12 lie so near the middle of two f16 that a float and a double sum round apart.
TOLERANCES = {"f16": 0.15, "bf16": 0.03, "int8": 0.01}
REFUSAL = "{}: {}: a head_dim of 16 is no multiple of 32"
TURNED = "{}: turned keys cannot be kept before RoPE"


def side_bytes(code, D, n, side, sinks, residual):
    """Of n tokens' keys or values in one head: floats, codes, and what waits in f16."""
    sinks = min(sinks, n)
    waiting = 0
    if code.startswith("kivi"):
        waiting = min(n - sinks, n % residual if side == "keys" else min(n, residual))
    return 4 * D * sinks + formats.kv_row_bytes(code, D) * (n - sinks - waiting) + 2 * D * waiting


def seen_bits(model, keys, values, first, window, sinks=0, residual=128):
    """Of a number that the positions from `first` on see: each sees the residual as it was when it came, and itself."""
    size = numbers = 0
    for p in range(first, window):
        for code, side in ((keys, "keys"), (turbo.of_values(values), "values")):
            whole, waiting = min(sinks, p + 1), 0
            if code.startswith("kivi"):
                waiting = min(p + 1 - whole, p + 1 - (p - p % residual if side == "keys" else max(0, p - residual)))
            D = model.head_dim
            size += 4 * D * whole + 2 * D * waiting + formats.kv_row_bytes(code, D) * (p + 1 - whole - waiting)
            numbers += (p + 1) * D
    return 8 * size / numbers


def check_sizes(run, path, model, keys, values, window, first, sinks, residual):
    run.closed_form(f"{path}.bytes", cache_bytes(model, keys, values, window, sinks, residual))
    run.closed_form(f"{path}.bits", seen_bits(model, keys, values, 0, window, sinks, residual), 1e-15)
    if first < window:
        run.closed_form(f'{path}."bits after"', seen_bits(model, keys, values, first, window, sinks, residual), 1e-15)
    else:
        run.by_hand(f'{path}."bits after"', None)


def cache_bytes(model, keys, values, n, sinks=0, residual=128):
    return model.layers * model.kv_heads * (side_bytes(keys, model.head_dim, n, "keys", sinks, residual)
                                            + side_bytes(turbo.of_values(values), model.head_dim, n, "values", sinks, residual))


def bits(model, size, n):
    return 8 * size / (2 * model.layers * model.kv_heads * model.head_dim * n)


def codes_of(code, side):
    return ("f32" if side == "values" else code, "f32" if side == "keys" else code)


def refused_of(model, codes, sides, before_rope=False):
    """Blocks of 32 do not fit into 16 numbers, but for KIVI's keys: their groups are 32 tokens of a channel."""
    blocks = BLOCKS_OF_32 if model.head_dim % 32 else ()
    refused = []
    for code in formats.KV_CODES:
        if code in codes and before_rope and turbo.is_turbo(code):
            refused.append(TURNED.format(code))
        elif code in codes and code in blocks:
            refused += [REFUSAL.format(side, code) for side in sides if not (code.startswith("kivi") and side == "keys")]
    return refused


def says_refused(run, refused):
    run.by_hand("refused", refused)
    run.says(*(f"refused: {one}" for one in refused))


# --- the table and kv ---------------------------------------------------------------------------


def check_rows(run, model, text, size_of_text, plain_bits, rows, cases, residual=128, first=None, **options):
    """rows: (code, side). Every variant is run again in Python."""
    n, first = text.window, first or residual
    run.by_hand("score_from", first)
    run.holds(len(run.json["rows"]) == len(rows), f"{len(run.json['rows'])} rows, expected {len(rows)}")
    for i, (code, side) in enumerate(rows):
        path, row = f"rows[{i}]", run.json["rows"][i]
        keys, values = codes_of(code, side)
        run.given(f"{path}.format", code)
        check_sizes(run, path, model, keys, values, n, first, options.get("sinks", 0), residual)
        cache = plain.Coded(keys, values, residual=residual, **options)
        if code == "f32" and not options.get("rotate"):
            trial.exactly_plain(run, path, plain_bits, (n, first))
        else:
            waits = code.startswith("kivi") and n <= residual
            trial.quality(run, path, plain.judged(model, text, cache=cache), size_of_text, nothing=code == "f32",
                          tolerance=TOLERANCES.get("f16" if waits else code, 5e-3), after=(n, first))
        if cases:
            trial.recall(run, path, *plain.right_answers(model, 0, cases, cache))
        yield path, row


def says_after(run, first):
    run.words(f"bits after, KL after: of the positions from {first} on alone; a residual before them is f16 for all.")


def check_table(run, model, window, tokens, law, cases=()):
    text = plain.Text(HELDOUT, 0, window, max(1, tokens // window))
    plain_bits = trial.trial_head(run, "step06_quant", model, text, window * text.count, baseline="q4_0")
    codes = [c for c in formats.KV_CODES if model.head_dim % 32 == 0 or c not in BLOCKS_OF_32]
    law = min(law, window)
    run.by_hand("law_tokens", law)
    run.closed_form("logits", law * model.vocab)
    for path, row in check_rows(run, model, text, window * text.count, plain_bits, [(code, "both") for code in codes], cases):
        run.by_hand(f"{path}.law", 0)
        if row["format"] == "f32":
            run.by_hand(f'{path}."from f32"', 0)
        else:  # a rounded key changes every sum behind it: that a logit keeps its bits is chance
            run.between(f'{path}."from f32"', 0.9 * law * model.vocab, law * model.vocab)
        trial.says_row(run, [row["format"], row["bits"], row["bits after"], row["bytes"], f"0 of {2 * law * model.vocab}", row["from f32"]], row)
    trial.says_header(run, "format", "bits", "bits after", "bytes", "law", "from f32")
    says_after(run, 128)
    run.by_hand("laws", True)
    refused = refused_of(model, formats.KV_CODES, ("both",))
    says_refused(run, refused)
    run.says(f"{model.name}, {trial.engine(run)}: {text.count} windows of {window} tokens; the law on {law}",
             f"without a cache that rounds keys and values the same way. from f32: floats of that run, of {law * model.vocab},",
             "that differ from the float run; a rounded cache without any would be no rounded cache.",
             f"KL in bits, against the model without a cache: {plain_bits:.4f} bits per byte.",
             f"RESULT rows={len(codes)} refused={len(refused)} laws=yes")


@case("step06_quant", "-m SCRATCH/many.gguf --window 24 --tokens 50 --law 17 --recall 1 --cases SCRATCH/cases.jsonl", files=FILES)
def table(run):
    check_table(run, SMALL, 24, 50, 17, trial.taken_cases(1))


@case("step06_quant", "-m SCRATCH/narrow.gguf --window 20 --tokens 7 --law 100 --recall 0", files=NARROW_FILES)
def table_of_narrow_heads(run):
    """Formats that do not fit are refused; a law on more than a window is one on a window."""
    check_table(run, NARROW, 20, 7, 100)


def check_kv(run, model, text, codes=formats.KV_CODES, sides=("both", "keys", "values"), cases=(), inject=False, residual=128,
             size=None, first=None, **options):
    name = model.name
    if inject:
        model = with_outliers(model)
    size = size or text.window * text.count
    plain_bits = trial.trial_head(run, "step06_quant kv", model, text, size, seed=options.get("seed", 1), baseline="q4_0")
    refused = refused_of(model, codes, sides, options.get("before_rope"))
    rows = [("f32", "both")] + [(code, side) for code in formats.KV_CODES[1:] if code in codes for side in sides
                                if not {REFUSAL.format(side, code), TURNED.format(code)} & set(refused)]
    for (_, side), (path, row) in zip(rows, check_rows(run, model, text, size, plain_bits, rows, cases, residual, first, **options)):
        side = "-" if row["format"] == "f32" else side
        run.given(f"{path}.of", side)
        trial.says_row(run, [row["format"], side, row["bits"], row["bits after"], row["bytes"]], row)
    for field, value in {"inject": inject, "residual": residual, "sinks": 0, "rotate": False, "before_rope": False, **options}.items():
        if field != "seed":  # in the head
            run.given(field, value)
    trial.says_header(run, "format", "of", "bits", "bits after", "bytes")
    says_refused(run, refused)
    says_after(run, first or residual)
    what = (", rotated" if options.get("rotate") else "") + (", keys before RoPE" if options.get("before_rope") else "")
    what += ", two channels of each key 20 times as large" if inject else ""
    what += f", {options['sinks']} sinks in f32" if options.get("sinks") else ""
    run.says(f"{name}, {trial.engine(run)}: {text.count} windows of {text.window} tokens{what}",
             f"KL in bits, against the model without a cache: {plain_bits:.4f} bits per byte.",
             f"RESULT rows={len(rows)} refused={len(refused)} f32_is_plain={'no' if options.get('rotate') else 'yes'}")


def one_window(window):
    return plain.Text(HELDOUT, 0, window, 1)


def with_outliers(model):
    """The last two channels of each key 20 times as large, those of the queries by as much smaller."""
    edited = {}
    for layer in range(model.layers):
        for part, factor in (("q", 1 / 20), ("k", 20)):
            name = f"blk.{layer}.attn_{part}.weight"
            edited[name] = [[x * factor for x in row] if n % model.head_dim >= model.head_dim - 2 else row
                            for n, row in enumerate(model.tensors[name])]
    return model.edited(edited)


@case("step06_quant", "kv -m SCRATCH/many.gguf --window 70 --tokens 70 --residual 32 --recall 0 --codes kivi2,kivi4,q4_1", files=FILES)
def kv_residual(run):
    check_kv(run, SMALL, one_window(70), ("kivi4", "kivi2", "q4_1"), residual=32)


@case("step06_quant", "kv -m SCRATCH/many.gguf --window 40 --tokens 80 --residual 32 --recall 0 --codes kivi2 --of both --score-from 35",
      files=FILES)
def kv_two_windows(run):
    """Positions are counted from the beginning of each window."""
    check_kv(run, SMALL, plain.Text(HELDOUT, 0, 40, 2), ("kivi2",), ("both",), residual=32, first=35)


@case("step06_quant", "kv -m SCRATCH/narrow.gguf --window 20 --tokens 39 --recall 0", files=NARROW_FILES)
def kv_all(run):
    check_kv(run, NARROW, one_window(20))


@case("step06_quant", "kv -m SCRATCH/many.gguf --window 70 --tokens 70 --residual 32 --sinks 5 --recall 0 --codes kivi2,q4_0 --of both "
      "--score-from 33", files=FILES)
def kv_sinks(run):
    check_kv(run, SMALL, one_window(70), ("kivi2", "q4_0"), ("both",), sinks=5, residual=32, first=33)


@case("step06_quant", "kv -m SCRATCH/many.gguf --window 30 --tokens 30 --sinks 40 --recall 0 --codes kivi4 --of values", files=FILES)
def kv_all_sinks(run):
    """More sinks than tokens: nothing is rounded."""
    text = one_window(30)
    plain_bits = trial.trial_head(run, "step06_quant kv", SMALL, text, 30, seed=1, baseline="q4_0")
    run.by_hand("score_from", 128)
    for i, (code, side) in enumerate((("f32", "-"), ("kivi4", "values"))):
        run.given(f"rows[{i}].format", code)
        run.given(f"rows[{i}].of", side)
        run.closed_form(f"rows[{i}].bytes", 2 * 2 * 2 * 30 * 32 * 4)  # sides, layers, heads, tokens, numbers
        run.by_hand(f"rows[{i}].bits", 32)
        run.by_hand(f'rows[{i}]."bits after"', None)
        trial.exactly_plain(run, f"rows[{i}]", plain_bits, (30, 128))
        trial.says_row(run, [code, side, 32, None, 30720], run.json["rows"][i])
    for name, value in {"inject": False, "residual": 128, "sinks": 40, "rotate": False, "before_rope": False, "refused": []}.items():
        run.given(name, value)
    trial.says_header(run, "format", "of", "bits", "bits after", "bytes")
    says_after(run, 128)
    run.says(f"many, {trial.engine(run)}: 1 windows of 30 tokens, 40 sinks in f32",
             f"KL in bits, against the model without a cache: {plain_bits:.4f} bits per byte.",
             "RESULT rows=2 refused=0 f32_is_plain=yes")


@case("step06_quant", "kv -m SCRATCH/many.gguf --window 24 --tokens 24 --rotate --recall 0 --codes lloyd4,kivi4 --of both,keys", files=FILES)
def kv_rotated(run):
    """Rotated, floats are no longer those of the model: f32_is_plain=no, and still no failure."""
    check_kv(run, SMALL, one_window(24), ("kivi4", "lloyd4"), ("both", "keys"), rotate=True)


@case("step06_quant", "kv -m SCRATCH/many.gguf --window 20 --tokens 20 --recall 0 --seed 9 --rotate --codes turbo3,turbo2,turbo4-mse",
      files=FILES)
def kv_turbo(run):
    """Turned at random, whatever --rotate says of the others; S and the signs are drawn again in Python."""
    check_kv(run, SMALL, one_window(20), ("turbo3", "turbo2", "turbo4-mse"), rotate=True, seed=9)


@case("step06_quant", "kv -m SCRATCH/many.gguf --window 20 --tokens 20 --recall 0 --pre-rope --codes turbo4,q8_0 --of both,values",
      files=FILES)
def kv_turbo_before_rope(run):
    check_kv(run, SMALL, one_window(20), ("q8_0", "turbo4"), ("both", "values"), before_rope=True)


@case("step06_quant", "kv -m SCRATCH/many.gguf --window 40 --tokens 40 --pre-rope --recall 0 --residual 32 --codes int8,kivi4 --of keys",
      files=FILES)
def kv_before_rope(run):
    check_kv(run, SMALL, one_window(40), ("int8", "kivi4"), ("keys",), before_rope=True, residual=32)


@case("step06_quant", "kv -m SCRATCH/many.gguf --window 24 --tokens 24 --inject --recall 2 --codes q4_0 --of keys --cases SCRATCH/cases.jsonl",
      files=FILES)
def kv_outliers(run):
    check_kv(run, SMALL, one_window(24), ("q4_0",), ("keys",), inject=True, cases=trial.taken_cases(2))


@case("step06_quant", "kv -m SCRATCH/words.gguf --text SCRATCH/low.txt --window 12 --tokens 24 --recall 9 --codes lloyd3 --of both",
      files=WORDS_FILES)
def kv_of_words(run):
    """Bits per byte are over the bytes of the targets; a text may end with its windows, as nothing is calibrated."""
    text = trial.words_text(12, 2)
    check_kv(run, WORDS, text, ("lloyd3",), ("both",), size=trial.words_bytes(text))


# --- bytes --------------------------------------------------------------------------------------


def taken(model, code, n, residual):
    """(what a cache of n tokens has in memory, the same in whole lines of 64 bytes): tiles of 64 tokens, and in KIVI's
    rings the residual's rows and one that comes."""
    blocks = [-(-n // 64) * 64 * model.kv_heads * formats.kv_row_bytes(one, model.head_dim) for one in (code, turbo.of_values(code))]
    if code.startswith("kivi"):
        blocks += [(residual + 1) * model.kv_heads * model.head_dim * 2] * 2
    every = blocks * model.layers
    return sum(every), sum(-(-one // 64) * 64 for one in every)


def check_bytes(run, model, codes, lengths, residual, refused=()):
    run.head(seed=0)
    run.given("model", model.name)
    run.given("residual", residual)
    run.by_hand("equal", True)
    rows = [(code, n) for code in codes for n in lengths]
    for i, (code, n) in enumerate(rows):
        size, path = cache_bytes(model, code, code, n, residual=residual), f"rows[{i}]"
        allocated, lines = taken(model, code, n, residual)
        run.given(f"{path}.format", code)
        run.given(f"{path}.length", n)
        for name, value in {"bytes_held": size, "closed_form": size, "bytes_allocated": allocated, "bytes_taken": lines,
                            "bits": bits(model, size, n)}.items():
            run.closed_form(f"{path}.{name}", value)
        run.says(f"{code} {n} {size} {size} yes {lines} {bits(model, size, n):.2f} {bits(model, lines, n):.2f}")
    says_refused(run, list(refused))
    run.says(f"{model.name}: {model.layers} layers, {model.kv_heads} KV heads of {model.head_dim} numbers, keys and values",
             f"RESULT rows={len(rows)} refused={len(refused)} equal=yes")
    run.words("capacity: whole tiles of 64 tokens and, of KIVI, tiles for all and room for what waits in f16.")


@case("step06_quant", "bytes -m SCRATCH/many.gguf --lengths 1,31,32,33,64,65,130 --residual 32", files=FILES)
def bytes_by_length(run):
    check_bytes(run, SMALL, formats.KV_CODES, (1, 31, 32, 33, 64, 65, 130), 32)


@case("step06_quant", "bytes -m SCRATCH/narrow.gguf --codes int8,q4_1,kivi4 --lengths 127,128,300", files=NARROW_FILES)
def bytes_refused(run):
    check_bytes(run, NARROW, ("f32", "int8"), (127, 128, 300), 128, [REFUSAL.format("both", code) for code in ("q4_1", "kivi4")])
