// kv_cache.hpp - chapter 3: keys and values of a text, kept so that each is computed once.
//
// ANCHOR: layout
//   slot      0       1      ...   n-1   |   n      ...    capacity-1
//   layer 0 [ k0 v0 | k1 v1 | ... |      | open step | free ...     ]
//   layer 1 [ k0 v0 | k1 v1 | ... |      | open step | free ...     ]
//     ...                                ^ next_position()
//
//   slot = position, because nothing is ever dropped from the middle
// ANCHOR_END: layout
//
// Keys are kept after RoPE: the angle of a key depends on its own position alone, so it never
// changes.
#pragma once

#include <vector>

#include <kvlab/attention/kv_store.hpp>
#include <kvlab/attention/kv_tiles.hpp>
#include <kvlab/tensor/simd_level.hpp>

namespace kvlab {

// Tiles is how one layer keeps its numbers: KvTiles as floats, or fewer bits
// (narrow_tiles.hpp).
template <class Tiles>
class TileCache final : public KvStore {
public:
    // Room for `capacity` tokens. Throws Error for a shape or a capacity that cannot be, and if
    // this machine has no room for them.
    TileCache(const KvShape& shape, Index capacity, SimdLevel level = default_simd_level());

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

    Index capacity() const { return capacity_; }

    // One kept number as attention sees it, to look at and to compare. Throws Error unless it
    // is there.
    float key(Index layer, Index kv_head, Index position, Index i) const;
    float value(Index layer, Index kv_head, Index position, Index i) const;

private:
    const Tiles& checked(Index layer, Index kv_head, Index position, Index i) const;

    // Fixed at construction.
    KvShape shape_;
    Index capacity_;
    SimdLevel level_;
    // Slots [0, length_) are committed; [length_, length_ + pending_) belong to the open step.
    // Of the open step, the layers [0, appended_) have their rows.
    Index length_ = 0, pending_ = 0, appended_ = 0;
    std::vector<Tiles> layers_;  // [L]
};

// The cache of this chapter: every number as it was computed.
using KvCache = TileCache<KvTiles>;

}  // namespace kvlab
