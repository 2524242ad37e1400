#include <kvlab/kvcache/work.hpp>

#include <kvlab/tensor/tensor_kernels.hpp>

namespace kvlab {

Work& Work::operator+=(const Work& other) {
    flops += other.flops;
    steps += other.steps;
    kv_projections += other.kv_projections;
    weight_bytes += other.weight_bytes;
    cache_read += other.cache_read;
    cache_written += other.cache_written;
    activation_bytes += other.activation_bytes;
    return *this;
}

std::vector<std::pair<std::string, Index>> work_lines(const Work& work) {
    return {{"steps", work.steps},
            {"projections of keys and values", work.kv_projections},
            {"FLOPs of projections", work.flops.projections},
            {"FLOPs of attention", work.flops.attention},
            {"FLOPs of feed-forward", work.flops.ffn},
            {"FLOPs of the output matrix", work.flops.head},
            {"FLOPs", work.flops.total()},
            {"bytes of weights read", work.weight_bytes},
            {"bytes of the cache read", work.cache_read},
            {"bytes of the cache written", work.cache_written},
            {"bytes of activations written", work.activation_bytes}};
}

namespace {

constexpr Index kFloat = sizeof(float);

Index packed_bytes(Index outputs, Index depth) {
    return (outputs + kPanel - 1) / kPanel * kPanel * depth * kFloat;
}

}  // namespace

Index CostModel::weight_bytes() const {
    const Config& c = config_;
    const Index wide = (c.architecture == Architecture::gpt2 ? 1 : 2) * c.ffn;
    const Index layer = packed_bytes(c.qkv_width(), c.dim) +
                        packed_bytes(c.dim, c.heads * c.head_dim) + packed_bytes(wide, c.dim) +
                        packed_bytes(c.dim, c.ffn);
    return c.layers * layer + packed_bytes(c.vocab, c.dim);
}

Index CostModel::cache_bytes_per_token() const {
    return 2 * config_.layers * config_.kv_heads * config_.head_dim * kFloat;
}

// ANCHOR: step_work
Work CostModel::step(std::span<const StepShape> batch) const {
    const Config& c = config_;
    // Per layer and token: two norms, queries, keys and values, attention, its way out and the
    // sum with it; the hidden layer, its way out and the sum with it.
    const Index layer = 6 * c.dim + c.qkv_width() + c.heads * c.head_dim + c.ffn;
    Work work;
    work.steps = 1;
    work.weight_bytes = weight_bytes();
    for (const auto& [past, T, rows] : batch) {
        work.flops += step_flops(c, past, T, rows);
        work.kv_projections += c.layers * T;
        work.cache_read += cache_bytes_per_token() * (past + T);
        work.cache_written += cache_bytes_per_token() * T;
        work.activation_bytes +=
            (T * (c.dim + c.layers * layer) + rows * (c.dim + c.vocab)) * kFloat;
    }
    return work;
}

Work CostModel::generate(Index P, Index n, bool cached) const {
    check(P >= 1 && n >= 1, "cost model: the prompt and what is generated have at least one ",
          "token each, found ", P, " and ", n);
    Work work = step({0, P});
    for (Index fed = P + 1; fed < P + n; ++fed)
        work += cached ? step({fed - 1, 1}) : step({0, fed});
    return work;
}

// ANCHOR_END: step_work

}  // namespace kvlab
