"""What the package computes: the bits of the C interface, without copies, from several threads, whatever is closed first."""
import gc
import threading
import unittest

import numpy as np

import kvlab

TOKENS = [(7919 * i + 101) % 256 for i in range(40)]


def bits(array: np.ndarray) -> bytes:
    return array.tobytes()


class Attention(unittest.TestCase):
    def draw(self, T: int, S: int, heads: int, kv_heads: int, D: int) -> tuple:
        rng = np.random.default_rng(7)
        return tuple(rng.standard_normal(shape).astype(np.float32) for shape in ((T, heads, D), (S, kv_heads, D), (S, kv_heads, D)))

    def test_the_definition(self) -> None:
        for T, S, heads, kv_heads, D in ((5, 5, 4, 2, 16), (1, 70, 3, 3, 5), (3, 66, 4, 1, 8)):
            with self.subTest(S=S):
                q, k, v = self.draw(T, S, heads, kv_heads, D)
                found = kvlab.attention(q, k, v)
                k, v = (np.repeat(x.astype(float), heads // kv_heads, axis=1) for x in (k, v))
                scores = np.einsum("thd,shd->hts", q.astype(float), k) / np.sqrt(D)
                scores[:, np.arange(S)[None, :] > np.arange(S - T, S)[:, None]] = -np.inf
                weights = np.exp(scores)
                expected = np.einsum("hts,shd->thd", weights / weights.sum(-1, keepdims=True), v)
                # Sums of some 70 products of numbers near 1: a few hundred roundings of 2^-24.
                self.assertLess(np.abs(found - expected).max(), 1e-5)

    def test_a_query_alone_has_the_bits_of_the_batch(self) -> None:
        q, k, v = self.draw(6, 9, 4, 2, 16)
        whole = kvlab.attention(q, k, v)
        for t in range(6):
            self.assertEqual(bits(kvlab.attention(q[t:t + 1], k[:4 + t], v[:4 + t])), bits(whole[t:t + 1]))


class Decoding(unittest.TestCase):
    def setUp(self) -> None:
        self.model = kvlab.Model(kvlab.tiny_model())
        self.whole = self.model.logits(TOKENS)

    def test_the_configuration_and_the_tokens(self) -> None:
        c = self.model.config
        self.assertEqual((c.name, c.architecture, c.vocab, c.layers, c.heads, c.kv_heads, c.head_dim), ("kvlab-tiny", "llama", 256, 2, 4, 2, 16))
        self.assertEqual(bytes(self.model.encode("And so")[-6:]), b"And so")

    def test_cached_is_uncached_in_every_bit(self) -> None:
        for piece in (1, 3, 40):
            cache = self.model.cache(40)
            rows = [cache.decode(TOKENS[i:i + piece]) for i in range(0, 40, piece)]
            self.assertEqual(bits(np.concatenate(rows)), bits(self.whole))
            self.assertEqual(len(cache), 40)
        self.assertEqual(bits(self.model.cache().decode(TOKENS, last=True)), bits(self.whole[-1]))

    def test_tokens_in_every_form(self) -> None:
        forms = (TOKENS, tuple(TOKENS), np.array(TOKENS), np.array(TOKENS, np.int32), np.repeat(np.array(TOKENS, np.int32), 2)[::2], iter(TOKENS))
        for form in forms:
            self.assertEqual(bits(self.model.logits(form)), bits(self.whole))
        self.assertEqual(bits(self.model.logits(TOKENS[0])), bits(self.whole[:1]))
        self.assertEqual(bits(self.model.logits(np.array(TOKENS[0]))), bits(self.whole[:1]))

    def test_truncate_and_fork(self) -> None:
        cache = self.model.cache(40)
        cache.decode(TOKENS[:30])
        copy = cache.fork()
        cache.truncate(7)
        self.assertEqual((len(cache), len(copy), cache.bytes), (7, 30, 7 * 2 * 2 * 2 * 16 * 4))
        self.assertGreaterEqual(cache.bytes_allocated, cache.bytes)
        self.assertEqual(bits(cache.decode(TOKENS[7:])), bits(self.whole[7:]))
        self.assertEqual(bits(copy.decode(TOKENS[30:])), bits(self.whole[30:]))

    def test_whoever_is_closed_first(self) -> None:
        cache = self.model.cache(40)
        cache.decode(TOKENS[:5])
        del self.model
        gc.collect()
        copy = cache.fork()
        del cache
        gc.collect()
        row = copy.decode(TOKENS[5:9])
        del copy
        gc.collect()
        self.assertEqual(bits(row), bits(self.whole[5:9]))  # results belong to nobody but the caller

    def test_weights_are_those_that_the_logits_come_from(self) -> None:
        w = self.model.tensors()
        self.assertEqual(w["token_embd.weight"].shape, (256, 64))
        self.assertEqual({array.dtype for array in w.values()}, {np.dtype(np.float32)})
        recording = kvlab.Recording()
        self.model.logits(TOKENS, record=recording)
        mine = kvlab.Recording()
        mine.add("embedding", w["token_embd.weight"][TOKENS])
        mine.end_step()
        self.assertIsNone(kvlab.first_difference(recording, mine))

    def test_threads(self) -> None:
        wrong: list[str] = []

        def work() -> None:
            cache = self.model.cache(40)
            for token, row in zip(TOKENS, self.whole):
                if bits(cache.decode(token, last=True)) != bits(row):
                    wrong.append("a row")

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])


