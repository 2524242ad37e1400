// policy_store.hpp - chapter 5: a store of keys and values that can say what it still holds.
#pragma once

#include <vector>

#include <kvlab/attention/kv_store.hpp>

namespace kvlab {

class PolicyStore : public KvStore {
public:
    // The positions that one KV head still holds, in order.
    virtual std::vector<Index> kept(Index layer, Index kv_head) const = 0;

    // Tokens held, the mean over layers and KV heads: the budget as it is realised.
    double mean_kept() const;
};

}  // namespace kvlab
