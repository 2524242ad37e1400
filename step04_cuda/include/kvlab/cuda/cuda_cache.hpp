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

#include <kvlab/attention/kv_store.hpp>
#include <kvlab/cuda/cuda_engine.hpp>

namespace kvlab {

class CudaCache final : public KvStore {
public:
    // Room for `capacity` tokens. `attention` null: what suits each step. Throws Error unless
    // capacity is positive.
    CudaCache(const KvShape& shape, Index capacity, const AttentionRung* attention = nullptr);

    const KvShape& shape() const override { return shape_; }

    Index next_position() const override { return length_; }

    Index room() const override { return capacity_ - length_; }

    bool host_memory() const override { return false; }

    void begin(Index T) override;
    void append(Index layer, const View<const float>& k, const View<const float>& v) override;
    AttentionWork attend(Index layer,
                         const View<const float>& q,
                         const View<float>& out,
                         ThreadPool& pool) override;
    void commit() override;
    void truncate(Index length) override;
    std::unique_ptr<KvStore> fork() const override;
    KvBytes bytes() const override;

    // Copies of what is held, [Hkv, length, D], to look at and to compare. Throws Error unless
    // the layer is there.
    Tensor keys(Index layer) const;
    Tensor values(Index layer) const;

private:
    struct Layer {
        DeviceArray<float> keys, values;  // [Hkv, capacity, D]
    };

    Tensor held(Index layer, const DeviceArray<float> Layer::*which) const;
    const AttentionRung& rung_for(Index tokens) const;

    // Fixed at construction.
    KvShape shape_;
    Index capacity_;
    const AttentionRung* attention_;  // null: one of these two
    const AttentionRung &fused_, &split_;
    // As in KvCache: committed slots, those of the open step, its layers that have their rows.
    Index length_ = 0, pending_ = 0, appended_ = 0;
    std::vector<std::unique_ptr<Layer>> layers_;  // [L]
    Scratch scratch_;
};

}  // namespace kvlab
