"""Numbers in prose, for prose.py: which need a source, what a source is, and whether a calculation that the text shows is right."""
from __future__ import annotations

import ast
import functools
import re

SPACE = " \u00a0\u2009\u202f"
GROUPED = rf"\d{{1,3}}(?:[{SPACE}]\d{{3}})+(?!\d)|\d{{1,3}}(?:,\d{{3}})+(?!\d)"
DIGITS = rf"(?:{GROUPED}|\d+)(?:\.\d+)?(?:e[+-−]?\d+)?"
# No part of a name, a version, an exponent or a date: 135M, x86-64, g++-12.2, 2^-126, 2026-11-30.
NUMBER = re.compile(rf"(?<![\w.^_/#])(?<![A-Za-z+]-)(?<!\^[-−])(?<!\d[-/]){DIGITS}(?![\w^]|\.\d|-\d|/\d)(?!-(?!bit|byte|token)[A-Za-z])")
# Names with numbers: tasks, figures, versions, years of papers.
NAMED = re.compile(r"\b(?:[Tt]asks?|[Ff]igures?|[Cc]ases?|[Qq]uestions?|[Ss]ections?|[Ee]quations?|[Vv]ersions?|CMake|Python|PyTorch|NumPy|Debian|Ubuntu|GCC|CUDA|arXiv:?|g\+\+|clang\+\+|"
                   r"clang|llama-cpp-python|IEEE|doctest|[Ii]ssues?|RFC|ISO)\s+#?\d+(?:\.\d+)*(?:(?:\s*,\s*|\s+and\s+|\s+or\s+|\s+to\s+|\s*[–-]\s*)\d+(?:\.\d+)*)*|\b(?:19|20)\d\d[a-z]?\b(?!\s\d{3}\b)")
CALCULATION = re.compile(rf"(?:\d|\()[\d{SPACE},.()+\-−×·*/÷]*[\d)]\s*(=|≈)\s*([-−]?{DIGITS})(?![\w^]|\.\d|\s*[\^×·*/+÷(]|\s*[-−]\s*\d)")

SHOWN = re.compile(rf"{GROUPED}|(?<![\d.])\d+(?:\.\d+)?(?:e[+-]?\d+)?")
TRIANGLE = re.compile(rf"1 \+ 2 \+ (?:3 \+ )?(?:\.\.\.|…) \+ ({DIGITS}) = ({DIGITS})")


def value(text: str) -> float:
    return float(re.sub(rf"[{SPACE},]", "", text).replace("−", "-"))


def decimals(text: str) -> int:
    return len(text.partition("e")[0].partition(".")[2])


@functools.cache  # the same numbers stand in many files
def sizes(text: str) -> tuple[float, ...]:
    """What a number of a source can be quoted as: itself, and each of its parts."""
    return abs(value(text)), *(float(part) for part in re.findall(r"\d+(?:\.\d+)?", text))


def significant(text: str) -> int:
    digits = re.sub(r"\D", "", text.partition("e")[0])
    return len((digits if "." in text else digits.rstrip("0")).lstrip("0"))


def needs_source(text: str) -> bool:
    """Three significant digits or a point; the powers of two are sizes."""
    number = value(text)
    if "." not in text and number == int(number) and 0 < number <= 1 << 20 and int(number) & (int(number) - 1) == 0:
        return False
    return "." in text or significant(text) >= 3


def in_prose(text: str) -> list[tuple[int, str]]:
    """(place, number) of those that need a source."""
    text = re.sub(r"`[^`]*`", lambda span: "`" * len(span[0]), text)
    text = NAMED.sub(lambda name: "#" * len(name[0]), text)
    return [(found.start(), found[0]) for found in NUMBER.finditer(text) if needs_source(found[0])]


class Sources:
    """What a number in prose may be: one of those that the chapter shows, or a rounding of one."""

    def __init__(self) -> None:
        self.shown: set[float] = set()  # in tables, outputs, code, pictures
        self.results: set[float] = set()  # in files: so many that a few digits say nothing

    def add(self, text: str, results: bool = False) -> None:
        goal = self.results if results else self.shown
        for found in set(SHOWN.findall(text)):
            goal.update(sizes(found))

    def know(self, text: str) -> bool:
        number = abs(value(text))
        if number in self.shown or number in self.results:
            return True
        exponent = re.search(r"e[+-−]?\d+$", text)
        unit = 0.5000001 * 10.0 ** ((int(exponent[0][1:].replace("−", "-")) if exponent else 0) - decimals(text))
        enough = [self.shown] if significant(text) >= 2 else []
        enough += [self.results] if significant(text) >= 3 else []
        return "." in text and any(abs(one - number) <= unit for some in enough for one in some)


