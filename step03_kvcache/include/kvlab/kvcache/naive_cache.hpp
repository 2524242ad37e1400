// naive_cache.hpp - chapter 3: a KV cache in its plainest form: two lists per layer that grow
// by a row for each token, and the plain attention over them.
#pragma once

#include <vector>

#include <kvlab/attention/stepped_store.hpp>

namespace kvlab {

// Slow, and right: the fast caches must give its bits.
class NaiveCache : public SteppedStore {
public:
    // Accepts `capacity` tokens; memory grows with those that come. Throws Error for a shape or
    // a capacity that cannot be.
    NaiveCache(const KvShape& shape, Index capacity)
        : NaiveCache("naive cache", shape, capacity) {}

    KvBytes bytes() const override;

protected:
    NaiveCache(const char* name, const KvShape& shape, Index capacity);

    std::unique_ptr<SteppedStore> copied() const override;

    // What copied() copies, from a cache of the same shape and capacity.
    void take_rows(const NaiveCache& other);

    // ANCHOR: attend_one
    // One query over the S slots that it sees.
    virtual void attend_one(const View<const float>& q,     // [D], scaled
                            const View<const float>& k,     // [S, D]
                            const View<const float>& v,     // [S, D]
                            const View<float>& out) const;  // [D]
    // ANCHOR_END: attend_one

private:
    void write_rows(Index layer,
                    const View<const float>& k,
                    const View<const float>& v) override;
    AttentionWork attend_rows(Index layer,
                              const View<const float>& q,
                              const View<float>& out,
                              ThreadPool& pool) override;
    void dropped(Index to) noexcept override;

    Index row() const { return shape().kv_heads * shape().head_dim; }  // floats

    std::vector<std::vector<float>> keys_, values_;  // [L] of [tokens, Hkv, D]
};

}  // namespace kvlab
