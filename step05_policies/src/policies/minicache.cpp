// MiniCache: everything is kept, two layers in the memory of one (mini_cache.hpp).
#include <algorithm>
#include <cmath>

#include <kvlab/policies/mini_cache.hpp>
#include <kvlab/policies/registry.hpp>

namespace kvlab {

namespace {

// A pair of layers has one vector and one factor for keys and values; of retained tokens, all
// and a position.
Index minicache_bytes(const PolicyOptions& options, const KvShape& shape, Index length) {
    constexpr Index kNumber = 4;  // bytes
    // The deeper half, and of few layers at least a pair.
    const Index middle = std::max<Index>(0, std::min(shape.layers / 2, shape.layers - 2));
    const Index first = options.merge_from < 0 ? middle : options.merge_from;
    const Index pairs = std::max<Index>(0, shape.layers - first) / 2;
    const Index slot = 2 * shape.head_dim * kNumber;
    const auto retained =
        static_cast<Index>(std::ceil(options.retained * static_cast<double>(length)));
    return shape.kv_heads *
           ((shape.layers - 2 * pairs) * length * slot +
            pairs * (length * (slot + 2 * kNumber) + retained * (slot + kNumber)));
}

}  // namespace

std::span<const PolicyEntry> policies_of_minicache() {
    static constexpr PolicyEntry kEntries[] = {
        {.place = 180,
         .name = "minicache",
         .idea = "everything; pairs of layers share a direction",
         .paper = "Liu et al. 2024, 2405.14366",
         .store = [](const PolicyOptions& options,
                     const PolicyContext& context) -> std::unique_ptr<PolicyStore> {
             return std::make_unique<MiniCache>(context.shape, context.capacity, options,
                                                context.level);
         },
         .bytes = minicache_bytes,
         .has_budget = false}};
    return kEntries;
}

}  // namespace kvlab
