#include <kvlab/policies/victims.hpp>

#include <algorithm>

#include <kvlab/policies/policy.hpp>

namespace kvlab {

namespace {

// In sixteen chains side by side: one alone waits for each comparison.
float lowest_rating(std::span<const float> ratings) {
    constexpr Index kChains = 16;
    const Index n = std::ssize(ratings);
    float lowest[kChains];
    std::fill_n(lowest, kChains, kProtected);
    Index s = 0;
    for (; s + kChains <= n; s += kChains)
        for (Index c = 0; c < kChains; ++c)
            lowest[c] = at(ratings, s + c) < lowest[c] ? at(ratings, s + c) : lowest[c];
    for (; s < n; ++s) lowest[0] = std::min(lowest[0], at(ratings, s));
    return *std::min_element(lowest, lowest + kChains);
}

// The one victim of every token that is decoded: nothing is sorted for it.
Index only_victim(std::span<const float> ratings, std::span<const std::int32_t> positions) {
    const float lowest = lowest_rating(ratings);
    Index victim = -1;
    for (Index s = 0; s < std::ssize(ratings); ++s)
        if (at(ratings, s) == lowest &&
            (victim < 0 || at(positions, s) > at(positions, victim)))
            victim = s;
    return victim;
}

}  // namespace

// ANCHOR: victims
void choose_victims(std::span<const float> ratings,
                    std::span<const std::int32_t> positions,
                    Index count,
                    std::vector<Index>& victims) {
    const Index slots = std::ssize(ratings);
    check(std::ssize(positions) == slots && count >= 1 && count <= slots, "victims: ", count,
          " of ", slots, " slots, with ", positions.size(), " positions");
    victims.clear();
    if (count == 1) {
        victims.push_back(only_victim(ratings, positions));
        return;
    }
    // SOLUTION-BEGIN 5.4
    const auto goes_before = [&](Index a, Index b) {
        const float x = at(ratings, a), y = at(ratings, b);
        return x != y ? x < y : at(positions, a) > at(positions, b);
    };
    for (Index s = 0; s < slots; ++s) victims.push_back(s);
    std::nth_element(victims.begin(), victims.begin() + (count - 1), victims.end(),
                     goes_before);
    victims.resize(usize(count));
    std::sort(victims.begin(), victims.end());
    // SOLUTION-END 5.4
}

// ANCHOR_END: victims

// ANCHOR: holes
void fill_holes(std::span<const Index> victims, Index slots, std::vector<SlotMove>& moves) {
    moves.clear();
    // SOLUTION-BEGIN 5.5
    const Index left = slots - std::ssize(victims);
    std::size_t next = 0;
    while (next < victims.size() && victims[next] < left) ++next;
    std::size_t hole = 0;
    for (Index s = left; s < slots; ++s)
        if (next < victims.size() && victims[next] == s)
            ++next;
        else
            moves.push_back({s, victims[hole++]});
    // SOLUTION-END 5.5
}

// ANCHOR_END: holes

}  // namespace kvlab
