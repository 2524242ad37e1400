"""Memories of different kinds, on one skeleton: the models of chapter 8 in PyTorch. Begin with mixer.py and decoder.py."""
