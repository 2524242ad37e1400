#include <kvlab/attention/cost.hpp>

namespace kvlab {

Flops& Flops::operator+=(const Flops& other) {
    projections += other.projections;
    attention += other.attention;
    ffn += other.ffn;
    head += other.head;
    return *this;
}

Flops step_flops(const Config& c, Index past, Index T, Index rows) {
    const Index heads_width = c.heads * c.head_dim;
    const Index ffn_matrices = c.architecture == Architecture::gpt2 ? 2 : 3;
    // Token t of the step sees past + t + 1 slots.
    const Index pairs = c.heads * (past * T + T * (T + 1) / 2);
    Flops flops;
    flops.projections = c.layers * 2 * T * c.dim * (c.qkv_width() + heads_width);
    flops.attention = c.layers * 4 * c.head_dim * pairs;
    flops.ffn = c.layers * 2 * T * ffn_matrices * c.dim * c.ffn;
    flops.head = 2 * rows * c.dim * c.vocab;
    return flops;
}

}  // namespace kvlab
