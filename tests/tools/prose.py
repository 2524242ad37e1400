#!/usr/bin/env python3
"""The book as a reader meets it: words defined before they are used, links that lead somewhere, pictures with captions, sentences to be read once.

    prose.py [--root TREE] [--only PART]     checks the texts (tools/book.py); --only: prints what concerns paths that contain PART, such as step01
    prose.py --terms                         lists the terms, with the place that defines each
    prose.py --relink                        leads the glossary's entries to the places that define them, and sorts them
    prose.py --self-test

What is checked, and what the message begins with:
    term       a term is not used before the paragraph that defines it, in reading order. After a defining paragraph stands, on a line of its own,
                   <!-- term: query, key -->
               An earlier use is a link to book/glossary.md or to the defining heading; then the rest of its section may use the word, too. In the front
               texts (README.md, book/*.md) the first use of each text is such a link. A page that links the glossary in its first paragraph is free. Code, outputs,
               generated tables, headings and the lists of a section 'Reading' are free.
    glossary   book/glossary.md has each term once, as '- **term**: one sentence. [where](link)', linked to the heading that its mark stands under (--relink does that)
    short      an abbreviation is a term, or one that every C++ programmer knows (prose_words.py)
    forward    'chapter 4' before chapter 4 is a link, once in its section
    link       files and headings that a link names are there (GitHub's anchors)
    picture    an alternative text of three words, and as the next paragraph a caption '*Figure N.k: what to see.*', numbered in order in its chapter;
               white, black, dark and pale are no words for what is on a picture, which is drawn on dark pages, too
    wrapped    a paragraph is one line
    word       words that this book does not use, with what to write instead (prose_words.py)
    number     a number with three significant digits or a point is in a table, an output, code, a picture, a claim or a result of the chapter, or part of
               a calculation that is shown, 'a · b = c'; powers of two are sizes, and free
    wrong      a calculation in prose is right
    long       sentences have at most 45 words, paragraphs 150

An exception has its reason in a comment in or right after its paragraph. WHAT is the word or number itself, or long, term, wrong and so on:
    <!-- allowed behind: the memory lies physically behind this pointer -->
Standard library only. Exit code 0: nothing to mend. 1: something is.
"""
from __future__ import annotations

import argparse
import functools
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.dont_write_bytecode = True

import prose_cases  # noqa: E402
import prose_numbers  # noqa: E402
import prose_text  # noqa: E402
import prose_words  # noqa: E402
from prose_text import LINK, PROSE, Block, Text, book, code_away  # noqa: E402

# The texts that are held to all rules, by what their paths begin with; the links of all others are checked, and their terms known.
HELD = (
    "README.md",
    "book/",
    "step01_tensor/",
    "step02_attention/",
    "step03_kvcache/",
    "step04_cuda/",
    "step05_policies/",
    "step06_quant/",
    "step07_serving/",
    "step08_architectures/",
)
FRONT = ("README.md", "book/")  # read before the chapters, or beside them
GLOSSARY = "book/glossary.md"
READING = "reading"  # how the anchor of a list of books and papers begins: their titles are their authors'
ENTRY = re.compile(r"^- \*\*(.+?)\*\*: (.+) \[([^\]]+)\]\(([^)]+)\)$")
MOST_IN_SENTENCE, MOST_IN_PARAGRAPH, FEWEST_IN_ALT = 45, 150, 3


