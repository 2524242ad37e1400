// whole_sequence.hpp - chapter 2: attention WITHOUT a cache. Every step must bring
// the whole text.
#pragma once

#include <kvlab/attention/kv_tiles.hpp>
#include <kvlab/attention/stepped_store.hpp>
#include <kvlab/tensor/simd_level.hpp>

namespace kvlab {

// Remembers nothing between steps: next_position() stays 0, so each step starts the text again.
// One layer's keys and values exist at a time, in scratch memory of `context` slots.
class WholeSequence final : public SteppedStore {
public:
    // Throws Error for a shape or a context that cannot be.
    WholeSequence(const KvShape& shape, Index context, SimdLevel level = default_simd_level());

    bool remembers() const override { return false; }

    KvBytes bytes() const override;

private:
    void write_rows(Index layer,
                    const View<const float>& k,
                    const View<const float>& v) override;
    AttentionWork attend_rows(Index layer,
                              const View<const float>& q,
                              const View<float>& out,
                              ThreadPool& pool) override;
    std::unique_ptr<SteppedStore> copied() const override;

    SimdLevel level_;
    KvTiles tiles_;  // of the last layer that was appended
};

}  // namespace kvlab
