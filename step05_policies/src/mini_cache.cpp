#include <kvlab/policies/mini_cache.hpp>

#include <algorithm>
#include <cmath>

#include <kvlab/attention/attention.hpp>
#include <kvlab/policies/policy_kernels.hpp>
#include <kvlab/tensor/numerics.hpp>

namespace kvlab {

// What attention reads of the upper layer of a pair: the lower one's vectors times factors, but
// retained tokens and those of the open step as they are.
class MiniCache::Reader final : public TileReader {
public:
    Reader(const MiniCache& cache, const Pair& pair)
        : TileReader(pair.lower.slots(), cache.shape_.kv_heads, cache.shape_.head_dim),
          pair_(pair),
          held_(cache.length_),
          end_(cache.length_ + cache.pending_),
          kernels_(policy_kernels(cache.level_)) {}

    // A vector and a factor for each of the two.
    Index slot_bytes() const override { return 2 * (head_dim_ + 1) * Index{sizeof(float)}; }

    const float* read_keys(Index kv_head, Index tile, float* room) const override {
        kernels_.scale_slots(pair_.lower.key_tile(kv_head, tile),
                             factors(pair_.key_factors, kv_head, tile), head_dim_, room);
        for_retained(kv_head, tile, [&](const float* row, Index s) {
            for (Index i = 0; i < head_dim_; ++i) room[i * kTile + s] = row[i];
        });
        for_open(tile, [&](Index slot, Index s) {
            const float* key = pair_.open.key_tile(kv_head, slot / kTile) + slot % kTile;
            for (Index i = 0; i < head_dim_; ++i) room[i * kTile + s] = key[i * kTile];
        });
        return room;
    }

