// retention.hpp - chapter 5: what was kept, judged by the attention of the run
// that kept everything.
#pragma once

#include <span>
#include <vector>

#include <kvlab/policies/future_shares.hpp>
#include <kvlab/policies/policy_store.hpp>

namespace kvlab {

// How much of a query's attention, with everything kept, goes to positions that are still
// there: to `kept` (ascending, below the query) and to the query's own. Exactly 1 if all are:
// then both sums have the same terms in the same order.
double retained_mass(std::span<const float> shares,  // [query + 1]
                     std::span<const Index> kept);

// Size of the intersection over size of the union (Jaccard) of two ascending sets. 1 for two
// empty ones.
double overlap(std::span<const Index> a, std::span<const Index> b);

// The `count` positions below `next` that later queries look at most, ascending; of equal ones
// the earlier. What the oracle keeps after a prompt of `next` tokens.
std::vector<Index> most_wanted(
    const FutureShares& future, Index layer, Index kv_head, Index next, Index count);

// Means over layers, KV heads and queries.
struct Retention {
    Index samples = 0;
    double mass = 0, overlap = 0;  // sums

    // Before the query at store.next_position() comes.
    void add(const FutureShares& future, const PolicyStore& store);

    double mean_mass() const { return mass / static_cast<double>(samples); }

    double mean_overlap() const { return overlap / static_cast<double>(samples); }
};

}  // namespace kvlab
