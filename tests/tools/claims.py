#!/usr/bin/env python3
"""What the chapters say of measured figures is what was measured: each claim stands in a comment after its sentence.

    <!-- claim: policy_quality_smollm2 1/4: h2o < sinks in 8 of 9 -->
    <!-- claim: quant_kv_smollm2: [q4_0 keys] = 0.27 ± 0.03; [q4_0 keys] / [q4_0 values] = 13 -->

A claim begins with a file of the chapter's results/ (NAME.json, which tools/experiments.sh --publish writes), for a table of budgets with
its part ("1/4", or "1/4 bytes" for the table at equal bytes). Statements follow, with semicolons between them. A row is named by its
label, or in brackets by what its first columns say; NAME:ROW is a row of another file.

    A < B in K of N       in so many of the N windows the mean KL of A is below that of B. A < B < C: of each pair, and in each of them
    A < B after in K of N the same of the positions after the residual, where a report has them; A after = X, A after / B after = X, too
    A = X                 the mean KL of the windows, rounded to the digits of X;  A = X ± Y: with the standard deviation
    A FIELD = X           another figure of the row, in quotes if its name has a space: agreement (a share; "94.1 %" in percent), bits_per_byte, recall.320, outside.320; outside alone: the
                          mean of all distances ...
    A windows 1-3 = X     the mean KL of the first to the third window alone, counted from 1
    A / B = X             the ratio of two means of KL;  A FIELD / B FIELD = X: of two other figures
    windows = N           how many there are

What a claim says has to stand in the text before it, in the same paragraph, bullet or row: "K of N" (of all: "all N"), and every number.

    claims.py [--list]     checks all chapters; --list shows the claims
    claims.py --self-test
Standard library only. Exit code 0: all hold. 1: not.
"""
import json
import pathlib
import re
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tools"))

import book  # noqa: E402

CLAIM = re.compile(r"<!-- claim: (\w+)((?: [^:>]*)?): (.+?) -->", re.S)
NUMBER = r"-?\d+(?:\.\d+)?(?:e-?\d+)?"
ROW = r"(?:\w+:)?(?:\[[^\]]+\]|[\w.+-]+)"
FIELD = r"(?: windows \d+-\d+| [a-z_]+(?:\.\d+)?| \"[^\"]+\")?"


class Wrong(Exception):
    pass


class Results:
    """The published figures of a chapter; for the project's README those of all chapters."""

    def __init__(self, folder):
        own = folder / "results"
        self.paths = {path.stem: path for path in (own.glob("*.json") if own.exists() else folder.glob("step*/results/*.json"))}
        self.read = {}

    def file(self, name):
        if name not in self.paths:
            raise Wrong(f"no results/ has a {name}.json")
        if name not in self.read:
            self.read[name] = json.loads(self.paths[name].read_text(encoding="utf-8"))
        return self.read[name]

    def rows(self, name, table):
        data = self.file(name)
        if "budgets" in data:
            part, _, kind = table.partition(" ")
            for block in data["budgets"]:
                if part == f"1/{block['part']}":
                    return block["equal_bytes" if kind == "bytes" else "equal_tokens"]
            raise Wrong(f"{name} has no table '{table}'")
        if table:
            raise Wrong(f"{name} has a single table, and no '{table}'")
        return data.get("policies") or data.get("rows") or [row for model in data["models"] for row in labelled(model)]

    def row(self, reference, name, table):
        if re.match(r"\w+:", reference):
            name, _, reference = reference.partition(":")
            table = table if "budgets" in self.file(name) else ""
        wanted = reference.strip("[]")
        found = [row for row in self.rows(name, table) if is_called(row, wanted)]
        if len(found) != 1:
            raise Wrong(f"{name} {table}: {len(found)} rows are called '{wanted}'")
        return found[0]


def labelled(model):
    """The rows of one of several models: called by its name and the cache's."""
    return [{"model": model["model"], **row} for row in model["caches"]]


def is_called(row, wanted):
    """Whether the first columns say so, with a space between them."""
    text = ""
    for value in row.values():
        text += (" " if text else "") + ("-" if value is None else str(value))
        if text == wanted:
            return True
        if not wanted.startswith(text):
            return False
    return False


def windows_of(row, name=""):
    """The figures of single windows: the mean KL of all positions, or of those after the residual."""
    key = {"": "window_kl", "after": "window_kl_after"}.get(name, f"window_{name}")
    if not row.get(key):
        raise Wrong(f"a row has no {key}")
    return row[key]


