#include <kvlab/cuda/cuda_cache.hpp>
#include <kvlab/cuda/token_pass.hpp>

#include "kernels/sizes.hpp"
#include "launch_checks.hpp"
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

CudaCache::~CudaCache() = default;

// ANCHOR: append
void CudaCache::write_rows(Index layer,
                           const View<const float>& k,
                           const View<const float>& v) {
    kernels::AppendArgs args = kernels::append_args(k, v, shape(), pending(), capacity());
    Layer& to = *at(layers_, layer);
    args.keys = to.keys.get();
    args.values = to.values.get();
    args.first = to_int(length());
    kernels::launch_append(args);
}

AttentionWork CudaCache::attend_rows(Index layer,
                                     const View<const float>& q,
                                     const View<float>& out,
                                     ThreadPool&) {
    const Layer& from = *at(layers_, layer);
    rung_for(pending()).run({q, from.keys.get(), from.values.get(), shape().kv_heads,
                             capacity(), length(), out, scratch_});
    const Index T = pending(), slot_bytes = 2 * shape().head_dim * Index{sizeof(float)};
    return {shape().heads * (T * length() + T * (T + 1) / 2),
            shape().kv_heads * (length() + T) * slot_bytes, shape().kv_heads * T * slot_bytes};
}

// ANCHOR_END: append

// ANCHOR: suited
// A prompt has rows enough to fill a block for each KV head several times over; what counts is
// how many of them share a tile. Decoding has a group's few rows: there a block for each tile
// gives work to more of the GPU, which pays for a second kernel as soon as there are two.
const AttentionRung& suited_attention(Index rows, Index tiles) {
    static const AttentionRung &vector = find_rung(attention_rungs(), "vector"),
                               &async = find_rung(attention_rungs(), "async");
    return tiles > 1 && vector.accepts(rows, 1) ? vector : async;
}

// ANCHOR_END: suited

const AttentionRung& CudaCache::rung_for(Index tokens) const {
    const Index group = shape().heads / shape().kv_heads, slots = length() + tokens;
    if (attention_ != nullptr && attention_->accepts(tokens, group)) return *attention_;
    return suited_attention(tokens * group, (slots + kernels::kTile - 1) / kernels::kTile);
}

std::unique_ptr<SteppedStore> CudaCache::copied() const {
    auto copy = std::make_unique<CudaCache>(shape(), capacity(), attention_);
    if (length() == 0) return copy;
    for (std::size_t l = 0; l < layers_.size(); ++l)
        for (auto which : {&Layer::keys, &Layer::values})
            kernels::launch_copy_slots({.from = ((*layers_[l]).*which).get(),
                                        .to = ((*copy->layers_[l]).*which).get(),
                                        .from_capacity = to_int(capacity()),
                                        .to_capacity = to_int(copy->capacity()),
                                        .count = to_int(length()),
                                        .kv_heads = to_int(shape().kv_heads),
                                        .head_dim = to_int(shape().head_dim)});
    return copy;
}

KvBytes CudaCache::bytes() const {
    const Index slot =
        shape().layers * shape().kv_heads * 2 * shape().head_dim * Index{sizeof(float)};
    return {length() * slot, capacity() * slot + scratch_.bytes()};
}

CudaCache::Memory CudaCache::memory(Index layer) {
    check(layer >= 0 && layer < shape().layers, "cuda cache: there is no layer ", layer);
    Layer& of = *at(layers_, layer);
    return {of.keys.get(), of.values.get()};
}

TokenPass& CudaCache::token_pass(const Model& model, const TokenRung& rung) {
    if (!token_pass_ || !token_pass_->serves(model, rung))
        token_pass_ = std::make_unique<TokenPass>(model, *this, rung);
    return *token_pass_;
}

Tensor CudaCache::held(Index layer, const DeviceArray<float> Layer::*which) const {
    check(layer >= 0 && layer < shape().layers, "cuda cache: there is no layer ", layer);
    Tensor copy({shape().kv_heads, length(), shape().head_dim});
    const Index floats = length() * shape().head_dim;
    for (Index h = 0; h < shape().kv_heads; ++h)
        copy_bytes_to_host(
            copy.data() + h * floats,
            ((*at(layers_, layer)).*which).get() + h * capacity() * shape().head_dim,
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
