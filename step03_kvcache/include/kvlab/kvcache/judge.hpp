// judge.hpp - chapter 3: one judge for everything that changes what a model says next.
//
// A cache of fewer bits, other weights, other products: each is a Variant, a model on an engine
// with a store of its own. The plain model reads a text without a cache; each variant reads the
// same text; row by row the two distributions are compared.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <kvlab/attention/score.hpp>
#include <kvlab/kvcache/quality.hpp>

namespace kvlab {

struct Variant {
    std::string name;
    std::shared_ptr<const Model> model;
    Engine* engine = nullptr;
    MakeStore make_store;  // null: the plain float cache
    Index piece = 0;       // tokens that go in at once; 0: the whole window
};

struct Judgement {
    Index positions = 0;
    double plain_bits = 0;        // for all tokens of the text, by the plain model
    std::vector<Shift> variants;  // in the variants' order
};

// Throws Error for a window beyond the context of the plain model or of a variant, and for
// variants of another vocabulary. All logits of one window are in memory at once.
Judgement judge(const std::shared_ptr<const Model>& plain,
                Engine& engine,
                const TextWindows& text,
                std::span<const Variant> variants,
                SimdLevel level = default_simd_level());

}  // namespace kvlab
