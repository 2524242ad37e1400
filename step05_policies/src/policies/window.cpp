// full, sliding window, attention sinks: who stays is decided by position alone.
//
// Window: the last B tokens (Beltagy et al. 2020, Longformer, section 3.1, used here on a model
// that was not trained for it). Sinks: Xiao et al. 2023, Efficient Streaming Language Models
// with Attention Sinks, section 3.2: the first S tokens and the last B - S. The paper counts
// positions in the cache: sinks-relative. sinks keeps those of the text, as all others do here.
// As in the authors' evaluation a token sees all that is held and itself, and then one goes.
#include <algorithm>

#include <kvlab/policies/registry.hpp>

namespace kvlab {

namespace {

class Full final : public Policy {
public:
    Index keep(Index, Index seen) const override { return seen; }

    void rate(const HeadSlots&, std::span<float> ratings) const override {
        std::fill(ratings.begin(), ratings.end(), kProtected);
    }
};

class Sinks final : public Policy {
public:
    Sinks(const PolicyOptions& options, Index sinks) : options_(options), sinks_(sinks) {
        const Index kept = tokens_to_keep(options, 1);  // refuses what is no budget or ratio
        check(sinks >= 0 && (options.ratio > 0 || sinks <= kept), "sinks: ", sinks,
              " sinks in a budget of ", options.budget);
    }

    // ANCHOR: sinks
    Index keep(Index, Index seen) const override {
        return std::max(sinks_, tokens_to_keep(options_, seen));
    }

    void rate(const HeadSlots& head, std::span<float> ratings) const override {
        for (std::size_t s = 0; s < ratings.size(); ++s)
            ratings[s] =
                head.positions[s] < sinks_ ? kProtected : static_cast<float>(head.positions[s]);
    }

    // ANCHOR_END: sinks

private:
    PolicyOptions options_;
    Index sinks_;
};

}  // namespace

PolicyPointer full_policy() {
    return std::make_shared<Full>();
}

PolicyPointer window_policy(const PolicyOptions& options) {
    return std::make_shared<Sinks>(options, 0);
}

PolicyPointer sinks_policy(const PolicyOptions& options) {
    return std::make_shared<Sinks>(options, options.sinks);
}

std::span<const PolicyEntry> policies_of_window() {
    static constexpr PolicyEntry kEntries[] = {
        {.place = 10,
         .name = kFull,
         .idea = "everything",
         .paper = "",
         .policy = [](const PolicyOptions&, const PolicyContext&) { return full_policy(); },
         .has_budget = false},
        {.place = 20,
         .name = "window",
         .idea = "the last tokens",
         .paper = "Beltagy et al. 2020, 2004.05150",
         .policy = [](const PolicyOptions& options,
                      const PolicyContext&) { return window_policy(options); }},
        {.place = 30,
         .name = "sinks",
         .idea = "the first and the last tokens",
         .paper = "Xiao et al. 2023, 2309.17453",
         .policy = [](const PolicyOptions& options,
                      const PolicyContext&) { return sinks_policy(options); },
         .budget_above = budget_above_sinks},
        {.place = 40,
         .name = "sinks-relative",
         .idea = "the same, positions counted in the cache",
         .paper = "Xiao et al. 2023, 2309.17453",
         .policy = [](const PolicyOptions& options,
                      const PolicyContext&) { return sinks_policy(options); },
         .scheme = PositionScheme::relative,
         .budget_above = budget_above_sinks}};
    return kEntries;
}

}  // namespace kvlab
