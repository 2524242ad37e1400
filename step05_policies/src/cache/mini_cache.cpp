#include <kvlab/policies/mini_cache.hpp>

#include <algorithm>
#include <cmath>

#include <kvlab/attention/attention.hpp>
#include <kvlab/policies/policy_kernels.hpp>
#include <kvlab/tensor/numerics.hpp>

namespace kvlab {

// What attention reads of the upper layer of a pair: the lower one's vectors times factors, but
// retained tokens and those of the open step as they are.
class MiniCache::UpperTiles final : public TileReader {
public:
    UpperTiles(const MiniCache& cache, const Pair& pair)
        : TileReader(pair.lower.slots(), cache.shape().kv_heads, cache.shape().head_dim),
          pair_(pair),
          held_(cache.length()),
          end_(cache.length() + cache.pending()),
          kernels_(policy_kernels(cache.level_)) {}

    // A vector and a factor for each of the two.
    Index slot_bytes() const override { return 2 * (head_dim_ + 1) * Index{sizeof(float)}; }

    const float* read_keys(Index kv_head, Index tile, float* scratch) const override {
        kernels_.scale_slots(pair_.lower.key_tile(kv_head, tile),
                             factors(pair_.key_factors, kv_head, tile), head_dim_, scratch);
        for_retained(kv_head, tile, [&](const float* row, Index s) {
            for (Index i = 0; i < head_dim_; ++i) scratch[i * kTile + s] = row[i];
        });
        for_open(tile, [&](Index slot, Index s) {
            const float* key = pair_.open.key_tile(kv_head, slot / kTile) + slot % kTile;
            for (Index i = 0; i < head_dim_; ++i) scratch[i * kTile + s] = key[i * kTile];
        });
        return scratch;
    }

    const float* read_values(Index kv_head, Index tile, float* scratch) const override {
        kernels_.scale_rows(pair_.lower.value_tile(kv_head, tile),
                            factors(pair_.value_factors, kv_head, tile), padded_dim_, scratch);
        for_retained(kv_head, tile, [&](const float* row, Index s) {
            for (Index i = 0; i < head_dim_; ++i)
                scratch[s * padded_dim_ + i] = row[head_dim_ + i];
        });
        for_open(tile, [&](Index slot, Index s) {
            std::copy_n(
                pair_.open.value_tile(kv_head, slot / kTile) + slot % kTile * padded_dim_,
                padded_dim_, scratch + s * padded_dim_);
        });
        return scratch;
    }

private:
    const float* factors(const std::vector<float>& all, Index kv_head, Index tile) const {
        return all.data() + kv_head * slots() + tile * kTile;
    }

    // Calls copy(its row, place in this tile) for each token of the tile that is retained.
    template <class Copy>
    void for_retained(Index kv_head, Index tile, Copy&& copy) const {
        if (tile * kTile >= held_) return;
        const Index row = kv_head * pair_.most;
        const std::int32_t* const before = pair_.before_tile(kv_head, tile);
        for (Index n = row + before[0]; n < row + before[1]; ++n)
            copy(pair_.retained.data() + n * 2 * head_dim_,
                 at(pair_.positions, n) - tile * kTile);
    }

    // Calls copy(slot of `open`, place in this tile) for each token of the open step.
    template <class Copy>
    void for_open(Index tile, Copy&& copy) const {
        const Index first = tile * kTile, last = std::min(end_, first + kTile);
        for (Index slot = std::max(held_, first); slot < last; ++slot)
            copy(slot - held_, slot - first);
    }