def field(row, name):
    if name in ("", "after"):
        samples = windows_of(row, name)
        return sum(samples) / len(samples)
    some = re.fullmatch(r"windows (\d+)-(\d+)", name)
    if some:
        samples = windows_of(row)[int(some[1]) - 1 : int(some[2])]
        if len(samples) != int(some[2]) - int(some[1]) + 1:
            raise Wrong(f"a row has no {name}")
        return sum(samples) / len(samples)
    value = row
    for part in [name.strip('"')] if name.startswith('"') else name.split("."):
        if not isinstance(value, dict) or part not in value:
            raise Wrong(f"a row has no field {name}")
        value = value[part]
    return sum(value.values()) / len(value) if isinstance(value, dict) else value


def deviation(samples):
    mean = sum(samples) / len(samples)
    return (sum((x - mean) ** 2 for x in samples) / (len(samples) - 1)) ** 0.5


def rounds_to(value, shown):
    """Whether `value` is `shown`, a text, in as many digits."""
    if "e" in shown:
        digits = len(shown.split("e")[0].lstrip("-").replace(".", ""))
        return float(f"{value:.{digits - 1}e}") == float(shown)
    decimals = len(shown.partition(".")[2])
    return abs(value - float(shown)) <= 0.5000001 * 10.0**-decimals


def said(text, number):
    """Whether a number stands in a text as it is, and not as a part of another one."""
    return re.search(rf"(?<![\d.]){re.escape(number)}(?!\d|\.\d)", text) is not None


def check_numbers(text, *numbers):
    for number in numbers:
        if not said(text, number):
            raise Wrong(f"the text before it does not say {number}")


def check_order(results, name, table, chain, after, lower, windows, text):
    rows = [results.row(one.strip(), name, table) for one in chain.split("<")]
    for a, b in zip(rows, rows[1:]):
        pairs = list(zip(windows_of(a, after), windows_of(b, after), strict=True))
        found = sum(x < y for x, y in pairs)
        if (found, len(pairs)) != (lower, windows):
            raise Wrong(f"'{chain.strip()}': in {found} of {len(pairs)}")
    if not re.search(rf"(?<!\d){lower} of (the )?{windows}(?!\d)", text) and not (lower == windows and re.search(rf"\ball {windows}(?!\d)", text)):
        raise Wrong(f"the text before it does not say '{lower} of {windows}'" + (f", nor 'all {windows}'" if lower == windows else ""))


def check_statement(results, name, table, statement, text):
    order = re.fullmatch(rf"({ROW}(?: < {ROW})+)( after)? in (\d+) of (\d+)", statement)
    if order:
        return check_order(results, name, table, order[1], (order[2] or "").strip(), int(order[3]), int(order[4]), text)
    count = re.fullmatch(r"windows = (\d+)", statement)
    if count:
        if results.file(name)["windows"] != int(count[1]):
            raise Wrong(f"there are {results.file(name)['windows']} windows")
        return check_numbers(text, count[1])
    ratio = re.fullmatch(rf"({ROW})({FIELD}) / ({ROW})({FIELD}) = ({NUMBER})", statement)
    if ratio:
        a, b = (field(results.row(row, name, table), of.strip()) for row, of in ((ratio[1], ratio[2]), (ratio[3], ratio[4])))
        if not rounds_to(a / b, ratio[5]):
            raise Wrong(f"'{statement}': it is {a / b:.4g}")
        return check_numbers(text, ratio[5])
    value = re.fullmatch(rf"({ROW})({FIELD}) = ({NUMBER})( %)?(?: ± ({NUMBER}))?", statement)
    if not value:
        raise Wrong(f"'{statement}' is no statement")
    row, of, percent = results.row(value[1], name, table), value[2].strip(), value[4]
    found = field(row, of) * (100 if percent else 1)
    if not rounds_to(found, value[3]):
        raise Wrong(f"'{statement}': it is {found:.4g}")
    if value[5]:
        samples = windows_of(row, of)
        if not rounds_to(deviation(samples) * (100 if percent else 1), value[5]):
            raise Wrong(f"'{statement}': the deviation is {deviation(samples):.4g}")
        check_numbers(text, value[5])
    return check_numbers(text, value[3])


# --- the text ----------------------------------------------------------------------------------------------------------------------------

def without_blocks(text):
    """Code and tables of figures are no text; their lines stay, so that line numbers do."""
    return re.sub(r"^```.*?^```$", lambda block: "\n" * block[0].count("\n"), text, flags=re.S | re.M)


