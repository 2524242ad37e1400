// Quest: everything is kept, and little of it is read (quest_cache.hpp). As published, the
// first two layers are read whole; quest-every-layer chooses in them, too. quest always reads
// the newest page, as the authors' runtime does; in their evaluation a page has to win its
// place, the newest as well: quest-by-bound.
#include <algorithm>

#include <kvlab/policies/policy_bytes.hpp>
#include <kvlab/policies/quest_cache.hpp>
#include <kvlab/policies/registry.hpp>

namespace kvlab {

namespace {

Index quest_bytes(const PolicyOptions& options, const KvShape& shape, Index length) {
    check(options.page >= 1, "policy bytes: pages of ", options.page, " tokens");
    // A page has the smallest and the largest key: as much as one token's key and value; and
    // layers that are read whole have no pages.
    const Index whole = std::min(whole_layers(options), shape.layers);
    const Index pages = full_bytes(shape, blocks_for(length, options.page));
    return full_bytes(shape, length) + pages / shape.layers * (shape.layers - whole);
}

std::unique_ptr<PolicyStore> quest_store(const PolicyOptions& options,
                                         const PolicyContext& context) {
    return std::make_unique<QuestCache>(context.shape, context.capacity, options,
                                        context.level);
}

// In place of the published choice of layers.
PolicyOptions of_every_layer(PolicyOptions options) {
    options.whole_layers = 0;
    return options;
}

}  // namespace

std::span<const PolicyEntry> policies_of_quest() {
    static constexpr PolicyEntry kEntries[] = {
        {.place = 170,
         .name = "quest",
         .idea = "everything; above two layers the promising pages are read, and the newest",
         .paper = "Tang et al. 2024, 2406.10774",
         .store = quest_store,
         .bytes = quest_bytes,
         .has_budget = false},
        {.place = 172,
         .name = "quest-every-layer",
         .idea = "the same in every layer, the first two included",
         .paper = "Tang et al. 2024, 2406.10774",
         .store = [](const PolicyOptions& options,
                     const PolicyContext& context) -> std::unique_ptr<PolicyStore> {
             return quest_store(of_every_layer(options), context);
         },
         .bytes =
             [](const PolicyOptions& options, const KvShape& shape, Index length) {
                 return quest_bytes(of_every_layer(options), shape, length);
             },
         .has_budget = false},
        {.place = 174,
         .name = "quest-by-bound",
         .idea = "as quest, but the newest page has to win its place, too",
         .paper = "Tang et al. 2024, 2406.10774",
         .store = [](const PolicyOptions& options,
                     const PolicyContext& context) -> std::unique_ptr<PolicyStore> {
             PolicyOptions own = options;
             own.newest_page = false;
             return quest_store(own, context);
         },
         .bytes = quest_bytes,
         .has_budget = false}};
    return kEntries;
}

}  // namespace kvlab
