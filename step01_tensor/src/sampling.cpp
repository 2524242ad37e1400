#include <kvlab/tensor/sampling.hpp>

#include <algorithm>
#include <numeric>

#include <kvlab/tensor/numerics.hpp>

namespace kvlab {

Sampler::Sampler(const SamplingOptions& options) : options_(options), rng_(options.seed) {
    check(options.temperature >= 0, "sampling: temperature must be >= 0, found ",
          options.temperature);
    check(options.top_k >= 0, "sampling: top-k must be >= 0, found ", options.top_k);
    check(options.top_p > 0 && options.top_p <= 1, "sampling: top-p must be in (0, 1], found ",
          options.top_p);
}

Index Sampler::sample(std::span<const float> logits) {
    check(!logits.empty(), "sampling: no logits");
    if (options_.temperature == 0) return argmax(logits);
    order_.resize(logits.size());
    std::iota(order_.begin(), order_.end(), Index{0});
    const bool sorted = options_.top_k > 0 || options_.top_p < 1;
    const auto logit = [&](Index i) { return logits[static_cast<std::size_t>(i)]; };
    const auto before = [&](Index a, Index b) {
        return logit(a) > logit(b) || (logit(a) == logit(b) && a < b);
    };
    if (options_.top_k > 0 && options_.top_k < static_cast<Index>(logits.size())) {
        std::partial_sort(order_.begin(), order_.begin() + options_.top_k, order_.end(),
                          before);
        order_.resize(static_cast<std::size_t>(options_.top_k));
    } else if (sorted) {
        std::sort(order_.begin(), order_.end(), before);
    }
    scores_.resize(order_.size());
    weights_.resize(order_.size());
    const float scale = log2e_over(static_cast<double>(options_.temperature));
    for (std::size_t i = 0; i < order_.size(); ++i) scores_[i] = logit(order_[i]) * scale;
    float total = softmax_weights(scores_, weights_);
    std::size_t kept = order_.size();
    if (options_.top_p < 1) {
        const float mass = options_.top_p * total;
        float cumulative = 0;
        for (kept = 0; kept < order_.size() && cumulative < mass; ++kept)
            cumulative += weights_[kept];
        total = cumulative;
    }
    const float threshold = rng_.uniform() * total;
    float cumulative = 0;
    for (std::size_t i = 0; i < kept; ++i) {
        cumulative += weights_[i];
        if (cumulative > threshold) return order_[i];
    }
    return order_[kept - 1];  // rounding left the threshold a hair above the last partial sum
}

}  // namespace kvlab
