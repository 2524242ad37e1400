// policy_store.hpp - chapter 5: a store of keys and values that can say what it still holds.
#pragma once

#include <vector>

#include <kvlab/attention/stepped_store.hpp>

namespace kvlab {

class PolicyStore : public SteppedStore {
public:
    // The positions that one KV head still holds, in order. Throws Error unless the layer has
    // such a head.
    virtual std::vector<Index> kept(Index layer, Index kv_head) const = 0;

    // Tokens held, the mean over layers and KV heads: the budget as it is realised.
    double mean_kept() const;

protected:
    using SteppedStore::SteppedStore;

    // What a store that keeps every token holds.
    std::vector<Index> all_positions(Index layer, Index kv_head) const;
};

}  // namespace kvlab
