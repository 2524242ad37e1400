// Random: the floor. Every token draws a number when it comes, and the largest stay, so that at
// any time each token seen has had the same chance. Nothing is protected, the newest token
// included, unless options.recent says so.
#include <algorithm>

#include <kvlab/policies/registry.hpp>

#include "draw.hpp"

namespace kvlab {

namespace {

class RandomTokens final : public Policy {
public:
    explicit RandomTokens(const PolicyOptions& options) : options_(options) {
        tokens_to_keep(options, 1);
        check_recent(options, "random");
    }

    Index keep(Index, Index seen) const override { return tokens_to_keep(options_, seen); }

    Index state_rows() const override { return 1; }

    void arrive(const HeadSlots& head, Index slot, std::span<const float>) const override {
        head.row(0)[slot] =
            generator_for({head.layer, head.kv_head, head.position(slot)}, options_.seed)
                .uniform();
    }

    void rate(const HeadSlots& head, std::span<float> ratings) const override {
        std::copy_n(head.row(0), head.slots(), ratings.begin());
        if (options_.recent > 0) protect_last(head, options_.recent, ratings);
    }

private:
    PolicyOptions options_;
};

}  // namespace

PolicyPointer random_policy(const PolicyOptions& options) {
    return std::make_shared<RandomTokens>(options);
}

std::span<const PolicyEntry> policies_of_random() {
    static constexpr PolicyEntry kEntries[] = {
        {.place = 150,
         .name = "random",
         .idea = "any: the floor",
         .paper = "",
         .policy = [](const PolicyOptions& options,
                      const PolicyContext&) { return random_policy(options); },
         .draws = true,
         .budget_above = budget_above_recent}};
    return kEntries;
}

}  // namespace kvlab
