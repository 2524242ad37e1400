#!/usr/bin/env python3
"""Three tokens through each recurrence of chapter 8, in exact rational arithmetic rounded once per operation.

Prints what tests/step08_recurrences_by_hand_test.cpp expects, two outputs for each token; with --check it looks whether
that is what stands there. The formulas are those of chapter 1's page pages/contract.md ("Recurrences") and of the mixers'
files; no code is shared with them.
"""
import re
import sys
from pathlib import Path

import contract_by_the_book as book
from contract_by_the_book import add, div, exponential, fma, hexf, mul, single

Q = [[1.0, 0.5], [0.25, -1.0], [2.0, 1.0]]
K = [[0.5, 1.0], [1.0, -0.5], [0.5, 1.0]]
V = [[1.0, 2.0], [-1.0, 0.5], [3.0, 1.0]]
BETA = [0.5, 1.0, 0.25]
FADE = [single(x) for x in (0.5, 0.75, 0.9)]


def asked(S, q):
    return [book.total([(q[i], S[i][j]) for i in range(2)]) for j in range(2)]


def stored(S, k, v):
    return [[fma(k[i], v[j], S[i][j]) for j in range(2)] for i in range(2)]


def linear():
    S, z = [[0.0] * 2 for _ in range(2)], [0.0, 0.0]
    for q, k, v in zip(Q, K, V):
        q, k = ([add(x, 1.0) if x > 0 else exponential(x) for x in row] for row in (q, k))
        S, z = stored(S, k, v), [add(a, b) for a, b in zip(z, k)]
        weight = book.total(list(zip(q, z)))
        yield [div(o, weight) for o in asked(S, q)]


def delta():
    S = [[0.0] * 2 for _ in range(2)]
    for q, k, v, beta, fade in zip(Q, K, V, BETA, FADE):
        S = [[mul(s, fade) for s in row] for row in S]
        S = stored(S, k, [mul(beta, add(v[j], -known)) for j, known in enumerate(asked(S, k))])
        yield asked(S, q)


def s4d():
    a, c, skip = [(0.5, 0.25), (single(0.9), -0.5)], [(1.0, 0.5), (single(0.3), 2.0)], [0.5, single(0.1)]
    states = [(0.0, 0.0), (0.0, 0.0)]
    for x in V:
        row = []
        for i in range(2):
            (are, aim), (re, im), u = a[i], states[i], x[i]
            states[i] = fma(are, re, fma(-aim, im, u)), fma(are, im, mul(aim, re))
            acc = fma(-c[i][1], states[i][1], fma(c[i][0], states[i][0], 0.0))
            row.append(fma(skip[i], u, mul(2.0, acc)))
        yield row


def mamba():
    A, skip = [[-1.0, -2.0], [-0.5, -4.0]], [0.5, single(0.1)]  # A[n][channel]
    s = [[0.0] * 2 for _ in range(2)]
    for dt, u, B, C in zip(([0.5, 1.0], [single(0.1), 0.25], [1.0, 2.0]), V, K, Q):
        row = []
        for i in range(2):
            for n in range(2):
                decay = exponential(mul(dt[i], A[n][i]))
                s[n][i] = fma(decay, s[n][i], mul(mul(dt[i], u[i]), B[n]))
            row.append(fma(skip[i], u[i], book.total([(C[n], s[n][i]) for n in range(2)])))
        yield row


def rwkv():
    decay, bonus = [0.5, 2.0], [1.0, -0.5]
    state = [(0.0, 0.0, single(-1e30))] * 2
    for k, v in zip(Q, V):
        row = []
        for i in range(2):
            a, b, p = state[i]
            own = add(bonus[i], k[i])
            m = max(p, own)
            e, f = exponential(add(p, -m)), exponential(add(own, -m))
            row.append(div(fma(e, a, mul(f, v[i])), fma(e, b, f)))
            faded = add(p, -decay[i])
            p = max(faded, k[i])
            e, f = exponential(add(faded, -p)), exponential(add(k[i], -p))
            state[i] = fma(e, a, mul(f, v[i])), fma(e, b, f), p
        yield row


def main() -> int:
    found = [[hexf(y) for row in recurrence() for y in row] for recurrence in (linear, delta, s4d, mamba, rwkv)]
    if sys.argv[1:] != ["--check"]:
        for name, numbers in zip(("linear", "delta", "s4d", "mamba", "rwkv"), found):
            print(f"{name:<7}" + "  ".join(" ".join(numbers[t:t + 2]) for t in (0, 2, 4)))
        return 0
    test = (Path(__file__).parents[1] / "step08_recurrences_by_hand_test.cpp").read_text()
    expected = [re.findall(r"(-?0x[0-9a-f.]+p[+-]\d+)f", block) for block in re.findall(r"expected = \{(.*?)\};", test, re.S)]
    for by_hand, by_test in zip(found, expected):
        if by_hand != by_test:
            print("FAILED by hand", " ".join(by_hand), "but the test expects", " ".join(by_test))
    print(f"{len(found)} recurrences by hand, {len(expected)} in the test")
    return 0 if found == expected else 1


if __name__ == "__main__":
    sys.exit(main())
