#include <kvlab/kvcache/split_store.hpp>

#include <algorithm>
#include <limits>

#include <kvlab/attention/attention.hpp>
#include <kvlab/tensor/numerics.hpp>

namespace kvlab {

SplitStore::SplitStore(const KvShape& shape, Index capacity, bool remembers)
    : shape_(shape), capacity_(capacity), remembers_(remembers) {
    check(capacity > 0, "split store: room for ", capacity, " tokens");
    keys_ = Tensor({shape.layers, capacity, shape.kv_heads, shape.head_dim});
    values_ = Tensor({shape.layers, capacity, shape.kv_heads, shape.head_dim});
}

void SplitStore::begin(Index T) {
    check(T >= 1 && T <= room(), "split store: a step of ", T, " tokens, room for ", room());
    pending_ = T;
}

void SplitStore::append(Index layer, const View<const float>& k, const View<const float>& v) {
    check_shape(k, {pending_, shape_.kv_heads, shape_.head_dim}, "split store: k");
    check_shape(v, k.shape(), "split store: v");
    for (Index t = 0; t < pending_; ++t)
        for (Index h = 0; h < shape_.kv_heads; ++h)
            for (Index i = 0; i < shape_.head_dim; ++i) {
                keys_(layer, length_ + t, h, i) = k(t, h, i);
                values_(layer, length_ + t, h, i) = v(t, h, i);
            }
}

// ANCHOR: in_pieces
void attention_in_pieces(const View<const float>& q,
                         const View<const float>& k,
                         const View<const float>& v,
                         Index piece,
                         const View<float>& out) {
    const Index D = q.dim(0), S = k.dim(0);
    float maximum = -std::numeric_limits<float>::infinity(), total = 0.0f;
    std::vector<float> scores, weights, sums(static_cast<std::size_t>(D), 0.0f);
    for (Index begin = 0; begin < S; begin += piece) {
        const Index n = std::min(piece, S - begin);
        scores.resize(static_cast<std::size_t>(n));
        weights.resize(scores.size());
        float own = -std::numeric_limits<float>::infinity();
        for (Index s = 0; s < n; ++s) {
            const float score = dot(&q(0), q.stride(0), &k(begin + s, 0), k.stride(1), D);
            scores[static_cast<std::size_t>(s)] = score;
            own = std::max(own, exp2_parts(score).n);
        }
        const float weight = softmax_weights(scores, weights);  // relative to `own`
        // Whole powers of two: rescaling is exact, so that only the order of sums differs.
        const float most = std::max(maximum, own);
        const float before = begin == 0 ? 0.0f : pow2(maximum - most), now = pow2(own - most);
        for (Index i = 0; i < D; ++i) {
            const float sum = dot(weights.data(), 1, &v(begin, i), v.stride(0), n);
            float& so_far = sums[static_cast<std::size_t>(i)];
            so_far = begin == 0 ? sum : so_far * before + sum * now;
        }
        total = begin == 0 ? weight : total * before + weight * now;
        maximum = most;
    }
    for (Index i = 0; i < D; ++i) out(i) = sums[static_cast<std::size_t>(i)] / total;
}

// ANCHOR_END: in_pieces

AttentionWork SplitStore::attend(Index layer,
                                 const View<const float>& q,
                                 const View<float>& out,
                                 ThreadPool&) {
    const Index group = shape_.heads / shape_.kv_heads;
    const View<const float> keys = keys_.view()[layer], values = values_.view()[layer];
    AttentionWork work;
    for (Index t = 0; t < pending_; ++t)
        for (Index h = 0; h < shape_.heads; ++h) {
            const Index S = length_ + t + 1;
            const View<const float> k = keys.slice(0, 0, S).transposed(0, 1)[h / group],
                                    v = values.slice(0, 0, S).transposed(0, 1)[h / group];
            attention_in_pieces(q[t][h], k, v, pending_ == 1 ? kPiece : S, out[t][h]);
            work.pairs += S;
        }
    const Index slot = 2 * shape_.kv_heads * shape_.head_dim * Index{sizeof(float)};
    work.bytes_read = (length_ + pending_) * slot;
    work.bytes_written = pending_ * slot;
    return work;
}

void SplitStore::commit() {
    if (remembers_) length_ += pending_;
    pending_ = 0;
}

void SplitStore::truncate(Index length) {
    check(length >= 0 && length <= length_, "split store: cannot truncate ", length_, " to ",
          length);
    length_ = length;
}

std::unique_ptr<KvStore> SplitStore::fork() const {
    auto copy = std::make_unique<SplitStore>(shape_, capacity_, remembers_);
    copy->length_ = length_;
    std::copy(keys_.flat().begin(), keys_.flat().end(), copy->keys_.flat().begin());
    std::copy(values_.flat().begin(), values_.flat().end(), copy->values_.flat().begin());
    return copy;
}

KvBytes SplitStore::bytes() const {
    return {
        length_ * 2 * shape_.layers * shape_.kv_heads * shape_.head_dim * Index{sizeof(float)},
        (keys_.size() + values_.size()) * Index{sizeof(float)}};
}

}  // namespace kvlab
