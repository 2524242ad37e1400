#!/usr/bin/env python3
"""Reference logits for the C++ tests, made by PyTorch and transformers.

    python3 weights/reference_logits.py llama     # of weights/tiny.gguf and weights/deep.gguf
    python3 weights/reference_logits.py gpt2      # a small random GPT-2: gpt2_tiny.gguf and its logits

Writes to tests/data/reference/. Every `NAME.json` says what is in `NAME.f32`:

    {"model": file, "arithmetic": ..., "vocab": V,
     "prompts": [{"tokens": [...], "offset": first float in NAME.f32, "count": T * V}, ...]}

and `NAME.f32` holds the logits, one [T, V] block after the other, as little-endian 32-bit floats: float64
arithmetic, rounded once at the end. "float32_max_abs_error" is how far the same computation in float32 is off,
a measure of what a float32 engine can reach.
Needs: PyTorch, gguf; for gpt2 also transformers (all PyPI).
"""
from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from export import read_gguf
from llama import Llama
from tasks import BOS, load_text

HERE = Path(__file__).resolve().parent
OUT = HERE.parent / "tests" / "data" / "reference"


@torch.no_grad()
def forward(model: Llama, tokens: list[int], dtype: torch.dtype) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Logits [T, V], and for every layer the attention weights [heads, T, T], computed as the definition reads:
    one sequence, adjacent pairs for RoPE, the whole score matrix. Shares no code with train.Llama.forward."""
    cfg, t, weights = model.cfg, len(tokens), []
    w = {name: p.to(dtype) for name, p in model.named_parameters()}
    d, group = cfg.head_dim, cfg.head_count // cfg.head_count_kv
    angle = torch.arange(t).double()[:, None] * cfg.rope_freq_base ** (-torch.arange(0, d, 2).double() / d)
    c, s = angle.cos().to(dtype), angle.sin().to(dtype)  # [T, D/2]

    def norm(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return x / (x.pow(2).mean(-1, keepdim=True) + cfg.rms_epsilon).sqrt() * weight

    def heads(x: torch.Tensor) -> torch.Tensor:
        return x.view(t, -1, d).transpose(0, 1)  # [H, T, D]

    def rope(x: torch.Tensor) -> torch.Tensor:
        y = torch.empty_like(x)
        y[..., 0::2] = x[..., 0::2] * c - x[..., 1::2] * s
        y[..., 1::2] = x[..., 0::2] * s + x[..., 1::2] * c
        return y

    future = torch.ones(t, t, dtype=torch.bool).triu(1)
    x = w["token_embd"][tokens]
    for n in range(cfg.block_count):
        p = {name.split(".")[2]: v for name, v in w.items() if name.startswith(f"blk.{n}.")}
        h = norm(x, p["attn_norm"])
        q, k, v = rope(heads(h @ p["attn_q"].T)), rope(heads(h @ p["attn_k"].T)), heads(h @ p["attn_v"].T)
        k, v = k.repeat_interleave(group, 0), v.repeat_interleave(group, 0)
        a = (q @ k.transpose(1, 2) / d**0.5).masked_fill(future, -torch.inf).softmax(-1)
        weights.append(a)
        x = x + (a @ v).transpose(0, 1).reshape(t, -1) @ p["attn_output"].T
        h = norm(x, p["ffn_norm"])
        gate = h @ p["ffn_gate"].T
        x = x + (gate * gate.sigmoid() * (h @ p["ffn_up"].T)) @ p["ffn_down"].T
    return norm(x, w["output_norm"]) @ w["output"].T, weights


def save(name: str, model: str, vocab: int, arithmetic: str, prompts: list[list[int]],
         double: list[torch.Tensor], single: list[torch.Tensor]) -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    error = max((a - b.double()).abs().max().item() for a, b in zip(double, single))
    index, offset = [], 0
    for tokens, logits in zip(prompts, double):
        assert logits.shape == (len(tokens), vocab)
        index.append({"tokens": tokens, "offset": offset, "count": logits.numel()})
        offset += logits.numel()
    torch.cat([x.flatten() for x in double]).numpy().astype("<f4").tofile(OUT / f"{name}.f32")
    meta = {"model": model, "arithmetic": arithmetic, "vocab": vocab, "float32_max_abs_error": error,
            "largest_abs_logit": max(x.abs().max().item() for x in double)}
    lines = ",\n  ".join(json.dumps(p) for p in index)
    (OUT / f"{name}.json").write_text(json.dumps(meta)[:-1] + f', "prompts": [\n  {lines}\n]}}\n')
    print(f"{name}: {offset} logits, largest {meta['largest_abs_logit']:.2f}, float32 differs by at most {error:.2e}")


def llama() -> None:
    text = load_text()[1]
    recall = b"qz=7;ab=k;xy=3;mm=p;" + text[1000:1084] + b"xy?3;qz?7;mm?p;ab?k;ending"
    prompts = [[BOS], [BOS, *text[:16]], [BOS, *recall[:129]], list(text[5000:5017])]  # the last one without BOS
    for name in ("tiny", "deep"):
        model = read_gguf(HERE / f"{name}.gguf")
        double, single = ([forward(model, p, dtype)[0] for p in prompts] for dtype in (torch.float64, torch.float32))
        trained = [model(torch.tensor([p]))[0] for p in prompts]  # the code that was trained agrees with the definition
        assert max((a - b.double()).abs().max().item() for a, b in zip(double, trained)) < 1e-3
        save(f"{name}_logits", f"weights/{name}.gguf", model.cfg.vocab_size, f"PyTorch {torch.__version__}, float64",
             prompts, double, single)


def gpt2() -> None:
    import gguf
    import transformers

    cfg = transformers.GPT2Config(
        vocab_size=300, n_positions=128, n_embd=48, n_layer=3, n_head=3, n_inner=144, layer_norm_epsilon=1e-5,
        bos_token_id=None, eos_token_id=None, activation_function="gelu_new", resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, attn_implementation="eager")
    model = transformers.GPT2LMHeadModel(cfg).eval()
    # The usual init (std 0.02) makes attention flat, and then wrong caches go unnoticed. This one is sharp.
    g = torch.Generator().manual_seed(20)
    with torch.no_grad():
        for name, p in model.named_parameters():
            scale = {"wte": 1.0, "wpe": 0.5}.get(name.split(".")[1], p.shape[0] ** -0.5)  # Conv1D is [in, out]
            if p.ndim == 1:
                scale = 0.1
            x = torch.randn(p.shape, generator=g) * scale
            if name.endswith("c_attn.weight"):
                x[:, : 2 * cfg.n_embd] *= 1.8  # queries and keys
            p.copy_(x + (1.0 if ".ln_" in name and "weight" in name else 0.0))

    OUT.mkdir(parents=True, exist_ok=True)
    path = OUT / "gpt2_tiny.gguf"
    w = gguf.GGUFWriter(path, "gpt2")
    w.add_name("kvlab-gpt2-random")
    w.add_context_length(cfg.n_positions)
    w.add_embedding_length(cfg.n_embd)
    w.add_block_count(cfg.n_layer)
    w.add_feed_forward_length(cfg.n_inner)
    w.add_head_count(cfg.n_head)
    w.add_layer_norm_eps(cfg.layer_norm_epsilon)
    w.add_vocab_size(cfg.vocab_size)
    w.add_file_type(gguf.LlamaFileType.ALL_F32)
    w.add_tokenizer_model("none")
    state = model.state_dict()
    names = {"transformer.wte.": "token_embd.", "transformer.wpe.": "position_embd."}
    for n in range(cfg.n_layer):
        for a, b in {"ln_1": "attn_norm", "attn.c_attn": "attn_qkv", "attn.c_proj": "attn_output", "ln_2": "ffn_norm",
                     "mlp.c_fc": "ffn_up", "mlp.c_proj": "ffn_down"}.items():
            names[f"transformer.h.{n}.{a}."] = f"blk.{n}.{b}."
    names["transformer.ln_f."] = "output_norm."
    for source, target in names.items():
        for part in ("weight", "bias"):
            if source + part in state:
                x = state[source + part]
                if x.ndim == 2 and not source.startswith("transformer.w"):
                    x = x.T  # transformers keeps [in, out]; GGUF wants rows of outputs, [out, in]
                w.add_tensor(target + part, np.ascontiguousarray(x.numpy()))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()

    prompts = [torch.randint(0, cfg.vocab_size, (n,), generator=g).tolist() for n in (1, 17, 100)]
    with torch.no_grad():
        run = lambda m: [m(torch.tensor([p])).logits[0] for p in prompts]
        attention = model(torch.tensor([prompts[2]]), output_attentions=True).attentions
        single, double = run(model), run(model.double())
    print("median of the largest attention weight of a row, per layer:",
          [round(a[0, :, 50:].amax(-1).median().item(), 2) for a in attention])
    save("gpt2_tiny_logits", "tests/data/reference/gpt2_tiny.gguf", cfg.vocab_size,
         f"transformers {transformers.__version__}, PyTorch {torch.__version__}, float64", prompts, double, single)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("llama", "gpt2"), nargs="+")
    what = parser.parse_args().what
    if "llama" in what:
        llama()
    if "gpt2" in what:
        gpt2()


if __name__ == "__main__":
    main()
