// allotment.hpp - chapter 5: one budget that several KV heads share. Heads differ: one looks at
// few tokens, another at many. AdaKV (Feng et al. 2024, 2407.11550, section 3) keeps the slots
// with the largest ratings of all heads of a layer, wherever they are, but a floor for each.
//
// The floor is kvpress's: the best floor(alpha m) slots of each head are safe, of a mean of m,
// and the others compete. The paper's algorithm 2 instead mixes what a head won with the mean.
// What the policy protects does not count: it is kept beside, as the window is in the paper.
#pragma once

#include <kvlab/policies/policy.hpp>

namespace kvlab {

// Shares the sum of `budgets`, of each at most the slots of its head, out again among these
// heads. Of equal ratings, the earlier tokens stay; of the same token's, the first head's.
// Throws Error unless 0 <= floor <= 1.
void allot_jointly(std::span<const RatedHead> heads,
                   double floor,
                   std::span<Index> budgets);  // [heads], at first what each would have had

// The same for the heads of each layer.
void allot_by_layer(std::span<const RatedHead> heads,  // [L * Hkv]
                    Index kv_heads,
                    double floor,
                    std::span<Index> budgets);

}  // namespace kvlab
