#include <kvlab/tensor/sampling.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include <kvlab/tensor/numerics.hpp>

namespace kvlab {

namespace {

[[noreturn]] void refuse_logits(std::span<const float> logits) {
    const auto bad = std::find_if_not(logits.begin(), logits.end(), is_finite);
    throw Error(concat("sampling: logit ", bad - logits.begin(), " is ", *bad,
                       ", expected a finite number"));
}

}  // namespace

Sampler::Sampler(const SamplingOptions& options) : options_(options), rng_(options.seed) {
    check(options.temperature == 0 ||
              (options.temperature >= kLeastTemperature && is_finite(options.temperature)),
          "sampling: temperature must be 0, or finite and at least 2^-20, found ",
          options.temperature);
    check(options.top_k >= 0, "sampling: top-k must be >= 0, found ", options.top_k);
    check(options.top_p > 0 && options.top_p <= 1, "sampling: top-p must be in (0, 1], found ",
          options.top_p);
}

// ANCHOR: score_from_largest
// Scores of logits so large that a product with the scale leaves the range of a float: the
// softmax is that of the distances from the largest, and what lies too far below
// it weighs nothing.
void Sampler::score_from_largest(std::span<const float> logits, float scale) {
    constexpr float kLowest = std::numeric_limits<float>::lowest();
    float largest = kLowest;
    for (const Index i : order_) largest = std::max(largest, at(logits, i));
    for (std::size_t i = 0; i < order_.size(); ++i)
        scores_[i] = std::max((at(logits, order_[i]) - largest) * scale, kLowest);
}

// ANCHOR_END: score_from_largest

// ANCHOR: draw
Index draw(std::span<const float> weights, float sum, float top_p, float uniform) {
    check(!weights.empty(), "draw: no weights");
    // SOLUTION-BEGIN 1.6
    const float mass = top_p * sum;
    std::size_t kept = 0;
    float total = 0.0f;  // partial sums are one plain chain here: each of them is a threshold
    while (kept < weights.size() && (top_p == 1 || total < mass)) total += weights[kept++];
    // `uniform` is at most 1 - 2^-24, so the threshold is below the chain's own end, and the
    // place found has a weight above 0.
    const float threshold = uniform * total;
    float cumulative = 0.0f;
    std::size_t i = 0;
    for (; i + 1 < kept; ++i)
        if ((cumulative += weights[i]) > threshold) break;
    return static_cast<Index>(i);
    // SOLUTION-END 1.6
}

// ANCHOR_END: draw

// ANCHOR: sample
Index Sampler::sample(std::span<const float> logits) {
    check(!logits.empty(), "sampling: no logits");
    if (!all_finite(logits)) [[unlikely]]
        refuse_logits(logits);
    if (options_.temperature == 0) return argmax(logits);
    order_.resize(logits.size());
    std::iota(order_.begin(), order_.end(), Index{0});
    const bool sorted = options_.top_k > 0 || options_.top_p < 1;
    const auto logit = [&](Index i) { return at(logits, i); };
    const auto before = [&](Index a, Index b) {
        return logit(a) > logit(b) || (logit(a) == logit(b) && a < b);
    };
    if (options_.top_k > 0 && options_.top_k < std::ssize(logits)) {
        std::partial_sort(order_.begin(), order_.begin() + options_.top_k, order_.end(),
                          before);
        order_.resize(usize(options_.top_k));
    } else if (sorted) {
        std::sort(order_.begin(), order_.end(), before);
    }
    scores_.resize(order_.size());
    weights_.resize(order_.size());
    const float scale = log2e_over(static_cast<double>(options_.temperature));
    for (std::size_t i = 0; i < order_.size(); ++i) scores_[i] = logit(order_[i]) * scale;
    if (!all_finite(scores_)) [[unlikely]]
        score_from_largest(logits, scale);
    const float sum = softmax_weights(scores_, weights_);
    return at(order_, draw(weights_, sum, options_.top_p, rng_.uniform()));
}

// ANCHOR_END: sample

}  // namespace kvlab
