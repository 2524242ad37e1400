"""Single mistakes in C++ by rule: where each rule finds a place, and what it writes there.

The text is cut into tokens; comments, strings and preprocessor lines are tokens that no rule touches. The sources
are formatted, so a binary operator has a blank on both sides, and `<` of a template has not: no grammar is needed.
"""
import dataclasses
import re

TOKEN = re.compile(r"""
    (?P<skip>//[^\n]*|/\*.*?\*/|^[ \t]*\#(?:[^\n\\]|\\.|\\\n)*|R"(?P<mark>\w*)\(.*?\)(?P=mark)"|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)+')
  | (?P<blank>\s+)
  | (?P<number>0[xX][0-9a-fA-F.]+(?:[pP][+-]?\d+)?[uUlLfF]*|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?[uUlLfF]*)
  | (?P<name>[A-Za-z_]\w*)
  | (?P<sign><<=|>>=|->|\+\+|--|<=|>=|==|!=|&&|\|\||\+=|-=|\*=|/=|\|=|&=|\^=|::|<<|>>|.)
""", re.X | re.S | re.M)
NEIGHBOUR = {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "=="}
INVERSE = {"+": "-", "-": "+", "*": "/", "/": "*"}
OPPOSITE = {"&&": "||", "||": "&&", "true": "false", "false": "true"}
CHECKS = re.compile(r"^(check\w*|require\w*|refuse\w*|throw|KVLAB_DCHECK)$")
KEYWORDS = {"return", "if", "else", "for", "while", "do", "switch", "case", "break", "continue", "using", "namespace",
            "template", "typename", "class", "struct", "enum", "const", "constexpr", "static", "auto", "public", "private",
            "default", "new", "delete", "inline", "explicit", "virtual", "operator", "friend", "static_assert", "goto"}


@dataclasses.dataclass(frozen=True)
class Token:
    kind: str
    text: str
    begin: int
    blank_before: bool
    blank_behind: bool

    @property
    def end(self):
        return self.begin + len(self.text)


@dataclasses.dataclass(frozen=True)
class Mutation:
    file: str
    rule: str
    begin: int
    end: int
    new: str
    line: int        # its number, from 1: it changes with every edit above
    identity: str    # this does not

    def apply(self, text):
        return text[:self.begin] + self.new + text[self.end:]


def tokens_of(text):
    """What the compiler sees, without blanks; strings and the like as tokens of kind skip."""
    found = [(m.lastgroup if m.lastgroup != "mark" else "skip", m[0], m.start()) for m in TOKEN.finditer(text)]
    blank = [kind == "blank" for kind, _, _ in found] + [True]
    return [Token("skip" if kind in ("skip", "mark") else kind, piece, begin, blank[i - 1] or i == 0, blank[i + 1])
            for i, (kind, piece, begin) in enumerate(found)
            if kind != "blank" and not piece.startswith(("//", "/*")) and not piece.lstrip().startswith("#")]


def binary(token):
    return token.blank_before and token.blank_behind


def statements(tokens):
    """(first, last) of every statement that ends with ; and lies in no parenthesis of its own."""
    begin, depth = 0, 0
    for i, token in enumerate(tokens):
        depth += (token.text in "([") - (token.text in ")]") if token.kind == "sign" else 0
        if token.text in ("{", "}") and token.kind == "sign":
            begin, depth = i + 1, 0
        elif token.text == ";" and depth == 0:
            yield begin, i
            begin = i + 1


def behind_conditions(tokens, first, last):
    """The statement without `if (...)`, `for (...)`, `else`, a label before it."""
    while first < last:
        if tokens[first].text in ("else", "do"):
            first += 1
        elif tokens[first].text in ("if", "for", "while"):
            depth, first = 0, first + 1
            while first < last:
                depth += (tokens[first].text == "(") - (tokens[first].text == ")")
                first += 1
                if depth == 0:
                    break
        elif tokens[first].text == "[":  # [[unlikely]]
            while first < last and tokens[first].text != "]" or tokens[first + 1].text == "]":
                first += 1
            first += 1
        else:
            break
    return first


