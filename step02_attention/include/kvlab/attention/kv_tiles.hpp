// kv_tiles.hpp - chapter 2: the keys and values of one layer, laid out for fast attention.
//
//   keys    [Hkv][tiles][D][64]   a tile holds 64 slots side by side: one load = 16 slots'
//   component i,
//                                 so that lanes are different scores
//   values  [Hkv][tiles][64][Dp]  a slot's value in a row, padded to Dp = D rounded up to 16,
//                                 so that lanes are different outputs
//
//   slot s lives in tile s / 64, place s % 64, in both.
#pragma once

#include <kvlab/tensor/tensor.hpp>

namespace kvlab {

class KvTiles {
public:
    KvTiles() = default;
    // Room for `slots`, rounded up to whole tiles. Throws Error unless all are positive.
    KvTiles(Index slots, Index kv_heads, Index head_dim);

    Index slots() const { return tiles_ * 64; }

    Index kv_heads() const { return kv_heads_; }

    Index head_dim() const { return head_dim_; }

    Index padded_dim() const { return padded_dim_; }

    Index allocated_bytes() const {
        return (keys_.size() + values_.size()) * Index{sizeof(float)};
    }

    // Writes the T rows k, v [T, Hkv, D] into slots [first, first + T). Throws Error when they
    // do not fit.
    void write(Index first, View<const float> k, View<const float> v);

    // Copies slots [0, count) from other, which has the same heads and enough slots.
    void copy_from(const KvTiles& other, Index count);

    const float* key_tile(Index kv_head, Index tile) const {
        return keys_.data() + (kv_head * tiles_ + tile) * head_dim_ * 64;
    }

    const float* value_tile(Index kv_head, Index tile) const {
        return values_.data() + (kv_head * tiles_ + tile) * 64 * padded_dim_;
    }

    float key(Index kv_head, Index slot, Index i) const {
        return key_tile(kv_head, slot / 64)[i * 64 + slot % 64];
    }

    float value(Index kv_head, Index slot, Index i) const {
        return value_tile(kv_head, slot / 64)[slot % 64 * padded_dim_ + i];
    }

private:
    Index tiles_ = 0, kv_heads_ = 0, head_dim_ = 0, padded_dim_ = 0;
    Tensor keys_, values_;
};

}  // namespace kvlab
