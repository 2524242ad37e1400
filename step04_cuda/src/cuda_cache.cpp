#include <kvlab/cuda/cuda_cache.hpp>

#include "kernels/kernels.cuh"
#include "launch_sizes.hpp"

namespace kvlab {

CudaCache::CudaCache(const KvShape& shape, Index capacity, const AttentionRung* attention)
    : SteppedStore("cuda cache", shape, capacity), attention_(attention) {
    const Index floats =
        checked_product("cuda cache", {shape.kv_heads, capacity, shape.head_dim});
    for (Index layer = 0; layer < shape.layers; ++layer)
        layers_.push_back(std::unique_ptr<Layer>(new Layer{
            DeviceArray<float>(floats, "keys"), DeviceArray<float>(floats, "values")}));
}

// ANCHOR: append
void CudaCache::write_rows(Index layer,
                           const View<const float>& k,
                           const View<const float>& v) {
    check(k.stride(1) == shape().head_dim && v.stride(1) == shape().head_dim &&
              k.stride(0) == v.stride(0),
          "cuda cache: heads must lie side by side");
    Layer& to = *layers_[static_cast<std::size_t>(layer)];
    constexpr unsigned block = 128;
    launch(append_rows,
           dim3(groups(shape().kv_heads * shape().head_dim, block), groups(pending(), 1)),
           block, 0, k.data(), v.data(), to_int(k.stride(0)), to.keys.get(), to.values.get(),
           to_int(shape().kv_heads), to_int(shape().head_dim), to_int(capacity()),
           to_int(length()));
}

AttentionWork CudaCache::attend_rows(Index layer,
                                     const View<const float>& q,
                                     const View<float>& out,
                                     ThreadPool&) {
    const Layer& from = *layers_[static_cast<std::size_t>(layer)];
    rung_for(pending()).run({q, from.keys.get(), from.values.get(), shape().kv_heads,
                             capacity(), length(), out, scratch_});
    const Index T = pending(), slot_bytes = 2 * shape().head_dim * Index{sizeof(float)};
    return {shape().heads * (T * length() + T * (T + 1) / 2),
            shape().kv_heads * (length() + T) * slot_bytes, shape().kv_heads * T * slot_bytes};
}

// ANCHOR_END: append

// Few rows over a long cache: a block of threads per tile. Everything else: one per piece of
// rows.
const AttentionRung& CudaCache::rung_for(Index tokens) const {
    const auto rungs = attention_rungs();
    const Index group = shape().heads / shape().kv_heads;
    if (attention_ != nullptr && attention_->accepts(tokens, group)) return *attention_;
    constexpr Index kLong = Index{4} * 64;  // slots
    const bool split = attention_ == nullptr && length() + tokens > kLong;
    const AttentionRung& last = rungs.back();
    return split && last.accepts(tokens, group) ? last : find_rung(rungs, "fused");
}

std::unique_ptr<SteppedStore> CudaCache::copied() const {
    auto copy = std::make_unique<CudaCache>(shape(), capacity(), attention_);
    if (length() == 0) return copy;
    constexpr unsigned block = 128;
    const dim3 grid(groups(length() * shape().head_dim, block), groups(shape().kv_heads, 1));
    for (std::size_t l = 0; l < layers_.size(); ++l)
        for (auto which : {&Layer::keys, &Layer::values})
            launch(copy_slots, grid, block, 0, ((*layers_[l]).*which).get(), to_int(capacity()),
                   ((*copy->layers_[l]).*which).get(), to_int(capacity()), to_int(length()),
                   to_int(shape().head_dim));
    return copy;
}

KvBytes CudaCache::bytes() const {
    const Index slot =
        shape().layers * shape().kv_heads * 2 * shape().head_dim * Index{sizeof(float)};
    return {length() * slot, capacity() * slot + scratch_.bytes()};
}

Tensor CudaCache::held(Index layer, const DeviceArray<float> Layer::*which) const {
    check(layer >= 0 && layer < shape().layers, "cuda cache: there is no layer ", layer);
    Tensor copy({shape().kv_heads, length(), shape().head_dim});
    const Index floats = length() * shape().head_dim;
    for (Index h = 0; h < shape().kv_heads; ++h)
        copy_bytes_to_host(copy.data() + h * floats,
                           ((*layers_[static_cast<std::size_t>(layer)]).*which).get() +
                               h * capacity() * shape().head_dim,
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
