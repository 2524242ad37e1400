// kv_tiles.hpp - chapter 2: the keys and values of one layer, laid out for fast attention.
//
// ANCHOR: layout
//   keys [Hkv][tiles][D][64], one tile:    values [Hkv][tiles][64][Dp], one tile:
//
//               slot 0  slot 1 ... slot 63           i=0    i=1  ... i=D-1  pad
//        i=0    k0[0]   k1[0]  ... k63[0]    slot 0  v0[0]  v0[1]  ... v0[D-1] 0
//        i=1    k0[1]   k1[1]  ... k63[1]    slot 1  v1[0]  v1[1]  ... v1[D-1] 0
//        ...                                 ...
//        i=D-1  k0[D-1] ...        k63[D-1]  slot 63 v63[0] v63[1] ...
//
//        one load: 16 slots, same i:         one load: 16 components of one slot:
//        lanes are different scores          lanes are different outputs
//
//   Slot s lives in tile s / 64 at place s % 64, in both. Dp is D rounded up to 16.
// ANCHOR_END: layout
#pragma once

#include <span>
#include <utility>

#include <kvlab/tensor/tensor.hpp>

namespace kvlab {

// How many tiles hold `slots`. Throws Error unless all are positive and the floats of so many
// tiles of all KV heads, keys and values, are memory that can be: whatever takes fewer bits
// fits as well.
Index tiles_for(const char* what, Index slots, Index kv_heads, Index head_dim);

// What attention reads: tiles of keys and values as above, from wherever they are kept.
class TileReader {
public:
    virtual ~TileReader() = default;

    Index slots() const { return tiles_ * 64; }

    Index kv_heads() const { return kv_heads_; }

    Index head_dim() const { return head_dim_; }

    Index padded_dim() const { return padded_dim_; }

    // One tile as floats: where it lies, or written into `room`, which has space for 64 Dp.
    // Several threads may ask at once, each with a room of its own.
    virtual const float* read_keys(Index kv_head, Index tile, float* room) const = 0;
    virtual const float* read_values(Index kv_head, Index tile, float* room) const = 0;

    // False if tiles lie there as floats: then `room` may be null.
    virtual bool needs_room() const { return true; }

    // Of one slot of one KV head, key and value, as they are kept.
    virtual Index slot_bytes() const = 0;

protected:
    TileReader() = default;
    // Room for `slots`, rounded up to whole tiles. Throws Error as tiles_for() does.
    TileReader(Index slots, Index kv_heads, Index head_dim);

    // What was moved from has no slots left, so that it refuses rows.
    TileReader(TileReader&& other) noexcept { *this = std::move(other); }

    TileReader& operator=(TileReader&& other) noexcept {
        tiles_ = std::exchange(other.tiles_, 0);
        kv_heads_ = std::exchange(other.kv_heads_, 0);
        head_dim_ = std::exchange(other.head_dim_, 0);
        padded_dim_ = std::exchange(other.padded_dim_, 0);
        return *this;
    }

    // What every way of keeping tiles has to refuse: rows k, v other than [T, Hkv, D], or that
    // do not fit into slots [first, first + T). Returns T.
    Index check_rows(Index first, const View<const float>& k, const View<const float>& v) const;
    // Slots [0, count) of other, for tiles that have not the same heads, or not so many slots.
    void check_copy(const TileReader& other, Index count) const;

    Index tiles_ = 0, kv_heads_ = 0, head_dim_ = 0, padded_dim_ = 0;
};

// The plain one: floats, in one block of memory.
class KvTiles final : public TileReader {
public:
    KvTiles() = default;
    KvTiles(Index slots, Index kv_heads, Index head_dim);

    Index slot_bytes() const override { return 2 * head_dim_ * Index{sizeof(float)}; }

    bool needs_room() const override { return false; }

    const float* read_keys(Index kv_head, Index tile, float*) const override {
        return key_tile(kv_head, tile);
    }

    const float* read_values(Index kv_head, Index tile, float*) const override {
        return value_tile(kv_head, tile);
    }

    Index allocated_bytes() const {
        return (keys_.size() + values_.size()) * Index{sizeof(float)};
    }

    // Writes the T rows k, v [T, Hkv, D] into slots [first, first + T). Throws Error when they
    // do not fit.
    void write(Index first, const View<const float>& k, const View<const float>& v);

    // Copies slots [0, count) from other, which has the same heads and enough slots.
    void copy_from(const KvTiles& other, Index count);

    // One KV head's slot alone: written, key and value [D]; or copied over another, of these
    // tiles or of others with the same heads. That is how a hole is filled.
    void write_slot(Index kv_head,
                    Index slot,
                    std::span<const float> key,
                    std::span<const float> value);
    void copy_slot(Index kv_head, Index from, Index to);
    void copy_slot_from(const KvTiles& other, Index kv_head, Index from, Index to);

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
    Tensor keys_, values_;
};

}  // namespace kvlab