    const Pair& pair_;
    Index held_, end_;
    const PolicyKernels& kernels_;
};

MiniCache::MiniCache(const KvShape& shape,
                     Index capacity,
                     const PolicyOptions& options,
                     SimdLevel level)
    : PolicyStore("minicache", shape, capacity),
      first_(options.merge_from >= 0
                 ? options.merge_from
                 : (shape.layers < 2 ? 0 : std::min(shape.layers / 2, shape.layers - 2))),
      options_(options),
      level_(level) {
    tiles_for("minicache", capacity, shape.kv_heads, shape.head_dim);
    check(options.direction >= 0 && options.direction <= 1 && options.retained >= 0 &&
              options.retained <= 1,
          "minicache: a direction of ", options.direction, " and a retained share of ",
          options.retained, "; both must be 0 to 1");
    const Index H = shape.kv_heads, D = shape.head_dim;
    const Index pairs = std::max<Index>(0, (shape.layers - first_) / 2);
    const Index retained = std::max<Index>(1, retained_of(capacity));
    for (Index layer = 0; layer < shape.layers; ++layer)
        whole_.push_back(pair_of(layer) < 0 ? KvTiles(capacity, H, D) : KvTiles());
    for (Index p = 0; p < pairs; ++p) {
        Pair& pair = pairs_.emplace_back();
        pair.lower = KvTiles(capacity, H, D);
        pair.open = KvTiles(kTile, H, D);
        pair.most = retained;
        const auto size = [&](auto& list, std::initializer_list<Index> factors) {
            resize_list(list, checked_product("minicache", factors), "minicache");
        };
        size(pair.key_factors, {H, pair.lower.slots()});
        size(pair.value_factors, {H, pair.lower.slots()});
        size(pair.retained, {H, retained, 2, D});
        size(pair.positions, {H, retained});
        size(pair.before, {H, pair.lower.slots() / kTile + 1});
    }
}

Index MiniCache::retained_of(Index length) const {
    return static_cast<Index>(std::ceil(options_.retained * static_cast<double>(length)));
}

Index MiniCache::pair_of(Index layer) const {
    const Index pair = layer < first_ ? -1 : (layer - first_) / 2;
    return first_ + 2 * pair + 1 < shape().layers ? pair : -1;
}

void MiniCache::opened(Index T) {
    for (Pair& pair : pairs_)
        if (pair.open.slots() < T) pair.open = KvTiles(T, shape().kv_heads, shape().head_dim);
}

void MiniCache::write_rows(Index layer,
                           const View<const float>& k,
                           const View<const float>& v) {
    const Index pair = pair_of(layer);
    if (pair < 0)
        at(whole_, layer).write(length(), k, v);
    else if (is_upper(layer))
        at(pairs_, pair).open.write(0, length(), k, v);
    else
        at(pairs_, pair).lower.write(length(), k, v);
}

AttentionWork MiniCache::attend_rows(Index layer,
                                     const View<const float>& q,
                                     const View<float>& out,
                                     ThreadPool& pool) {
    const Index pair = pair_of(layer);
    if (pair >= 0 && is_upper(layer)) {
        const UpperTiles reader(*this, at(pairs_, pair));
        return attend_tiles(level_, pool, q, reader, length(), out);
    }
    const KvTiles& tiles = pair < 0 ? at(whole_, layer) : at(pairs_, pair).lower;
    return attend_tiles(level_, pool, q, tiles, length(), out);
}

void MiniCache::closed() {
    for (Pair& pair : pairs_) {
        merge(pair);
        if (pair.open.slots() > kTile)  // a prompt's memory is given back
            pair.open = KvTiles(kTile, shape().kv_heads, shape().head_dim);
    }
}

void MiniCache::check_truncate(Index to) const {
    check(to == 0 || to == length(), "minicache: cannot truncate ", length(), " tokens to ", to,
          ": which were retained depends on all of them");
}

void MiniCache::dropped(Index to) noexcept {
    if (to == 0)
        for (Pair& pair : pairs_) pair.count = 0;
}

std::unique_ptr<SteppedStore> MiniCache::copied() const {
    auto copy = std::make_unique<MiniCache>(shape(), capacity(), options_, level_);
    for (std::size_t layer = 0; layer < whole_.size(); ++layer)
        if (whole_[layer].slots() > 0) copy->whole_[layer].copy_from(whole_[layer], length());
    for (std::size_t p = 0; p < pairs_.size(); ++p) {
        const Pair& from = pairs_[p];
        Pair& to = copy->pairs_[p];
        to.lower.copy_from(from.lower, length());
        to.key_factors = from.key_factors;
        to.value_factors = from.value_factors;
        to.retained = from.retained;
        to.positions = from.positions;
        to.before = from.before;
        to.count = from.count;
    }
    return copy;
}

KvBytes MiniCache::bytes() const {
    constexpr Index kFloat = sizeof(float);
    const Index slot = 2 * shape().head_dim * kFloat, H = shape().kv_heads;
    KvBytes bytes;
    for (const KvTiles& tiles : whole_) {
        if (tiles.slots() == 0) continue;
        bytes.logical += H * length() * slot;
        bytes.allocated += tiles.allocated_bytes();
    }
    for (const Pair& pair : pairs_) {
        bytes.logical += H * (length() * (slot + 2 * kFloat) + pair.count * (slot + kFloat));
        bytes.allocated += pair.lower.allocated_bytes() + pair.open.allocated_bytes();
        bytes.allocated += static_cast<Index>(pair.key_factors.size() +
                                              pair.value_factors.size() + pair.retained.size() +
                                              pair.positions.size() + pair.before.size()) *
                           kFloat;
    }
    return bytes;
}

std::vector<Index> MiniCache::kept(Index layer, Index kv_head) const {
    return all_positions(layer, kv_head);
}

std::vector<Index> MiniCache::retained(Index layer, Index kv_head) const {
    check_head(layer, kv_head);
    const Index p = pair_of(layer);
    if (p < 0) return kept(layer, kv_head);
    const Pair& pair = at(pairs_, p);
    const auto first = pair.positions.begin() + kv_head * pair.most;
    return {first, first + pair.count};
}

float MiniCache::number(Index layer, Index kv_head, Index position, Index i, bool key) const {
    check_element(layer, kv_head, position, i);
    const Index p = pair_of(layer);
    if (p < 0 || !is_upper(layer)) {
        const KvTiles& tiles = p < 0 ? at(whole_, layer) : at(pairs_, p).lower;
        return key ? tiles.key(kv_head, position, i) : tiles.value(kv_head, position, i);
    }
    const UpperTiles reader(*this, at(pairs_, p));
    std::vector<float> scratch(usize(kTile * reader.padded_dim()));
    const Index tile = position / kTile, s = position % kTile;
    return key ? reader.read_keys(kv_head, tile, scratch.data())[i * kTile + s]
               : reader.read_values(kv_head, tile, scratch.data())[s * reader.padded_dim() + i];
}

float MiniCache::key(Index layer, Index kv_head, Index position, Index i) const {
    return number(layer, kv_head, position, i, true);
}

float MiniCache::value(Index layer, Index kv_head, Index position, Index i) const {
    return number(layer, kv_head, position, i, false);
}

}  // namespace kvlab