class Memory(unittest.TestCase):
    """Results are written where the caller says, and arrays are read where they lie."""

    def setUp(self) -> None:
        self.model = kvlab.Model(kvlab.tiny_model())

    def test_results_in_the_callers_array(self) -> None:
        pages = np.full((4, 10, 256), np.nan, np.float32)
        found = self.model.logits(TOKENS[:10], out=pages[2])
        self.assertTrue(np.shares_memory(found, pages))
        self.assertTrue(np.isnan(pages[[0, 1, 3]]).all())
        self.assertEqual(bits(pages[2]), bits(self.model.logits(TOKENS[:10])))
        row = np.zeros(256, np.float32)
        self.assertTrue(np.shares_memory(self.model.cache().decode(TOKENS[0], last=True, out=row), row))
        q = np.ones((1, 1, 4), np.float32)
        self.assertTrue(np.shares_memory(kvlab.attention(q, q, q, out=q.copy()), q) is False)

    def test_arrays_that_may_only_be_read(self) -> None:
        values = np.arange(4, dtype=np.float32)
        sum_before = kvlab.checksum(values)
        values.flags.writeable = False
        self.assertEqual(kvlab.checksum(values), sum_before)

    def test_nothing_is_kept_back(self) -> None:
        import tracemalloc
        cache = self.model.cache(1)
        row = np.zeros(256, np.float32)
        tracemalloc.start()
        for i in range(200):
            cache.decode(TOKENS[0], last=True, out=row)
            cache.truncate(0)
            if i == 100:
                before = tracemalloc.get_traced_memory()[0]
        self.assertLess(tracemalloc.get_traced_memory()[0] - before, 10_000)
        tracemalloc.stop()

    def test_checksum_is_the_contracts(self) -> None:
        expected = 0xCBF29CE484222325
        values = np.array([1.0, -0.0, 3.5, np.nan], np.float32)
        for pattern in values.view(np.uint32).tolist():
            expected = (expected ^ pattern) * 1099511628211 % 2**64
        self.assertEqual(kvlab.checksum(values), f"{expected:016x}")
        self.assertEqual(kvlab.checksum(values.reshape(2, 2)), f"{expected:016x}")
        self.assertEqual(kvlab.checksum(np.zeros(0, np.float32)), "cbf29ce484222325")


if __name__ == "__main__":
    unittest.main()
