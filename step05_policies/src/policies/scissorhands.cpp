// Scissorhands: Liu et al. 2023, section 4, algorithm 1: what was important stays important. A
// query votes for a token if it gives it more than an even share, P >= 1/n of n slots seen; the
// tokens with the smallest share of votes among the last m queries go. The last tokens stay.
// The paper drops half of the budget at a time; here one goes when one comes.
#include <algorithm>
#include <bit>

#include <kvlab/policies/registry.hpp>

namespace kvlab {

namespace {

constexpr Index kRecent = 10;  // as in the paper's experiments
constexpr Index kMostVotes = 64;

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

    // The votes of the last queries as bits of two rows, or, of all, their number.
    Index state_rows() const override { return options_.votes > 0 ? 2 : 1; }

    void observe(const HeadSlots& head, Index, std::span<const float> shares) const override {
        const Index n = std::ssize(shares);
        const float even = 1.0f / static_cast<float>(n);
        for (Index s = 0; s < n; ++s) {
            const bool vote = at(shares, s) >= even;
            if (options_.votes == 0)
                head.row(0)[s] += vote ? 1.0f : 0.0f;
            else
                remember(head, s, vote);
        }
    }

    void rate(const HeadSlots& head, std::span<float> ratings) const override {
        const Index budget = keep(head.layer, head.next);
        const Index recent = options_.recent >= 0 ? options_.recent : kRecent;
        for (Index s = 0; s < head.slots(); ++s) {
            const Index age = head.next - head.position(s);  // queries that could see it
            const Index asked = options_.votes > 0 ? std::min(age, options_.votes) : age;
            const float votes = options_.votes > 0
                                    ? static_cast<float>(std::popcount(history(head, s)))
                                    : head.row(0)[s];
            at(ratings, s) = age <= std::min(recent, budget)
                                 ? kProtected
                                 : votes / static_cast<float>(asked);
        }
    }

private:
    static std::uint64_t history(const HeadSlots& head, Index s) {
        return std::uint64_t{std::bit_cast<std::uint32_t>(head.row(1)[s])} << 32 |
               std::bit_cast<std::uint32_t>(head.row(0)[s]);
    }

    void remember(const HeadSlots& head, Index s, bool vote) const {
        const std::uint64_t mask = ~std::uint64_t{0} >> (kMostVotes - options_.votes);
        const std::uint64_t votes = (history(head, s) << 1 | (vote ? 1u : 0u)) & mask;
        head.row(0)[s] = std::bit_cast<float>(static_cast<std::uint32_t>(votes));
        head.row(1)[s] = std::bit_cast<float>(static_cast<std::uint32_t>(votes >> 32));
    }

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
