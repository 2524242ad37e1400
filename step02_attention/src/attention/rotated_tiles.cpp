#include <kvlab/attention/rotated_tiles.hpp>

#include <algorithm>

namespace kvlab {

RotationTable::RotationTable(const RopeTable& rope, Index n)
    : positions(n), rope_dim(rope.rope_dim()) {
    check(n >= 1 && n <= rope.positions(), "rotation: ", n, " positions of ", rope.positions());
    constexpr Index kLine = 16;  // floats
    const Index stride = ((n + kTile + kLine - 1) / kLine | 1) * kLine;
    cos = Tensor({rope_dim / 2, stride});
    sin = Tensor({rope_dim / 2, stride});
    for (Index i = 0; i < rope_dim / 2; ++i)
        for (Index p = 0; p < n; ++p) {
            cos(i, p) = rope.cos(p)[i];
            sin(i, p) = rope.sin(p)[i];
        }
}

std::shared_ptr<const RotationTable> reaching(std::shared_ptr<const RotationTable> have,
                                              const RopeTable& rope,
                                              Index positions) {
    const Index now = have ? have->positions : 0;
    if (positions <= now) return have;
    const Index wanted = std::max({positions, 2 * now, RopeTable::kBlock});
    return std::make_shared<const RotationTable>(
        rope, std::max(positions, std::min(wanted, rope.positions())));
}

RotatedTiles::RotatedTiles(SimdLevel level,
                           const TileReader& tiles,
                           const RotationTable& table,
                           std::span<const std::int32_t> ranks,
                           Index used)
    : TileReader(tiles.slots(), tiles.kv_heads(), tiles.head_dim()),
      kernels_(attention_kernels(level)),
      kept_(tiles),
      table_(table),
      ranks_(ranks),
      used_(used) {
    check((ranks.empty() || std::ssize(ranks) == tiles.kv_heads() * tiles.slots()) &&
              used >= 0 && used <= tiles.slots(),
          "rotated tiles: ", ranks.size(), " ranks, of which ", used, " are used");
}

// ANCHOR: rotated
// Neighbours in memory are mostly neighbours in the text, so a tile has few runs of ranks.
const float* RotatedTiles::read_keys(Index kv_head, Index tile, float* scratch) const {
    AngleRun runs[kTile];
    runs[0] = {0, tile * kTile};
    Index count = 1;
    if (!ranks_.empty()) {
        const std::int32_t* ranks = ranks_.data() + kv_head * slots() + tile * kTile;
        const Index used = std::min(kTile, used_ - tile * kTile);
        runs[0].position = ranks[0];
        for (Index s = 1; s < used; ++s)  // what lies beyond may become anything
            if (ranks[s] != ranks[s - 1] + 1) runs[count++] = {s, ranks[s]};
    }
    kernels_.rotate_tile(kept_.read_keys(kv_head, tile, scratch), table_.cos.data(),
                         table_.sin.data(), table_.stride(), runs, count, table_.rope_dim,
                         head_dim_, scratch);
    return scratch;
}

// ANCHOR_END: rotated

}  // namespace kvlab
