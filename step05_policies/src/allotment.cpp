// How heads share a budget.
#include <kvlab/policies/allotment.hpp>

#include <algorithm>

namespace kvlab {

namespace {

struct Candidate {
    float rating;
    std::int32_t position;
    Index head;

    bool stays_before(const Candidate& other) const {
        if (rating != other.rating) return rating > other.rating;
        return position != other.position ? position < other.position : head < other.head;
    }
};

// The slots of a head, those that stay first.
std::vector<Candidate> ranked(const RatedHead& head, Index number) {
    std::vector<Candidate> all;
    for (std::size_t s = 0; s < head.ratings.size(); ++s)
        all.push_back({head.ratings[s], head.slots.positions[s], number});
    std::sort(all.begin(), all.end(),
              [](const Candidate& a, const Candidate& b) { return a.stays_before(b); });
    return all;
}

// How many of its first slots a head keeps whatever the others have.
Index safe_slots(const std::vector<Candidate>& slots, double floor, Index budget) {
    const auto first_free = std::find_if(slots.begin(), slots.end(), [](const Candidate& slot) {
        return slot.rating != kProtected;
    });
    const Index beside = std::min<Index>(budget, first_free - slots.begin());
    return beside + static_cast<Index>(floor * static_cast<double>(budget - beside));
}

}  // namespace

// ANCHOR: allot_jointly
void allot_jointly(std::span<const RatedHead> heads, double floor, std::span<Index> budgets) {
    check(floor >= 0 && floor <= 1, "allot: a floor of ", floor);
    Index left = 0;
    std::vector<Candidate> rivals;
    for (std::size_t h = 0; h < heads.size(); ++h) {
        const auto slots = ranked(heads[h], static_cast<Index>(h));
        const Index own = std::min(budgets[h], std::ssize(slots));
        budgets[h] = safe_slots(slots, floor, own);
        left += own - budgets[h];
        rivals.insert(rivals.end(), slots.begin() + budgets[h], slots.end());
    }
    std::nth_element(rivals.begin(), rivals.begin() + left, rivals.end(),
                     [](const Candidate& a, const Candidate& b) { return a.stays_before(b); });
    for (Index i = 0; i < left; ++i) ++at(budgets, at(rivals, i).head);
}

// ANCHOR_END: allot_jointly

void allot_by_layer(std::span<const RatedHead> heads,
                    Index kv_heads,
                    double floor,
                    std::span<Index> budgets) {
    const auto count = usize(kv_heads);
    for (std::size_t first = 0; first < heads.size(); first += count)
        allot_jointly(heads.subspan(first, count), floor, budgets.subspan(first, count));
}

}  // namespace kvlab
