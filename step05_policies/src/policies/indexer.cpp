// The indexer of DeepSeek's sparse attention: everything is kept, and of it the k tokens that
// score best are read (indexer_cache.hpp). It is untrained here, and has the model's own keys.
#include <kvlab/policies/indexer_cache.hpp>
#include <kvlab/policies/policy_bytes.hpp>
#include <kvlab/policies/registry.hpp>

namespace kvlab {

namespace {

Index indexer_bytes(const PolicyOptions&, const KvShape& shape, Index length) {
    return full_bytes(shape, length) +
           shape.layers * shape.kv_heads * length * IndexKeys::slot_bytes(shape.head_dim);
}

}  // namespace

std::span<const PolicyEntry> policies_of_indexer() {
    static constexpr PolicyEntry kEntries[] = {
        {.place = 175,
         .name = "indexer",
         .idea = "everything; of it, only the best tokens by their 8-bit keys are read",
         .paper = "DeepSeek-AI 2025, 2512.02556",
         .store = [](const PolicyOptions& options,
                     const PolicyContext& context) -> std::unique_ptr<PolicyStore> {
             return std::make_unique<IndexerCache>(context.shape, context.capacity, options,
                                                   context.level);
         },
         .bytes = indexer_bytes,
         .has_budget = false}};
    return kEntries;
}

}  // namespace kvlab
