#include <kvlab/quant/latent_tiles.hpp>

#include <algorithm>

#include <kvlab/kvcache/narrow_tiles.hpp>
#include <kvlab/policies/policy_kernels.hpp>
#include <kvlab/tensor/numerics.hpp>

namespace kvlab {

namespace {

constexpr Index kLatentSlots = 64;  // of a tile

// y[rows, width] = x[rows, depth] times b [depth, width]: rule 2's blocks, six rows at a time.
void multiply_tile(const TensorKernels& kernels,
                   Index rows,
                   Index depth,
                   const float* x,
                   Index x_stride,
                   const float* b,
                   Index width,
                   float* y) {
    for (Index r = 0; r < rows; r += kMaxKernelRows)
        for (Index k = 0; k < depth; k += kSumBlock)
            kernels.block(std::min(kMaxKernelRows, rows - r), std::min(kSumBlock, depth - k),
                          x + r * x_stride + k, x_stride, b + k * width, width, width,
                          y + r * width, width, k == 0 ? BlockMode::first : BlockMode::add);
}

// A thread's own: latents that lie as bytes, as floats. Kept, so that reading allocates
// nothing.
std::vector<float>& floats_of_a_tile() {
    thread_local std::vector<float> floats;
    return floats;
}

}  // namespace

Latents::Latents(Index slots, Index rank, bool across, LatentFormat format)
    : rank_(rank), across_(across), format_(format) {
    check(slots > 0 && rank > 0, "latents: ", slots, " slots of rank ", rank);
    const Index rows =
        checked_product("latents", {blocks_for(slots, kLatentSlots), kLatentSlots});
    const Index numbers = checked_product("latents", {rows, rank});
    if (format == LatentFormat::f32) {
        resize_list(floats_, numbers, "latents");
    } else {
        resize_list(codes_, numbers, "latents");
        resize_list(scales_, rows, "latents");
    }
}

Index Latents::allocated_bytes() const {
    return static_cast<Index>((floats_.size() + scales_.size()) * sizeof(float) +
                              codes_.size());
}

void Latents::write(Index slot, const float* row) {
    check(slot >= 0 && slot < slots(), "latents: there is no slot ", slot, " of ", slots());
    check(all_finite({row, static_cast<std::size_t>(rank_)}), "latents: slot ", slot,
          " would hold a number that is not finite");
    const Index from = place(slot, 0), stride = across_ ? kLatentSlots : 1;
    if (format_ == LatentFormat::int8)
        scales_[static_cast<std::size_t>(slot)] =
            quantize_int8(row, 1, rank_, codes_.data() + from, stride);
    else
        for (Index j = 0; j < rank_; ++j)
            floats_[static_cast<std::size_t>(from + j * stride)] = row[j];
}

const float* Latents::tile(Index tile, std::vector<float>& room) const {
    const Index first = tile * kLatentSlots * rank_;
    if (format_ == LatentFormat::f32) return floats_.data() + first;
    room.resize(std::max(room.size(), static_cast<std::size_t>(kLatentSlots * rank_)));
    for (Index i = 0; i < kLatentSlots * rank_; ++i) {
        const Index slot = tile * kLatentSlots + (across_ ? i % kLatentSlots : i / rank_);
        room[static_cast<std::size_t>(i)] =
            static_cast<float>(codes_[static_cast<std::size_t>(first + i)]) *
            scales_[static_cast<std::size_t>(slot)];
    }
    return room.data();
}

Index Latents::place(Index slot, Index j) const {
    const Index first = slot / kLatentSlots * kLatentSlots * rank_, s = slot % kLatentSlots;
    return first + (across_ ? j * kLatentSlots + s : s * rank_ + j);
}

LatentTiles::LatentTiles(SimdLevel level,
                         const LatentPlan& plan,
                         const LatentLayer& layer,
                         const LatentSides& kept,
                         const RotationTable& angles,
                         Index slots)
    : TileReader(slots, plan.shape.kv_heads, plan.shape.head_dim),
      level_(level),
      kernels_(tensor_kernels(level)),
      plan_(plan),
      layer_(layer),
      kept_(kept),
      angles_(angles) {}

Index LatentTiles::slot_bytes() const {
    return (layer_.key_rank + layer_.value_rank) *
           (plan_.format == LatentFormat::f32 ? Index{sizeof(float)} : 1) / kv_heads();
}

// ANCHOR: again
const float* LatentTiles::read_keys(Index kv_head, Index tile, float* room) const {
    const float* const c = kept_.keys.tile(tile, floats_of_a_tile());
    multiply_tile(kernels_, head_dim(), layer_.key_rank, &layer_.keys(kv_head * head_dim(), 0),
                  layer_.key_rank, c, kLatentSlots, room);
    const AngleRun run{0, tile * kLatentSlots};  // slots are positions
    policy_kernels(level_).rotate_tile(room, angles_.cos.data(), angles_.sin.data(),
                                       angles_.stride(), &run, 1, angles_.rope_dim, head_dim(),
                                       room);
    return room;
}

const float* LatentTiles::read_values(Index kv_head, Index tile, float* room) const {
    const float* const c = kept_.values.tile(tile, floats_of_a_tile());
    multiply_tile(kernels_, kLatentSlots, layer_.value_rank, c, layer_.value_rank,
                  &layer_.values(kv_head, 0, 0), padded_dim(), room);
    return room;
}

// ANCHOR_END: again

}  // namespace kvlab
