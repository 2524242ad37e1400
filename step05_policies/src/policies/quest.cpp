// Quest: everything is kept, and little of it is read (quest_cache.hpp).
#include <kvlab/policies/policy_bytes.hpp>
#include <kvlab/policies/quest_cache.hpp>
#include <kvlab/policies/registry.hpp>

namespace kvlab {

namespace {

Index quest_bytes(const PolicyOptions& options, const KvShape& shape, Index length) {
    check(options.page >= 1, "policy bytes: pages of ", options.page, " tokens");
    // A page has the smallest and the largest key: as much as one token's key and value.
    return full_bytes(shape, length) + full_bytes(shape, blocks_for(length, options.page));
}

}  // namespace

std::span<const PolicyEntry> policies_of_quest() {
    static constexpr PolicyEntry kEntries[] = {
        {.place = 170,
         .name = "quest",
         .idea = "everything; of it, only the promising pages are read",
         .paper = "Tang et al. 2024, 2406.10774",
         .store = [](const PolicyOptions& options,
                     const PolicyContext& context) -> std::unique_ptr<PolicyStore> {
             return std::make_unique<QuestCache>(context.shape, context.capacity, options,
                                                 context.level);
         },
         .bytes = quest_bytes,
         .has_budget = false}};
    return kEntries;
}

}  // namespace kvlab
