#!/usr/bin/env python3
"""Whether the models of weights/mixers/ are what they say: their form for training computes what their definition says.

    python3 tests/tools/mixers_test.py

In float64, with random weights, at lengths around the borders of chunks and windows. Besides: the scan's gradient against
differences, a model through a file and back (needs the package gguf), two mixers against others that they must equal, and
what MQAR's training reads. Exit codes: 0 passed, 1 failed, 77 skipped, since there is no PyTorch.
"""
import importlib.util
import sys
import tempfile
import unittest
from dataclasses import replace
from pathlib import Path

WEIGHTS = Path(__file__).resolve().parents[2] / "weights"
sys.path.insert(0, str(WEIGHTS))
if importlib.util.find_spec("torch") is None:
    print("skipped: no PyTorch, so the models of weights/mixers/ were not compared with their definitions")
    sys.exit(77)

import torch  # noqa: E402

from llama import CONFIGS, Llama  # noqa: E402
from mixers.decoder import Decoder  # noqa: E402
from mixers.scan import SelectiveScan  # noqa: E402
from mixers.shape import SHAPES, Shape, mqar_shape  # noqa: E402
from models_table import ORDER  # noqa: E402
from mqar import LONGER, TEST_CASES, TEST_SEED, TRAINED, make_case  # noqa: E402
from stages import MQAR_STAGES, mqar_batch  # noqa: E402
from tasks import ANSWER  # noqa: E402


def random_model(name: str, **changes: object) -> Decoder:
    return with_random_weights(replace(SHAPES[name], **changes))


def with_random_weights(shape: Shape) -> Decoder:
    """Float64, and no vector left at 0 or 1: a forgotten bias or norm would not be seen."""
    torch.manual_seed(7)
    model = Decoder(shape).double()
    with torch.no_grad():
        for p in model.parameters():
            if p.ndim == 1:
                p.add_(0.3 * torch.randn(p.shape, dtype=p.dtype))
    return model.eval()


def some_tokens(length: int) -> torch.Tensor:
    return torch.randint(0, 256, (2, length), generator=torch.Generator().manual_seed(length))


