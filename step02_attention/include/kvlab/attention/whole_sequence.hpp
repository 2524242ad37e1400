// whole_sequence.hpp - chapter 2: attention WITHOUT a cache. Every step must bring the whole
// text.
#pragma once

#include <kvlab/attention/kv_store.hpp>
#include <kvlab/attention/kv_tiles.hpp>
#include <kvlab/tensor/simd_level.hpp>

namespace kvlab {

// Remembers nothing between steps: next_position() stays 0, so each step starts the text again.
// One layer's keys and values exist at a time, in scratch memory of `context` slots.
class WholeSequence final : public KvStore {
public:
    // Throws Error for a shape or a context that cannot be.
    WholeSequence(const KvShape& shape, Index context, SimdLevel level = default_simd_level());

    const KvShape& shape() const override { return shape_; }

    Index next_position() const override { return 0; }

    Index room() const override { return context_; }

    bool remembers() const override { return false; }

    void begin(Index T) override;
    void append(Index layer, const View<const float>& k, const View<const float>& v) override;
    AttentionWork attend(Index layer,
                         const View<const float>& q,
                         const View<float>& out,
                         ThreadPool& pool) override;

    void commit() override { T_ = 0; }

    void truncate(Index length) override;
    std::unique_ptr<KvStore> fork() const override;
    KvBytes bytes() const override;

private:
    // Fixed at construction.
    KvShape shape_;
    Index context_;
    SimdLevel level_;
    // Of the current step and layer.
    Index T_ = 0, layer_ = -1;
    KvTiles tiles_;
};

}  // namespace kvlab
