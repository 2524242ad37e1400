// How a SlotCache forgets: which slots go, what fills their places, and going back.
#include <algorithm>

#include <kvlab/policies/slot_cache.hpp>

namespace kvlab {

bool SlotCache::ends_prompt() const {
    return length() + pending() >= options_.prompt;  // 0: after the first step
}

// ANCHOR: commit
void SlotCache::closed() {
    const Index seen = length() + pending();
    if (prompt_ == 0) prompt_ = seen;
    for (Part& part : parts_) {
        part.held += pending();
        std::swap(part.state, part.next);
    }
    if (waits() && !ends_prompt()) return;
    if (policy_->once() && done_) return;
    if (policy_->allots() && !done_)
        allot(seen);
    else
        for (Part& part : parts_) evict(part, budget(part, seen));
    done_ = true;
    dropped_ = policy_->drops_state();
    for (Part& part : parts_) {
        if (dropped_) part.state = part.next = {};
        const Index slots = steady_slots(part);
        if (part.slots() - slots >= kTile) resize(part, slots);
    }
}

// ANCHOR_END: commit

// ANCHOR: evict
void SlotCache::evict(Part& part, Index keep) {
    if (part.held <= keep) return;
    for (Index h = 0; h < part.heads(); ++h) {
        ratings_.resize(std::max(ratings_.size(), usize(part.slots())));
        const std::span<float> ratings = std::span(ratings_).first(usize(part.held));
        policy_->rate(head_slots(part, h, part.held, part.state), ratings);
        forget(part, h, ratings, keep);
    }
    part.held = keep;
}

// One head's lowest slots go, and the last ones move into their places.
void SlotCache::forget(Part& part, Index head, std::span<const float> ratings, Index keep) {
    evicted_ = true;
    const auto positions =
        span_of<const std::int32_t>(part.positions.data() + head * part.slots(), part.held);
    choose_victims(ratings, positions, part.held - keep, victims_);
    if (!part.ranks.empty()) update_ranks(part, head);
    fill_holes(victims_, part.held, moves_);
    for (const auto& [from, to] : moves_) move_slot(part, head, from, to);
}

// ANCHOR_END: evict

// ANCHOR: allot
// Every head is rated before anything goes: what one keeps depends on the others. A part is one
// head here.
void SlotCache::allot(Index seen) {
    std::vector<std::vector<float>> ratings;
    std::vector<RatedHead> heads;
    std::vector<Index> budgets;
    for (Part& part : parts_) {
        const HeadSlots head = head_slots(part, 0, part.held, part.state);
        policy_->rate(head, ratings.emplace_back(usize(part.held)));
        heads.push_back({head, {}});
        budgets.push_back(policy_->keep(part.layer, seen));
    }
    for (std::size_t i = 0; i < heads.size(); ++i) heads[i].ratings = ratings[i];
    policy_->allot(heads, budgets);
    for (std::size_t i = 0; i < heads.size(); ++i) {
        Part& part = parts_[i];
        part.budget = budgets[i];
        check(part.budget >= 0, "slot cache: a budget of ", part.budget, " slots");
        if (part.held <= part.budget) continue;
        forget(part, 0, ratings[i], part.budget);
        part.held = part.budget;
    }
}

// ANCHOR_END: allot

void SlotCache::move_slot(Part& part, Index head, Index from, Index to) {
    part.rows->copy_slot(head, from, to);
    const auto move_in = [&](auto& numbers, Index row) {
        auto* const first = numbers.data() + row * part.slots();
        first[to] = first[from];
    };
    move_in(part.positions, head);
    if (!part.ranks.empty()) move_in(part.ranks, head);
    const Index rows = state_rows();
    for (Index r = 0; r < rows; ++r) move_in(part.state, head * rows + r);
}

// A slot's rank is the number of slots held with lower positions.
void SlotCache::update_ranks(Part& part, Index head) {
    std::int32_t* const ranks = part.ranks.data() + head * part.slots();
    if (victims_.size() == 1) {
        const std::int32_t gone = ranks[victims_[0]];
        for (Index s = 0; s < part.held; ++s) ranks[s] -= ranks[s] > gone ? 1 : 0;
        return;
    }
    // By their old ranks; then those that stay are counted.
    by_position_.assign(usize(part.held), 0);
    for (Index s = 0; s < part.held; ++s) at(by_position_, ranks[s]) = s;
    std::int32_t rank = 0;
    for (const Index s : by_position_)
        if (!std::binary_search(victims_.begin(), victims_.end(), s)) ranks[s] = rank++;
}

void SlotCache::check_truncate(Index to) const {
    check(to == 0 || to == length() || (!evicted_ && policy_->observed() == 0),
          "slot cache: cannot truncate ", length(), " tokens to ", to,
          ": what was evicted or observed since then cannot be taken back");
}

void SlotCache::dropped(Index to) noexcept {
    if (to == length()) return;
    for (Part& part : parts_) part.held = to;  // nothing was evicted: slot = position
    if (to == 0) evicted_ = done_ = dropped_ = false;
    prompt_ = std::min(prompt_, to);
}

std::unique_ptr<SteppedStore> SlotCache::copied() const {
    return std::unique_ptr<SlotCache>(new SlotCache(*this, std::ssize(parts_)));
}

SlotCache::SlotCache(const SlotCache& other, Index parts)
    : PolicyStore("slot cache", other.shape(), other.capacity()),
      policy_(other.policy_),
      options_(other.options_),
      attention_(other.attention_),
      prompt_(other.prompt_),
      evicted_(other.evicted_),
      done_(other.done_),
      dropped_(other.dropped_),
      parts_(usize(parts)) {
    for (Index i = 0; i < parts; ++i) {
        const Part& from = at(other.parts_, i);
        Part& to = at(parts_, i);
        to.layer = from.layer;
        to.first_head = from.first_head;
        to.budget = from.budget;
        to.rows = from.rows->make(from.slots());
        to.rows->copy_from(*from.rows, from.held);
        to.held = from.held;
        to.positions = from.positions;
        to.ranks = from.ranks;
        to.state = from.state;
        to.next = from.next;
    }
}

// ANCHOR: bytes
KvBytes SlotCache::bytes() const {
    KvBytes bytes;
    const auto size_of = [](const auto& numbers) {
        return static_cast<Index>(numbers.size() * sizeof(numbers[0]));
    };
    for (const Part& part : parts_) {
        const Index numbers = part.ranks.empty() ? 1 : 2;  // position, rank
        const Index beside =
            numbers * Index{sizeof(std::int32_t)} + state_rows() * Index{sizeof(float)};
        bytes.logical += part.rows->held_bytes(part.held) + part.heads() * part.held * beside;
        bytes.allocated += part.rows->allocated_bytes() + size_of(part.positions) +
                           size_of(part.ranks) + size_of(part.state) + size_of(part.next);
    }
    return bytes;
}

// ANCHOR_END: bytes

Index SlotCache::held(Index layer, Index kv_head) const {
    check_head(layer, kv_head);
    return part_of(layer, kv_head).held;
}

std::span<const std::int32_t> SlotCache::slot_positions(Index layer, Index kv_head) const {
    check_head(layer, kv_head);
    const Part& part = part_of(layer, kv_head);
    return span_of(part.positions.data() + (kv_head - part.first_head) * part.slots(),
                   part.held);
}

std::span<const float> SlotCache::state(Index layer, Index kv_head, Index row) const {
    check(row >= 0 && row < state_rows(), "slot cache: there is no row ", row);
    check_head(layer, kv_head);
    const Part& part = part_of(layer, kv_head);
    const Index rows_before = (kv_head - part.first_head) * state_rows();
    return span_of(part.state.data() + (rows_before + row) * part.slots(), part.held);
}

std::vector<Index> SlotCache::kept(Index layer, Index kv_head) const {
    const std::span<const std::int32_t> slots = slot_positions(layer, kv_head);
    std::vector<Index> positions(slots.begin(), slots.end());
    std::sort(positions.begin(), positions.end());
    return positions;
}

}  // namespace kvlab
