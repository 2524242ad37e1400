"""What the package refuses: the exception, and a line with the argument, what was expected and what was found."""
import re
import unittest

import numpy as np

import kvlab


class Refusals(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.model = kvlab.Model(kvlab.tiny_model())

    def refused(self, error: type, text: str, call) -> None:
        with self.subTest(text):
            with self.assertRaisesRegex(error, "^" + re.escape(text) + "$") as caught:
                call()
            self.assertIs(type(caught.exception), error)

    def test_arrays(self) -> None:
        x = np.zeros((2, 4), np.float32)
        gaps = "array: expected an array without gaps, row by row (numpy.ascontiguousarray makes one), found one with strides"
        for array, text in ((x.astype(float), "one of float64"), (x.astype(np.float16), "one of float16"), (x.astype(">f4"), "one of >f4"),
                            (x.astype(int), "one of int64"), ([1.0], "list"), (1.0, "float"), (None, "NoneType"), ("1", "str")):
            self.refused(TypeError, f"array: expected an array of float32, found {text}", lambda a=array: kvlab.checksum(a))
        for array in (x[:, ::2], x.T, x[::-1], np.broadcast_to(np.float32(1), (3, 3))):
            self.refused(ValueError, gaps, lambda a=array: kvlab.checksum(a))

    def test_shapes_of_attention(self) -> None:
        def call(q, k, v=None, out=None):
            arrays = [np.zeros(shape, np.float32) for shape in (q, k, v or k)]
            return lambda: kvlab.attention(*arrays, out=out)

        self.refused(ValueError, "q: expected 3 axes, found the shape [2, 4]", call((2, 4), (2, 1, 4)))
        self.refused(ValueError, "k: expected the shape [S, Hkv, 4], found [2, 1, 5]", call((2, 1, 4), (2, 1, 5)))
        self.refused(ValueError, "v: expected the shape of k, [2, 1, 4], found [3, 1, 4]", call((2, 1, 4), (2, 1, 4), (3, 1, 4)))
        self.refused(ValueError, "S: expected at least T = 3, found 2", call((3, 1, 4), (2, 1, 4)))
        self.refused(ValueError, "heads: expected a multiple of kv_heads = 2, found 3", call((1, 3, 4), (2, 2, 4)))
        self.refused(ValueError, "T: expected at least 1, found 0", call((0, 1, 4), (2, 1, 4)))
        self.refused(ValueError, "out: expected the shape [1, 1, 4], found [4]", call((1, 1, 4), (1, 1, 4), out=np.zeros(4, np.float32)))

    def test_results(self) -> None:
        locked = np.zeros(256, np.float32)
        locked.flags.writeable = False
        cache = self.model.cache(4)
        self.refused(ValueError, "out: expected an array to write to, found one that may only be read", lambda: cache.decode(1, last=True, out=locked))
        self.refused(TypeError, "out: expected an array of float32, found one of float64", lambda: cache.decode(1, out=np.zeros((1, 256))))
        self.refused(ValueError, "out: expected the shape [1, 256], found [256]", lambda: cache.decode(1, out=np.zeros(256, np.float32)))
        self.assertEqual(len(cache), 0)
        self.assertFalse(locked.any())

    def test_tokens(self) -> None:
        cache = self.model.cache(4)
        for tokens, error, text in (
                ([256], ValueError, "token 0 of 1: expected 0 to 255, found 256"), ([1, -1], ValueError, "token 1 of 2: expected 0 to 255, found -1"),
                ([], ValueError, "tokens: expected at least 1, found 0"), ([2**40], ValueError, f"token 0: {2**40} does not fit in 32 bits"),
                ("abc", TypeError, "tokens: expected integers, found str"), ([1.5], TypeError, "tokens: expected integers, found float"),
                ([[1]], TypeError, "tokens: expected integers, found list"), (None, TypeError, "tokens: expected integers, found NoneType"),
                (np.zeros(2, np.float32), TypeError, "tokens: expected integers of 32 or 64 bits, found one of float32"),
                (np.zeros((1, 2), int), ValueError, "tokens: expected one axis, found the shape [1, 2]")):
            self.refused(error, text, lambda t=tokens: cache.decode(t))
            self.refused(error, text, lambda t=tokens: self.model.logits(t))
        self.assertEqual(len(cache), 0)

    def test_room(self) -> None:
        cache = self.model.cache(4)
        before = cache.decode([1, 2, 3])
        self.refused(kvlab.NoRoom, "tokens: 2 of them, the cache has room for 1", lambda: cache.decode([4, 5]))
        self.refused(ValueError, "length: expected 0 to 3, found 4", lambda: cache.truncate(4))
        self.refused(kvlab.NoRoom, "tokens: 513 of them, the context is 512", lambda: self.model.logits([1] * 513))
        self.refused(ValueError, "capacity: expected 1 to 512, found 513", lambda: self.model.cache(513))
        self.refused(ValueError, "capacity: expected 1 to 512, found -1", lambda: self.model.cache(-1))
        cache.truncate(0)
        self.assertIsNone(kvlab.first_difference(before, cache.decode([1, 2, 3])))

    def test_errors_are_a_family(self) -> None:
        self.assertTrue(issubclass(kvlab.NoRoom, kvlab.Error) and issubclass(kvlab.BadFile, kvlab.Error) and issubclass(kvlab.Error, RuntimeError))
        with self.assertRaisesRegex(kvlab.BadFile, "^model '/no/such.gguf': expected a file, found none"):
            kvlab.Model("/no/such.gguf")
        with self.assertRaisesRegex(kvlab.BadFile, "cannot be read: No such file"):
            kvlab.Recording.read("/no/such.jsonl")
        with self.assertRaises(TypeError):
            kvlab.Model(7)

    def test_comparisons(self) -> None:
        x, empty = np.zeros((2, 4), np.float32), kvlab.Recording()
        self.refused(ValueError, "b: expected the shape of a, [2, 4], found [4, 2]", lambda: kvlab.first_difference(x, x.reshape(4, 2)))
        self.refused(TypeError, "first_difference: expected two arrays or two Recordings, found one of each", lambda: kvlab.first_difference(x, empty))
        self.refused(ValueError, "tolerance: expected 0 or more, found -1", lambda: kvlab.first_difference(x, x, -1))
        self.refused(ValueError, "recordings: 0 and 0 steps, expected at least one in each", lambda: kvlab.first_difference(empty, empty))
        self.refused(ValueError, "rows: expected 2 axes, found the shape [4]", lambda: empty.add("logits", x[0]))
        self.refused(ValueError, "positions: expected one for each of 2 rows, found 1", lambda: empty.add("logits", x, positions=[0]))
        self.refused(ValueError, "no such operator: softmax", lambda: empty.add("softmax", x))
        self.refused(ValueError, "head_dim: expected 0 or more, found -1", lambda: kvlab.Recording(-1))


if __name__ == "__main__":
    unittest.main()
