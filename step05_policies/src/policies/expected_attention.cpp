// Expected Attention: Devoto et al. 2025, Expected Attention: KV Cache Compression by
// Estimating Attention from Future Queries Distribution, as kvpress computes it. Once, after
// the prompt: queries to come are taken for normal ones, with the mean mu and the covariance
// Sigma of the prompt's own before RoPE, its first tokens left out. RoPE at the next 512
// positions is taken for one linear map, its average R. Then a key may expect
//   E exp(q . k / sqrt(D)) = exp(mu' . k / sqrt(D) + k Sigma' k / (2 D)),
//   mu' = R mu,  Sigma' = R Sigma R^T
// and its rating is the share of that, the mean over the query heads of the group, times the
// length of its value. The first tokens always stay. Budgets are shared by the heads of a layer
// (allotment.hpp), or, in the second entry, are the same in all.
//
// Queries come after RoPE and are turned back: their bits are not those before, which nobody
// asks for. Where the context ends within the 512 positions, the average ends there.
#include <algorithm>
#include <cmath>

#include <kvlab/policies/allotment.hpp>
#include <kvlab/policies/registry.hpp>
#include <kvlab/tensor/numerics.hpp>

namespace kvlab {

namespace {

constexpr OwnOption kExpectedOptions[] = {
    {"future", "positions over which RoPE is averaged", 512, 1, 1 << 16}};

// The average of RoPE over positions [first, first + count): pairs (2i, 2i + 1) are rotated,
// and become shorter.
class AverageRotation {
public:
    AverageRotation(const RopeTable* rope, Index first, Index count) {
        if (rope == nullptr) return;
        const Index begin = std::min(first, rope->positions() - 1),
                    end = std::min(begin + count, rope->positions());
        cos_.assign(usize(rope->rope_dim() / 2), 0.0);
        sin_ = cos_;
        for (Index p = begin; p < end; ++p)
            for (std::size_t i = 0; i < cos_.size(); ++i) {
                cos_[i] +=
                    static_cast<double>(rope->cos(p)[i]) / static_cast<double>(end - begin);
                sin_[i] +=
                    static_cast<double>(rope->sin(p)[i]) / static_cast<double>(end - begin);
            }
    }

    // Of numbers that are `stride` apart.
    void rotate(float* x, Index stride) const {
        for (std::size_t i = 0; i < cos_.size(); ++i) {
            float &even = x[2 * static_cast<Index>(i) * stride],
                  &odd = x[(2 * static_cast<Index>(i) + 1) * stride];
            const auto a = static_cast<double>(even), b = static_cast<double>(odd);
            even = static_cast<float>(a * cos_[i] - b * sin_[i]);
            odd = static_cast<float>(b * cos_[i] + a * sin_[i]);
        }
    }

private:
    std::vector<double> cos_, sin_;  // [rope_dim / 2]; none: nothing is rotated
};

// What is known of the queries to come, of one query head. Sums run over lanes of D numbers, so
// that every SIMD level adds in the same order.
struct QueryStatistics {
    explicit QueryStatistics(Index D) : head_dim(D), mean(usize(D)), covariance(usize(D * D)) {}

    // Of the queries [n, D]. Subtracts their mean from them.
    void measure(std::span<float> queries) {
        const Index n = std::ssize(queries) / head_dim;
        const float share = 1.0f / static_cast<float>(n);
        for (Index t = 0; t < n; ++t)
            for (Index i = 0; i < head_dim; ++i)
                at(mean, i) += at(queries, t * head_dim + i) * share;
        for (Index t = 0; t < n; ++t)
            for (Index i = 0; i < head_dim; ++i) at(queries, t * head_dim + i) -= at(mean, i);
        for (Index t = 0; t < n; ++t) {
            const float* const q = queries.data() + t * head_dim;
            for (Index i = 0; i < head_dim; ++i)
                for (Index j = 0; j < head_dim; ++j)
                    covariance[usize(i * head_dim + j)] += q[i] * q[j] * share;
        }
    }

    void rotate(const AverageRotation& average) {
        average.rotate(mean.data(), 1);
        for (Index i = 0; i < head_dim; ++i)
            average.rotate(covariance.data() + i * head_dim, 1);
        for (Index j = 0; j < head_dim; ++j) average.rotate(covariance.data() + j, head_dim);
    }

    // log2 of what a key [D] may expect; `scratch` has room for D.
    float expected(const float* key, float* scratch) const {
        std::fill_n(scratch, head_dim, 0.0f);
        for (Index i = 0; i < head_dim; ++i)
            for (Index j = 0; j < head_dim; ++j)
                scratch[j] += covariance[usize(i * head_dim + j)] * key[i];
        const auto D = static_cast<float>(head_dim);
        return kLog2E * (dot(mean.data(), key, head_dim) / std::sqrt(D) +
                         dot(scratch, key, head_dim) / (2 * D));
    }

    Index head_dim;
    std::vector<float> mean, covariance;  // [D], [D, D]
};

// Numbers of base-2 logarithms become shares of their sum.
void softmax2(std::span<float> scores) {
    const float most = *std::max_element(scores.begin(), scores.end());
    float total = 0;
    for (float& score : scores) total += score = exp2(score - most);
    for (float& score : scores) score /= total;
}

// Query heads that share a KV head; of a shape that can be.
Index group_of(const KvShape& shape) {
    check_kv_shape("expected attention", shape);
    return shape.heads / shape.kv_heads;
}

class ExpectedAttention final : public Policy {
public:
    ExpectedAttention(const PolicyOptions& options,
                      const KvShape& shape,
                      const RopeTable* rope,
                      bool uniform)
        : options_(options),
          shape_(shape),
          rope_(rope),
          uniform_(uniform),
          group_(group_of(shape)) {
        check_sinks(options, "expected attention");
        check(options.floor >= 0 && options.floor <= 1, "expected attention: a floor of ",
              options.floor);
    }

