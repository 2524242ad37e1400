"""Chapter 6: what the tables of several subcommands share, and the models they are checked on. No checks of its own."""
import json

from reports import plain_model as plain, small_model
from reports.checked import number
from reports.formats import Gguf
from reports.spreads import claim_windows, shown

HELDOUT = list((plain.WEIGHTS / "heldout.txt").read_bytes())
# Two query heads for each of two KV heads of 32 numbers, so that all formats fit; rows of 48 are no whole blocks.
SMALL_FILE = plain.made("many", heads=4, kv_heads=2)
# Heads of 16: what has blocks of 32 is refused.
NARROW_FILE = plain.made("narrow", width=20, heads=2, kv_heads=1, head_dim=16, ffn=24, seed=2)
SMALL, NARROW = plain.Model(Gguf(SMALL_FILE)), plain.Model(Gguf(NARROW_FILE))
# Tokens of one to four bytes, and nothing goes in before a text: bytes of targets are not those of inputs.
WORDS = plain.Model(Gguf(small_model.file()))
LOW_TEXT = "low new lower newer new low lo lower low new newer er low newer new lower low new"

# The last byte of each recall text is the one that SMALL finds most likely; the other places are wrong.
CASES = [{"kind": "needle", "distance": 2, "text": "fheb=gc;;W", "answer": [9]},
         {"kind": "recall", "distance": 2, "text": "hac;dbdhq", "answer": [8]},
         {"kind": "recall", "distance": 9, "text": "f= ahd=acbfhdg9", "answer": [3, 14]},
         {"kind": "recall", "distance": 2, "text": "he   fbf~", "answer": [8]},
         {"kind": "recall", "distance": 2, "text": "hd aghfg=I", "answer": [9]}]
FILES = {"many.gguf": SMALL_FILE, "cases.jsonl": "".join(json.dumps(case) + "\n" for case in CASES)}
NARROW_FILES = {"narrow.gguf": NARROW_FILE}
WORDS_FILES = {"words.gguf": small_model.file, "low.txt": LOW_TEXT}


def words_text(window, most, skip=0):
    return plain.Text(small_model.encode(LOW_TEXT), None, window, most, skip)


def words_bytes(text):
    return sum(len(small_model.PIECES[token]) for one in text.targets for token in one)


def taken_cases(most):
    """The first so many cases of each distance."""
    of = lambda distance: [case for case in CASES if case["kind"] == "recall" and case["distance"] == distance]
    return of(2)[:most] + of(9)[:most]


def label(value):
    if value is None:
        return "-"
    return value if isinstance(value, str) else str(value) if isinstance(value, int) else number(value, 4)


def quality(run, path, shift, tokens_bytes, nothing=False, tolerance=5e-3, after=None):
    """The figures of one variant against a model in Python, which is in doubles: a number near the middle of two codes
    may get the other one, the likelier the finer the codes are. nothing: in exact arithmetic it changes nothing.
    after: (window, from): the positions from there on of each window are judged by themselves, too."""
    def claim(run, path, value):
        if nothing:  # what rounding to floats leaves
            run.between(path, 0, 1e-10)
        else:
            run.second_route(path, value, tolerance)
    run.second_route(f"{path}.bits_per_byte", shift.bits / tokens_bytes, 1e-5)
    for name, value in (("mean_kl", shift.mean()), ("kl_99", shift.quantile(0.99)), ("max_kl", shift.quantile(1))):
        claim(run, f"{path}.{name}", value)
    if after and after[1] < after[0]:
        late = [sum(shift.kl[w + after[1]:w + after[0]]) / (after[0] - after[1]) for w in range(0, len(shift.kl), after[0])]
        claim(run, f"{path}.mean_kl_after", sum(late) / len(late))
        for w, value in enumerate(late):
            claim(run, f"{path}.window_kl_after[{w}]", value)
    elif after:
        run.by_hand(f"{path}.mean_kl_after", None)
        run.by_hand(f"{path}.window_kl_after", [])
    run.second_route(f"{path}.agreement", shift.agree / len(shift.kl))
    by_window(run, path, shift.kl, shift.same, claim)


