#include <kvlab/kvcache/kv_cache.hpp>

#include <kvlab/attention/attention.hpp>

namespace kvlab {

KvCache::KvCache(const KvShape& shape, Index capacity, SimdLevel level)
    : shape_(shape), capacity_(capacity), level_(level) {
    check(capacity > 0, "kv cache: capacity must be positive, found ", capacity);
    for (Index layer = 0; layer < shape.layers; ++layer)
        layers_.emplace_back(capacity, shape.kv_heads, shape.head_dim);
}

void KvCache::begin(Index T) {
    check(T >= 1 && T <= room(), "kv cache: ", T, " tokens do not fit: ", length_, " of ",
          capacity_, " slots are taken");
    pending_ = T;
    appended_ = 0;
}

// ANCHOR: append
void KvCache::append(Index layer, const View<const float>& k, const View<const float>& v) {
    check(k.rank() == 3 && k.dim(0) == pending_, "kv cache: a step of ", pending_,
          " tokens, found ", k.shape());
    check(layer == appended_ && layer < shape_.layers, "kv cache: expected layer ", appended_,
          " of ", shape_.layers, ", found ", layer);
    layers_[static_cast<std::size_t>(layer)].write(length_, k, v);
    ++appended_;
}

AttentionWork KvCache::attend(Index layer,
                              const View<const float>& q,
                              const View<float>& out,
                              ThreadPool& pool) {
    check(layer >= 0 && layer < appended_, "kv cache: layer ", layer, " has no keys yet");
    return attend_tiles(level_, pool, q, layers_[static_cast<std::size_t>(layer)], length_,
                        out);
}

void KvCache::commit() {
    check(pending_ > 0 && appended_ == shape_.layers, "kv cache: a step ends with ", appended_,
          " of ", shape_.layers, " layers");
    length_ += pending_;
    pending_ = 0;
}

// ANCHOR_END: append

// ANCHOR: fork
void KvCache::truncate(Index length) {
    check(length >= 0 && length <= length_, "kv cache: cannot truncate ", length_,
          " tokens to ", length);
    length_ = length;
    pending_ = 0;
}

std::unique_ptr<KvStore> KvCache::fork() const {
    auto copy = std::make_unique<KvCache>(shape_, capacity_, level_);
    for (std::size_t layer = 0; layer < layers_.size(); ++layer)
        copy->layers_[layer].copy_from(layers_[layer], length_);
    copy->length_ = length_;
    return copy;
}

// ANCHOR_END: fork

// ANCHOR: bytes
KvBytes KvCache::bytes() const {
    KvBytes bytes;
    bytes.logical =
        2 * shape_.layers * shape_.kv_heads * shape_.head_dim * length_ * Index{sizeof(float)};
    for (const KvTiles& tiles : layers_) bytes.allocated += tiles.allocated_bytes();
    return bytes;
}

// ANCHOR_END: bytes

const KvTiles& KvCache::checked(Index layer, Index kv_head, Index position, Index i) const {
    check(layer >= 0 && layer < shape_.layers && kv_head >= 0 && kv_head < shape_.kv_heads &&
              position >= 0 && position < length_ && i >= 0 && i < shape_.head_dim,
          "kv cache: there is no element [", layer, ", ", kv_head, ", ", position, ", ", i,
          "]");
    return layers_[static_cast<std::size_t>(layer)];
}

float KvCache::key(Index layer, Index kv_head, Index position, Index i) const {
    return checked(layer, kv_head, position, i).key(kv_head, position, i);
}

float KvCache::value(Index layer, Index kv_head, Index position, Index i) const {
    return checked(layer, kv_head, position, i).value(kv_head, position, i);
}

}  // namespace kvlab
