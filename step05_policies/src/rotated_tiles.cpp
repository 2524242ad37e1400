#include <kvlab/policies/rotated_tiles.hpp>

#include <algorithm>

#include <kvlab/attention/attention_kernels.hpp>
#include <kvlab/policies/policy_kernels.hpp>

namespace kvlab {

namespace portable {
extern const PolicyKernels kPolicyKernels;
}

namespace avx2 {
extern const PolicyKernels kPolicyKernels;
}

namespace avx512 {
extern const PolicyKernels kPolicyKernels;
}

const PolicyKernels& policy_kernels(SimdLevel level) {
#ifdef KVLAB_HAS_avx512
    if (level == SimdLevel::avx512) return avx512::kPolicyKernels;
#endif
#ifdef KVLAB_HAS_avx2
    if (level == SimdLevel::avx2) return avx2::kPolicyKernels;
#endif
    check(level == SimdLevel::portable, "SIMD level ", simd_level_name(level),
          " is not built in");
    return portable::kPolicyKernels;
}

RotationTable::RotationTable(const RopeTable& rope, Index n)
    : positions(n), rope_dim(rope.rope_dim()), cos({rope_dim / 2, n}), sin({rope_dim / 2, n}) {
    check(n >= 1 && n <= rope.positions(), "rotation: ", n, " positions of ", rope.positions());
    for (Index i = 0; i < rope_dim / 2; ++i)
        for (Index p = 0; p < n; ++p) {
            cos(i, p) = rope.cos(p)[i];
            sin(i, p) = rope.sin(p)[i];
        }
}

RotatedTiles::RotatedTiles(SimdLevel level,
                           const KvTiles& tiles,
                           const RotationTable& table,
                           std::span<const std::int32_t> ranks)
    : TileReader(tiles.slots(), tiles.kv_heads(), tiles.head_dim()),
      level_(level),
      kept_(tiles),
      table_(table),
      ranks_(ranks) {
    check(static_cast<Index>(ranks.size()) == tiles.kv_heads() * tiles.slots(),
          "rotated tiles: ", ranks.size(), " ranks");
    check(table.rope_dim <= 256, "rotated tiles: rope_dim ", table.rope_dim);
}

// ANCHOR: rotated
const float* RotatedTiles::read_keys(Index kv_head, Index tile, float* room) const {
    alignas(64) float cos[128 * kTile], sin[128 * kTile];  // [rope_dim / 2][64]
    const std::int32_t* ranks = ranks_.data() + kv_head * slots() + tile * kTile;
    // Neighbours in memory are mostly neighbours in the text: angles are copied run by run.
    for (Index begin = 0, end = 0; begin < kTile; begin = end) {
        for (end = begin + 1; end < kTile && ranks[end] == ranks[end - 1] + 1;) ++end;
        for (Index i = 0; i < table_.rope_dim / 2; ++i) {
            const Index from = i * table_.positions + ranks[begin];
            std::copy_n(table_.cos.data() + from, end - begin, cos + i * kTile + begin);
            std::copy_n(table_.sin.data() + from, end - begin, sin + i * kTile + begin);
        }
    }
    policy_kernels(level_).rotate_tile(kept_.key_tile(kv_head, tile), cos, sin, table_.rope_dim,
                                       head_dim_, room);
    return room;
}

// ANCHOR_END: rotated

}  // namespace kvlab
