#include <kvlab/attention/whole_sequence.hpp>

#include <kvlab/attention/attention.hpp>

namespace kvlab {

WholeSequence::WholeSequence(const KvShape& shape, Index context, SimdLevel level)
    : SteppedStore("no cache", shape, context),
      level_(level),
      tiles_(context, shape.kv_heads, shape.head_dim) {}

// ANCHOR: no_cache
void WholeSequence::write_rows(Index, const View<const float>& k, const View<const float>& v) {
    tiles_.write(0, k, v);  // over those of the layer before
}

AttentionWork WholeSequence::attend_rows(Index layer,
                                         const View<const float>& q,
                                         const View<float>& out,
                                         ThreadPool& pool) {
    check(layer == appended() - 1, name(), ": the rows of layer ", layer, " are gone");
    return attend_tiles(level_, pool, q, tiles_, 0, out);
}

// ANCHOR_END: no_cache

std::unique_ptr<SteppedStore> WholeSequence::copied() const {
    return std::make_unique<WholeSequence>(shape(), capacity(), level_);
}

KvBytes WholeSequence::bytes() const {
    return {0, tiles_.allocated_bytes()};
}

}  // namespace kvlab
