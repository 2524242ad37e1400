// cuda_cache.hpp - chapter 4: the contiguous cache of chapter 3, in device memory.
//
// ANCHOR: layout
//   keys, values of one layer [Hkv, capacity, D]; slot = position
//
//     head 0   slot 0: D floats | slot 1: D floats | ... | slot capacity - 1
//     head 1   ...
//
//   The slots of a KV head follow one another: a tile of 64 slots is one stretch of 64 D
//   floats.
// ANCHOR_END: layout
#pragma once

#include <vector>

#include <kvlab/attention/stepped_store.hpp>
#include <kvlab/cuda/cuda_engine.hpp>

namespace kvlab {

class TokenPass;
struct TokenRung;

// The rung of attention for `rows` (tokens times query heads of a KV head) that look at `tiles`
// tiles of 64 slots.
const AttentionRung& suited_attention(Index rows, Index tiles);

class CudaCache final : public SteppedStore {
public:
    // Room for `capacity` tokens. `attention` null: what suits each step. Throws Error unless
    // capacity is positive.
    CudaCache(const KvShape& shape, Index capacity, const AttentionRung* attention = nullptr);
    ~CudaCache() override;

    bool host_memory() const override { return false; }

    KvBytes bytes() const override;

    // Where a layer's keys and values are, [Hkv, capacity, D], for a kernel that writes a whole
    // step itself (token_pass.hpp). Throws Error unless the layer is there.
    struct Memory {
        float* keys;
        float* values;
    };

    Memory memory(Index layer);

    // Such a kernel has been launched: the open step has its rows in all layers. Throws Error
    // without a step, or if it has rows already.
    void wrote_step() { take_all_rows(); }

    // How single tokens of this sequence go through the model; made when it is first asked for,
    // and again for another model or rung. Throws Error as TokenPass does.
    TokenPass& token_pass(const Model& model, const TokenRung& rung);

    // Copies of what is held, [Hkv, length, D], to look at and to compare. Throws Error unless
    // the layer is there.
    Tensor keys(Index layer) const;
    Tensor values(Index layer) const;

private:
    struct Layer {
        DeviceArray<float> keys, values;  // [Hkv, capacity, D]
    };

    void write_rows(Index layer,
                    const View<const float>& k,
                    const View<const float>& v) override;
    AttentionWork attend_rows(Index layer,
                              const View<const float>& q,
                              const View<float>& out,
                              ThreadPool& pool) override;
    std::unique_ptr<SteppedStore> copied() const override;

    Tensor held(Index layer, const DeviceArray<float> Layer::*which) const;
    const AttentionRung& rung_for(Index tokens) const;

    // Fixed at construction.
    const AttentionRung* attention_;              // null: what suits
    std::vector<std::unique_ptr<Layer>> layers_;  // [L]
    Scratch scratch_;
    std::unique_ptr<TokenPass> token_pass_;
};

}  // namespace kvlab
