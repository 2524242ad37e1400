// coded_tiles.hpp - chapter 6: the keys, or the values, of one layer in one of the
// formats of coded_formats.hpp.
//
// They lie in tiles of 64 slots as chapter 2's KvTiles draws them, keys [D][64] and values
// [64][Dp], each tile as
//
//   [ d | m | codes ]      d, m: f16 of each block of 32, or one float for each row (turbo: e
//                          for m)
//
// and one call of a kernel (expand_kernels.hpp) makes it floats. A row's block of 32 runs down
// a tile of keys and along a tile of values; a group of KIVI's keys, one channel of 32 tokens,
// runs along a tile of keys.
#pragma once

#include <span>

#include <kvlab/quant/coded_formats.hpp>
#include <kvlab/quant/expand_kernels.hpp>
#include <kvlab/tensor/memory.hpp>
#include <kvlab/tensor/simd_level.hpp>

namespace kvlab {

class CodedTiles {
public:
    enum class Side { keys, values };

    // Room for `slots`, rounded up to whole tiles. Throws Error as tiles_for() does, and unless
    // the format can keep rows of head_dim numbers.
    CodedTiles(Format format,
               Side side,
               Index slots,
               Index kv_heads,
               Index head_dim,
               SimdLevel level = default_simd_level(),
               std::uint64_t seed = kTurboSeed);

    Format format() const { return format_; }

    Index slots() const { return tiles_ * 64; }

    // Of one row of one KV head; of KIVI's keys its share of a group.
    Index row_bytes() const { return format_->row_bytes(head_dim_); }

    Index allocated_bytes() const { return kv_heads_ * tiles_ * tile_bytes_; }

    std::span<std::byte> memory() { return {memory_.data(), usize(allocated_bytes())}; }

    // Whether rows are written group by group: KIVI's keys.
    bool grouped() const { return format_->waits && side_ == Side::keys; }

    // Encodes a row [D] into a slot; the other slots keep theirs. Throws Error if grouped(),
    // for a slot that is not there, and for numbers that the format cannot hold.
    void write(Index kv_head, Index slot, std::span<const float> row);

    // Encodes slots [32 group, 32 group + 32) from rows [32][D]. Throws Error unless grouped().
    void write_group(Index kv_head, Index group, std::span<const float> rows);

    // A row as it is, codes and all, from a slot of these tiles or of others of the same kind.
    void copy_slot(const CodedTiles& other, Index kv_head, Index from, Index to);
    // Slots [0, count), and those that share a tile with the last.
    void copy_from(const CodedTiles& other, Index count);

    float number(Index kv_head, Index slot, Index i) const;

    // A tile as floats: where it lies, or written into `scratch`, 64 Dp floats.
    const float* read(Index kv_head, Index tile, float* scratch) const;

    // The bytes of a tile, to look at.
    std::span<const std::byte> tile_bytes(Index kv_head, Index tile) const;

private:
    const std::byte* tile(Index kv_head, Index tile) const;
    std::byte* tile(Index kv_head, Index tile);
    void check_slot(Index kv_head, Index slot) const;
    bool is_across() const;
    Index flat(Index slot, Index i) const;
    Index scale_index(Index slot, Index i) const;
    float scale(const std::byte* tile, Index index, bool second) const;
    void set_scale(std::byte* tile, Index index, float d, float m);
    std::uint8_t code_at(const std::byte* tile, Index flat) const;
    void set_code(std::byte* tile, Index flat, std::uint8_t code);
    void expand(const std::byte* tile, Index ahead, float* scratch) const;

    const SignSketch* sketch() const { return format_->sketch ? &sketch_ : nullptr; }

    void codes_of(const std::byte* tile, Index slot, std::uint8_t* codes) const;
    void add_sketch(const std::byte* tile, float* scratch) const;

    // Fixed at construction.
    Format format_;
    Side side_;
    Index tiles_, kv_heads_, head_dim_, padded_dim_;
    Index scales_;       // d of a tile
    Index scale_bytes_;  // of one
    bool has_second_;    // a second number beside each d
    Index codes_at_;     // where a tile's codes begin
    Index tile_bytes_;
    const ExpandKernels* kernels_;
    SignSketch sketch_;
    Memory memory_;  // [Hkv][tiles] of a tile's bytes
};

}  // namespace kvlab
