// rotated_tiles.hpp - chapter 2: keys that are kept before RoPE, rotated while
// attention reads them.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include <kvlab/attention/layer_rows.hpp>
#include <kvlab/tensor/rope.hpp>
#include <kvlab/tensor/simd_level.hpp>

namespace kvlab {

// The angles of a RopeTable the other way round: all positions of one pair side by side, since
// a tile has 64 slots side by side. Rows are an odd number of cache lines apart: at a power of
// two all would fall into the same few sets of the cache.
struct RotationTable {
    RotationTable(const RopeTable& rope, Index positions);

    Index positions, rope_dim;
    Tensor cos, sin;  // [rope_dim / 2, stride], 64 zeros or more behind the positions

    Index stride() const { return cos.dim(1); }
};

// `have` if it reaches `positions`, else a longer table: at least twice as long, so that a
// cache that grows token by token makes few of them, and as long as it has tokens, not as its
// model's context. Caches that were forked keep the one they have. Throws Error for more
// positions than `rope` has.
std::shared_ptr<const RotationTable> reaching(std::shared_ptr<const RotationTable> have,
                                              const RopeTable& rope,
                                              Index positions);

// Looks at tiles of unrotated keys. Slot s < used of KV head h is rotated by
// ranks[h * slots + s], or, without ranks, by s. All must outlive it.
class RotatedTiles final : public TileReader {
public:
    RotatedTiles(SimdLevel level,
                 const TileReader& tiles,
                 const RotationTable& table,
                 std::span<const std::int32_t> ranks,  // [Hkv, slots], or empty
                 Index used);

    Index slot_bytes() const override { return kept_.slot_bytes(); }

    const float* read_keys(Index kv_head, Index tile, float* scratch) const override;

    const float* read_values(Index kv_head, Index tile, float* scratch) const override {
        return kept_.read_values(kv_head, tile, scratch);
    }

private:
    const AttentionKernels& kernels_;
    const TileReader& kept_;
    const RotationTable& table_;
    std::span<const std::int32_t> ranks_;
    Index used_;
};

}  // namespace kvlab