class Book:
    def __init__(self, root: Path):
        self.root = root
        self.texts = {text.place: text for text in (Text(path, root) for path in book.texts(root))}
        self.problems: list[tuple[str, int, str, str]] = []  # place, line, rule, what to do
        self.defined: dict[str, tuple[Text, Block, int]] = {}

    def held(self) -> list[Text]:
        return [text for place, text in self.texts.items() if place.startswith(HELD)]

    def say(self, text: Text, line: int, rule: str, what: str, block: Block | None = None, names: tuple[str, ...] = ()) -> None:
        """A problem, unless the paragraph says why it is none."""
        for name in (*names, rule):
            if block and name.lower() in block.allowed:
                block.used.add(name.lower())
                return
        self.problems.append((text.place, line, rule, what))

    def check(self) -> list[tuple[str, int, str, str]]:
        for text in self.texts.values():
            self.check_links(text)
        self.collect_terms()
        self.check_order()
        self.check_glossary()
        self.check_pictures()
        for text in self.held():
            for line, problem in text.problems:
                self.say(text, line, "mark", problem)
            self.check_shorts(text)
            self.check_forward(text)
            self.check_words(text)
            self.check_lengths(text)
            self.check_numbers(text)
            self.check_reasons(text)
        return sorted(self.problems)

    # --- links -------------------------------------------------------------------------------------------------------------------------

    def target(self, text: Text, link: str) -> tuple[Path, str]:
        """The file and the anchor that a link of this text names."""
        name, _, anchor = link.strip("<>").partition("#")
        return ((text.path.parent / name).resolve() if name else text.path.resolve()), anchor

    def check_links(self, text: Text) -> None:
        for block in text.blocks:
            if block.kind in ("code", "comment"):
                continue
            for found in LINK.finditer(code_away(block.text)):
                link = found[3].strip("<>")
                if re.match(r"[a-z]+:", link):
                    continue
                path, anchor = self.target(text, link)
                if not path.exists():
                    self.say(text, block.line, "link", f"'{link}': there is no such file", block)
                elif anchor and path.suffix == ".md":
                    anchors = next((other.anchors for other in self.texts.values() if other.path.resolve() == path), None)
                    anchors = anchors if anchors is not None else Text(path, path.parent).anchors
                    if anchor not in anchors:
                        near = [name for name in sorted(anchors) if set(name.split("-")) & set(anchor.split("-")) - {"the", "a", "of"}]
                        self.say(text, block.line, "link", f"'{link}': there is no such heading" + (f"; near to it: {', '.join(near[:4])}" if near else ""), block)

    # --- terms -------------------------------------------------------------------------------------------------------------------------

    def collect_terms(self) -> None:
        alike: dict[str, str] = {}
        for text in self.texts.values():
            for term, block, line in text.terms:
                key, letters = term.lower(), re.sub(r"[\W_]", "", term.lower()).removesuffix("s")
                if letters in alike:
                    other, first, _ = self.defined[alike[letters]]
                    self.say(text, line, "glossary", f"'{term}' is marked in {other.place}:{first.line} already" + (f", as '{alike[letters]}'" if alike[letters] != key else "") + "; keep one mark")
                else:
                    alike[letters] = key
                    self.defined[key] = (text, block, line)

    def is_linked(self, text: Text, block: Block, term: str, use: re.Match) -> bool:
        """Whether a use is the words of a link to the glossary, or its paragraph has a link to the heading under which the term is defined."""
        home, first, _ = self.defined[term]
        for link in LINK.finditer(code_away(block.text)):
            if not re.match(r"[a-z]+:", link[3]):
                path, anchor = self.target(text, link[3])
                if path == home.path.resolve() and anchor == first.section or path == (self.root / GLOSSARY).resolve() and link.start() <= use.start() < link.end():
                    return True
        return False

    def check_order(self) -> None:
        order = {place: number for number, place in enumerate(self.texts)}
        patterns = {term: pattern for term in sorted(self.defined, key=len, reverse=True) if (pattern := prose_words.use_of(term))}
        for text in self.held():
            if text.place == GLOSSARY or not text.place.endswith("README.md") and self.begins_with_glossary(text):
                continue
            front, met = text.place.startswith(FRONT), set()
            for block in text.blocks:
                if block.kind == "heading" and not front:
                    met = set()
                if block.kind not in PROSE or block.section.startswith(READING):
                    continue
                line = code_away(prose_text.COMMENT.sub(lambda comment: " " * len(comment[0]), block.text))
                line = re.sub(r"\]\([^)]*\)", lambda target: "]" + "\0" * (len(target[0]) - 1), line)  # the words of a link are prose, its target is not
                for term, pattern in patterns.items():
                    uses = list(pattern.finditer(line))
                    for use in uses:
                        line = line[:use.start()] + "\0" * len(use[0]) + line[use.end():]
                    home, first, _ = self.defined[term]
                    late = order[text.place] < order[home.place] or (text is home and block.line < first.line)
                    if not uses or (not front and not late) or (text is home and block is first) or term in met:
                        continue
                    met.add(term)
                    if not self.is_linked(text, block, term, uses[0]):
                        self.say(text, block.line, "term", f"'{uses[0][0]}' is used before it is defined ({home.place}:{first.line}): define it here, write it otherwise, or link this use "
                                 f"to the glossary or to #{first.section}, with a word of comfort", block, (term,))

    def begins_with_glossary(self, text: Text) -> bool:
        first = next((block for block in text.blocks if block.kind == "paragraph"), None)
        return first is not None and any("glossary" in link[2].lower() and self.target(text, link[3])[0] == (self.root / GLOSSARY).resolve() for link in LINK.finditer(first.text))

    def check_glossary(self) -> None:
        glossary = self.texts.get(GLOSSARY)
        if not glossary:
            return
        entries: dict[str, tuple[int, str]] = {}
        for number, line in enumerate(glossary.lines, 1):
            if not line.startswith("- "):
                continue
            entry = ENTRY.match(line)
            if not entry:
                self.say(glossary, number, "glossary", "an entry is '- **term**: one plain sentence. [where](link)'")
                continue
            if entry[1].lower() in entries:
                self.say(glossary, number, "glossary", f"'{entry[1]}' is there twice")
            entries[entry[1].lower()] = (number, entry[4])
            if len(prose_text.sentences(entry[2])) > 2:
                self.say(glossary, number, "glossary", f"'{entry[1]}': a sentence or two are enough here; the chapter explains")
        for term, (number, link) in entries.items():
            if term not in self.defined:
                self.say(glossary, number, "glossary", f"no text has the mark <!-- term: {term} -->")
            else:
                home, block, _ = self.defined[term]
                if self.target(glossary, link) != (home.path.resolve(), block.section):
                    self.say(glossary, number, "glossary", f"'{term}' is defined in {home.place}#{block.section}, and the link goes to {link}")
        for term, (home, block, line) in self.defined.items():
            if term not in entries and home.place.startswith(HELD):
                self.say(home, line, "glossary", f"book/glossary.md has no '{term}'")

    @functools.cache
    def known_words(self) -> set[str]:
        """In capitals: terms, and words that some text writes in small letters."""
        known = prose_words.KNOWN | {word.upper() for term in self.defined for word in re.findall(r"[\w]+", term)}
        known |= {word.removesuffix("S") for word in known} | {word + "S" for word in known}
        return known | {word.upper() for other in self.texts.values() for block in other.blocks if block.kind in PROSE for word in re.findall(r"(?<![\w./])[a-z]{2,}(?![\w./])", block.prose())}

    def check_shorts(self, text: Text) -> None:
        known = self.known_words()
        seen = set()
        for block in text.blocks:
            if block.kind not in PROSE or text.place == GLOSSARY or block.section.startswith(READING):
                continue
            for short in re.findall(r"(?<![\w.\-/])[A-Z][A-Z0-9]*[A-Z][A-Z0-9]*s?(?![\w-]|\.md)", block.prose()):
                if short.upper() not in known and short not in seen:
                    seen.add(short)
                    self.say(text, block.line, "short", f"'{short}' is defined nowhere: say what it is, and mark it as a term", block, (short,))

    def check_forward(self, text: Text) -> None:
        if text.place.startswith(FRONT):
            return
        met = set()
        for block in text.blocks:
            if block.kind == "heading":
                met = set()
            if block.kind not in PROSE:
                continue
            links = " ".join(link[0] for link in LINK.finditer(code_away(block.text)))
            plain = LINK.sub(" ", code_away(prose_text.COMMENT.sub(" ", block.text)))
            met |= {int(number) for number in re.findall(r"\]\([^)]*step0(\d)_", links)} | {int(number) for number in re.findall(r"[Cc]hapter (\d)", links)}
            for number in {int(n) for one in re.findall(r"\b[Cc]hapters? (\d(?:(?:, | and | to |–)\d)*)", plain) for n in re.findall(r"\d", one)}:
                if number > text.chapter and number not in met:
                    met.add(number)
                    self.say(text, block.line, "forward", f"'chapter {number}' has not been read yet: make it a link, and say what the reader may do until then", block, (f"chapter {number}",))

    # --- pictures ----------------------------------------------------------------------------------------------------------------------

    def check_pictures(self) -> None:
        counts: dict[str, int] = {}
        for text in self.held():
            blocks = [block for block in text.blocks if block.kind != "comment"]
            for place, block in enumerate(blocks):
                inline = block.kind in PROSE and any(link[1] for link in LINK.finditer(code_away(block.text)))
                if inline:
                    self.say(text, block.line, "picture", "a picture is a paragraph of its own, with a caption after it", block)
                if block.kind == "caption" and (place == 0 or blocks[place - 1].kind != "picture"):
                    self.say(text, block.line, "picture", "a caption without a picture before it", block)
                if block.kind == "caption" and (found := re.search(r"\b(?:white|black|dark|bright|pale)\b", block.prose(), re.I)):
                    self.say(text, block.line, "picture", f"'{found[0]}' is not true on a dark page: write 'empty', 'filled' or the colour", block, (found[0],))
                if block.kind != "picture":
                    continue
                alt = LINK.search(block.text)
                if not alt or prose_text.words(alt[2]) < FEWEST_IN_ALT:
                    self.say(text, block.line, "picture", "the alternative text says what is in the picture, in three words or more", block)
                caption = blocks[place + 1] if place + 1 < len(blocks) else None
                series = text.folder.name if text.chapter else text.place
                number = counts[series] = counts.get(series, 0) + 1
                expected = f"Figure {text.chapter}.{number}" if text.chapter else f"Figure {number}"
                if not caption or caption.kind != "caption":
                    self.say(text, block.line, "picture", f"the next paragraph is its caption: *{expected}: what to see.*", block)
                elif not re.fullmatch(rf"\*{re.escape(expected)}: .+\*", prose_text.COMMENT.sub("", caption.text).strip()):
                    self.say(text, caption.line, "picture", f"this caption is '*{expected}: ...*', in one line", caption)

    # --- words, lengths ----------------------------------------------------------------------------------------------------------------

    def check_words(self, text: Text) -> None:
        for block in text.blocks:
            if block.kind not in PROSE or block.section.startswith(READING):
                continue
            prose = re.sub(r"[\"“][^\"“”]*[\"”]", "quoted", block.prose())
            for pattern, instead in prose_words.WORDS:
                for found in re.finditer(pattern, prose, 0 if "Who" in pattern else re.I):
                    if "Who" in pattern and found[0].rstrip().endswith("?"):
                        continue
                    self.say(text, block.line, "word", f"'{found[0][:40]}': write {instead}", block, (found[0].strip().lower(),))

    def check_lengths(self, text: Text) -> None:
        for block in text.blocks:
            if block.wrapped:
                self.say(text, block.wrapped, "wrapped", f"a paragraph is one line: join this line with line {block.line}, or put an empty line between", block)
            if block.kind not in ("paragraph", "bullet", "caption"):
                continue
            prose = block.prose()
            for sentence in prose_text.sentences(re.sub(r"`c+`", "`...`", prose)):
                if prose_text.words(sentence) > MOST_IN_SENTENCE:
                    self.say(text, block.line, "long", f"a sentence of {prose_text.words(sentence)} words ('{' '.join(sentence.split()[:6])} ...'): make two of it", block)
            if prose_text.words(prose) > MOST_IN_PARAGRAPH:
                self.say(text, block.line, "long", f"a paragraph of {prose_text.words(prose)} words: where does its second thought begin?", block)

    # --- numbers -----------------------------------------------------------------------------------------------------------------------

    def sources_of(self, text: Text) -> prose_numbers.Sources:
        """All numbers that the chapter shows outside of its prose; for the front texts, those of all chapters."""
        sources = prose_numbers.Sources()
        for other in self.texts.values():
            if not text.place.startswith(FRONT) and other.folder != text.folder:
                continue
            for block in other.blocks:
                if block.kind in ("code", "generated", "row", "comment"):
                    sources.add(block.text if block.kind != "comment" else " ".join(re.findall(r"<!-- claim: .*?-->", block.text, re.S)))
                elif "<!-- claim:" in block.text:
                    sources.add(" ".join(re.findall(r"<!-- claim: .*?-->", block.text, re.S)))
        folders = [text.folder] if not text.place.startswith(FRONT) else sorted(self.root.glob("step*"))
        for path in [path for folder in folders for path in sorted(folder.glob("results/*"))]:
            if path.suffix in (".txt", ".json"):
                sources.add(path.read_text(encoding="utf-8"), results=True)
        for path in [path for folder in folders for path in sorted(folder.glob("pictures/*.svg"))]:
            sources.add(" ".join(re.findall(r">([^<>]*\d[^<>]*)<", path.read_text(encoding="utf-8"))))
        return sources

    def check_numbers(self, text: Text) -> None:
        sources = self.sources_of(text)
        for block in text.blocks:
            if block.kind not in ("paragraph", "bullet", "caption"):
                continue
            prose, free = block.prose(), []
            for begin, end, calculation, right in prose_numbers.calculations(prose):
                free.append((begin, end))
                if not right:
                    self.say(text, block.line, "wrong", f"'{calculation}' is not what these numbers give", block)
            unknown = set()
            for place, number in prose_numbers.in_prose(prose):
                if not sources.know(number) and number not in unknown and not any(begin <= place < end for begin, end in free):
                    unknown.add(number)
                    self.say(text, block.line, "number", f"{number} stands in no table, output, code, picture or result of this chapter: quote what shows it, or show how it is made (a · b = c)",
                             block, (number, "numbers"))

    def check_reasons(self, text: Text) -> None:
        for block in text.blocks:
            for what in sorted(set(block.allowed) - block.used):
                self.say(text, block.line, "mark", f"'allowed {what}' allows nothing here: take it away")


