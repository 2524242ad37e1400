// Random: the floor. Every token draws a number when it comes, and the largest stay, so that at
// any time each token seen has had the same chance.
#include <algorithm>

#include <kvlab/policies/policies.hpp>
#include <kvlab/tensor/random.hpp>

namespace kvlab {

namespace {

class RandomTokens final : public Policy {
public:
    explicit RandomTokens(const PolicyOptions& options) : options_(options) {
        tokens_to_keep(options, 1);
    }

    Index keep(Index, Index seen) const override { return tokens_to_keep(options_, seen); }

    Index state_rows() const override { return 1; }

    void arrive(const HeadSlots& head, Index slot, std::span<const float>) const override {
        // A generator for each token: its number does not depend on the steps that it came in.
        const auto place = static_cast<std::uint64_t>(head.layer * 4096 + head.kv_head);
        const auto position = static_cast<std::uint64_t>(head.position(slot));
        Rng rng(options_.seed + position * 0x9e3779b97f4a7c15ull, place);
        head.row(0)[slot] = rng.uniform();
    }

    void rate(const HeadSlots& head, std::span<float> ratings) const override {
        std::copy_n(head.row(0), head.slots(), ratings.begin());
    }

private:
    PolicyOptions options_;
};

}  // namespace

PolicyPointer random_policy(const PolicyOptions& options) {
    return std::make_shared<RandomTokens>(options);
}

}  // namespace kvlab