def calculations(text: str) -> list[tuple[int, int, str, bool]]:
    """(begin, end, text, whether it is right) of each 'a · b = c' of plain numbers. One that goes on to the left, as in 'x + 2 · 3 = 8', is none."""
    found = [(one.start(), one.end(), one[0], value(one[1]) * (value(one[1]) + 1) / 2 == value(one[2])) for one in TRIANGLE.finditer(text)]
    for one in CALCULATION.finditer(text):
        before = text[:one.start()].rstrip()
        left = one[0][:one.start(1) - one.start()].strip()
        if re.search(r"[\w)\]+\-−×·*/÷=≈^,`]$", before) and not re.search(r"[a-z]{2,}$|,$", before):
            continue
        plain = re.sub(rf"(?<=\d)[{SPACE}](?=\d{{3}}(?!\d))", "", left).replace("−", "-").replace("×", "*").replace("·", "*").replace("÷", "/")
        if not re.fullmatch(r"[\d.()+\-*/ ]+", plain) or not re.search(r"[\d)]\s*[+\-*/]\s*[\d(]", plain) or re.search(r"\*\*|//", plain):
            continue
        try:
            result = evaluated(ast.parse(plain.strip(), mode="eval").body)
        except (SyntaxError, ZeroDivisionError, KeyError, AttributeError, TypeError):
            continue
        shown = one[2].replace("−", "-")
        exact = abs(result - value(shown)) <= 0.5000001 * 10.0 ** -decimals(shown) or abs(result - value(shown)) <= 1e-9 * abs(result)
        near = one[1] == "≈" and abs(result - value(shown)) <= 0.05 * abs(result)
        whole = "." not in plain + shown and int(result) == value(shown)  # as C++ divides whole numbers
        found.append((one.start(), one.end(), one[0], exact or near or whole))
    return found


def evaluated(node: ast.AST) -> float:
    if isinstance(node, ast.Constant):
        return float(node.value)
    if isinstance(node, ast.UnaryOp):
        return {"USub": -1.0, "UAdd": 1.0}[type(node.op).__name__] * evaluated(node.operand)
    a, b = evaluated(node.left), evaluated(node.right)
    return {"Add": lambda: a + b, "Sub": lambda: a - b, "Mult": lambda: a * b, "Div": lambda: a / b}[type(node.op).__name__]()


def self_test() -> list[str]:
    sources = Sources()
    sources.add("| 46 976 | 0.1234 | 9.71 GB/s | 1e-5 | step 720")
    sources.add('{"kl": 0.0123456, "n": 991}', results=True)
    numbers = [("of 46 976 floats", ["46 976"]), ("in 0.5 ms and 12 s", ["0.5"]), ("128 of 100 and 1000 tokens", []), ("317 tokens", ["317"]), ("SmolLM2-135M on x86-64, 2^-126", []),
               ("task 3.2 and tasks 1.4, 1.5 of g++ 12.2 (Lemire 2019)", []), ("576-term sums", []), ("a 127-bit word", ["127"]), ("`x 317`", []), ("5,632 rows", ["5,632"]), ("at 1.5e-7", ["1.5e-7"]),
               ("−0.25 or -0.75.", ["0.25", "0.75"]), ("in 0.125, 0.5", ["0.125", "0.5"]), ("2 317", ["2 317"])]
    wrong = [f"numbers of {text!r}: {found}" for text, expected in numbers if (found := [number for _, number in in_prose(text)]) != expected]
    wrong += [f"source of {text}: {sources.know(text)}" for text, expected in
              [("46 976", True), ("0.12", True), ("9.7", True), ("0.0123", True), ("0.012", False), ("991", True), ("992", False), ("720", True), ("0.13", False), ("976", True)] if sources.know(text) != expected]
    sums = [("72 · 31 = 2232", [True]), ("so 72 × 31 = 2233.", [False]), ("x + 2 · 3 = 8", []), ("(1 + 3) / 8 = 0.5", [True]), ("2^24 + 1 = 16 777 217", []), ("0.1 + 0.2 = 0.3", [True]),
            ("1 000 · 2 = 2 000 tokens", [True]), ("T = 3", []), ("1 + 2 + ... + 1000 = 500 500", [True]), ("1 + 2 + ... + 5 = 16", [False]), ("2 / 3 = 0.67", [True]), ("8 / 3 = 2", [True]), ("8 / 3 = 3", [True]), ("8 / 3 = 4", [False]), ("2 / 3 ≈ 0.7", [True]), ("2 · 3 = 2^3", []), ("first, 2 · 3 = 6", [True]), ("5 − 7 = −2", [True])]
    return wrong + [f"calculations of {text!r}: {found}" for text, expected in sums if (found := [right for _, _, _, right in calculations(text)]) != expected]
