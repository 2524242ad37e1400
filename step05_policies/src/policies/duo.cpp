// DuoAttention's split of heads: Xiao et al. 2024, section 3. Retrieval heads look anywhere and
// keep everything; streaming heads look at the first and the last tokens and keep these alone,
// sinks and as many last ones as the budget has left.
//
// Which heads are which, the paper learns: a gate for each KV head, trained on passkeys in long
// texts, decides once for a model. Here the prompt says it, without any training: a head is
// rated by the attention that its queries gave to tokens which a streaming head would not have
// held, and those with the most become retrieval heads, a given share of all heads of all
// layers. Half of them are the paper's choice for models with fewer KV heads than query heads.
// So another prompt may choose other heads, a prompt that has nothing to retrieve chooses by
// chance, and one that the budget holds whole takes the first heads. Until the prompt has ended
// everything is kept; the paper's streaming heads forget while it comes.
#include <algorithm>
#include <cmath>
#include <numeric>

#include <kvlab/policies/registry.hpp>

namespace kvlab {

namespace {

constexpr double kHalf = 0.5;  // as in the paper
constexpr OwnOption kDuoOptions[] = {
    {"retrieval", "share of the KV heads that keep everything", kHalf, 0, 1}};

class Duo final : public Policy {
public:
    explicit Duo(const PolicyOptions& options)
        : options_(options), share_(options.own_or("retrieval", kHalf)) {
        check_sinks(options, "duo");
        check(share_ >= 0 && share_ <= 1, "duo: a share of ", share_, " of the heads");
    }

    // Of a streaming head.
    Index keep(Index, Index seen) const override {
        return std::max(options_.sinks, tokens_to_keep(options_, seen));
    }

    bool allots() const override { return true; }

    // ANCHOR: duo_split
    void allot(std::span<const RatedHead> heads, std::span<Index> budgets) const override {
        std::vector<float> outside;
        for (const RatedHead& head : heads) {
            const Index n = head.slots.slots();
            outside.push_back(
                n == 0 ? 0 : std::accumulate(head.slots.row(0), head.slots.row(0) + n, 0.0f));
        }
        std::vector<std::size_t> order(heads.size());
        std::iota(order.begin(), order.end(), std::size_t{0});
        std::stable_sort(order.begin(), order.end(),
                         [&](std::size_t a, std::size_t b) { return outside[a] > outside[b]; });
        const auto retrieval =
            static_cast<std::size_t>(std::lround(share_ * static_cast<double>(heads.size())));
        for (std::size_t i = 0; i < retrieval; ++i) budgets[order[i]] = kAll;
    }

    // ANCHOR_END: duo_split

    // What a token got while a streaming head would not have held it.
    Index state_rows() const override { return 1; }

    bool drops_state() const override { return true; }

    Index observed() const override { return kAll; }

    void observe(const HeadSlots& head,
                 Index query,
                 std::span<const float> shares) const override {
        // Between steps it holds its budget, and a query sees itself as well.
        const Index first_recent = query - (keep(head.layer, head.prompt) - options_.sinks);
        for (Index s = 0; s < std::ssize(shares); ++s)
            if (head.position(s) >= options_.sinks && head.position(s) < first_recent)
                head.row(0)[s] += at(shares, s);
    }

    void rate(const HeadSlots& head, std::span<float> ratings) const override {
        for (Index s = 0; s < head.slots(); ++s)
            at(ratings, s) = head.position(s) < options_.sinks
                                 ? kProtected
                                 : static_cast<float>(head.position(s));
    }

private:
    PolicyOptions options_;
    double share_;
};

}  // namespace

PolicyPointer duo_policy(const PolicyOptions& options) {
    return std::make_shared<Duo>(options);
}

std::span<const PolicyEntry> policies_of_duo() {
    static constexpr PolicyEntry kEntries[] = {
        {.place = 118,
         .name = "duo",
         .idea = "some heads keep everything, the others the first and the last tokens",
         .paper = "Xiao et al. 2024, 2410.10819",
         .policy = [](const PolicyOptions& options,
                      const PolicyContext&) { return duo_policy(options); },
         .streams = false,
         .budget_above = budget_above_sinks,
         .own_options = kDuoOptions}};
    return kEntries;
}

}  // namespace kvlab
