#include <kvlab/attention/whole_sequence.hpp>

#include <kvlab/attention/attention.hpp>

namespace kvlab {

WholeSequence::WholeSequence(const KvShape& shape, Index context, SimdLevel level)
    : shape_((check_kv_shape("no cache", shape), shape)),
      context_(context),
      level_(level),
      tiles_(context, shape.kv_heads, shape.head_dim) {}

void WholeSequence::begin(Index T) {
    check(T >= 1 && T <= context_, "no cache: a step of ", T,
          " tokens does not fit the context of ", context_);
    T_ = T;
    layer_ = -1;
}

// ANCHOR: no_cache
void WholeSequence::append(Index layer,
                           const View<const float>& k,
                           const View<const float>& v) {
    check(k.rank() == 3 && k.dim(0) == T_, "no cache: a step of ", T_, " tokens, found ",
          k.shape());
    check(layer >= 0 && layer < shape_.layers, "no cache: no layer ", layer);
    tiles_.write(0, k, v);
    layer_ = layer;
}

AttentionWork WholeSequence::attend(Index layer,
                                    const View<const float>& q,
                                    const View<float>& out,
                                    ThreadPool& pool) {
    check_attend("no cache", shape_, T_, layer == layer_ ? layer + 1 : 0, layer, q, out);
    return attend_tiles(level_, pool, q, tiles_, 0, out);
}

// ANCHOR_END: no_cache

void WholeSequence::truncate(Index length) {
    check(length == 0, "no cache: cannot keep ", length, " tokens");
    T_ = 0;
}

std::unique_ptr<KvStore> WholeSequence::fork() const {
    return std::make_unique<WholeSequence>(shape_, context_, level_);
}

KvBytes WholeSequence::bytes() const {
    return {0, tiles_.allocated_bytes()};
}

}  // namespace kvlab
