#include <kvlab/policies/policy_store.hpp>

#include <numeric>

namespace kvlab {

double PolicyStore::mean_kept() const {
    const KvShape& s = shape();
    Index tokens = 0;
    for (Index layer = 0; layer < s.layers; ++layer)
        for (Index h = 0; h < s.kv_heads; ++h) tokens += std::ssize(kept(layer, h));
    return static_cast<double>(tokens) / static_cast<double>(s.layers * s.kv_heads);
}

std::vector<Index> PolicyStore::all_positions(Index layer, Index kv_head) const {
    check_head(layer, kv_head);
    std::vector<Index> all(usize(length()));
    std::iota(all.begin(), all.end(), Index{0});
    return all;
}

}  // namespace kvlab
