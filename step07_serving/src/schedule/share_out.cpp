#include <kvlab/serving/share_out.hpp>

#include <algorithm>

namespace kvlab {

// ANCHOR: share_out
void share_out(std::span<const Index> unseen,
               Index budget,
               bool chunked,
               std::vector<Index>& shares) {
    // SOLUTION-BEGIN 7.4
    shares.assign(unseen.size(), 0);
    for (std::size_t i = 0; i < unseen.size() && budget > 0; ++i)
        if (unseen[i] == 1) {
            shares[i] = 1;
            --budget;
        }
    bool first = true;
    for (std::size_t i = 0; i < unseen.size(); ++i) {
        if (unseen[i] <= 1) continue;
        if (chunked)
            shares[i] = std::min(unseen[i], budget);
        else if (first || unseen[i] <= budget)
            shares[i] = unseen[i];
        budget = std::max<Index>(0, budget - shares[i]);
        first = false;
    }
    // SOLUTION-END 7.4
}

// ANCHOR_END: share_out

}  // namespace kvlab
