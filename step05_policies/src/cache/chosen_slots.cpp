// Chosen slots are gathered into tiles, and these are attended to as all tiles are.
#include "chosen_slots.hpp"

#include <algorithm>

#include <kvlab/attention/attention.hpp>

namespace kvlab {

namespace {

// Chosen pages as tiles without gaps. A tile whose pages are all there is read where it lies.
class PageTiles {
public:
    PageTiles(const KvTiles& tiles, Index kv_head, Index page, std::span<const Index> pages)
        : tiles_(tiles), kv_head_(kv_head), page_(page), pages_(pages) {
        scratch.resize(
            std::max(scratch.size(), usize(kTile * (tiles.head_dim() + tiles.padded_dim()))));
    }

    // Keys and values of the n-th tile of chosen pages.
    std::pair<const float*, const float*> tile(Index n) {
        const Index in_tile = kTile / page_, first = n * in_tile;
        const auto chosen =
            pages_.subspan(usize(first), usize(std::min(in_tile, std::ssize(pages_) - first)));
        if (chosen[0] % in_tile == 0 && chosen.back() == chosen[0] + std::ssize(chosen) - 1)
            return {tiles_.key_tile(kv_head_, chosen[0] / in_tile),
                    tiles_.value_tile(kv_head_, chosen[0] / in_tile)};
        const Index D = tiles_.head_dim(), width = tiles_.padded_dim();
        float *keys = scratch.data(), *values = keys + kTile * D;
        for (std::size_t p = 0; p < chosen.size(); ++p) {
            const Index from = chosen[p] % in_tile * page_, to = static_cast<Index>(p) * page_;
            const float* key = tiles_.key_tile(kv_head_, chosen[p] / in_tile) + from;
            const float* value =
                tiles_.value_tile(kv_head_, chosen[p] / in_tile) + from * width;
            for (Index i = 0; i < D; ++i)
                std::copy_n(key + i * kTile, page_, keys + i * kTile + to);
            std::copy_n(value, page_ * width, values + to * width);
        }
        return {keys, values};
    }

private:
    const KvTiles& tiles_;
    Index kv_head_, page_;
    std::span<const Index> pages_;
    static thread_local std::vector<float> scratch;
};

thread_local std::vector<float> PageTiles::scratch;

}  // namespace

void attend_chosen(SimdLevel level,
                   const KvTiles& tiles,
                   Index kv_head,
                   Index page,
                   std::span<const Index> pages,
                   Index seen,
                   std::span<const float> query,
                   float* out) {
    AttentionRows rows(level, tiles.head_dim(), tiles.padded_dim());
    rows.start(1);
    std::copy(query.begin(), query.end(), rows.query(0));
    PageTiles gathered(tiles, kv_head, page, pages);
    for (Index n = 0; n * kTile < seen; ++n) {
        const Index visible = std::min(kTile, seen - n * kTile);
        const auto tile = gathered.tile(n);
        TileWeights weights;
        rows.score(tile.first, &visible, 0, weights);
        rows.add_tile(tile.second, &visible, weights);
    }
    rows.finish(0, out);
}

}  // namespace kvlab
