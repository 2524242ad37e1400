// Key norm: Devoto et al. 2024, A Simple and Effective L2 Norm-Based Strategy for KV Cache
// Compression, section 3: keep the keys of the smallest length. It needs no attention: a key's
// length is known when it comes, and RoPE does not change it but for rounding. Nothing is
// protected, the newest token included, unless options.recent says so.
//
// The paper's rule is the same for every layer. What the authors publish skips the lowest ones:
// 0 and 1 in the example of their README, 0 alone by default in their scripts. Here it is the
// README's two, or options.whole_layers; key-norm-every-layer forgets in all of them.
#include <kvlab/policies/registry.hpp>
#include <kvlab/tensor/numerics.hpp>

namespace kvlab {

namespace {

class KeyNorm final : public Policy {
public:
    explicit KeyNorm(const PolicyOptions& options) : options_(options) {
        tokens_to_keep(options, 1);
        check_recent(options, "key-norm");
    }

    Index keep(Index layer, Index seen) const override {
        return layer < whole_layers(options_) ? seen : tokens_to_keep(options_, seen);
    }

    Index state_rows() const override { return 1; }

    void arrive(const HeadSlots& head, Index slot, std::span<const float> key) const override {
        const Index D = std::ssize(key);
        head.row(0)[slot] = dot(key.data(), key.data(), D);  // squared: the order is the same
    }

    void rate(const HeadSlots& head, std::span<float> ratings) const override {
        for (Index s = 0; s < head.slots(); ++s) at(ratings, s) = -head.row(0)[s];
        if (options_.recent > 0) protect_last(head, options_.recent, ratings);
    }

private:
    PolicyOptions options_;
};

}  // namespace

PolicyPointer key_norm_policy(const PolicyOptions& options) {
    return std::make_shared<KeyNorm>(options);
}

std::span<const PolicyEntry> policies_of_key_norm() {
    static constexpr PolicyEntry kEntries[] = {
        {.place = 120,
         .name = "key-norm",
         .idea = "the shortest keys; the first two layers keep all",
         .paper = "Devoto et al. 2024, 2406.11430",
         .policy = [](const PolicyOptions& options,
                      const PolicyContext&) { return key_norm_policy(options); },
         .budget_above = budget_above_recent},
        {.place = 122,
         .name = "key-norm-every-layer",
         .idea = "the same, and every layer forgets",
         .paper = "Devoto et al. 2024, 2406.11430",
         .policy =
             [](const PolicyOptions& options, const PolicyContext&) {
                 PolicyOptions own = options;
                 own.whole_layers = 0;
                 return key_norm_policy(own);
             },
         .budget_above = budget_above_recent}};
    return kEntries;
}

}  // namespace kvlab
