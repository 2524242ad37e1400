#include <kvlab/policies/indexer_cache.hpp>

#include <algorithm>
#include <cmath>
#include <numeric>

#include <kvlab/attention/attention.hpp>

#include "chosen_slots.hpp"

namespace kvlab {

namespace {

constexpr float kMostCode = 127;

}  // namespace

IndexKeys::IndexKeys(Index slots, Index kv_heads, Index head_dim)
    : tiles_(tiles_for("index keys", slots, kv_heads, head_dim)),
      head_dim_(head_dim),
      codes_(checked_product("index keys", {kv_heads, tiles_, head_dim, kTile}),
             Memory::Fill::zeros),
      scales_({kv_heads, tiles_, kTile}) {}

// A slot's codes, 64 apart.
const std::int8_t* IndexKeys::codes_of(Index kv_head, Index slot) const {
    const Index tile = kv_head * tiles_ + slot / kTile;
    return reinterpret_cast<const std::int8_t*>(codes_.data()) + tile * head_dim_ * kTile +
           slot % kTile;
}

void IndexKeys::write(Index kv_head, Index slot, std::span<const float> key) {
    float most = 0;
    for (const float number : key) most = std::max(most, std::abs(number));
    const float scale = most / kMostCode;
    scales_(kv_head, slot / kTile, slot % kTile) = scale;
    auto* const codes = const_cast<std::int8_t*>(codes_of(kv_head, slot));
    for (Index i = 0; i < std::ssize(key); ++i) {
        const float code = scale > 0 ? std::nearbyint(at(key, i) / scale) : 0.0f;
        codes[i * kTile] = static_cast<std::int8_t>(std::clamp(code, -kMostCode, kMostCode));
    }
}

float IndexKeys::key(Index kv_head, Index slot, Index i) const {
    return static_cast<float>(codes_of(kv_head, slot)[i * kTile]) *
           scales_(kv_head, slot / kTile, slot % kTile);
}

// ANCHOR: index_score
void IndexKeys::score(Index kv_head,
                      Index tile,
                      std::span<const float> q,
                      float* scores) const {
    const std::int8_t* const codes = codes_of(kv_head, tile * kTile);
    const float* const scales = &scales_(kv_head, tile, 0);
    float products[kTile] = {};
    for (Index i = 0; i < std::ssize(q); ++i)
        for (Index s = 0; s < kTile; ++s)
            products[s] += at(q, i) * static_cast<float>(codes[i * kTile + s]);
    for (Index s = 0; s < kTile; ++s) scores[s] += std::max(0.0f, products[s] * scales[s]);
}

// ANCHOR_END: index_score

Index IndexKeys::allocated_bytes() const {
    return scales_.size() * slot_bytes(head_dim_);
}

void IndexKeys::copy_from(const IndexKeys& same) {
    std::copy_n(same.codes_.data(), scales_.size() * head_dim_, codes_.data());
    scales_ = same.scales_.clone();
}

IndexerCache::IndexerCache(const KvShape& shape,
                           Index capacity,
                           const PolicyOptions& options,
                           SimdLevel level)
    : PolicyStore("indexer", shape, capacity), options_(options), level_(level) {
    tokens_to_keep(options, 1);
    for (Index layer = 0; layer < shape.layers; ++layer)
        layers_.push_back({KvTiles(capacity, shape.kv_heads, shape.head_dim),
                           IndexKeys(capacity, shape.kv_heads, shape.head_dim)});
    chosen_.reserve(usize(capacity));
}

void IndexerCache::write_rows(Index layer,
                              const View<const float>& k,
                              const View<const float>& v) {
    Layer& l = at(layers_, layer);
    l.tiles.write(length(), k, v);
    for (Index h = 0; h < shape().kv_heads; ++h)
        for (Index slot = length(); slot < length() + pending(); ++slot)
            l.index.write(h, slot, span_of(&k(slot - length(), h, 0), shape().head_dim));
}

void IndexerCache::score_tile(const Layer& layer,
                              const View<const float>& q,
                              Index tile) const {
    float* const scores = scores_.data() + tile * kTile;
    std::fill_n(scores, kTile, 0.0f);
    for (Index head = 0; head < shape().heads; ++head)
        layer.index.score(head * shape().kv_heads / shape().heads, tile,
                          span_of(&q(head, 0), shape().head_dim), scores);
}

// ANCHOR: choose_tokens
// Into chosen_, ascending.
void IndexerCache::choose(const Layer& layer,
                          const View<const float>& q,
                          Index slots,
                          ThreadPool& pool) const {
    const Index tiles = blocks_for(slots, kTile);
    scores_.resize(std::max(scores_.size(), usize(layer.tiles.slots())));
    pool.run(tiles, [&](Index tile) { score_tile(layer, q, tile); });
    chosen_.resize(usize(slots));
    std::iota(chosen_.begin(), chosen_.end(), Index{0});
    const Index wanted = tokens_to_keep(options_, slots);
    if (wanted >= slots) return;
    std::nth_element(chosen_.begin(), chosen_.begin() + wanted, chosen_.end(),
                     [&](Index a, Index b) {
                         const float x = at(scores_, a), y = at(scores_, b);
                         return x != y ? x > y : a < b;
                     });
    chosen_.resize(usize(wanted));
    std::sort(chosen_.begin(), chosen_.end());
}

// ANCHOR_END: choose_tokens

std::vector<Index> IndexerCache::chosen(Index layer,
                                        const View<const float>& q,
                                        Index slots) const {
    check(layer >= 0 && layer < shape().layers, "indexer: layer ", layer, " is outside of ",
          shape().layers, " layers");
    check_shape(q, {shape().heads, shape().head_dim}, "indexer: queries");
    check(slots >= 1 && slots <= length() + pending(), "indexer: a choice of ", slots,
          " slots, of ", length() + pending(), " that are held");
    ThreadPool alone(1);
    choose(at(layers_, layer), q, slots, alone);
    return chosen_;
}

AttentionWork IndexerCache::attend_rows(Index layer,
                                        const View<const float>& q,
                                        const View<float>& out,
                                        ThreadPool& pool) {
    const Layer& l = at(layers_, layer);
    const Index slots = length() + pending();
    const Index index_bytes = shape().kv_heads * IndexKeys::slot_bytes(shape().head_dim);
    const Index written = pending() * (shape().kv_heads * l.tiles.slot_bytes() + index_bytes);
    if (pending() > 1 || tokens_to_keep(options_, slots) >= slots) {
        AttentionWork work = attend_tiles(level_, pool, q, l.tiles, length(), out);
        work.bytes_written = written;
        return work;
    }
    choose(l, q[0], slots, pool);
    const Index seen = std::ssize(chosen_);
    pool.run(shape().heads, [&](Index head) {
        attend_chosen(level_, l.tiles, head * shape().kv_heads / shape().heads, 1, chosen_,
                      seen, span_of(&q(0, head, 0), shape().head_dim), &out(0, head, 0));
    });
    // The index of every slot, and the keys and values of the chosen ones.
    return {shape().heads * seen,
            slots * index_bytes + seen * shape().kv_heads * l.tiles.slot_bytes(), written};
}

std::unique_ptr<SteppedStore> IndexerCache::copied() const {
    auto copy = std::make_unique<IndexerCache>(shape(), capacity(), options_, level_);
    for (std::size_t i = 0; i < layers_.size(); ++i) {
        copy->layers_[i].tiles.copy_from(layers_[i].tiles, length());
        copy->layers_[i].index.copy_from(layers_[i].index);
    }
    return copy;
}

KvBytes IndexerCache::bytes() const {
    const Index index = IndexKeys::slot_bytes(shape().head_dim);
    KvBytes bytes;
    for (const Layer& layer : layers_) {
        bytes.logical += shape().kv_heads * length() * (layer.tiles.slot_bytes() + index);
        bytes.allocated += layer.tiles.allocated_bytes() + layer.index.allocated_bytes();
    }
    return bytes;
}

std::vector<Index> IndexerCache::kept(Index layer, Index kv_head) const {
    return all_positions(layer, kv_head);
}

}  // namespace kvlab