def operators(tokens, text):
    for i, t in enumerate(tokens):
        if t.kind == "sign" and binary(t):
            if t.text in NEIGHBOUR:
                yield "comparison", t.begin, t.end, NEIGHBOUR[t.text]
            if t.text in OPPOSITE:
                yield "logic", t.begin, t.end, OPPOSITE[t.text]
            one = i + 1 < len(tokens) and tokens[i + 1].text == "1"
            if t.text in "+-" and one:
                yield "one less or more", t.begin, tokens[i + 1].end, ""
            elif t.text in INVERSE and i + 1 < len(tokens) and "skip" not in (tokens[i - 1].kind, tokens[i + 1].kind):
                yield "arithmetic", t.begin, t.end, INVERSE[t.text]
        if t.text in ("true", "false"):
            yield "logic", t.begin, t.end, OPPOSITE[t.text]
        if t.text == "!" and not t.blank_behind:
            yield "logic", t.begin, t.end, ""


def numbers(tokens, text):
    for i, t in enumerate(tokens):
        before = tokens[i - 1].text if i else ""
        if t.kind != "number" or before in ("case", "<", "::") or re.search(r"[xX]", t.text):
            continue
        whole = re.fullmatch(r"(\d+)([uUlL]*)", t.text)
        if whole:
            yield "number", t.begin, t.end, f"{int(whole[1]) + 1}{whole[2]}"
        elif re.fullmatch(r"[\d.]+(e[+-]?\d+)?[fF]?", t.text) and float(t.text.rstrip("fF")) != 0:
            yield "number", t.begin, t.end, f"({t.text} * 2)"


def simple(tokens, i):
    """The end of `name`, `name.name` or a number that begins at token i; i if there is none."""
    if i >= len(tokens) or tokens[i].kind not in ("name", "number") or tokens[i].text in KEYWORDS:
        return i
    i += 1
    while i + 1 < len(tokens) and tokens[i].text == "." and tokens[i + 1].kind == "name":
        i += 2
    return i


def arguments(tokens, text):
    for i, t in enumerate(tokens):
        if t.text not in ("(", ",") or (t.text == "(" and (i == 0 or tokens[i - 1].kind != "name" or tokens[i - 1].text in KEYWORDS)):
            continue
        middle = simple(tokens, i + 1)
        if middle == i + 1 or middle >= len(tokens) or tokens[middle].text != ",":
            continue
        end = simple(tokens, middle + 1)
        if end == middle + 1 or end >= len(tokens) or tokens[end].text not in (",", ")"):
            continue
        first = text[tokens[i + 1].begin:tokens[middle - 1].end]
        second = text[tokens[middle + 1].begin:tokens[end - 1].end]
        if first != second:
            yield "swapped arguments", tokens[i + 1].begin, tokens[end - 1].end, f"{second}, {first}"


def dropped(tokens, text):
    for first, last in statements(tokens):
        first = behind_conditions(tokens, first, last)
        if first >= last or tokens[first].kind != "name":
            continue
        name, follows = tokens[first].text, tokens[first + 1].text
        if CHECKS.match(name) and (name == "throw" or follows == "("):
            yield "dropped check", tokens[first].begin, tokens[last].begin, ""
        elif name not in KEYWORDS and follows in (".", "->", "[", "(", "=", "+=", "-=", "*=", "/=", "|=", "++", "--"):
            yield "dropped statement", tokens[first].begin, tokens[last].begin, ""


def fields(tokens, text):
    """object.field becomes another field that the same file asks of an object of that name."""
    places = [(tokens[i - 1].text, t, tokens[i + 1]) for i, t in enumerate(tokens[:-2])
              if t.text == "." and tokens[i - 1].kind == "name" and tokens[i + 1].kind == "name" and tokens[i + 2].text != "("]
    known = {}
    for owner, _, field in places:
        known.setdefault(owner, set()).add(field.text)
    for owner, _, field in places:
        others = sorted(known[owner] - {field.text})
        if others:
            later = [o for o in others if o > field.text]
            yield "wrong field", field.begin, field.end, (later or others)[0]