    Index keep(Index, Index seen) const override {
        return std::max(options_.sinks, tokens_to_keep(options_, seen));
    }

    bool once() const override { return true; }

    bool allots() const override { return !uniform_; }

    void allot(std::span<const RatedHead> heads, std::span<Index> budgets) const override {
        allot_by_layer(heads, shape_.kv_heads, options_.floor, budgets);
    }

    // A token's own queries, before RoPE: [Hq / Hkv, D]. They go with the prompt.
    Index state_rows() const override { return group_ * shape_.head_dim; }

    bool drops_state() const override { return true; }

    bool asks_queries() const override { return true; }

    void ask(const HeadSlots& head,
             Index slot,
             const View<const float>& queries) const override {
        const Index D = shape_.head_dim;
        const bool rotated = head.rows->key_form() == KeyForm::rotated;
        const float scale = rotated ? log2e_over(std::sqrt(static_cast<double>(D))) : 1.0f;
        for (Index g = 0; g < group_; ++g) {
            for (Index i = 0; i < D; ++i) head.row(g * D + i)[slot] = queries(g, i) / scale;
            if (rotated && rope_ != nullptr)
                turn_back(head.row(g * D) + slot, head.stride, head.position(slot));
        }
    }

    // Nothing was evicted before, so slots are positions.
    void rate(const HeadSlots& head, std::span<float> ratings) const override {
        std::fill(ratings.begin(), ratings.end(), kProtected);
        const Index first = options_.sinks, n = head.slots() - first, D = shape_.head_dim;
        if (n <= 0) return;
        const std::vector<float> keys = keys_of(head, first);
        const std::span<float> shares = ratings.subspan(usize(first));
        std::fill(shares.begin(), shares.end(), 0.0f);
        const AverageRotation average(rope_, head.next,
                                      static_cast<Index>(options_.own_or("future", 512)));
        std::vector<float> queries(usize(n * D)), scores(usize(n)), scratch(usize(D));
        for (Index g = 0; g < group_; ++g) {
            for (Index s = 0; s < n; ++s)
                for (Index i = 0; i < D; ++i)
                    at(queries, s * D + i) = head.row(g * D + i)[first + s];
            QueryStatistics statistics(D);
            statistics.measure(queries);
            statistics.rotate(average);
            for (Index s = 0; s < n; ++s)
                at(scores, s) = statistics.expected(keys.data() + s * D, scratch.data());
            softmax2(scores);
            for (Index s = 0; s < n; ++s)
                at(shares, s) += at(scores, s) / static_cast<float>(group_);
        }
        for (Index s = 0; s < n; ++s) at(shares, s) *= value_length(head, first + s);
    }

private:
    // RoPE at this position the other way round.
    void turn_back(float* x, Index stride, Index position) const {
        const float *cos = rope_->cos(position), *sin = rope_->sin(position);
        for (Index i = 0; i < rope_->rope_dim() / 2; ++i) {
            float &even = x[2 * i * stride], &odd = x[(2 * i + 1) * stride];
            const float a = even, b = odd;
            even = a * cos[i] + b * sin[i];
            odd = b * cos[i] - a * sin[i];
        }
    }

    // After RoPE, from this slot on: [n, D].
    std::vector<float> keys_of(const HeadSlots& head, Index first) const {
        const Index D = shape_.head_dim;
        std::vector<float> keys(usize((head.slots() - first) * D));
        for (Index s = first; s < head.slots(); ++s) {
            const auto key = std::span(keys).subspan(usize((s - first) * D), usize(D));
            head.read_key(s, key);
            if (head.rows->key_form() == KeyForm::unrotated)
                rope_->rotate(key.data(), head.position(s));
        }
        return keys;
    }

    float value_length(const HeadSlots& head, Index slot) const {
        std::vector<float> value(usize(shape_.head_dim));
        head.read_value(slot, value);
        float squares = 0;
        for (const float number : value) squares += number * number;
        return std::sqrt(squares);
    }

    PolicyOptions options_;
    KvShape shape_;
    const RopeTable* rope_;  // null: a model without
    bool uniform_;
    Index group_;
};

template <bool kUniform>
PolicyPointer make(const PolicyOptions& options, const PolicyContext& context) {
    return expected_attention_policy(options, context.shape, context.rope, kUniform);
}

}  // namespace

PolicyPointer expected_attention_policy(const PolicyOptions& options,
                                        const KvShape& shape,
                                        const RopeTable* rope,
                                        bool uniform) {
    return std::make_shared<ExpectedAttention>(options, shape, rope, uniform);
}

std::span<const PolicyEntry> policies_of_expected_attention() {
    static constexpr PolicyEntry kEntries[] = {
        {.place = 114,
         .name = "expected-attention",
         .idea = "once: those that queries like the prompt's would look at; heads share",
         .paper = "Devoto et al. 2025, 2510.00636",
         .policy = make<false>,
         .streams = false,
         .budget_above = budget_above_sinks,
         .own_options = kExpectedOptions},
        {.place = 116,
         .name = "expected-attention-uniform",
         .idea = "the same, with one budget for all heads",
         .paper = "Devoto et al. 2025, 2510.00636",
         .policy = make<true>,
         .streams = false,
         .budget_above = budget_above_sinks}};
    return kEntries;
}

}  // namespace kvlab
