#include <kvlab/policies/retention.hpp>

#include <algorithm>
#include <numeric>

namespace kvlab {

double retained_mass(std::span<const float> shares, std::span<const Index> kept) {
    const auto query = std::ssize(shares) - 1;
    check(query >= 0 && (kept.empty() || (kept.front() >= 0 && kept.back() < query)),
          "retained mass: positions kept must lie before the query at ", query);
    double all = 0, held = 0;
    for (const float share : shares) all += static_cast<double>(share);
    for (const Index position : kept) held += static_cast<double>(at(shares, position));
    held += static_cast<double>(shares.back());
    return held / all;
}

double overlap(std::span<const Index> a, std::span<const Index> b) {
    if (a.empty() && b.empty()) return 1;
    std::vector<Index> both;
    std::set_intersection(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(both));
    return static_cast<double>(both.size()) /
           static_cast<double>(a.size() + b.size() - both.size());
}

std::vector<Index> most_wanted(
    const FutureShares& future, Index layer, Index kv_head, Index next, Index count) {
    check(count >= 0 && count <= next, "most wanted: ", count, " of ", next, " positions");
    std::vector<float> shares;
    for (Index p = 0; p < next; ++p) shares.push_back(future.share(layer, kv_head, p, next));
    std::vector<Index> positions(usize(next));
    std::iota(positions.begin(), positions.end(), Index{0});
    std::nth_element(positions.begin(), positions.begin() + count, positions.end(),
                     [&](Index a, Index b) {
                         const float x = at(shares, a), y = at(shares, b);
                         return x != y ? x > y : a < b;
                     });
    positions.resize(usize(count));
    std::sort(positions.begin(), positions.end());
    return positions;
}

void Retention::add(const FutureShares& future, const PolicyStore& store) {
    const KvShape& shape = store.shape();
    const Index next = store.next_position();
    for (Index layer = 0; layer < shape.layers; ++layer)
        for (Index h = 0; h < shape.kv_heads; ++h) {
            const std::vector<Index> kept = store.kept(layer, h);
            mass += retained_mass(future.given(layer, h, next), kept);
            overlap +=
                kvlab::overlap(kept, most_wanted(future, layer, h, next, std::ssize(kept)));
            ++samples;
        }
}

}  // namespace kvlab
