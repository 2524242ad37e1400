// narrow_tiles.hpp - chapter 3: keys and values in fewer bits than a float's 32.
//
// They lie as KvTiles draws them, each number as an f16 or as a byte; attention expands a tile
// at a time and goes on in floats. What is kept is rounded once, when it is written: with such
// a cache, cached = uncached still holds between equals, but not against the float cache.
#pragma once

#include <cstdint>
#include <memory>

#include <kvlab/attention/layer_rows.hpp>
#include <kvlab/tensor/memory.hpp>

namespace kvlab {

// Nearest f16, ties to even; a magnitude of 65520 or more would become infinite: Error.
class F16Tiles final : public LayerRows {
public:
    F16Tiles(Index slots, Index kv_heads, Index head_dim);

    std::unique_ptr<LayerRows> make(Index slots) const override;

    Index slot_bytes() const override { return 2 * head_dim_ * 2; }

    const float* read_keys(Index kv_head, Index tile, float* scratch) const override;
    const float* read_values(Index kv_head, Index tile, float* scratch) const override;
    Index allocated_bytes() const override;

    void visit_memory(const VisitMemory& visit) override {
        visit({memory_.data(), usize(allocated_bytes())});
    }

    float key(Index kv_head, Index slot, Index i) const override;
    float value(Index kv_head, Index slot, Index i) const override;

private:
    void write_slots(Index first,
                     Index position,
                     const View<const float>& k,
                     const View<const float>& v) override;
    void copy_slots(const LayerRows& other, Index count) override;
    void move_slot(Index kv_head, Index from, Index to) override;

    std::uint16_t* keys(Index kv_head, Index tile) const;    // [D][64]
    std::uint16_t* values(Index kv_head, Index tile) const;  // [64][Dp]

    const float* expand(const std::uint16_t* from, Index rows, float* scratch) const;

    Memory memory_;  // [Hkv][tiles] of keys, then of values
    // Of 64 columns.
    void (*expand_)(Index first, Index depth, const std::byte* halves, float* out);
};

// The step between two codes for numbers up to `largest`: largest / 127.
float int8_scale(float largest);

// One scale for n numbers, `x_stride` apart: writes their codes, `stride` apart, as Int8Tiles
// says below, and returns the scale. 0 if all numbers are 0 or too small for a scale.
float quantize_int8(const float* x, Index x_stride, Index n, std::int8_t* codes, Index stride);

// One byte per number and one float per key and per value of a head: scale = max|x| / 127,
// q = x / scale rounded to the nearest whole number, ties to even. A scale in f16 would
// underflow for |x| < 1e-5 and divide by 0.
class Int8Tiles final : public LayerRows {
public:
    Int8Tiles(Index slots, Index kv_heads, Index head_dim);

    std::unique_ptr<LayerRows> make(Index slots) const override;

    Index slot_bytes() const override { return 2 * (head_dim_ + Index{sizeof(float)}); }

    const float* read_keys(Index kv_head, Index tile, float* scratch) const override;
    const float* read_values(Index kv_head, Index tile, float* scratch) const override;
    Index allocated_bytes() const override;

    void visit_memory(const VisitMemory& visit) override {
        visit({memory_.data(), usize(allocated_bytes())});
    }

    float key(Index kv_head, Index slot, Index i) const override;
    float value(Index kv_head, Index slot, Index i) const override;

private:
    struct Tile {
        float *key_scales, *value_scales;  // [64]
        std::int8_t* keys;                 // [D][64]
        std::int8_t* values;               // [64][Dp]
    };

    void write_slots(Index first,
                     Index position,
                     const View<const float>& k,
                     const View<const float>& v) override;
    void copy_slots(const LayerRows& other, Index count) override;
    void move_slot(Index kv_head, Index from, Index to) override;

    Tile tile(Index kv_head, Index tile) const;
    Index tile_bytes() const;

    Memory memory_;  // [Hkv][tiles] of Tile
};

}  // namespace kvlab
