// H2O, heavy hitters: Zhang et al. 2023, section 4: the last R tokens, and of the others those
// with the largest sum of attention received so far, a_j = sum over queries i of P_ij. Half of
// the budget is for the last ones, as in the paper's experiments. The authors' models have a KV
// head for each query head; here the heads of a group share their tokens, by the mean of their
// attention (slot_cache.hpp). Positions are those of the text; the authors' streaming
// experiment counts them in the cache, as sinks-relative does.
//
// The sum favours the old: a token that j queries saw has had j chances. Two answers: divide by
// the number of queries that could see it, or let the past fade, a_j <- alpha a_j + P_ij (A2SF,
// Jo and Shin 2024). With alpha = 1 and no division this is the paper's.
#include <kvlab/policies/registry.hpp>

namespace kvlab {

namespace {

class H2o final : public Policy {
public:
    explicit H2o(const PolicyOptions& options)
        : options_(options), forget_(options.forget.value_or(1.0f)) {
        tokens_to_keep(options, 1);
        check_recent(options, "h2o");
        check(forget_ > 0 && forget_ <= 1, "h2o: a forgetting factor of ", forget_);
    }

    Index keep(Index, Index seen) const override { return tokens_to_keep(options_, seen); }

    Index observed() const override { return kAll; }

    Index state_rows() const override { return 1; }

    // ANCHOR: h2o
    void observe(const HeadSlots& head, Index, std::span<const float> shares) const override {
        // SOLUTION-BEGIN 5.1
        float* const sums = head.row(0);
        const Index n = std::ssize(shares);
        if (forget_ != 1.0f)
            for (Index s = 0; s < n; ++s) sums[s] *= forget_;
        for (Index s = 0; s < n; ++s) sums[s] += at(shares, s);
        // SOLUTION-END 5.1
    }

    void rate(const HeadSlots& head, std::span<float> ratings) const override {
        // SOLUTION-BEGIN 5.1
        const Index first_recent = head.next - recent_tokens(head.next);
        const float* const sums = head.row(0);
        for (std::size_t s = 0; s < ratings.size(); ++s) {
            // By the queries that could see the token, if so.
            const Index seen_by = options_.normalise ? head.next - head.positions[s] : 1;
            ratings[s] = head.positions[s] >= first_recent
                             ? kProtected
                             : sums[s] / static_cast<float>(seen_by);
        }
        // SOLUTION-END 5.1
    }

    // ANCHOR_END: h2o

private:
    Index recent_tokens(Index seen) const {
        return options_.recent >= 0 ? options_.recent : tokens_to_keep(options_, seen) / 2;
    }

    PolicyOptions options_;
    float forget_;
};

}  // namespace

PolicyPointer h2o_policy(const PolicyOptions& options) {
    return std::make_shared<H2o>(options);
}

std::span<const PolicyEntry> policies_of_h2o() {
    static constexpr PolicyEntry kEntries[] = {
        {.place = 50,
         .name = "h2o",
         .idea = "the last tokens and those with the most attention so far",
         .paper = "Zhang et al. 2023, 2306.14048",
         .policy =
             [](const PolicyOptions& options, const PolicyContext&) {
                 PolicyOptions own = options;
                 own.forget.reset();  // it is h2o-forgetting's alone
                 return h2o_policy(own);
             },
         .budget_above = budget_above_recent},
        {.place = 60,
         .name = "h2o-mean",
         .idea = "the same, attention per query that could see the token",
         .paper = "Zhang et al. 2023, 2306.14048",
         .policy =
             [](const PolicyOptions& options, const PolicyContext&) {
                 PolicyOptions own = options;
                 own.normalise = true;
                 own.forget.reset();
                 return h2o_policy(own);
             },
         .budget_above = budget_above_recent},
        {.place = 70,
         .name = "h2o-forgetting",
         .idea = "the same, and the past fades",
         .paper = "Jo and Shin 2024, 2407.20485",
         .policy =
             [](const PolicyOptions& options, const PolicyContext&) {
                 PolicyOptions own = options;
                 own.forget = options.forget.value_or(0.99f);
                 return h2o_policy(own);
             },
         .budget_above = budget_above_recent}};
    return kEntries;
}

}  // namespace kvlab
