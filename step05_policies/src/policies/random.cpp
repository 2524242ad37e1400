// Random: the floor. After each step the tokens that go are drawn among all that are held, each
// as likely as another; after a prompt, as many at once as are too many. So a token that is
// held among B and one that comes stays with a chance of B / (B + 1), in every step anew: after
// k steps (B / (B + 1))^k of them are left, and most of those held are young.
//
// random-fixed: a token draws once, when it comes, and the largest numbers stay. Then every
// token seen so far has the same chance, B / n of n; so most newcomers go in their own step,
// and the numbers of those that stay get larger and larger.
//
// In both the newest token may go, unless options.recent protects it.
#include <algorithm>

#include <kvlab/policies/registry.hpp>

#include "draw.hpp"

namespace kvlab {

namespace {

class RandomTokens : public Policy {
public:
    explicit RandomTokens(const PolicyOptions& options) : options_(options) {
        tokens_to_keep(options, 1);
        check_recent(options, "random");
    }

    Index keep(Index, Index seen) const override { return tokens_to_keep(options_, seen); }

    // A number for each token and step, from its position and not from its slot: the smallest
    // of so many numbers lie at any of the tokens with the same chance.
    void rate(const HeadSlots& head, std::span<float> ratings) const override {
        const std::uint64_t step =
            place_hash({head.layer, head.kv_head, head.next}, options_.seed);
        for (Index s = 0; s < head.slots(); ++s)
            at(ratings, s) = uniform_at(step, head.position(s));
        if (options_.recent > 0) protect_last(head, options_.recent, ratings);
    }

protected:
    PolicyOptions options_;
};

class RandomFixed final : public RandomTokens {
public:
    using RandomTokens::RandomTokens;

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
};

}  // namespace

PolicyPointer random_policy(const PolicyOptions& options) {
    return std::make_shared<RandomTokens>(options);
}

PolicyPointer random_fixed_policy(const PolicyOptions& options) {
    return std::make_shared<RandomFixed>(options);
}

std::span<const PolicyEntry> policies_of_random() {
    static constexpr PolicyEntry kEntries[] = {
        {.place = 150,
         .name = "random",
         .idea = "any, drawn anew in each step: the floor",
         .paper = "",
         .policy = [](const PolicyOptions& options,
                      const PolicyContext&) { return random_policy(options); },
         .draws = true,
         .budget_above = budget_above_recent},
        {.place = 152,
         .name = "random-fixed",
         .idea = "any, drawn once for each token: most newcomers go at once",
         .paper = "",
         .policy = [](const PolicyOptions& options,
                      const PolicyContext&) { return random_fixed_policy(options); },
         .draws = true,
         .budget_above = budget_above_recent}};
    return kEntries;
}

}  // namespace kvlab
