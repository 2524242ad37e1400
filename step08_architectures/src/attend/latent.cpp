#include <kvlab/architectures/latent.hpp>

#include <algorithm>
#include <cmath>
#include <vector>

#include <kvlab/tensor/numerics.hpp>
#include <kvlab/tensor/random.hpp>

namespace kvlab {

namespace {

float scale_of(const View<const float>& q) {
    return log2e_over(std::sqrt(static_cast<double>(q.dim(0))));
}

void check_latent(const LatentHead& head,
                  const View<const float>& q,
                  const View<const float>& c,
                  const View<const float>& k_r,
                  const View<float>& out) {
    check(head.k_up.rank() == 2 && c.rank() == 2 && k_r.rank() == 2,
          "latent attention: expected matrices k_up, c and k_r");
    const Index D = head.k_up.dim(0), r = head.k_up.dim(1), N = c.dim(0);
    check_shape(head.v_up, {D, r}, "latent attention: v_up");
    check_shape(c, {N, r}, "latent attention: c");
    check_shape(k_r, {N, k_r.dim(1)}, "latent attention: k_r");
    check_shape(q, {D + k_r.dim(1)}, "latent attention: q");
    check_shape(out, {D}, "latent attention: out");
    check(N > 0, "latent attention: a query must see at least one token");
}

}  // namespace

// ANCHOR: absorbed
void attend_absorbed(const LatentHead& head,
                     const View<const float>& q,
                     const View<const float>& c,
                     const View<const float>& k_r,
                     const View<float>& out) {
    check_latent(head, q, c, k_r, out);
    const Index D = head.k_up.dim(0), r = head.k_up.dim(1), dr = k_r.dim(1), N = c.dim(0);
    const float scale = scale_of(q);
    std::vector<float> query, scores, weights(usize(N)), mean, key(usize(r + dr));
    for (Index i = 0; i < r; ++i)
        query.push_back(dot(&q(0), q.stride(0), &head.k_up(0, i), head.k_up.stride(0), D) *
                        scale);
    for (Index i = 0; i < dr; ++i) query.push_back(q(D + i) * scale);
    for (Index s = 0; s < N; ++s) {
        for (Index i = 0; i < r; ++i) at(key, i) = c(s, i);
        for (Index i = 0; i < dr; ++i) at(key, r + i) = k_r(s, i);
        scores.push_back(dot(query.data(), key.data(), r + dr));
    }
    const float total = softmax_weights(scores, weights);
    for (Index i = 0; i < r; ++i)
        mean.push_back(dot(weights.data(), 1, &c(0, i), c.stride(0), N) / total);
    for (Index i = 0; i < D; ++i)
        out(i) = dot(&head.v_up(i, 0), head.v_up.stride(1), mean.data(), 1, r);
}

// ANCHOR_END: absorbed

// ANCHOR: expanded
void attend_expanded(const LatentHead& head,
                     const View<const float>& q,
                     const View<const float>& c,
                     const View<const float>& k_r,
                     const View<float>& out) {
    check_latent(head, q, c, k_r, out);
    const Index D = head.k_up.dim(0), r = head.k_up.dim(1), dr = k_r.dim(1), N = c.dim(0);
    const auto times = [&](const View<const float>& up, Index i, Index s) {
        return dot(&up(i, 0), up.stride(1), &c(s, 0), c.stride(1), r);
    };
    std::vector<float> query, scores, weights(usize(N)), key(usize(D + dr)), values(usize(N));
    for (Index i = 0; i < D + dr; ++i) query.push_back(q(i) * scale_of(q));
    for (Index s = 0; s < N; ++s) {
        for (Index i = 0; i < D; ++i) at(key, i) = times(head.k_up, i, s);
        for (Index i = 0; i < dr; ++i) at(key, D + i) = k_r(s, i);
        scores.push_back(dot(query.data(), key.data(), D + dr));
    }
    const float total = softmax_weights(scores, weights);
    for (Index i = 0; i < D; ++i) {
        for (Index s = 0; s < N; ++s) at(values, s) = times(head.v_up, i, s);
        out(i) = dot(weights.data(), values.data(), N) / total;
    }
}

// ANCHOR_END: expanded

OrderDifference compare_latent_orders(
    Index head_dim, Index rank, Index rope_rank, Index tokens, std::uint64_t seed) {
    check(head_dim > 0 && rank > 0 && rope_rank > 0 && tokens > 0,
          "latent attention: expected positive sizes, found ", head_dim, ", ", rank, ", ",
          rope_rank, " and ", tokens);
    Rng rng(seed);
    const auto drawn = [&](Index rows, Index columns, float deviation) {
        Tensor matrix({rows, columns});
        for (float& x : matrix.flat()) x = rng.normal() * deviation;
        return matrix;
    };
    const float small = 1.0f / std::sqrt(static_cast<float>(rank));
    const Tensor k_up = drawn(head_dim, rank, small), v_up = drawn(head_dim, rank, small),
                 c = drawn(tokens, rank, 1.0f), k_r = drawn(tokens, rope_rank, 1.0f),
                 q = drawn(tokens, head_dim + rope_rank, 1.0f);
    const LatentHead head{k_up.view(), v_up.view()};
    OrderDifference difference;
    Tensor absorbed({head_dim}), expanded({head_dim});
    for (Index t = 0; t < tokens; ++t) {
        const auto seen = c.view().slice(0, 0, t + 1), seen_r = k_r.view().slice(0, 0, t + 1);
        attend_absorbed(head, q.view()[t], seen, seen_r, absorbed.view());
        attend_expanded(head, q.view()[t], seen, seen_r, expanded.view());
        for (Index i = 0; i < head_dim; ++i) {
            ++difference.floats;
            difference.differ += absorbed(i) != expanded(i) ? 1 : 0;
            difference.largest =
                std::max(difference.largest, std::abs(absorbed(i) - expanded(i)));
            difference.size = std::max(difference.size, std::abs(absorbed(i)));
        }
    }
    return difference;
}

}  // namespace kvlab
