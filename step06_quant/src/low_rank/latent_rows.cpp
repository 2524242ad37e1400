#include <kvlab/quant/latent_rows.hpp>

#include <algorithm>

#include <kvlab/kvcache/narrow_tiles.hpp>
#include <kvlab/tensor/matmul.hpp>
#include <kvlab/tensor/numerics.hpp>

namespace kvlab {

namespace {

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

// A thread's own: latents that lie as bytes, as floats. Kept, so that
// reading allocates nothing.
std::vector<float>& floats_of_a_tile() {
    thread_local std::vector<float> floats;
    return floats;
}

// A thread's own, so that tokens allocate nothing, and not one for each object: there may be as
// many rows as there are pages.
struct WriteScratch {
    std::vector<float> together, latents;
};

WriteScratch& write_scratch() {
    thread_local WriteScratch scratch;
    return scratch;
}

}  // namespace

Latents::Latents(Index slots, Index rank, bool across, Format format)
    : rank_(rank), across_(across), format_(format) {
    check(slots > 0 && rank > 0, "latents: ", slots, " slots of rank ", rank);
    const Index rows = checked_product("latents", {blocks_for(slots, kTile), kTile});
    const Index numbers = checked_product("latents", {rows, rank});
    if (format == &formats::f32) {
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
    check(all_finite({row, usize(rank_)}), "latents: slot ", slot,
          " would hold a number that is not finite");
    const Index from = place(slot, 0), stride = across_ ? kTile : 1;
    if (format_ == &formats::int8)
        at(scales_, slot) = quantize_int8(row, 1, rank_, codes_.data() + from, stride);
    else
        for (Index j = 0; j < rank_; ++j) at(floats_, from + j * stride) = row[j];
}

void Latents::visit_memory(const VisitMemory& visit) {
    visit(std::as_writable_bytes(std::span(floats_)));
    visit(std::as_writable_bytes(std::span(codes_)));
    visit(std::as_writable_bytes(std::span(scales_)));
}

const float* Latents::tile(Index tile, std::vector<float>& scratch) const {
    const Index first = tile * kTile * rank_;
    if (format_ == &formats::f32) return floats_.data() + first;
    scratch.resize(std::max(scratch.size(), usize(kTile * rank_)));
    for (Index i = 0; i < kTile * rank_; ++i) {
        const Index slot = tile * kTile + (across_ ? i % kTile : i / rank_);
        at(scratch, i) = static_cast<float>(at(codes_, first + i)) * at(scales_, slot);
    }
    return scratch.data();
}

void Latents::copy_from(const Latents& other, Index count) {
    const Index rows = blocks_for(count, kTile) * kTile;
    std::copy_n(other.floats_.begin(), other.floats_.empty() ? 0 : rows * rank_,
                floats_.begin());
    std::copy_n(other.codes_.begin(), other.codes_.empty() ? 0 : rows * rank_, codes_.begin());
    std::copy_n(other.scales_.begin(), other.scales_.empty() ? 0 : rows, scales_.begin());
}

Index Latents::place(Index slot, Index j) const {
    const Index first = slot / kTile * kTile * rank_, s = slot % kTile;
    return first + (across_ ? j * kTile + s : s * rank_ + j);
}

LatentRows::LatentRows(std::shared_ptr<const LatentPlan> plan,
                       Index layer,
                       Index slots,
                       SimdLevel level)
    : LayerRows(slots, plan->shape.kv_heads, plan->shape.head_dim),
      plan_(std::move(plan)),
      layer_(layer),
      matrices_(plan_->layers.at(usize(layer))),
      level_(level),
      kernels_(tensor_kernels(level)),
      keys_(slots, matrices_.key_rank, true, plan_->format),
      values_(slots, matrices_.value_rank, false, plan_->format) {}

std::unique_ptr<LayerRows> LatentRows::make(Index slots) const {
    return std::make_unique<LatentRows>(plan_, layer_, slots, level_);
}

void LatentRows::check_movable() const {
    throw Error(
        "latents: all heads of a token are one latent, and a policy takes single heads");
}

// A latent is one row.
Index LatentRows::token_bytes() const {
    return plan_->format->row_bytes(keys_.rank()) + plan_->format->row_bytes(values_.rank());
}

void LatentRows::write_slots(Index first,
                             Index /*position*/,
                             const View<const float>& k,
                             const View<const float>& v) {
    project(matrices_.to_keys, first, k, keys_);
    project(matrices_.to_values, first, v, values_);
}

// c = Ut k for the rows [T, Hkv, D].
void LatentRows::project(const PackedMatrix& matrix,
                         Index first,
                         const View<const float>& rows,
                         Latents& to) {
    const Index T = rows.dim(0), H = rows.dim(1), D = rows.dim(2);
    const auto scratch = [](std::vector<float>& list, const Shape& shape) {
        list.resize(std::max(list.size(), usize(shape.size())));
        return View<float>(list.data(), shape);
    };
    const View<float> together = scratch(write_scratch().together, {T, H * D}),
                      latents = scratch(write_scratch().latents, {T, to.rank()});
    for (Index t = 0; t < T; ++t)
        for (Index h = 0; h < H; ++h)
            for (Index i = 0; i < D; ++i) together(t, h * D + i) = rows(t, h, i);
    matmul(kernels_, alone_, together, matrix, latents);
    for (Index t = 0; t < T; ++t) to.write(first + t, &latents(t, 0));
}

// ANCHOR: again
const float* LatentRows::read_keys(Index kv_head, Index tile, float* scratch) const {
    const float* const c = keys_.tile(tile, floats_of_a_tile());
    multiply_tile(kernels_, head_dim_, matrices_.key_rank,
                  &matrices_.keys(kv_head * head_dim_, 0), matrices_.key_rank, c, kTile,
                  scratch);
    return scratch;
}

const float* LatentRows::read_values(Index kv_head, Index tile, float* scratch) const {
    const float* const c = values_.tile(tile, floats_of_a_tile());
    multiply_tile(kernels_, kTile, matrices_.value_rank, c, matrices_.value_rank,
                  &matrices_.values(kv_head, 0, 0), padded_dim_, scratch);
    return scratch;
}

// ANCHOR_END: again

float LatentRows::key(Index kv_head, Index slot, Index i) const {
    std::vector<float> tile(usize(kTile * padded_dim_));
    return read_keys(kv_head, slot / kTile, tile.data())[i * kTile + slot % kTile];
}

float LatentRows::value(Index kv_head, Index slot, Index i) const {
    std::vector<float> tile(usize(kTile * padded_dim_));
    return read_values(kv_head, slot / kTile, tile.data())[slot % kTile * padded_dim_ + i];
}

void LatentRows::copy_slots(const LayerRows& rows, Index count) {
    const auto& other = static_cast<const LatentRows&>(rows);
    check(other.matrices_.key_rank == matrices_.key_rank &&
              other.matrices_.value_rank == matrices_.value_rank,
          "latents: copy between different ranks");
    keys_.copy_from(other.keys_, count);
    values_.copy_from(other.values_, count);
}

void LatentRows::move_slot(Index, Index, Index) {
    check_movable();
}

MakeRows latent_rows(std::shared_ptr<const LatentPlan> plan, SimdLevel level) {
    return [plan = std::move(plan), level](const RowsShape& of) {
        return std::make_unique<LatentRows>(plan, of.layer, of.slots, level);
    };
}

}  // namespace kvlab