class Mixers(unittest.TestCase):
    def test_training_form_is_the_definition(self) -> None:
        for name in SHAPES:
            far = {"dilated": 300, "bigbird": 131, "jamba": 40, "samba": 70}  # where the pattern reaches
            for length in (1, 33, far.get(name, 70)):
                with self.subTest(mixer=name, length=length):
                    model = random_model(name, **({"top_k": 12} if name == "indexed" else {}))
                    tokens = some_tokens(length)
                    with torch.no_grad():
                        together = model(tokens)[1]
                    one_by_one = model.by_definition(tokens[1].tolist())
                    torch.testing.assert_close(together, one_by_one, rtol=1e-9, atol=1e-10)

    def test_mqar_shapes(self) -> None:
        """Other widths, positions behind 512, and a convolution before the mixer, against the definition."""
        for name, width, taps, length in (("mla", 32, 0, 40), ("mamba", 16, 0, 40), ("jamba", 32, 4, 40), ("delta", 16, 4, 70),
                                          ("cla", 64, 4, 40), ("gqa", 32, 4, 530)):
            with self.subTest(mixer=name, width=width, taps=taps):
                model, tokens = with_random_weights(mqar_shape(name, width, taps)), some_tokens(length)
                with torch.no_grad():
                    together = model(tokens)[1]
                torch.testing.assert_close(together, model.by_definition(tokens[1].tolist()), rtol=1e-9, atol=1e-10)

    def test_mqar_batches(self) -> None:
        """2048 tokens, answers marked where the case has them; no case comes twice, and none is a test's."""
        test = {tuple(make_case(TEST_SEED, *cell, c)[0]) for cell in (*TRAINED, *LONGER) for c in range(TEST_CASES)}
        seen, cells = set(), set()
        for total in range(40):
            data, kind, tasks = mqar_batch(MQAR_STAGES[-1], 1, total)
            self.assertEqual(data[:, 1:].numel(), 2048)
            length, pairs = map(int, tasks[0].split("/"))
            cells.add((length, pairs))
            self.assertEqual((data.shape, len(tasks)), ((2048 // length, length + 1), len(data)))
            for row, of_row in zip(data.tolist(), kind.tolist()):
                stored = dict(zip(row[1 : 2 * pairs : 2], row[2 : 2 * pairs + 1 : 2]))
                asked = [i for i, k in enumerate(of_row) if k == ANSWER]
                self.assertEqual({row[i - 1]: row[i] for i in asked}, stored)
                self.assertEqual((len(asked), set(of_row)), (pairs, {0, ANSWER}))
                self.assertNotIn(tuple(row), seen | test)
                seen.add(tuple(row))
        self.assertEqual(cells, set(TRAINED))

    def test_the_table_knows_all_models(self) -> None:
        self.assertEqual(sorted(ORDER), sorted(SHAPES))

    def test_scan_gradient(self) -> None:
        torch.manual_seed(1)
        dt, u = torch.rand(2, 5, 3).double(), torch.randn(2, 5, 3).double()
        a, b, c = -torch.rand(3, 4).double(), torch.randn(2, 5, 4).double(), torch.randn(2, 5, 4).double()
        inputs = tuple(x.requires_grad_() for x in (dt, a, u, b, c))
        self.assertTrue(torch.autograd.gradcheck(SelectiveScan.apply, inputs))

    def test_gqa_is_the_llama_decoder(self) -> None:
        model, llama, tokens = random_model("gqa").float(), Llama(CONFIGS["tiny"]), some_tokens(100)
        llama.load_state_dict({name.replace(".mixer.", "."): x for name, x in model.state_dict().items()})
        with torch.no_grad():
            torch.testing.assert_close(model(tokens), llama(tokens), rtol=1e-4, atol=1e-5)

    def test_wide_enough_is_full_attention(self) -> None:
        """A window, or a choice, that leaves nothing out is gqa."""
        tokens = some_tokens(90)
        for name, changes in (("local", {"window": 90}), ("indexed", {"top_k": 90}), ("strided", {"stride": 1})):
            model, full = random_model(name, **changes), random_model("gqa")
            full.load_state_dict({n: x for n, x in model.state_dict().items() if "index_" not in n})
            with torch.no_grad():
                torch.testing.assert_close(model(tokens), full(tokens))

    def test_the_future_changes_nothing(self) -> None:
        for name in SHAPES:
            with self.subTest(mixer=name):
                model, tokens = random_model(name), some_tokens(80)
                other = torch.cat([tokens[:, :70], tokens[:, 70:].flip(1)], 1)
                with torch.no_grad():
                    torch.testing.assert_close(model(tokens)[:, :70], model(other)[:, :70])

    @unittest.skipIf(importlib.util.find_spec("gguf") is None, "no package gguf: nothing was written as a file")
    def test_through_a_file(self) -> None:
        from export import read_gguf, write_gguf

        tokens = some_tokens(80)
        with tempfile.TemporaryDirectory() as folder:
            for name, shape in {**SHAPES, **{f"mqar-{n}": mqar_shape(n, 32) for n in ("gqa", "mla", "mamba")}}.items():
                with self.subTest(mixer=name):
                    model, path = with_random_weights(shape).float(), Path(folder, f"{name}.gguf")
                    write_gguf(path, shape, model.state_dict())
                    back = read_gguf(path)
                    for key in ("name", "mixers", "kv_layer", "embedding_length", "context_length"):
                        self.assertEqual(getattr(back.cfg, key), getattr(shape, key))
                    with torch.no_grad():
                        self.assertTrue(torch.equal(model(tokens), back(tokens)))


if __name__ == "__main__":
    torch.set_num_threads(1)
    unittest.main()
