#include <kvlab/cuda/cuda_cache.hpp>

#include "kernels/sizes.hpp"
#include "launch_checks.hpp"
#include "launch_sizes.hpp"

namespace kvlab {

CudaCache::CudaCache(const KvShape& shape, Index capacity, const AttentionRung* attention)
    : shape_(shape),
      capacity_(capacity),
      attention_(attention),
      fused_(find_rung(attention_rungs(), "fused")),
      split_(find_rung(attention_rungs(), "split")) {
    check_kv_shape("cuda cache", shape);
    check(capacity > 0, "cuda cache: capacity must be positive, found ", capacity);
    const Index floats =
        checked_product("cuda cache", {shape.kv_heads, capacity, shape.head_dim});
    for (Index layer = 0; layer < shape.layers; ++layer)
        layers_.push_back(std::unique_ptr<Layer>(new Layer{
            DeviceArray<float>(floats, "keys"), DeviceArray<float>(floats, "values")}));
}

void CudaCache::begin(Index T) {
    check(T >= 1 && T <= room(), "cuda cache: ", T, " tokens do not fit: ", length_, " of ",
          capacity_, " slots are taken");
    pending_ = T;
    appended_ = 0;
}

// ANCHOR: append
void CudaCache::append(Index layer, const View<const float>& k, const View<const float>& v) {
    kernels::AppendArgs args = kernels::append_args(k, v, shape_, pending_, capacity_);
    check(layer == appended_ && layer < shape_.layers, "cuda cache: expected layer ", appended_,
          " of ", shape_.layers, ", found ", layer);
    Layer& to = *layers_[static_cast<std::size_t>(layer)];
    args.keys = to.keys.get();
    args.values = to.values.get();
    args.first = to_int(length_);
    kernels::launch_append(args);
    ++appended_;
}

AttentionWork CudaCache::attend(Index layer,
                                const View<const float>& q,
                                const View<float>& out,
                                ThreadPool&) {
    check_attend("cuda cache", shape_, pending_, appended_, layer, q, out);
    const Layer& from = *layers_[static_cast<std::size_t>(layer)];
    rung_for(pending_).run({q, from.keys.get(), from.values.get(), shape_.kv_heads, capacity_,
                            length_, out, scratch_});
    const Index T = pending_, slot_bytes = 2 * shape_.head_dim * Index{sizeof(float)};
    return {shape_.heads * (T * length_ + T * (T + 1) / 2),
            shape_.kv_heads * (length_ + T) * slot_bytes, shape_.kv_heads * T * slot_bytes};
}

// ANCHOR_END: append

// Few rows over a long cache: a block of threads per tile. Everything else: one per piece of
// rows.
const AttentionRung& CudaCache::rung_for(Index tokens) const {
    const Index group = shape_.heads / shape_.kv_heads;
    if (attention_ != nullptr && attention_->accepts(tokens, group)) return *attention_;
    constexpr Index kLong = Index{4} * kernels::kTile;  // slots
    const bool split = attention_ == nullptr && length_ + tokens > kLong;
    return split && split_.accepts(tokens, group) ? split_ : fused_;
}

void CudaCache::commit() {
    check(pending_ > 0 && appended_ == shape_.layers, "cuda cache: a step ends with ",
          appended_, " of ", shape_.layers, " layers");
    length_ += pending_;
    pending_ = 0;
}

void CudaCache::truncate(Index length) {
    check(length >= 0 && length <= length_, "cuda cache: cannot truncate ", length_,
          " tokens to ", length);
    length_ = length;
    pending_ = 0;
}

std::unique_ptr<KvStore> CudaCache::fork() const {
    auto copy = std::make_unique<CudaCache>(shape_, capacity_, attention_);
    copy->length_ = length_;
    if (length_ == 0) return copy;
    for (std::size_t l = 0; l < layers_.size(); ++l)
        for (auto which : {&Layer::keys, &Layer::values})
            kernels::launch_copy_slots({.from = ((*layers_[l]).*which).get(),
                                        .to = ((*copy->layers_[l]).*which).get(),
                                        .from_capacity = to_int(capacity_),
                                        .to_capacity = to_int(copy->capacity_),
                                        .count = to_int(length_),
                                        .kv_heads = to_int(shape_.kv_heads),
                                        .head_dim = to_int(shape_.head_dim)});
    return copy;
}

KvBytes CudaCache::bytes() const {
    const Index slot =
        shape_.layers * shape_.kv_heads * 2 * shape_.head_dim * Index{sizeof(float)};
    return {length_ * slot, capacity_ * slot + scratch_.bytes()};
}

Tensor CudaCache::held(Index layer, const DeviceArray<float> Layer::*which) const {
    check(layer >= 0 && layer < shape_.layers, "cuda cache: there is no layer ", layer);
    Tensor copy({shape_.kv_heads, length_, shape_.head_dim});
    const Index floats = length_ * shape_.head_dim;
    for (Index h = 0; h < shape_.kv_heads; ++h)
        copy_bytes_to_host(copy.data() + h * floats,
                           ((*layers_[static_cast<std::size_t>(layer)]).*which).get() +
                               h * capacity_ * shape_.head_dim,
                           floats * Index{sizeof(float)});
    return copy;
}

Tensor CudaCache::keys(Index layer) const {
    return held(layer, &Layer::keys);
}

Tensor CudaCache::values(Index layer) const {
    return held(layer, &Layer::values);
}

}  // namespace kvlab
