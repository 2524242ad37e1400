// cost.hpp - chapter 2: how many operations a step of the decoder takes, by closed form.
#pragma once

#include <kvlab/attention/config.hpp>

namespace kvlab {

// Matrix products and attention; an fma counts as two. Norms, RoPE, activations and softmax are
// left out: they grow with the width, the products with its square.
struct Flops {
    Index projections = 0;  // queries, keys, values, and the way out of attention
    Index attention = 0;    // scores and weighted values
    Index ffn = 0;
    Index head = 0;

    Index total() const { return projections + attention + ffn + head; }

    Flops& operator+=(const Flops& other);
    bool operator==(const Flops&) const = default;
};

// One step: T tokens behind `past` of the same sequence, logits for `rows` of them. A token
// attends to itself and to all before it.
Flops step_flops(const Config& config, Index past, Index T, Index rows = 1);

}  // namespace kvlab
