// naive_cache.hpp - chapter 3: a KV cache in its plainest form: two lists per layer that grow
// by a row for each token, and the plain attention over them.
#pragma once

#include <vector>

#include <kvlab/attention/kv_store.hpp>

namespace kvlab {

// Slow, and right: the fast caches must give its bits.
class NaiveCache : public KvStore {
public:
    // Accepts `capacity` tokens; memory grows with those that come. Throws Error for a shape or
    // a capacity that cannot be.
    NaiveCache(const KvShape& shape, Index capacity);

    const KvShape& shape() const override { return shape_; }

    Index next_position() const override { return length_; }

    Index room() const override { return capacity_ - length_; }

    void begin(Index T) override;
    void append(Index layer, const View<const float>& k, const View<const float>& v) override;
    AttentionWork attend(Index layer,
                         const View<const float>& q,
                         const View<float>& out,
                         ThreadPool& pool) override;
    void commit() override;
    void truncate(Index length) override;
    std::unique_ptr<KvStore> fork() const override;
    KvBytes bytes() const override;

protected:
    // What fork() copies, from a cache of the same shape and capacity.
    void take_committed(const NaiveCache& other);

    // One query of a step of T tokens over the S slots that it sees.
    virtual void attend_one(Index T,
                            const View<const float>& q,     // [D], scaled
                            const View<const float>& k,     // [S, D]
                            const View<const float>& v,     // [S, D]
                            const View<float>& out) const;  // [D]

private:
    Index row() const { return shape_.kv_heads * shape_.head_dim; }  // floats

    bool holds(Index layer, Index tokens) const;  // exactly so many rows
    void drop_behind(Index length);

    KvShape shape_;
    Index capacity_;
    Index length_ = 0, pending_ = 0;                 // tokens held; of the open step
    std::vector<std::vector<float>> keys_, values_;  // [L] of [tokens, Hkv, D]
};

}  // namespace kvlab
