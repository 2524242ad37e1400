// sampling.hpp - chapter 1: from a row of logits to one token, the same token for
// the same seed.
#pragma once

#include <span>
#include <vector>

#include <kvlab/tensor/random.hpp>

namespace kvlab {

struct SamplingOptions {
    float temperature = 0.0f;  // 0: greedy, the argmax
    Index top_k = 0;           // 0: all
    float top_p = 1.0f;  // 1: all; else the smallest head of the sorted list with this mass
    std::uint64_t seed = 42;
};

// The place of one of the weights, each drawn as often as it weighs, among those that are kept:
// from the first on as many as reach the share top_p of `sum`, the sum of all by rule 2; with
// top_p = 1 all. `uniform` in [0, 1) decides. Throws Error for no weights.
Index draw(std::span<const float> weights, float sum, float top_p, float uniform);

// Draws tokens. One Sampler per sequence, so that its neighbours in a batch do not disturb it;
// not to be shared by threads.
class Sampler {
public:
    // Below it, log2(e) / temperature times an ordinary logit leaves hardly a bit for its
    // fraction. 0 is greedy.
    static constexpr float kLeastTemperature = 0x1p-20f;

    // Throws Error unless temperature is 0 or finite and at least kLeastTemperature, top_k >= 0
    // and 0 < top_p <= 1.
    explicit Sampler(const SamplingOptions& options);

    // The next token for logits [V]. Uses one number of the generator, none when greedy.
    // Candidates are in index order, or by value, then lower index, when top_k or top_p is set.
    // Throws Error for no logits, and for one that is not finite.
    Index sample(std::span<const float> logits);

private:
    void score_from_largest(std::span<const float> logits, float scale);

    SamplingOptions options_;
    Rng rng_;
    std::vector<Index> order_;             // candidates
    std::vector<float> scores_, weights_;  // of the candidates, in that order
};

}  // namespace kvlab
