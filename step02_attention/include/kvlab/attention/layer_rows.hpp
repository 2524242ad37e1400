// layer_rows.hpp - chapter 2: HOW one layer's keys and values are kept: as floats, in fewer
// bits, in fewer directions.
//
// A store says when rows come and which slots they take (stepped_store.hpp); the rows say what
// is written there and what attention reads: tiles of floats, as kv_tiles.hpp draws them. So
// every store can keep every kind of rows.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <utility>

#include <kvlab/attention/attention_kernels.hpp>
#include <kvlab/attention/kv_store.hpp>

namespace kvlab {

// How many tiles hold `slots`. Throws Error unless all are positive and the floats of so many
// tiles of all KV heads, keys and values, are memory that can be: whatever takes fewer bits
// fits as well.
Index tiles_for(const char* what, Index slots, Index kv_heads, Index head_dim);

// What attention reads: tiles of keys and values, from wherever they are kept.
class TileReader {
public:
    virtual ~TileReader() = default;

    Index slots() const { return tiles_ * kTile; }

    Index kv_heads() const { return kv_heads_; }

    Index head_dim() const { return head_dim_; }

    Index padded_dim() const { return padded_dim_; }

    // One tile as floats: where it lies, or written into `scratch`, which has space for 64 Dp.
    // Several threads may ask at once, each with a scratch of its own.
    virtual const float* read_keys(Index kv_head, Index tile, float* scratch) const = 0;
    virtual const float* read_values(Index kv_head, Index tile, float* scratch) const = 0;

    // False if tiles lie there as floats: then `scratch` may be null.
    virtual bool needs_scratch() const { return true; }

    // Of one slot of one KV head, key and value, as they are kept.
    virtual Index slot_bytes() const = 0;

protected:
    TileReader() = default;
    // Space for `slots`, rounded up to whole tiles. Throws Error as tiles_for() does.
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

    Index tiles_ = 0, kv_heads_ = 0, head_dim_ = 0, padded_dim_ = 0;
};

using VisitMemory = std::function<void(std::span<std::byte>)>;

class LayerRows : public TileReader {
public:
    // Empty ones of the same kind, with space for another number of slots.
    virtual std::unique_ptr<LayerRows> make(Index slots) const = 0;

    // Writes the rows k, v [T, Hkv, D] into slots [first, first + T). They belong to the tokens
    // at `position` and behind it, which is all that their slots say nothing about. Throws
    // Error for other shapes, where they do not fit, and for numbers that cannot be kept.
    void write(Index first,
               Index position,
               const View<const float>& k,
               const View<const float>& v);

    // The same where slots are positions.
    void write(Index first, const View<const float>& k, const View<const float>& v) {
        write(first, first, k, v);
    }

    // Copies slots [0, count) of rows of the same kind, with the same heads and enough slots.
    void copy_from(const LayerRows& other, Index count);

    // Copies one KV head's slot over another one: how a hole is filled. Throws Error as
    // check_movable() does.
    void copy_slot(Index kv_head, Index from, Index to);

    // Throws Error, saying why, if slots cannot be copied one by one.
    virtual void check_movable() const {}

    // Rows of a step of T tokens will be written from slot `first` on; all are written.
    virtual void open(Index /*first*/, Index /*T*/) {}

    virtual void close(Index /*first*/, Index /*T*/) {}

    // What is read from now on is what the token at `position` sees, which is the same for all
    // positions unless tokens_differ(): then the tokens of a step have to attend one by one.
    virtual void see_from(Index /*position*/) noexcept {}

    virtual bool tokens_differ() const { return false; }

    // Throws Error, saying why, if of `length` rows the first `to` cannot be gone back to.
    virtual void check_truncate(Index /*length*/, Index /*to*/) const {}

    // In which form keys are wanted.
    virtual KeyForm key_form() const { return KeyForm::rotated; }

    // Whether keys and values are kept turned by an orthogonal matrix that is its own inverse:
    // turn() takes a row [D] there and back.
    virtual bool turns() const { return false; }

    virtual void turn(std::span<float> /*row*/) const {}

    // Of slots [0, count) of all KV heads. Not all need to be kept alike.
    virtual Index held_bytes(Index count) const { return kv_heads_ * count * slot_bytes(); }

    virtual Index allocated_bytes() const = 0;

    // Everything in memory that the slots consist of, piece by piece, always in the same order.
    // Between steps, bytes that are copied from here into rows of the same kind and size make
    // them these rows.
    virtual void visit_memory(const VisitMemory& visit) = 0;

    // One number as it is kept, to look at and to compare; of a slot that was written.
    virtual float key(Index kv_head, Index slot, Index i) const = 0;
    virtual float value(Index kv_head, Index slot, Index i) const = 0;

protected:
    using TileReader::TileReader;

    // The three above, whose arguments have been checked.
    virtual void write_slots(Index first,
                             Index position,
                             const View<const float>& k,
                             const View<const float>& v) = 0;
    virtual void copy_slots(const LayerRows& other, Index count) = 0;
    virtual void move_slot(Index kv_head, Index from, Index to) = 0;
};

// Which rows are wanted.
struct RowsShape {
    Index layer, slots, kv_heads, head_dim;
};

using MakeRows = std::function<std::unique_ptr<LayerRows>(const RowsShape&)>;

}  // namespace kvlab
