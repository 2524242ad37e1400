#include <kvlab/kvcache/split_store.hpp>

#include <algorithm>
#include <limits>
#include <vector>

#include <kvlab/attention/attention.hpp>
#include <kvlab/tensor/numerics.hpp>

namespace kvlab {

// ANCHOR: in_pieces
void attention_in_pieces(const View<const float>& q,
                         const View<const float>& k,
                         const View<const float>& v,
                         Index piece,
                         const View<float>& out) {
    check(piece >= 1, "attention in pieces: a piece of ", piece, " slots");
    const Index D = q.dim(0), S = k.dim(0);
    float maximum = -std::numeric_limits<float>::infinity(), total = 0.0f;
    std::vector<float> scores, weights, sums(usize(D), 0.0f);
    for (Index begin = 0; begin < S; begin += piece) {
        const Index n = std::min(piece, S - begin);
        scores.resize(usize(n));
        weights.resize(scores.size());
        float own = -std::numeric_limits<float>::infinity();
        for (Index s = 0; s < n; ++s) {
            const float score = dot(&q(0), q.stride(0), &k(begin + s, 0), k.stride(1), D);
            at(scores, s) = score;
            own = std::max(own, exp2_parts(score).n);
        }
        const float weight = softmax_weights(scores, weights);  // relative to `own`
        // Whole powers of two: rescaling is exact, so that only the order of sums differs.
        const float most = std::max(maximum, own);
        const float before = begin == 0 ? 0.0f : pow2(maximum - most), now = pow2(own - most);
        for (Index i = 0; i < D; ++i) {
            const float sum = dot(weights.data(), 1, &v(begin, i), v.stride(0), n);
            float& so_far = at(sums, i);
            so_far = begin == 0 ? sum : so_far * before + sum * now;
        }
        total = begin == 0 ? weight : total * before + weight * now;
        maximum = most;
    }
    for (Index i = 0; i < D; ++i) out(i) = at(sums, i) / total;
}

// ANCHOR_END: in_pieces

void SplitStore::attend_one(const View<const float>& q,
                            const View<const float>& k,
                            const View<const float>& v,
                            const View<float>& out) const {
    attention_in_pieces(q, k, v, pending() == 1 ? kPiece : k.dim(0), out);
}

std::unique_ptr<SteppedStore> SplitStore::copied() const {
    auto copy = std::make_unique<SplitStore>(shape(), capacity(), remembers_);
    copy->take_rows(*this);
    return copy;
}

}  // namespace kvlab
