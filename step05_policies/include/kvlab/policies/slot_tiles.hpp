// slot_tiles.hpp - chapter 5: how the slots of a layer are kept, as a SlotCache asks for it:
// as floats, or in whatever else makes rows come, move and be read one by one.
#pragma once

#include <functional>
#include <memory>

#include <kvlab/attention/kv_tiles.hpp>

namespace kvlab {

class SlotTiles : public TileReader {
public:
    // Empty ones of the same kind with other room.
    virtual std::unique_ptr<SlotTiles> make(Index slots) const = 0;

    // As KvTiles; `other` is of the same kind. The first row is the token at `position`, whose
    // slot says nothing about it.
    virtual void write(Index first,
                       Index position,
                       const View<const float>& k,
                       const View<const float>& v) = 0;
    virtual void copy_from(const SlotTiles& other, Index count) = 0;
    virtual void copy_slot(Index kv_head, Index from, Index to) = 0;
    virtual Index allocated_bytes() const = 0;

    // Of slots [0, count) of all KV heads. Not all need to be kept alike.
    virtual Index held_bytes(Index count) const { return kv_heads_ * count * slot_bytes(); }

    // Whether rows are kept turned by an orthogonal matrix that is its own inverse. Then turn()
    // takes queries [D] there, and brings outputs back.
    virtual bool turns() const { return false; }

    virtual void turn(std::span<float> /*head*/) const {}

    // One number of a key, as attention sees it.
    virtual float key(Index kv_head, Index slot, Index i) const = 0;

protected:
    using TileReader::TileReader;
};

// Makes the tiles of one layer.
using MakeSlotTiles =
    std::function<std::unique_ptr<SlotTiles>(Index slots, Index kv_heads, Index head_dim)>;

// Chapter 2's tiles, every number as it was computed.
std::unique_ptr<SlotTiles> make_float_slots(Index slots, Index kv_heads, Index head_dim);

}  // namespace kvlab
