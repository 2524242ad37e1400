// Scissorhands: Liu et al. 2023, section 4, algorithm 1: what was important stays important. A
// query votes for a token if it gives it more than an even share, P >= 1/n of n slots seen; the
// tokens with the smallest share of votes among the last m = 400 queries go. The last 10 tokens
// stay. Both numbers are those of the paper's experiments.
//
// The paper drops about half of the budget at a time, and then waits until the cache is full
// again; here one token goes when one comes. So the budget is always used in full, and a choice
// is made from what is known at the time.
#include <algorithm>
#include <bit>

#include <kvlab/policies/registry.hpp>

namespace kvlab {

namespace {

constexpr Index kRecent = 10;
constexpr Index kMostVotes = 4096;
constexpr Index kVotesOfRow = 32;  // the bits of a float

class Scissorhands final : public Policy {
public:
    explicit Scissorhands(const PolicyOptions& options) : options_(options) {
        check(options.votes >= 0 && options.votes <= kMostVotes, "scissorhands: votes of ",
              options.votes, " queries; 0 to ", kMostVotes, " can be remembered");
        tokens_to_keep(options, 1);
        check_recent(options, "scissorhands");
    }

    Index keep(Index, Index seen) const override { return tokens_to_keep(options_, seen); }

    Index observed() const override { return kAll; }

    // How many votes a token has; and whose, a bit for each of the last queries.
    Index state_rows() const override { return 1 + blocks_for(options_.votes, kVotesOfRow); }

    // The bits are a ring: a query writes over the one that came options.votes before it, and
    // the number of votes changes by the difference. A token that came since has a 0 there.
    void observe(const HeadSlots& head,
                 Index query,
                 std::span<const float> shares) const override {
        const Index n = std::ssize(shares);
        const float even = 1.0f / static_cast<float>(n);
        float* const count = head.row(0);
        if (options_.votes == 0) {
            for (Index s = 0; s < n; ++s) count[s] += at(shares, s) >= even ? 1.0f : 0.0f;
            return;
        }
        const Index place = query % options_.votes;
        float* const row = head.row(1 + place / kVotesOfRow);
        const auto bit = static_cast<int>(place % kVotesOfRow);
        for (Index s = 0; s < n; ++s) {
            const auto bits = std::bit_cast<std::uint32_t>(row[s]);
            const std::uint32_t before = bits >> bit & 1u, now = at(shares, s) >= even ? 1 : 0;
            row[s] = std::bit_cast<float>(bits ^ (before ^ now) << bit);
            count[s] += static_cast<float>(now) - static_cast<float>(before);
        }
    }

    void rate(const HeadSlots& head, std::span<float> ratings) const override {
        const Index budget = keep(head.layer, head.next);
        const Index recent = options_.recent >= 0 ? options_.recent : kRecent;
        for (Index s = 0; s < head.slots(); ++s) {
            const Index age = head.next - head.position(s);  // queries that could see it
            const Index asked = options_.votes > 0 ? std::min(age, options_.votes) : age;
            at(ratings, s) = age <= std::min(recent, budget)
                                 ? kProtected
                                 : head.row(0)[s] / static_cast<float>(asked);
        }
    }

private:
    PolicyOptions options_;
};

}  // namespace

PolicyPointer scissorhands_policy(const PolicyOptions& options) {
    return std::make_shared<Scissorhands>(options);
}

std::span<const PolicyEntry> policies_of_scissorhands() {
    static constexpr PolicyEntry kEntries[] = {
        {.place = 130,
         .name = "scissorhands",
         .idea = "those that recent queries gave more than an even share",
         .paper = "Liu et al. 2023, 2305.17118",
         .policy = [](const PolicyOptions& options,
                      const PolicyContext&) { return scissorhands_policy(options); },
         .budget_above = budget_above_recent}};
    return kEntries;
}

}  // namespace kvlab
