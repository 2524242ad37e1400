// AdaKV: Feng et al. 2024, section 3, with SnapKV's ratings (Ada-SnapKV): what SnapKV would
// keep in each head of a layer, all heads of the layer keep together, and those with more high
// ratings keep more of it. The memory of a head is as large as its budget (slot_cache.hpp).
//
// Ratings of one KV head are those of its group, as SnapKV's here; the paper's models have a KV
// head for each query head. How heads share is in allotment.hpp, and where it differs.
#include <kvlab/policies/allotment.hpp>
#include <kvlab/policies/registry.hpp>

#include "snapkv.hpp"

namespace kvlab {

namespace {

class AdaKv final : public SnapKv {
public:
    AdaKv(const PolicyOptions& options, Index kv_heads) : SnapKv(options), kv_heads_(kv_heads) {
        check(options.floor >= 0 && options.floor <= 1, "adakv: a floor of ", options.floor);
    }

    bool allots() const override { return true; }

    bool drops_state() const override { return true; }

    void allot(std::span<const RatedHead> heads, std::span<Index> budgets) const override {
        allot_by_layer(heads, kv_heads_, options_.floor, budgets);
    }

private:
    Index kv_heads_;
};

}  // namespace

PolicyPointer adakv_policy(const PolicyOptions& options, Index kv_heads) {
    return std::make_shared<AdaKv>(options, kv_heads);
}

std::span<const PolicyEntry> policies_of_adakv() {
    static constexpr PolicyEntry kEntries[] = {
        {.place = 112,
         .name = "adakv-snapkv",
         .idea = "as snapkv, and the heads of a layer share its budget by their ratings",
         .paper = "Feng et al. 2024, 2407.11550",
         .policy =
             [](const PolicyOptions& options, const PolicyContext& context) {
                 return adakv_policy(options, context.shape.kv_heads);
             },
         .streams = false,
         .budget_above = budget_above_window}};
    return kEntries;
}

}  // namespace kvlab
