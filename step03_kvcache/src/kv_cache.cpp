#include <kvlab/kvcache/kv_cache.hpp>

#include <kvlab/attention/attention.hpp>
#include <kvlab/kvcache/narrow_tiles.hpp>

namespace kvlab {

template <class Tiles>
TileCache<Tiles>::TileCache(const KvShape& shape, Index capacity, SimdLevel level)
    : shape_(shape), capacity_(capacity), level_(level) {
    check_kv_shape("kv cache", shape);
    check(capacity > 0, "kv cache: capacity must be positive, found ", capacity);
    for (Index layer = 0; layer < shape.layers; ++layer)
        layers_.emplace_back(capacity, shape.kv_heads, shape.head_dim);
}

template <class Tiles>
void TileCache<Tiles>::begin(Index T) {
    check(T >= 1 && T <= room(), "kv cache: ", T, " tokens do not fit: ", length_, " of ",
          capacity_, " slots are taken");
    pending_ = T;
    appended_ = 0;
}

// ANCHOR: append
template <class Tiles>
void TileCache<Tiles>::append(Index layer,
                              const View<const float>& k,
                              const View<const float>& v) {
    check(k.rank() == 3 && k.dim(0) == pending_, "kv cache: a step of ", pending_,
          " tokens, found ", k.shape());
    check(layer == appended_ && layer < shape_.layers, "kv cache: expected layer ", appended_,
          " of ", shape_.layers, ", found ", layer);
    layers_[static_cast<std::size_t>(layer)].write(length_, k, v);
    ++appended_;
}

template <class Tiles>
AttentionWork TileCache<Tiles>::attend(Index layer,
                                       const View<const float>& q,
                                       const View<float>& out,
                                       ThreadPool& pool) {
    check_attend("kv cache", shape_, pending_, appended_, layer, q, out);
    return attend_tiles(level_, pool, q, layers_[static_cast<std::size_t>(layer)], length_,
                        out);
}

template <class Tiles>
void TileCache<Tiles>::commit() {
    check(pending_ > 0 && appended_ == shape_.layers, "kv cache: a step ends with ", appended_,
          " of ", shape_.layers, " layers");
    length_ += pending_;
    pending_ = appended_ = 0;
}

// ANCHOR_END: append

// ANCHOR: fork
template <class Tiles>
void TileCache<Tiles>::truncate(Index length) {
    check(length >= 0 && length <= length_, "kv cache: cannot truncate ", length_,
          " tokens to ", length);
    length_ = length;
    pending_ = appended_ = 0;
}

template <class Tiles>
std::unique_ptr<KvStore> TileCache<Tiles>::fork() const {
    auto copy = std::make_unique<TileCache>(shape_, capacity_, level_);
    for (std::size_t layer = 0; layer < layers_.size(); ++layer)
        copy->layers_[layer].copy_from(layers_[layer], length_);
    copy->length_ = length_;
    return copy;
}

// ANCHOR_END: fork

// ANCHOR: bytes
template <class Tiles>
KvBytes TileCache<Tiles>::bytes() const {
    KvBytes bytes;
    bytes.logical = shape_.layers * shape_.kv_heads * length_ * layers_[0].slot_bytes();
    for (const Tiles& tiles : layers_) bytes.allocated += tiles.allocated_bytes();
    return bytes;
}

// ANCHOR_END: bytes

template <class Tiles>
const Tiles& TileCache<Tiles>::checked(Index layer,
                                       Index kv_head,
                                       Index position,
                                       Index i) const {
    check(layer >= 0 && layer < shape_.layers && kv_head >= 0 && kv_head < shape_.kv_heads &&
              position >= 0 && position < length_ && i >= 0 && i < shape_.head_dim,
          "kv cache: there is no element [", layer, ", ", kv_head, ", ", position, ", ", i,
          "]");
    return layers_[static_cast<std::size_t>(layer)];
}

template <class Tiles>
float TileCache<Tiles>::key(Index layer, Index kv_head, Index position, Index i) const {
    return checked(layer, kv_head, position, i).key(kv_head, position, i);
}

template <class Tiles>
float TileCache<Tiles>::value(Index layer, Index kv_head, Index position, Index i) const {
    return checked(layer, kv_head, position, i).value(kv_head, position, i);
}

template class TileCache<KvTiles>;
template class TileCache<F16Tiles>;
template class TileCache<Int8Tiles>;

}  // namespace kvlab
