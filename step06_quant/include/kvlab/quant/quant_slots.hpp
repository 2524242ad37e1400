// quant_slots.hpp - chapter 6: the slots of chapter 5's policies, in few bits. What a policy
// keeps is then kept in a format, each row with its own scales, so that it can move.
//
// ANCHOR: sinks
//   The first tokens of the text may stay floats. They are moved and evicted as any others, so
//   a slot does not say whether it holds one; here of 4 sinks:
//
//   slot         0    1    2    3  |  4    5 ...
//   position   [ 0   17    3   18  | 19   20 ... ]     tokens 1 and 2 are gone
//   sink       [ x    -    x    -  ]                   rows of `floats` for these slots alone
//
//   Slots are filled from below and rows move to lower ones: no slot is above its position.
// ANCHOR_END: sinks
#pragma once

#include <vector>

#include <kvlab/policies/slot_tiles.hpp>
#include <kvlab/quant/quant_cache.hpp>

namespace kvlab {

class QuantSlots final : public SlotTiles {
public:
    // Throws Error as QuantCache does, and by name for what policies cannot have: KIVI, whose
    // keys share their scales with 31 neighbours in the text, which a policy would separate;
    // and before_rope, since a policy's scheme of positions decides about that.
    QuantSlots(const QuantOptions& options,
               Index slots,
               Index kv_heads,
               Index head_dim,
               SimdLevel level = default_simd_level());

    Index slot_bytes() const override {
        return keys_.tiles.row_bytes() + values_.tiles.row_bytes();
    }

    const float* read_keys(Index kv_head, Index tile, float* room) const override {
        return read(keys_, true, kv_head, tile, room);
    }

    const float* read_values(Index kv_head, Index tile, float* room) const override {
        return read(values_, false, kv_head, tile, room);
    }

    std::unique_ptr<SlotTiles> make(Index slots) const override;
    void write(Index first,
               Index position,
               const View<const float>& k,
               const View<const float>& v) override;
    void copy_from(const SlotTiles& other, Index count) override;
    void copy_slot(Index kv_head, Index from, Index to) override;
    Index allocated_bytes() const override;
    Index held_bytes(Index count) const override;

    bool turns() const override { return options_.rotate; }

    void turn(std::span<float> head) const override;
    float key(Index kv_head, Index slot, Index i) const override;

private:
    struct Side {
        CodedTiles tiles;
        Tensor floats;  // [Hkv, float_slots, D]
    };

    bool is_sink(Index kv_head, Index slot) const {
        return slot < float_slots_ &&
               sinks_[static_cast<std::size_t>(kv_head * float_slots_ + slot)] != 0;
    }

    void mark(Index kv_head, Index slot, bool sink);
    void copy_float(const QuantSlots& other, Index kv_head, Index from, Index to);
    void write_row(Side& side, Index kv_head, Index slot, Index position, std::span<float> row);
    const float* read(
        const Side& side, bool keys, Index kv_head, Index tile, float* room) const;

    QuantOptions options_;
    SimdLevel level_;
    Side keys_, values_;
    Index float_slots_;                 // the first of all, which may hold sinks
    std::vector<unsigned char> sinks_;  // [Hkv, float_slots] 1: does
};

// For SlotCacheOptions and PolicyContext.
MakeSlotTiles quant_slots(const QuantOptions& options, SimdLevel level = default_simd_level());

}  // namespace kvlab
