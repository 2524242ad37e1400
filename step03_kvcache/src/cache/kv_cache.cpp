#include <kvlab/kvcache/kv_cache.hpp>

namespace kvlab {

namespace {

// Rows say by themselves whether they want keys before RoPE.
const RopeTable* rope_for(const LayerRows& rows, const RopeTable* rope, Index capacity) {
    if (rows.key_form() == KeyForm::rotated) return nullptr;
    check(rope != nullptr && rope->positions() >= capacity,
          "kv cache: keys before RoPE need a model with RoPE of ", capacity, " positions");
    return rope;
}

std::vector<std::unique_ptr<LayerRows>> make_layers(const KvShape& shape,
                                                    Index capacity,
                                                    const MakeRows& make_rows) {
    check(make_rows != nullptr, "kv cache: no rows");
    std::vector<std::unique_ptr<LayerRows>> layers;
    for (Index layer = 0; layer < shape.layers; ++layer)
        layers.push_back(make_rows({layer, capacity, shape.kv_heads, shape.head_dim}));
    return layers;
}

}  // namespace

KvCache::KvCache(const KvShape& shape, Index capacity, SimdLevel level)
    : KvCache(shape, capacity, float_rows(), nullptr, level) {}

KvCache::KvCache(const KvShape& shape,
                 Index capacity,
                 const MakeRows& make_rows,
                 const RopeTable* rope,
                 SimdLevel level)
    : SteppedStore("kv cache", shape, capacity),
      layers_(make_layers(shape, capacity, make_rows)),
      attention_("kv cache", level, rope_for(*layers_[0], rope, capacity)) {
    attention_.check_form(*layers_[0]);
}

void KvCache::opened(Index T) {
    attention_.reach(length() + T);
    for (const auto& rows : layers_) rows->open(length(), T);
}

// ANCHOR: append
void KvCache::write_rows(Index layer, const View<const float>& k, const View<const float>& v) {
    at(layers_, layer)->write(length(), k, v);
}

AttentionWork KvCache::attend_rows(Index layer,
                                   const View<const float>& q,
                                   const View<float>& out,
                                   ThreadPool& pool) {
    const Index past = length();  // slots before the step, and its first token's position
    const SlotPlaces places{.past = past, .position = past, .angle = past};
    return attention_.attend(pool, q, *at(layers_, layer), places, out);
}

// ANCHOR_END: append

// ANCHOR: closed
void KvCache::closed() {
    for (const auto& rows : layers_) {
        rows->close(length(), pending());
        rows->see_from(length() + pending());
    }
}

// ANCHOR_END: closed

// ANCHOR: truncate
void KvCache::check_truncate(Index to) const {
    for (const auto& rows : layers_) rows->check_truncate(length(), to);
}

void KvCache::dropped(Index to) noexcept {
    // What lies after it is not read again before it has been written again.
    for (const auto& rows : layers_) rows->see_from(to);
}

// ANCHOR_END: truncate

// ANCHOR: fork
std::unique_ptr<SteppedStore> KvCache::copied() const {
    return std::unique_ptr<KvCache>(new KvCache(*this, length()));
}

KvCache::KvCache(const KvCache& other, Index tokens)
    : SteppedStore("kv cache", other.shape(), other.capacity()), attention_(other.attention_) {
    // SOLUTION-BEGIN 3.2
    for (const auto& rows : other.layers_) {
        layers_.push_back(rows->make(capacity()));
        layers_.back()->copy_from(*rows, tokens);
        layers_.back()->see_from(tokens);
    }
    // SOLUTION-END 3.2
}

// ANCHOR_END: fork

// ANCHOR: bytes
KvBytes KvCache::bytes() const {
    KvBytes bytes;
    for (const auto& rows : layers_) {
        bytes.logical += rows->held_bytes(length());
        bytes.allocated += rows->allocated_bytes();
    }
    return bytes;
}

// ANCHOR_END: bytes

float KvCache::key(Index layer, Index kv_head, Index position, Index i) const {
    check_element(layer, kv_head, position, i);
    return at(layers_, layer)->key(kv_head, position, i);
}

float KvCache::value(Index layer, Index kv_head, Index position, Index i) const {
    check_element(layer, kv_head, position, i);
    return at(layers_, layer)->value(kv_head, position, i);
}

}  // namespace kvlab