def choices(tokens, text):
    for i, t in enumerate(tokens):
        if t.text != "?":
            continue
        middle = simple(tokens, i + 1)
        if middle == i + 1 or middle >= len(tokens) or tokens[middle].text != ":":
            continue
        end = simple(tokens, middle + 1)
        if end == middle + 1 or end >= len(tokens) or tokens[end].text not in (";", ",", ")", "}"):
            continue
        first, second = text[tokens[i + 1].begin:tokens[middle - 1].end], text[tokens[middle + 1].begin:tokens[end - 1].end]
        if first != second:
            yield "choice", tokens[i + 1].begin, tokens[end - 1].end, f"{second} : {first}"


RULES = (operators, numbers, arguments, dropped, fields, choices)


def mutations(file, text):
    """All single mistakes of a file, in the order of their places."""
    tokens = tokens_of(text)
    guarded = [(tokens[first].begin, tokens[last].end) for first, last in statements(tokens)
               if any(t.text == "static_assert" for t in tokens[first:first + 2])]
    found = sorted((place for rule in RULES for place in rule(tokens, text)), key=lambda place: place[1:3])
    seen, result = {}, []
    for rule, begin, end, new in found:
        if any(a <= begin < b for a, b in guarded):
            continue
        line_begin = text.rfind("\n", 0, begin) + 1
        line = " ".join(text[line_begin:text.find("\n", begin)].split())
        key = f"{file} | {rule} | {line} | {' '.join(text[begin:end].split())[:60]} -> {new[:60]}"
        seen[key] = seen.get(key, 0) + 1
        result.append(Mutation(file, rule, begin, end, new, text.count("\n", 0, begin) + 1, f"{key} | {seen[key]}"))
    return result


SAMPLE = '''#include <a+1>
// a < b
template <class T>
View<const T> f(Index a, Index b) {
    static_assert(sizeof(T) == 4);
    check(a < b, "a == b, ", a);
    if (a + 1 > b) throw Error("x");
    std::vector<float> v(3);
    v.push_back(a * 2.5f);
    total += row.held;
    g(a, b, row.all);
    if (!done && a != 7) return yes ? a : b;
}
'''
EXPECTED = {
    ("comparison", "<", "<="), ("comparison", ">", ">="), ("comparison", "!=", "=="), ("one less or more", "+ 1", ""),
    ("arithmetic", "*", "/"), ("number", "3", "4"), ("number", "2.5f", "(2.5f * 2)"), ("number", "7", "8"), ("number", "1", "2"),
    ("logic", "&&", "||"), ("logic", "!", ""), ("swapped arguments", "a, b", "b, a"), ("swapped arguments", "b, row.all", "row.all, b"),
    ("dropped check", 'check(a < b, "a == b, ", a)', ""), ("dropped check", 'throw Error("x")', ""),
    ("dropped statement", "v.push_back(a * 2.5f)", ""), ("dropped statement", "total += row.held", ""),
    ("dropped statement", "g(a, b, row.all)", ""), ("wrong field", "held", "all"), ("wrong field", "all", "held"), ("choice", "a : b", "b : a"),
}


def self_test():
    found = {(m.rule, SAMPLE[m.begin:m.end], m.new) for m in mutations("x.cpp", SAMPLE)}
    wrong = [f"not found: {place}" for place in sorted(EXPECTED - found)] + [f"found: {place}" for place in sorted(found - EXPECTED)]
    identities = [m.identity for m in mutations("x.cpp", SAMPLE)]
    if len(set(identities)) != len(identities):
        wrong.append("two mutations of one identity")
    moved = {m.identity for m in mutations("x.cpp", "\n\nint before = 1;\n" + SAMPLE)}
    if not set(identities) <= moved:
        wrong.append("an identity changes with the lines above it")
    return wrong
