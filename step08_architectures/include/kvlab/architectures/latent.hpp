// latent.hpp - chapter 8: the two orders of latent attention's sums, of one head.
//
// A token leaves c [r] and k_r [dr] behind. A head's key is (K c, k_r), its value is V c, and
//   expanded   scores (q_n, q_r) . (K c, k_r), mean of V c     keys and values of every token
//   absorbed   scores (K^T q_n, q_r) . (c, k_r), V (mean of c) K and V once per query
// are the same numbers on paper. In floats they are not: sums are taken in another order. The
// contract's order is the absorbed one, for prompts as well, so that a text has one set of bits
// however it is cut.
#pragma once

#include <cstdint>

#include <kvlab/tensor/tensor.hpp>

namespace kvlab {

struct LatentHead {
    View<const float> k_up;  // K [D, r]
    View<const float> v_up;  // V [D, r]
};

// A query (q_n [D], q_r [dr] after RoPE, neither scaled) over the tokens c [N, r], k_r [N, dr].
// The definition (contract): as the mixer "mla" has it.
void attend_absorbed(const LatentHead& head,
                     const View<const float>& q,  // [D + dr]
                     const View<const float>& c,
                     const View<const float>& k_r,
                     const View<float>& out);  // [D]
void attend_expanded(const LatentHead& head,
                     const View<const float>& q,
                     const View<const float>& c,
                     const View<const float>& k_r,
                     const View<float>& out);

// What the other order does to the bits.
struct OrderDifference {
    Index floats = 0;      // compared
    Index differ = 0;      // of them, in at least one bit
    float largest = 0.0f;  // difference
    float size = 0.0f;     // the largest number among the outputs
};

// Of `tokens` outputs of one head, each over the tokens up to itself, with drawn numbers.
OrderDifference compare_latent_orders(
    Index head_dim, Index rank, Index rope_rank, Index tokens, std::uint64_t seed);

}  // namespace kvlab
