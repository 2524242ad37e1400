"""Whether the schemes of chapter 8 are those of its code, where no worked example says it: layers, borders, rules, sizes."""
from __future__ import annotations

import importlib
import re
from pathlib import Path

CHAPTER = Path("step08_architectures")


def listed(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"-?\d+", text)]


def shapes(root: Path) -> dict[str, tuple[list[str], list[int]]]:
    """The layers of each model and whose rows they read, as the program has them."""
    text = (root / CHAPTER / "app" / "shapes.cpp").read_text(encoding="utf-8")
    found = {name: ([name] * 2, [0, 1]) for name in re.findall(r'^ +two\("(\w+)"', text, re.M)}
    for name, mixers, more in re.findall(r'\{\.name = "(\w+)",\s+\.mixers = \{([^}]*)\}([^}]*\}?)', text):
        layers = re.findall(r'"(\w+)"', mixers)
        reads = re.search(r"\.kv_layer = \{([^}]*)\}", more)
        found[name] = (layers, listed(reads[1]) if reads else list(range(len(layers))))
    return found


def trained_numbers(root: Path) -> dict[str, int]:
    """The numbers of the mixers that were trained."""
    text = (root / CHAPTER / "app" / "shapes.cpp").read_text(encoding="utf-8")
    return {key: int(number) for key, number in re.findall(r'\{"(\w+)", (\d+)\}', text)}


def check_layers(root: Path) -> list[tuple]:
    family, layers = (importlib.import_module(f"plots.mix_{name}") for name in ("family", "layers"))
    of_code, numbers = shapes(root), trained_numbers(root)
    cases = [("the models", {name: mixers for name, (mixers, _) in of_code.items()}, family.MODELS)]
    cases += [(f"whose rows {model} reads", of_code[model][1], reads) for model, _, reads in layers.DRAWN]
    # State sizes from the numbers in the file, as the mixers' first lines describe them.
    inner, states = numbers["inner"], numbers["state_size"]
    cases.append(("mamba's state", (states + numbers["conv"] - 1) * inner, family.STATES["mamba"]))
    cases.append(("a latent row", numbers["kv_rank"] + numbers["rope_rank"], family.layer_floats("mla", 1)))
    cases.append(("a hashed token", 4 * (2 * 16 + numbers["rounds"]), family.layer_floats("lsh", 1)))
    # Where each memory stops growing.
    cases.append(("when a window is full", [family.layer_floats("local", n) for n in (63, 64, 65)], [64 * 63, 64 * 64, 64 * 64]))
    reach = 31 * numbers["dilation"] + 1
    cases.append(("when dilated windows are full", family.layer_floats("dilated", reach), family.layer_floats("dilated", reach + 1)))
    return cases


def check_rules() -> list[tuple]:
    """The grids say of each token what the definitions in words do: seen, and missed by nobody later."""
    patterns = importlib.import_module("plots.mix_patterns")
    cases = []
    for name, (sees, _) in patterns.RULES.items():
        marks = [[patterns.mark(name, t, s) for s in range(t + 1)] for t in range(patterns.TOKENS)]
        gone = [(t, s) for t, row in enumerate(marks) for s, mark in enumerate(row) if mark == "."]
        cases.append((f"{name}: forgotten rows that are asked for", [(t, s) for t, s in gone if any(sees(later, s) for later in range(t, patterns.TOKENS))], []))
        cases.append((f"{name}: each token sees itself", [t for t, row in enumerate(marks) if row[t] != "#"], []))
    return cases


def check_sums() -> list[tuple]:
    """Examples in exact fractions, by another way than the pictures'."""
    linear, delta, latent, gates = (importlib.import_module(f"plots.mix_{name}") for name in ("linear", "delta", "latent", "gates"))
    cases = []
    for q in range(2):  # the definition: a weighted mean of the values, weights f(q).f(k)
        weights = [sum(a * b for a, b in zip(linear.FEATURES[q], f)) for f in linear.FEATURES]
        mean = [sum(w * v[j] for w, v in zip(weights, linear.VALUES)) / sum(weights) for j in range(2)]
        cases.append((f"linear attention, key {q + 1}", mean, linear.answer(q)[2]))
    last = delta.STATES[1][-1]
    cases.append(("the delta rule gives a key's last value", [[4.0, 5.0], [0.0, 3.0]], [delta.ask(q, last) for q in (delta.A, delta.B)]))
    cases.append(("both orders of a latent score", [one for one, _ in latent.SCORES], [other for _, other in latent.SCORES]))
    slow, chosen = gates.run(gates.SAME), gates.run(gates.CHOSEN)
    cases.append(("what is left of the 7 before the 9", (True, True), (chosen[5][2] > 0.97 * chosen[2][2], slow[5][2] < 0.7 * slow[2][2])))
    return cases


def check(root: Path) -> list[str]:
    snapshots, heads, indexer = (importlib.import_module(f"plots.mix_{name}") for name in ("snapshots", "heads", "indexer"))
    source = (root / CHAPTER / "src" / "model" / "recurrent.cpp").read_text(encoding="utf-8")
    header = (root / CHAPTER / "include" / "kvlab" / "architectures" / "recurrent.hpp").read_text(encoding="utf-8")
    cases = [*check_layers(root), *check_rules(), *check_sums()]
    cases.append(("the border of copies", int(re.search(r"kBorder = (\d+)", source)[1]), snapshots.BORDER))
    told = re.search(r"To go back to (\d+), the copy of (\d+) is taken out, and the rows of (\d+) to (\d+)", header)
    to, copy, first, last = (int(number) for number in told.groups())
    cases.append(("going back", (to, (copy, last + 1 - first)), (snapshots.BACK, snapshots.back(snapshots.BACK))))
    cases.append(("copies that are kept", [at for at in range(0, snapshots.TOKENS, 64) if at + 64 > snapshots.TOKENS - snapshots.REWIND], snapshots.copies()))
    cases.append(("gigabytes of 32, 8 and 1 KV heads", [4.0, 1.0, 0.125], [heads.gigabytes(kv) for _, kv in heads.KINDS]))
    cases.append(("the chosen tokens", (3, True), (len(indexer.CHOSEN), all(indexer.score(s) >= indexer.score(other) for s in indexer.CHOSEN for other in range(7) if other not in indexer.CHOSEN))))
    return [f"{name}: the chapter has {found}, the picture {drawn}" for name, found, drawn in cases if found != drawn]
