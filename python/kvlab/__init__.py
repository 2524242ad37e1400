"""kvlab: the reference of a KV cache, to check your own engine with.

    import kvlab
    model = kvlab.Model(kvlab.tiny_model())
    cache = model.cache()
    whole = model.logits(tokens)                      # [T, V], without a cache
    rows = cache.decode(tokens)                       # [T, V], the same bits
    print(kvlab.first_difference(whole, mine, 1e-4))  # None, or where and what

Arrays are NumPy's (float32, without gaps), read and written where they lie. kvlab.trace writes the
recorded runs of any engine.
"""
from pathlib import Path

from ._kvlab import (BadFile, Cache, Config, Difference, Error, Model, NoRoom, Recording, attention, checksum,
                     first_difference)

__all__ = ["BadFile", "Cache", "Config", "Difference", "Error", "Model", "NoRoom", "Recording", "attention", "checksum",
           "first_difference", "tiny_model"]

for _error in (BadFile, Error, NoRoom):
    _error.__module__ = __name__  # as a traceback names it


def tiny_model() -> Path:
    """The model that comes with this package: V = 256 bytes, two layers, four heads that share two."""
    return Path(__file__).resolve().parent / "weights" / "tiny.gguf"
