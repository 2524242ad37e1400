#include <kvlab/policies/slot_tiles.hpp>

namespace kvlab {

namespace {

class FloatSlots final : public SlotTiles {
public:
    FloatSlots(Index slots, Index kv_heads, Index head_dim)
        : SlotTiles(slots, kv_heads, head_dim), tiles_(slots, kv_heads, head_dim) {}

    bool needs_room() const override { return false; }

    Index slot_bytes() const override { return tiles_.slot_bytes(); }

    const float* read_keys(Index kv_head, Index tile, float*) const override {
        return tiles_.key_tile(kv_head, tile);
    }

    const float* read_values(Index kv_head, Index tile, float*) const override {
        return tiles_.value_tile(kv_head, tile);
    }

    std::unique_ptr<SlotTiles> make(Index slots) const override {
        return make_float_slots(slots, kv_heads_, head_dim_);
    }

    void write(Index first,
               Index /*position*/,
               const View<const float>& k,
               const View<const float>& v) override {
        tiles_.write(first, k, v);
    }

    void copy_from(const SlotTiles& other, Index count) override {
        const auto* const same = dynamic_cast<const FloatSlots*>(&other);
        check(same != nullptr, "slot tiles: copy between different kinds");
        tiles_.copy_from(same->tiles_, count);
    }

    void copy_slot(Index kv_head, Index from, Index to) override {
        tiles_.copy_slot(kv_head, from, to);
    }

    Index allocated_bytes() const override { return tiles_.allocated_bytes(); }

    float key(Index kv_head, Index slot, Index i) const override {
        return tiles_.key(kv_head, slot, i);
    }

private:
    KvTiles tiles_;
};

}  // namespace

std::unique_ptr<SlotTiles> make_float_slots(Index slots, Index kv_heads, Index head_dim) {
    return std::make_unique<FloatSlots>(slots, kv_heads, head_dim);
}

}  // namespace kvlab
