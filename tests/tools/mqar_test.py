#!/usr/bin/env python3
"""Multi-query associative recall as weights/mqar.py makes it: the golden checksums, and what a case has to be.

    python3 tests/tools/mqar_test.py

Integers only, so PyTorch is not needed. The engine's own cases (tests/step08_*) are held to the same checksums.
"""
import sys
import unittest
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "weights"))

from mqar import (BOS, FILLER, GAMMA, KEYS, LONGER, TEST_SEED, TRAINED, TRAINING_SEEDS, VALUES, Draws, checksum,  # noqa: E402
                  make_case, splitmix64)

GOLDEN = {(64, 4): 0x8D58BAA60A6AC5F7, (128, 8): 0x8D117A68D6A7E87D, (256, 16): 0xF8C640EB262242E1,
          (256, 32): 0x3290E2237CFFD3A5, (256, 64): 0xDE9D1BD7F2F1AA11, (512, 16): 0xB645C230413A5C7B,
          (512, 64): 0x899AC68281CBD76E, (1024, 16): 0xF7E0FB6121C4816A, (1024, 64): 0x6C9B173E934343FC}
ALL = 0x154B81FC536C7940
CELLS = (*TRAINED, *LONGER)


class Mqar(unittest.TestCase):
    def test_golden(self) -> None:
        self.assertEqual(tuple(GOLDEN), CELLS)
        for (length, pairs), golden in GOLDEN.items():
            with self.subTest(length=length, pairs=pairs):
                self.assertEqual(checksum(make_case(TEST_SEED, length, pairs, c) for c in range(4)), golden)
        self.assertEqual(checksum(make_case(TEST_SEED, *cell, c) for cell in CELLS for c in range(4)), ALL)

    def test_by_eye(self) -> None:
        self.assertEqual(make_case(1, 16, 2, 0),
                         ([BOS, 1, 126, 85, 180, 1, 126, 212, 220, 85, 180, 237, 244, 247, 244, 228, 253], [5, 9]))

    def test_splitmix64(self) -> None:
        """The published generator's first numbers, seed 1234567: `Draws` goes through the same ones."""
        draws = Draws()
        draws.state = 1234567
        self.assertEqual([draws.below(2**64) for _ in range(3)],
                         [6457827717110365317, 3203168211198807973, 9817491932198370423])
        self.assertEqual(splitmix64((1234567 + GAMMA) % 2**64), 3203168211198807973)

    def test_the_three_kinds_of_bytes(self) -> None:
        self.assertEqual(sorted([BOS, *KEYS, *VALUES, *FILLER]), list(range(256)))

    def test_what_a_case_is(self) -> None:
        """Every key is asked once, behind all pairs, and its value stands behind it; everything else is filler."""
        for length, pairs in CELLS:
            for case in range(10):
                with self.subTest(length=length, pairs=pairs, case=case):
                    (bos, *s), answers = make_case(TEST_SEED, length, pairs, case)
                    self.assertEqual((bos, len(s), len(answers)), (BOS, length, pairs))
                    stored = dict(zip(s[: 2 * pairs : 2], s[1 : 2 * pairs : 2]))
                    self.assertEqual((len(stored), len(set(stored.values()))), (pairs, pairs))
                    self.assertTrue(set(stored) <= set(KEYS) and set(stored.values()) <= set(VALUES))
                    self.assertEqual(answers, sorted(set(answers)))
                    self.assertTrue(all(j > 2 * pairs and j % 2 for j in answers))
                    self.assertEqual({s[j - 1]: s[j] for j in answers}, stored)
                    rest = set(range(2 * pairs, length)) - {i for j in answers for i in (j - 1, j)}
                    self.assertTrue(all(s[i] in FILLER for i in rest))

    def test_early_places_are_likelier(self) -> None:
        """1/x over 96 places: the first half of them holds most of the questions, and some come late."""
        count = Counter((j - 33) // 2 for c in range(200) for j in make_case(TEST_SEED, 224, 16, c)[1])
        self.assertEqual(sum(count.values()), 200 * 16)
        near, middle, far = (sum(count[g] for g in part) for part in (range(24), range(24, 48), range(48, 96)))
        self.assertGreater(near, 2 * middle)
        self.assertGreater(middle, far / 2)
        self.assertGreater(far, 200)
        self.assertGreater(count[0], 150)

    def test_few_symbols(self) -> None:
        """The beginners' lesson takes the first keys and values alone; with all 96 it is the task itself."""
        for case in range(5):
            (_, *s), _ = make_case(TEST_SEED, 32, 8, case, 16)
            self.assertTrue(set(s[:16:2]) <= set(KEYS[:16]) and set(s[1:16:2]) <= set(VALUES[:16]))
        self.assertEqual(make_case(TEST_SEED, 64, 4, 0, 96), make_case(TEST_SEED, 64, 4, 0))
        with self.assertRaisesRegex(ValueError, "mqar: length"):
            make_case(TEST_SEED, 256, 17, 0, 16)

    def test_cases_differ(self) -> None:
        """By number, by seed, by cell: the tokens behind the BOS are not the beginning of another case."""
        heads = [tuple(make_case(seed, *cell, c)[0][:9]) for seed in (TEST_SEED, TRAINING_SEEDS + 1, TRAINING_SEEDS + 2)
                 for cell in CELLS for c in range(3)]
        self.assertEqual(len(heads), len(set(heads)))

    def test_what_does_not_fit_is_refused(self) -> None:
        for length, pairs in ((63, 4), (16, 5), (64, 0), (1024, 97), (0, 1)):
            with self.subTest(length=length, pairs=pairs), self.assertRaisesRegex(ValueError, "mqar: length"):
                make_case(1, length, pairs, 0)
        make_case(1, 1024, 96, 0)


if __name__ == "__main__":
    unittest.main()