    const float* read_values(Index kv_head, Index tile, float* room) const override {
        kernels_.scale_rows(pair_.lower.value_tile(kv_head, tile),
                            factors(pair_.value_factors, kv_head, tile), padded_dim_, room);
        for_retained(kv_head, tile, [&](const float* row, Index s) {
            for (Index i = 0; i < head_dim_; ++i)
                room[s * padded_dim_ + i] = row[head_dim_ + i];
        });
        for_open(tile, [&](Index slot, Index s) {
            std::copy_n(
                pair_.open.value_tile(kv_head, slot / kTile) + slot % kTile * padded_dim_,
                padded_dim_, room + s * padded_dim_);
        });
        return room;
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
                 pair_.positions[static_cast<std::size_t>(n)] - tile * kTile);
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
    : shape_(shape),
      capacity_(capacity),
      first_(options.merge_from >= 0
                 ? options.merge_from
                 : (shape.layers < 2 ? 0 : std::min(shape.layers / 2, shape.layers - 2))),
      options_(options),
      level_(level) {
    check_kv_shape("minicache", shape);
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
    return first_ + 2 * pair + 1 < shape_.layers ? pair : -1;
}

void MiniCache::begin(Index T) {
    check(T >= 1 && T <= room(), "minicache: ", T, " tokens do not fit: ", length_, " of ",
          capacity_, " slots are taken");
    for (Pair& pair : pairs_)
        if (pair.open.slots() < T) pair.open = KvTiles(T, shape_.kv_heads, shape_.head_dim);
    pending_ = T;
    appended_ = 0;
}

void MiniCache::append(Index layer, const View<const float>& k, const View<const float>& v) {
    check(k.rank() == 3 && k.dim(0) == pending_, "minicache: a step of ", pending_,
          " tokens, found ", k.shape());
    check(layer == appended_ && layer < shape_.layers, "minicache: expected layer ", appended_,
          " of ", shape_.layers, ", found ", layer);
    const Index pair = pair_of(layer);
    if (pair < 0)
        whole_[static_cast<std::size_t>(layer)].write(length_, k, v);
    else if (is_upper(layer))
        pairs_[static_cast<std::size_t>(pair)].open.write(0, k, v);
    else
        pairs_[static_cast<std::size_t>(pair)].lower.write(length_, k, v);
    ++appended_;
}

AttentionWork MiniCache::attend(Index layer,
                                const View<const float>& q,
                                const View<float>& out,
                                ThreadPool& pool) {
    check_attend("minicache", shape_, pending_, appended_, layer, q, out);
    const Index pair = pair_of(layer);
    if (pair >= 0 && is_upper(layer)) {
        const Reader reader(*this, pairs_[static_cast<std::size_t>(pair)]);
        return attend_tiles(level_, pool, q, reader, length_, out);
    }
    const KvTiles& tiles = pair < 0 ? whole_[static_cast<std::size_t>(layer)]
                                    : pairs_[static_cast<std::size_t>(pair)].lower;
    return attend_tiles(level_, pool, q, tiles, length_, out);
}

void MiniCache::commit() {
    check(pending_ > 0 && appended_ == shape_.layers, "minicache: a step ends with ", appended_,
          " of ", shape_.layers, " layers");
    for (Pair& pair : pairs_) {
        merge(pair);
        if (pair.open.slots() > kTile)  // a prompt's room is given back
            pair.open = KvTiles(kTile, shape_.kv_heads, shape_.head_dim);
    }
    length_ += pending_;
    pending_ = 0;
}

void MiniCache::truncate(Index length) {
    check(length == 0 || length == length_, "minicache: cannot truncate ", length_,
          " tokens to ", length, ": which were retained depends on all of them");
    length_ = length;
    pending_ = 0;
    if (length == 0)
        for (Pair& pair : pairs_) pair.count = 0;
}

std::unique_ptr<KvStore> MiniCache::fork() const {
    auto copy = std::make_unique<MiniCache>(shape_, capacity_, options_, level_);
    for (std::size_t layer = 0; layer < whole_.size(); ++layer)
        if (whole_[layer].slots() > 0) copy->whole_[layer].copy_from(whole_[layer], length_);
    for (std::size_t p = 0; p < pairs_.size(); ++p) {
        const Pair& from = pairs_[p];
        Pair& to = copy->pairs_[p];
        to.lower.copy_from(from.lower, length_);
        to.key_factors = from.key_factors;
        to.value_factors = from.value_factors;
        to.retained = from.retained;
        to.positions = from.positions;
        to.before = from.before;
        to.count = from.count;
    }
    copy->length_ = length_;
    return copy;
}

KvBytes MiniCache::bytes() const {
    constexpr Index kFloat = sizeof(float);
    const Index slot = 2 * shape_.head_dim * kFloat, H = shape_.kv_heads;
    KvBytes bytes;
    for (const KvTiles& tiles : whole_) {
        if (tiles.slots() == 0) continue;
        bytes.logical += H * length_ * slot;
        bytes.allocated += tiles.allocated_bytes();
    }
    for (const Pair& pair : pairs_) {
        bytes.logical += H * (length_ * (slot + 2 * kFloat) + pair.count * (slot + kFloat));
        bytes.allocated += pair.lower.allocated_bytes() + pair.open.allocated_bytes();
        bytes.allocated += static_cast<Index>(pair.key_factors.size() +
                                              pair.value_factors.size() + pair.retained.size() +
                                              pair.positions.size() + pair.before.size()) *
                           kFloat;
    }
    return bytes;
}

std::vector<Index> MiniCache::kept(Index, Index) const {
    std::vector<Index> all;
    for (Index p = 0; p < length_; ++p) all.push_back(p);
    return all;
}

std::vector<Index> MiniCache::retained(Index layer, Index kv_head) const {
    check(layer >= 0 && layer < shape_.layers && kv_head >= 0 && kv_head < shape_.kv_heads,
          "minicache: layer ", layer, ", KV head ", kv_head, " is outside of ", shape_.layers,
          " layers of ", shape_.kv_heads, " KV heads");
    const Index p = pair_of(layer);
    if (p < 0) return kept(layer, kv_head);
    const Pair& pair = pairs_[static_cast<std::size_t>(p)];
    const auto first = pair.positions.begin() + kv_head * pair.most;
    return {first, first + pair.count};
}

float MiniCache::number(Index layer, Index kv_head, Index position, Index i, bool key) const {
    check(layer >= 0 && layer < shape_.layers && kv_head >= 0 && kv_head < shape_.kv_heads &&
              position >= 0 && position < length_ && i >= 0 && i < shape_.head_dim,
          "minicache: there is no element [", layer, ", ", kv_head, ", ", position, ", ", i,
          "]");
    const Index p = pair_of(layer);
    if (p < 0 || !is_upper(layer)) {
        const KvTiles& tiles = p < 0 ? whole_[static_cast<std::size_t>(layer)]
                                     : pairs_[static_cast<std::size_t>(p)].lower;
        return key ? tiles.key(kv_head, position, i) : tiles.value(kv_head, position, i);
    }
    const Reader reader(*this, pairs_[static_cast<std::size_t>(p)]);
    std::vector<float> room(static_cast<std::size_t>(kTile * reader.padded_dim()));
    const Index tile = position / kTile, s = position % kTile;
    return key ? reader.read_keys(kv_head, tile, room.data())[i * kTile + s]
               : reader.read_values(kv_head, tile, room.data())[s * reader.padded_dim() + i];
}

float MiniCache::key(Index layer, Index kv_head, Index position, Index i) const {
    return number(layer, kv_head, position, i, true);
}

float MiniCache::value(Index layer, Index kv_head, Index position, Index i) const {
    return number(layer, kv_head, position, i, false);
}

}  // namespace kvlab
