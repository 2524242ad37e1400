// SnapKV: Li et al. 2024, section 4, listing 1. Once, after the prompt: of the tokens before
// the last W, keep those with the largest pooled sum of the attention of the last W queries.
// What comes later is never evicted, and what a later question needs is not known yet.
//
// The authors' code has W = 32 and a mean over 5 neighbours, in its long-context test a maximum
// over 7; here W is 16, since prompts are some hundred tokens long (options.window, kernel,
// max_pool). Their code lets every query head keep tokens of its own, which takes a cache as
// many times larger as a group has heads; here a group shares them, by the mean of its shares.
#include "snapkv.hpp"

#include <algorithm>

#include <kvlab/policies/registry.hpp>

namespace kvlab {

SnapKv::SnapKv(const PolicyOptions& options) : options_(options) {
    check(options.window >= 1, "snapkv: a window of ", options.window, " tokens");
    check(options.kernel >= 1 && options.kernel % 2 == 1, "snapkv: a kernel of ",
          options.kernel, "; it must be odd");
    check(options.ratio > 0 || !options.ratios.empty() || options.budget > options.window,
          "snapkv: a window of ", options.window, " tokens in a budget of ", options.budget);
}

Index SnapKv::keep(Index, Index seen) const {
    return std::max(options_.window, tokens_to_keep(options_, seen));
}

// ANCHOR: snapkv
void SnapKv::observe(const HeadSlots& head, Index, std::span<const float> shares) const {
    for (Index s = 0; s < std::ssize(shares); ++s) head.row(0)[s] += at(shares, s);
}

// Nothing was evicted before, so slots are positions and neighbours in memory are neighbours in
// the text. The mean counts what is beyond an end as 0, as the authors' code does: the very
// first tokens lose by it.
void SnapKv::rate(const HeadSlots& head, std::span<float> ratings) const {
    // SOLUTION-BEGIN 5.2
    const Index prefix = head.slots() - options_.window, half = options_.kernel / 2;
    for (Index s = 0; s < head.slots(); ++s) {
        float pooled = 0.0f;
        for (Index n = std::max<Index>(0, s - half); n <= std::min(prefix - 1, s + half); ++n)
            pooled =
                options_.max_pool ? std::max(pooled, head.row(0)[n]) : pooled + head.row(0)[n];
        if (!options_.max_pool) pooled /= static_cast<float>(options_.kernel);
        if (s >= prefix) pooled = kProtected;
        at(ratings, s) = pooled;
    }
    // SOLUTION-END 5.2
}

// ANCHOR_END: snapkv

PolicyPointer snapkv_policy(const PolicyOptions& options) {
    return std::make_shared<SnapKv>(options);
}

std::span<const PolicyEntry> policies_of_snapkv() {
    static constexpr PolicyEntry kEntries[] = {
        {.place = 90,
         .name = "snapkv",
         .idea = "once: those that the end of the prompt looks at",
         .paper = "Li et al. 2024, 2404.14469",
         .policy = [](const PolicyOptions& options,
                      const PolicyContext&) { return snapkv_policy(options); },
         .streams = false,
         .budget_above = budget_above_window}};
    return kEntries;
}

}  // namespace kvlab
