// latent_tiles.hpp - chapter 6: latents where they lie, and the keys and values that are made
// of them again, tile by tile.
#pragma once

#include <cstdint>
#include <vector>

#include <kvlab/quant/latent_cache.hpp>
#include <kvlab/tensor/tensor_kernels.hpp>

namespace kvlab {

// The latents of one side of one layer. Keys lie with the slots of a tile side by side, values
// with a slot's own numbers side by side: the order in which each is multiplied.
class Latents {
public:
    // Room for `slots`, rounded up to whole tiles. Throws Error for sizes that cannot be.
    Latents(Index slots, Index rank, bool across, LatentFormat format);

    Index rank() const { return rank_; }

    Index allocated_bytes() const;

    // A slot's latent, of rank() numbers. Throws Error for one that is not finite, and for a
    // slot that is not there.
    void write(Index slot, const float* row);

    // One tile's latents as floats: where they lie, or in `room`, which grows if it must.
    const float* tile(Index tile, std::vector<float>& room) const;

private:
    Index slots() const {
        return static_cast<Index>(format_ == LatentFormat::f32 ? floats_.size()
                                                               : codes_.size()) /
               rank_;
    }

    Index place(Index slot, Index j) const;

    Index rank_;
    bool across_;  // slots side by side
    LatentFormat format_;
    std::vector<float> floats_;  // one of the two
    std::vector<std::int8_t> codes_;
    std::vector<float> scales_;  // of the codes, by slot
};

struct LatentSides {
    Latents keys, values;
};

// Keys and values of one layer, made again when they are read. All must outlive it.
class LatentTiles final : public TileReader {
public:
    LatentTiles(SimdLevel level,
                const LatentPlan& plan,
                const LatentLayer& layer,
                const LatentSides& kept,
                const RotationTable& angles,
                Index slots);

    // A head's share: all heads of a slot are one latent.
    Index slot_bytes() const override;

    const float* read_keys(Index kv_head, Index tile, float* room) const override;
    const float* read_values(Index kv_head, Index tile, float* room) const override;

private:
    SimdLevel level_;
    const TensorKernels& kernels_;
    const LatentPlan& plan_;
    const LatentLayer& layer_;
    const LatentSides& kept_;
    const RotationTable& angles_;
};

}  // namespace kvlab
