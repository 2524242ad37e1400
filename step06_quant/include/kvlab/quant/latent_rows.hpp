// latent_rows.hpp - chapter 6: latents where they lie, and the keys and values that are made of
// them again, tile by tile.
#pragma once

#include <cstdint>
#include <vector>

#include <kvlab/attention/layer_rows.hpp>
#include <kvlab/quant/latent_plan.hpp>
#include <kvlab/tensor/tensor_kernels.hpp>
#include <kvlab/tensor/thread_pool.hpp>

namespace kvlab {

// The latents of one side of one layer. Keys lie with the slots of a tile side by side, values
// with a slot's own numbers side by side: the order in which each is multiplied.
class Latents {
public:
    // Room for `slots`, rounded up to whole tiles. Throws Error for sizes that cannot be.
    Latents(Index slots, Index rank, bool across, Format format);

    Index rank() const { return rank_; }

    Index allocated_bytes() const;

    // A slot's latent, of rank() numbers. Throws Error for one that is not finite, and for a
    // slot that is not there.
    void write(Index slot, const float* row);

    void visit_memory(const VisitMemory& visit);

    // One tile's latents as floats: where they lie, or in `scratch`, which grows
    // if it must.
    const float* tile(Index tile, std::vector<float>& scratch) const;

    // Slots [0, count) of others of this rank and format, and those that share a tile
    // with the last.
    void copy_from(const Latents& other, Index count);

private:
    Index slots() const {
        return static_cast<Index>(format_ == &formats::f32 ? floats_.size() : codes_.size()) /
               rank_;
    }

    Index place(Index slot, Index j) const;

    Index rank_;
    bool across_;  // slots side by side
    Format format_;
    std::vector<float> floats_;  // one of the two
    std::vector<std::int8_t> codes_;
    std::vector<float> scales_;  // of the codes, by slot
};

// Keys and values of one layer, made again when they are read.
class LatentRows final : public LayerRows {
public:
    LatentRows(std::shared_ptr<const LatentPlan> plan,
               Index layer,
               Index slots,
               SimdLevel level = default_simd_level());

    std::unique_ptr<LayerRows> make(Index slots) const override;

    // All heads of a token are one latent, and a policy takes single heads.
    void check_movable() const override;

    KeyForm key_form() const override { return KeyForm::unrotated; }

    // A head's share, rounded down; held_bytes() counts whole latents.
    Index slot_bytes() const override { return token_bytes() / kv_heads_; }

    const float* read_keys(Index kv_head, Index tile, float* scratch) const override;
    const float* read_values(Index kv_head, Index tile, float* scratch) const override;

    Index held_bytes(Index count) const override { return count * token_bytes(); }

    Index allocated_bytes() const override {
        return keys_.allocated_bytes() + values_.allocated_bytes();
    }

    void visit_memory(const VisitMemory& visit) override {
        keys_.visit_memory(visit);
        values_.visit_memory(visit);
    }

    float key(Index kv_head, Index slot, Index i) const override;
    float value(Index kv_head, Index slot, Index i) const override;

private:
    Index token_bytes() const;
    void write_slots(Index first,
                     Index position,
                     const View<const float>& k,
                     const View<const float>& v) override;
    void project(const PackedMatrix& matrix,
                 Index first,
                 const View<const float>& rows,
                 Latents& to);
    void copy_slots(const LayerRows& other, Index count) override;
    void move_slot(Index kv_head, Index from, Index to) override;

    // Fixed at construction.
    std::shared_ptr<const LatentPlan> plan_;
    Index layer_;
    const LatentLayer& matrices_;  // the plan's
    SimdLevel level_;
    const TensorKernels& kernels_;
    // Rows.
    Latents keys_, values_;
    ThreadPool alone_{1};
};

MakeRows latent_rows(std::shared_ptr<const LatentPlan> plan,
                     SimdLevel level = default_simd_level());

}  // namespace kvlab
