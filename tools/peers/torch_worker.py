"""PyTorch on the same GGUF file (read with the package gguf, so the weights and the answers are the same ones).

With "transformers" in the race: Hugging Face's GPT2LMHeadModel with its own cache instead of torch_models.py.
Needs: torch, numpy, gguf; transformers for that.
"""
from __future__ import annotations

import time

import gguf
import numpy as np
import torch

from torch_models import Gpt2, Llama
from worker import serve, text_of

FILL = 512  # tokens of a context that is filled before the clock runs


def read_gguf(path: str) -> tuple[dict, dict[str, torch.Tensor]]:
    reader = gguf.GGUFReader(path)
    fields = {key: field.contents() for key, field in reader.fields.items() if not key.startswith("tokenizer.")}
    tensors = {}
    for t in reader.tensors:
        if t.tensor_type != gguf.GGMLQuantizationType.F32:
            raise ValueError(f"{t.name}: this worker reads F32, found {t.tensor_type.name}")
        tensors[t.name] = torch.from_numpy(np.array(t.data))
    return fields, tensors


def make_model(fields: dict, w: dict[str, torch.Tensor]) -> Llama | Gpt2:
    arch = fields["general.architecture"]
    layers, heads = fields[f"{arch}.block_count"], fields[f"{arch}.attention.head_count"]
    if arch == "gpt2":
        return Gpt2(w, layers, heads, fields["gpt2.attention.layer_norm_epsilon"])
    return Llama(w, layers, heads, fields["llama.attention.head_count_kv"], fields["llama.rope.freq_base"],
                 fields["llama.attention.layer_norm_rms_epsilon"], fields["llama.context_length"])


class Transformers:
    """GPT2LMHeadModel behind the interface of torch_models.py."""

    def __init__(self, fields: dict, w: dict[str, torch.Tensor]) -> None:
        import transformers

        self.version, self.DynamicCache = transformers.__version__, transformers.DynamicCache
        vocab, width = w["token_embd.weight"].shape
        config = transformers.GPT2Config(
            vocab_size=vocab, n_positions=w["position_embd.weight"].shape[0], n_embd=width,
            n_layer=fields["gpt2.block_count"], n_head=fields["gpt2.attention.head_count"], n_inner=fields["gpt2.feed_forward_length"],
            layer_norm_epsilon=fields["gpt2.attention.layer_norm_epsilon"], bos_token_id=None, eos_token_id=None)
        self.model = transformers.GPT2LMHeadModel(config).eval()
        names = {"attn_norm": "ln_1", "attn_qkv": "attn.c_attn", "attn_output": "attn.c_proj", "ffn_norm": "ln_2",
                 "ffn_up": "mlp.c_fc", "ffn_down": "mlp.c_proj"}
        state = {"transformer.wte.weight": w["token_embd.weight"], "transformer.wpe.weight": w["position_embd.weight"],
                 "lm_head.weight": w["token_embd.weight"], "transformer.ln_f.weight": w["output_norm.weight"],
                 "transformer.ln_f.bias": w["output_norm.bias"]}
        for n in range(config.n_layer):
            for ours, theirs in names.items():
                matrix = w[f"blk.{n}.{ours}.weight"]
                # Their Conv1D holds a matrix as [inputs, outputs].
                state[f"transformer.h.{n}.{theirs}.weight"] = matrix.T.contiguous() if matrix.ndim == 2 else matrix
                state[f"transformer.h.{n}.{theirs}.bias"] = w[f"blk.{n}.{ours}.bias"]
        self.model.load_state_dict(state)

    def cache(self, batch: int, capacity: int):
        return self.DynamicCache()

    def forward(self, tokens: torch.Tensor, cache, all_logits: bool = False) -> torch.Tensor:
        logits = self.model(input_ids=tokens, past_key_values=cache, use_cache=True,
                            logits_to_keep=0 if all_logits else 1).logits
        return logits if all_logits else logits[:, -1]


class TorchRace:
    def __init__(self, task: dict) -> None:
        torch.set_num_threads(task["threads"])
        torch.set_num_interop_threads(1)
        start = time.perf_counter()
        fields, w = read_gguf(task["model"])
        transformers = bool(task.get("transformers"))
        self.model = Transformers(fields, w) if transformers else make_model(fields, w)
        self.about = {"peer": "transformers" if transformers else "PyTorch", "load_seconds": time.perf_counter() - start,
                      "package": f"torch {torch.__version__}", "build": f"CPU capability {torch.backends.cpu.get_cpu_capability()}, "
                      f"oneDNN {torch.backends.mkldnn.is_available()}, MKL {torch.backends.mkl.is_available()}, eager"}
        if transformers:
            self.about["package"] += f", transformers {self.model.version}"
        self.vocab = w["token_embd.weight"].shape[0]
        self.decoding, self.length, self.context = task["kind"] == "decode", task["tokens"], task["context"]
        self.sequences = task["batch"] if self.decoding else 1
        self.all_logits = bool(task["all_logits"])
        self.tokens = self.length * self.sequences
        self.chosen: list[int] = []

    def fill(self):
        """A cache with the context of every sequence, and the tokens that come next [B, 1]."""
        text = torch.tensor([text_of(s, self.context + 1, self.vocab) for s in range(self.sequences)])
        cache = self.model.cache(self.sequences, self.context + self.length)
        for begin in range(0, self.context, FILL):
            self.model.forward(text[:, begin : min(begin + FILL, self.context)], cache)
        return cache, text[:, -1:]

    @torch.inference_mode()
    def seconds(self) -> float:
        return self.decode_seconds() if self.decoding else self.prefill_seconds()

    def prefill_seconds(self) -> float:
        text = torch.tensor([text_of(0, self.length, self.vocab)])
        cache = self.model.cache(1, self.length)
        start = time.perf_counter()
        logits = self.model.forward(text, cache, self.all_logits)
        token = int((logits[:, -1] if self.all_logits else logits).argmax(-1)[0])
        seconds = time.perf_counter() - start
        self.chosen = [token]
        return seconds

    def decode_seconds(self) -> float:
        cache, tokens = self.fill()
        steps = []
        start = time.perf_counter()
        for _ in range(self.length):
            tokens = self.model.forward(tokens, cache).argmax(-1, keepdim=True)
            steps.append(tokens)
        seconds = time.perf_counter() - start
        self.chosen = torch.cat(steps, 1)[0].tolist()
        return seconds


if __name__ == "__main__":
    serve(TorchRace)
