// token_rig.hpp - a model on the CUDA engine, and what its greedy text must be, for the tests
// of whole tokens.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>

#include <kvlab/attention/cpu_engine.hpp>
#include <kvlab/attention/generate.hpp>
#include <kvlab/attention/synthetic.hpp>
#include <kvlab/cuda/cuda_cache.hpp>
#include <kvlab/cuda/cuda_engine.hpp>
#include <kvlab/cuda/token_pass.hpp>
#include <kvlab/kvcache/kv_cache.hpp>
#include <kvlab/tensor/checksum.hpp>
#include <kvlab/weights/convert.hpp>
#include <kvlab/weights/gguf_file.hpp>

#include "device_support.hpp"
#include "models.hpp"
#include "skip.hpp"
#include "weights_support.hpp"

namespace kvlab::test {

inline std::vector<const TokenRung*> passes() {
    std::vector<const TokenRung*> rungs;
    for (const TokenRung& rung : token_rungs())
        if (rung.launch != nullptr) rungs.push_back(&rung);
    return rungs;
}

// What greedy decoding gives: the tokens, and the last row of logits.
struct Text {
    std::vector<Token> tokens;
    std::uint64_t logits = 0;

    bool operator==(const Text&) const = default;
};

inline Text on_cpu(const WeightSource& source, std::span<const Token> prompt, Index count) {
    const auto engine = make_cpu_engine();
    Decoder decoder(load_model(source, *engine), *engine);
    KvCache cache(decoder.kv_shape(), std::ssize(prompt) + count);
    Text text;
    if (prompt.size() > 1) decoder.forward(cache, prompt.first(prompt.size() - 1));
    Token token = prompt.back();
    for (Index i = 0; i < count; ++i) {
        const auto row = decoder.forward(cache, {&token, 1}).flat();
        token = static_cast<Token>(std::max_element(row.begin(), row.end()) - row.begin());
        text.tokens.push_back(token);
        text.logits = checksum(row);
    }
    return text;
}

struct Rig {
    explicit Rig(const WeightSource& source)
        : engine(make_cuda_engine()),
          model(load_model(source, *engine)),
          decoder(model, *engine) {}

    // A cache that has seen all of the prompt but its last token, with room for that and more.
    std::unique_ptr<CudaCache> after(std::span<const Token> prompt, Index room) {
        auto cache = std::make_unique<CudaCache>(decoder.kv_shape(), std::ssize(prompt) + room);
        if (prompt.size() > 1) decoder.forward(*cache, prompt.first(prompt.size() - 1));
        return cache;
    }

    // `count` tokens after `token`. The cache is then what it was before.
    Text greedy(const TokenRung& rung, CudaCache& cache, Token token, Index count) {
        const Index past = cache.next_position();
        TokenPass pass(*model, cache, rung);
        Text text;
        text.tokens = pass.greedy(token, count);
        CHECK(cache.next_position() == past + count);
        std::vector<float> logits(usize(model->config.vocab));
        engine->download(pass.logits(), logits);
        text.logits = checksum(logits);
        cache.truncate(past);
        return text;
    }

    std::unique_ptr<Engine> engine;
    std::shared_ptr<const Model> model;
    Decoder decoder;
};

inline Config odd_config() {
    Config c = small_config(6, 2, 20);  // groups of 3; a warp's inputs are of several heads
    c.rope_dim = 12;                    // the rest of a head is not rotated
    c.tied_output = true;
    c.layers = 3;
    return c;
}

// More outputs than four blocks have at a time: each warp goes through several items, and
// through its ring several times.
inline Config many_outputs_config() {
    Config c = tiny_config();
    c.vocab = 2200;
    c.layers = 1;
    return c;
}

inline Config wide_config() {
    Config c = small_config(16, 1, 72);  // heads of more than one chain, 16 rows to a KV head
    c.dim = 200;
    c.vocab = 300;  // more than a block's threads
    return c;
}

}  // namespace kvlab::test
