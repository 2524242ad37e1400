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
//   Slot s is in tile s / 64, at place s % 64. Dp is D rounded up to a multiple of 16.
// ANCHOR_END: layout
#pragma once

#include <span>

#include <kvlab/attention/layer_rows.hpp>

namespace kvlab {

// The plain rows: floats, in one block of memory.
class KvTiles final : public LayerRows {
public:
    KvTiles() = default;
    KvTiles(Index slots, Index kv_heads, Index head_dim);

    std::unique_ptr<LayerRows> make(Index slots) const override {
        return std::make_unique<KvTiles>(slots, kv_heads_, head_dim_);
    }

    Index slot_bytes() const override { return 2 * head_dim_ * Index{sizeof(float)}; }

    bool needs_scratch() const override { return false; }

    const float* read_keys(Index kv_head, Index tile, float*) const override {
        return key_tile(kv_head, tile);
    }

    const float* read_values(Index kv_head, Index tile, float*) const override {
        return value_tile(kv_head, tile);
    }

    Index allocated_bytes() const override {
        return (keys_.size() + values_.size()) * Index{sizeof(float)};
    }

    void visit_memory(const VisitMemory& visit) override;

    // Copies a slot of other tiles with the same heads.
    void copy_slot_from(const KvTiles& other, Index kv_head, Index from, Index to);

    // Writes one KV head's slot alone, key and value [D].
    void write_slot(Index kv_head,
                    Index slot,
                    std::span<const float> key,
                    std::span<const float> value);

    const float* key_tile(Index kv_head, Index tile) const {
        return keys_.data() + (kv_head * tiles_ + tile) * head_dim_ * kTile;
    }

    const float* value_tile(Index kv_head, Index tile) const {
        return values_.data() + (kv_head * tiles_ + tile) * kTile * padded_dim_;
    }

    float key(Index kv_head, Index slot, Index i) const override {
        return key_tile(kv_head, slot / kTile)[i * kTile + slot % kTile];
    }

    float value(Index kv_head, Index slot, Index i) const override {
        return value_tile(kv_head, slot / kTile)[slot % kTile * padded_dim_ + i];
    }

private:
    void write_slots(Index first,
                     Index position,
                     const View<const float>& k,
                     const View<const float>& v) override;
    void copy_slots(const LayerRows& other, Index count) override;

    void move_slot(Index kv_head, Index from, Index to) override {
        copy_slot_from(*this, kv_head, from, to);
    }

    Tensor keys_, values_;
};

// For stores that keep every number as it was computed.
MakeRows float_rows();

}  // namespace kvlab
