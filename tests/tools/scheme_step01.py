"""Whether the schemes of chapter 1 show the numbers of its worked examples: those that `step01_tensor by-hand` prints in the text,
where tests/tools/snippets.py compares them with the program."""
from __future__ import annotations

import importlib
import re
from pathlib import Path


def texts(root: Path) -> str:
    """The chapter and its pages, one after the other."""
    folder = root / "step01_tensor"
    return "\n".join(path.read_text(encoding="utf-8") for path in (folder / "README.md", *sorted(folder.glob("pages/*.md"))))


def example(root: Path, name: str) -> str:
    """What the program prints of one example, as the chapter or one of its pages quotes it."""
    return texts(root).split(f"<!-- output: step01_tensor by-hand {name} -->\n```\n")[1].split("\n```")[0]


def row(text: str, begin: str) -> str:
    return next((line for line in text.splitlines() if line.strip().startswith(begin)), "")


def check(root: Path) -> list[str]:
    draws, matrices, rounding, views, softmax, sums, turned = (importlib.import_module(f"plots.{name}") for name in
                                             ("draw_from_weights", "matrix_product", "float_rounding", "tensor_views", "softmax_weights", "sum_blocks", "turned_pair"))
    cases = []
    for name, view in views.VIEWS.items():
        shape, strides, first, numbers = re.search(r" (\[[^]]*\]) +\{(.*)\} +(\d+) +(.*)", row(example(root, "view"), name + " ")).groups()
        cases.append((name, (shape, strides, int(first), numbers), (str(list(view.shape)), ", ".join(map(str, view.strides)), view.first,
                                                                    " | ".join(" ".join(str(views.NUMBERS[p]) for p in places) for places in view.places()))))
    for number, label in ((6.5, "6.5"), (16777216, "16777216 "), (16777217, "16777217"), (16777219, "16777219"), (1.0, "1 "), (-1.0, "-1 "), (0.0, "+0")):
        sign, exponent, fraction = rounding.parts(number)
        bits = f"{sign} {exponent:08b} {fraction:023b}"
        found = re.search(r"([01] [01]{8} [01]{23}) +(\d+)", row(example(root, "float"), label))
        cases.append((f"bits of {number}", (found[1], int(found[2])), (bits, rounding.word(number))))
    drawn = [matrices.by_hand(t, n) for t in range(len(matrices.X)) for n in range(len(matrices.W))]
    cases.append(("matrix product", [line.strip() for line in example(root, "product").splitlines()], drawn))
    order = example(root, "blocks").splitlines()
    at = next(i for i, line in enumerate(order) if line.startswith("16777216 and 127 ones"))
    cases.append(("sums", [int(line.split()[-1]) for line in order[at + 1:at + 3]], [int(sums.chain(sums.TERMS)), int(sums.total())]))
    for score, weight in zip(softmax.SCORES, softmax.weights()):
        n, rest, p = softmax.parts(score)
        cases.append((f"score {score}", row(example(root, "softmax"), f"{score:g} ").split()[:5], [f"{score:g}", str(n), f"{rest:.4f}", f"{p:.4f}", f"{weight:.5f}"]))
    for random in draws.RANDOM:
        found = [line.split()[-1] for line in example(root, "draw").splitlines() if line.split()[:2] == [f"{draws.TOP_P:g}", f"{random:g}"]]
        cases.append((f"draw of {random}", found, [str(draws.drawn(random))]))
    text = texts(root)
    by_hand = text[text.index("    (3, 5) = 3 * (1, 0)"):].split("\n```")[0]
    cases.append(("turned pair", by_hand.split(" = ")[-1], turned.label(turned.turned(*turned.PAIR))))
    return [f"{name}: the text has {found}, the picture {drawn}" for name, found, drawn in cases if found != drawn]