def compared_with(run, path):
    """The path of the row that this one is compared with: the first whose first column is the baseline's, if it stands before."""
    rows, own = run.json["rows"], int(path[5:-1])
    return next((f"rows[{i}]." for i in range(own) if str(next(iter(rows[i].values()))) == run.json["baseline"]), None)


def by_window(run, path, kl, same, claim):
    """Of each position: its divergence, and whether the likeliest token is the same."""
    windows = run.json["windows"]
    each = len(kl) // windows
    means = [[sum(of[w * each:(w + 1) * each]) / each for w in range(windows)] for of in (kl, same)]
    claim_windows(run, f"{path}.", *means, compared_with(run, path), claim)


def exactly_plain(run, path, plain_bits_per_byte, after=None):
    """A variant with the bits of the model itself."""
    run.same_report(f"{path}.bits_per_byte", plain_bits_per_byte)
    for name in ("mean_kl", "kl_99", "max_kl"):
        run.by_hand(f"{path}.{name}", 0)
    run.by_hand(f"{path}.agreement", 1)
    by_window(run, path, [0] * run.json["windows"], [1] * run.json["windows"], lambda run, path, value: run.by_hand(path, value))
    if after:
        run.by_hand(f"{path}.mean_kl_after", 0 if after[1] < after[0] else None)
        run.by_hand(f"{path}.window_kl_after", [0] * run.json["windows"] if after[1] < after[0] else [])


def says_header(run, *labels):
    """Over the columns, in the order in which says_row() gives them."""
    asked = any("recall_asked" in row for row in run.json["rows"])
    after = any("mean_kl_after" in row for row in run.json["rows"])
    run.says(" ".join([*labels, f"bits/byte mean KL {'below ' if run.json['baseline'] else ''}KL 99 % max KL same", *["KL after"] * after, *["recall"] * asked]))


def says_notes(run):
    """What the columns of windows mean."""
    own = run.json["baseline"]
    there = any(str(next(iter(row.values()))) == own for row in run.json["rows"])
    run.words("mean KL: of the windows, with their standard deviation." + (f" below: in how many it is below that of {own}." if there else ""))


def says_row(run, labels, row):
    """The printed line of a row, from its figures, which have checks of their own."""
    below = [f"{row['windows_below_baseline']} of {len(row['window_kl'])}"] if "windows_below_baseline" in row else []
    line = [*map(label, labels), f"{row['bits_per_byte']:.4f}", shown(row["window_kl"]), *below, number(row["kl_99"]),
            number(row["max_kl"]), f"{100 * row['agreement']:.2f}%"]
    if "mean_kl_after" in row:
        line.append("-" if row["mean_kl_after"] is None else shown(row["window_kl_after"]))
    if "recall_asked" in row:
        line.append(f"{100 * row['recall_right'] / row['recall_asked']:.2f}%")
    run.says(" ".join(line))


def recall(run, path, right, asked):
    run.second_route(f"{path}.recall_right", right)
    run.second_route(f"{path}.recall_asked", asked)


def names_of_texts(run):
    """The files of --text without their folders; the program's default without it."""
    asked = run.arguments[run.arguments.index("--text") + 1] if "--text" in run.arguments else "heldout.txt"
    return ", ".join(file.rpartition("/")[2] for file in asked.split(","))


def trial_head(run, experiment, model, text, tokens_bytes, source="F32", calibration=None, baseline="", seed=0):
    """What each of these reports begins with; returns the plain model's bits per byte as reported."""
    run.head(seed=seed, experiment=experiment)
    run.given("model", model.name)
    run.by_hand("source_type", source)
    run.given("window", text.window)
    run.by_hand("windows", text.count)
    run.given("baseline", baseline)
    run.given("text", names_of_texts(run))
    if calibration is not None:
        run.by_hand("calibration_windows", calibration)
    run.by_hand("bytes", tokens_bytes)
    says_notes(run)
    run.second_route("plain_bits_per_byte", plain.judged(model, text).plain_bits / tokens_bytes, 2e-6)
    return run.json["plain_bits_per_byte"]


def engine(run):
    """The name of the engine, which only the machine knows: 'cpu avx2, 1 thread'."""
    return run.lines[0].split(": ")[0].split(", ", 1)[1]