def run(root: Path, only: str = "", say=print) -> int:
    checked = Book(root)
    problems = [problem for problem in checked.check() if only in problem[0]]
    for place, line, rule, what in problems:
        say(f"{place}:{line}: {rule}: {what}")
    by_rule = {rule: sum(problem[2] == rule for problem in problems) for rule in sorted({problem[2] for problem in problems})}
    say(f"{len(checked.held())} texts held to all rules, {len(checked.defined)} terms, {len(problems)} things to mend" + (": " + ", ".join(f"{count} {rule}" for rule, count in by_rule.items()) if by_rule else ""))
    return 1 if problems else 0


def list_terms(root: Path) -> int:
    checked = Book(root)
    checked.collect_terms()
    for term, (home, block, _) in sorted(checked.defined.items()):
        print(f"{term:28} {home.place}#{block.section}")
    return 0


def relink(root: Path) -> int:
    """Leads each entry of the glossary to where its term is defined now, and puts them in order."""
    checked = Book(root)
    checked.collect_terms()
    lines, entries = [], []
    for line in (root / GLOSSARY).read_text(encoding="utf-8").rstrip("\n").split("\n"):
        entry = ENTRY.match(line)
        if entry and entry[1].lower() in checked.defined:
            home, block, _ = checked.defined[entry[1].lower()]
            line = f"- **{entry[1]}**: {entry[2]} [{f'chapter {home.chapter}' if home.chapter else 'here'}](../{home.place}#{block.section})"
        (entries if line.startswith("- ") else lines).append(line)
    (root / GLOSSARY).write_text("\n".join([*lines, *sorted(entries, key=lambda line: re.sub(r"\W", "", line.partition(":")[0].lower()))]) + "\n", encoding="utf-8")
    return 0


def self_test() -> int:
    wrong = prose_text.self_test() + prose_numbers.self_test() + prose_words.self_test() + prose_cases.wrong(lambda root: Book(root).check(), relink)
    print("\n".join(wrong) if wrong else f"self-test passed: {len(prose_cases.CASES)} books")
    return 1 if wrong else 0


def main() -> int:
    parser = argparse.ArgumentParser(description="check the book's prose", epilog="the rules: at the top of this file")
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parents[2])
    parser.add_argument("--only", default="", metavar="PART", help="print what concerns paths that contain this")
    parser.add_argument("--terms", action="store_true")
    parser.add_argument("--relink", action="store_true", help="lead the glossary's entries to the marks")
    parser.add_argument("--self-test", action="store_true")
    options = parser.parse_args()
    if options.self_test:
        return self_test()
    if options.relink:
        return relink(options.root.resolve())
    return list_terms(options.root.resolve()) if options.terms else run(options.root.resolve(), options.only)


if __name__ == "__main__":
    sys.exit(main())
