"""The Python in python/README.md runs as it stands, and the grader of its last part tells a right submission from a wrong one."""
import re
import sys
import types
import unittest
from pathlib import Path

import numpy as np

import kvlab

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "python" / "examples"))
import numpy_decoder  # noqa: E402

BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "python" / "README.md").read_text(encoding="utf-8"), re.DOTALL)


class Submission(types.ModuleType):
    """What a student hands in: the example's decoder, with one of its mistakes or none."""

    def __init__(self, bug: str) -> None:
        super().__init__("submission")
        model = kvlab.Model(kvlab.tiny_model())

        class Cache:
            def __init__(self, decoder: numpy_decoder.Decoder) -> None:
                self.decoder, self.kept = decoder, decoder.cache()

            def decode(self, tokens: list) -> np.ndarray:
                return self.decoder.forward(list(tokens), self.kept)

        class Decoder:
            def __init__(self, tensors: dict) -> None:
                self.own = numpy_decoder.Decoder(model, bug)
                self.own.w = tensors

            def logits(self, tokens: list) -> np.ndarray:
                return self.own.forward(list(tokens), self.own.cache())

            def cache(self) -> Cache:
                return Cache(self.own)

        self.Decoder = Decoder


class Readme(unittest.TestCase):
    def test_what_is_there(self) -> None:
        x = np.ones((2, 2, 4), np.float32)
        names = {"q": x, "k": x, "v": x}
        exec(BLOCKS[0], names)
        self.assertEqual(len(names["cache"]), 3)
        self.assertEqual(len(names["branch"]), len(names["tokens"]))
        self.assertEqual(kvlab.checksum(names["row"]), kvlab.checksum(names["whole"][-1]))

    def test_the_first_difference(self) -> None:
        model = kvlab.Model(kvlab.tiny_model())
        tokens = [1, 2, 3]
        names = {"kvlab": kvlab, "model": model, "tokens": tokens, "cache": model.cache(), "my_keys": np.zeros((3, 32), np.float32),
                 "my_logits": model.logits(tokens), "print": lambda *_: None}
        exec(BLOCKS[1], names)
        self.assertEqual((names["found"].op, names["found"].layer), ("key", 0))

    def grade(self, bug: str) -> dict[str, str]:
        """test: what it says; nothing for one that passes."""
        sys.modules["submission"] = Submission(bug)
        self.addCleanup(sys.modules.pop, "submission", None)
        names: dict = {}
        exec(BLOCKS[2], names)
        said = {}
        for name in ("test_logits", "test_the_cache_changes_nothing"):
            try:
                names[name]()
            except AssertionError as error:
                said[name] = str(error)
        return said

    def test_the_grader(self) -> None:
        self.assertEqual(self.grade(""), {})
        found = self.grade("positions")
        self.assertEqual(list(found), ["test_the_cache_changes_nothing"])
        self.assertRegex(found["test_the_cache_changes_nothing"], r"^token 4 of the text: row 4, element 0: ")
        for bug in ("late", "heads", "scale"):
            self.assertEqual(list(self.grade(bug)), ["test_logits"], bug)

    def test_every_block_was_tried(self) -> None:
        self.assertEqual(len(BLOCKS), 3)


if __name__ == "__main__":
    unittest.main()