def paragraphs(text):
    """[(line, text)] of paragraphs, bullets and rows of tables; a claim belongs to the one before it."""
    found, lines, first = [], [], 1
    for number, line in enumerate([*text.split("\n"), ""], 1):
        begins = re.match(r"\s*(- |\d+\. |\| |#)", line)
        if (not line.strip() or begins) and lines:
            found.append((first, "\n".join(lines)))
            lines = []
        if line.strip():
            first = first if lines else number
            lines.append(line)
    joined = []
    for number, part in found:
        if part.startswith("<!-- claim:") and joined:
            joined[-1] = (joined[-1][0], joined[-1][1] + "\n" + part)
        else:
            joined.append((number, part))
    return joined


COMPARES = re.compile(r"\b(better|worse|best|worst|beats?|less than|more than|lower than|higher than|fewer than|ahead of|behind|halves?|doubles?|"
                      r"least|ranking|order|loses? (?:\w+ ){0,3}(?:less|more)|times (?:less|more|better|worse)|instead of|leads?|wins?|between)\b", re.I)
FIGURE = re.compile(r"(?<![\w.])\d+\.\d+(?![\w.])|\bKL\b")


def unclaimed(text, names):
    """[(line, paragraph)] that name two methods, compare, and have a figure, but no claim, nor a reason for having none."""
    found = []
    for number, part in paragraphs(without_blocks(text)):
        body = re.sub(r"<!--.*?-->", "", part, flags=re.S)
        if part.startswith(("#", "|")) or "<!-- claim:" in part or "<!-- no claim:" in part:
            continue
        named = [name for name in names if re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", body, re.I)]
        if len(named) >= 2 and COMPARES.search(body) and FIGURE.search(body):
            found.append((number, part))
    return found


def names_of(results):
    """What the rows of a chapter's published results are called in words."""
    names = set()
    for name in sorted(results.paths):
        data = results.file(name)
        tables = [block[key] for block in data.get("budgets", []) for key in ("equal_tokens", "equal_bytes") if key in block]
        for row in [row for table in tables for row in table] + data.get("policies", []) + data.get("rows", []):
            first = next(iter(row.values()))
            if isinstance(first, str):
                names.add(first)
    return sorted(names)


def check(path, say=print):
    """How many claims a chapter has, and what is wrong with them, in words."""
    results, problems, count = Results(book.folder_of(path)), [], 0
    place = f"{path.parent.name}/{path.name}"
    text = path.read_text(encoding="utf-8")
    for number, part in paragraphs(without_blocks(text)):
        before = 0
        for claim in CLAIM.finditer(part):
            body = re.sub(r"<!--.*?-->", " ", part[:claim.start()], flags=re.S)
            for statement in claim[3].split(";"):
                count += 1
                try:
                    check_statement(results, claim[1], claim[2].strip(), " ".join(statement.split()), body)
                except Wrong as error:
                    problems.append(f"{place}:{number}: {claim[1]}: {error}")
            before = claim.end()
        if "<!-- claim:" in CLAIM.sub("", part):
            problems.append(f"{place}:{number}: a claim that is not understood: {part[before:][:80]!r}")
    for number, part in unclaimed(text, names_of(results)):
        problems.append(f"{place}:{number}: compares without a claim: {' '.join(part.split())[:120]}")
    return count, problems


# --- the tool on itself ------------------------------------------------------------------------------------------------------------------

SAMPLE = {"windows": 4, "policies": [
    {"policy": "a", "window_kl": [1, 2, 3, 4], "window_kl_after": [5, 5, 5, 5], "agreement": 0.941, "bits after": 7.46, "recall": {"16": 0.5, "32": 1}},
    {"policy": "b c", "window_kl": [2, 3, 4, 3.5], "window_kl_after": [1, 2, 3, 6], "agreement": 0.9, "bits after": 4, "recall": {"16": 1, "32": 1}}]}
GOOD = [
    ("In 3 of 4 windows it is lower.", "a < [b c] in 3 of 4"),
    ("In 1 of the 4.", "[b c] < a in 1 of 4"),
    ("All 4 say 2.5 ± 1.3.", "a = 2.5 ± 1.3"),
    ("It agrees in 94.1 %.", "a agreement = 94.1 %"),
    ("It is 0.8 times as much.", "a / [b c] = 0.8"),
    ("It takes 7.5 bits.", 'a "bits after" = 7.5'),
    ("Of all: 0.75.", "a recall = 0.75"),
    ("Half: 0.5.", "a recall.16 / [b c] recall.16 = 0.5; a recall.16 = 0.5"),
    ("There are 4 windows.", "windows = 4"),
    ("The last two: 3.5, 2 times as much as 1.50.", "a windows 3-4 = 3.5; a windows 1-2 = 1.50"),
    ("Later in 1 of 4, and 3.0 ± 2.", "a < [b c] after in 1 of 4; [b c] after = 3.0 ± 2"),
]
BAD = [
    ("In 3 of 4.", "a < [b c] in 4 of 4", "in 3 of 4"),
    ("In most windows.", "a < [b c] in 3 of 4", "does not say '3 of 4'"),
    ("In 13 of 4 windows.", "a < [b c] in 3 of 4", "does not say"),
    ("All 4 say 2.5 ± 1.4.", "a = 2.5 ± 1.4", "the deviation is 1.291"),
    ("It is 2.6.", "a = 2.6", "it is 2.5"),
    ("It is 12.5.", "a = 2.5", "does not say 2.5"),
    ("It is 2.51.", "a = 2.5", "does not say 2.5"),
    ("It is 0.7.", "a / [b c] = 0.7", "it is 0.8"),
    ("94.0", "a agreement = 94.0 %", "it is 94.1"),
    ("2.5", "b = 2.5", "0 rows are called 'b'"),
    ("2.5", "a heat = 2.5", "no field heat"),
    ("2.5", "a is 2.5", "is no statement"),
    ("5", "windows = 5", "there are 4 windows"),
    ("The last two: 2.5.", "a windows 3-4 = 2.5", "it is 3.5"),
    ("3.5", "a windows 3-5 = 3.5", "a row has no windows 3-5"),
    ("Later in 3 of 4.", "a < [b c] after in 3 of 4", "in 1 of 4"),
]


def self_test():
    wrong = []

    def expect(what, found, expected):
        if found != expected:
            wrong.append(f"{what}: expected {expected!r}, found {found!r}")
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "results").mkdir()
        (folder / "results" / "one.json").write_text(json.dumps(SAMPLE))
        (folder / "results" / "two.json").write_text(json.dumps({"windows": 4, "budgets": [
            {"part": 4, "equal_tokens": SAMPLE["policies"], "equal_bytes": [{"policy": "a", "window_kl": [5, 5, 5, 5]}]}]}))

        def problems_of(text):
            (folder / "README.md").write_text(text)
            return check(folder / "README.md")
        for text, statement in GOOD:
            expect(statement, problems_of(f"{text}\n<!-- claim: one: {statement} -->\n"), (statement.count(";") + 1, []))
        for text, statement, words in BAD:
            count, problems = problems_of(f"{text}\n<!-- claim: one: {statement} -->\n")
            expect(f"{statement}: is refused", (count, len(problems), words in "".join(problems)), (1, 1, True))
        expect("tables of budgets", problems_of("5 and 2.5\n<!-- claim: two 1/4 bytes: a = 5 -->\n<!-- claim: two 1/4: a = 2.5; one:a = 2.5 -->\n")[1], [])
        expect("no such table", "has no table '1/8'" in problems_of("5\n<!-- claim: two 1/8: a = 5 -->\n")[1][0], True)
        expect("no such file", "no results/ has a three.json" in problems_of("5\n<!-- claim: three: a = 5 -->\n")[1][0], True)
        expect("of another paragraph", "does not say 2.5" in problems_of("It is 2.5.\n\nOr not.\n<!-- claim: one: a = 2.5 -->\n")[1][0], True)
        expect("of a bullet", problems_of("- It is 2.5.\n<!-- claim: one: a = 2.5 -->\n- Another.\n")[1], [])
        expect("not understood", "not understood" in problems_of("2.5\n<!-- claim: one a = 2.5 -->\n")[1][0], True)
        compares = "With a it is 2.5, which is better than b c."
        expect("compares", "without a claim" in problems_of(compares)[1][0], True)
        for text in (compares.replace("b c", "this"), compares.replace("better", "other"), compares.replace("2.5", "two"), f"```text\n{compares}\n```",
                     f"{compares}\n<!-- claim: one: a = 2.5 -->", f"{compares}\n<!-- no claim: an example -->"):
            expect(f"no claim is missing: {text}", problems_of(text + "\n")[1], [])
    print("\n".join(wrong) if wrong else "self-test: as expected")
    return 1 if wrong else 0


def main():
    if "--self-test" in sys.argv:
        return self_test()
    failed = total = 0
    for path in book.texts(ROOT):
        count, problems = check(path)
        if "--list" in sys.argv:
            for claim in CLAIM.finditer(path.read_text(encoding="utf-8")):
                print(f"{path.relative_to(ROOT)}: {claim[1]}{claim[2]}: {claim[3]}")
        for problem in problems:
            print(f"FAILED: {problem}")
        total, failed = total + count, failed + len(problems)
    print(f"{total} claims, {failed} problems")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
