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
    for (Layer& layer : layers_) {
        layer.held += pending();
        std::swap(layer.state, layer.next);
    }
    if (policy_->once() && (done_ || !ends_prompt())) return;
    done_ = true;
    for (Index layer = 0; layer < shape().layers; ++layer) {
        Layer& l = at(layers_, layer);
        evict(l, layer, policy_->keep(layer, seen));
        const Index slots = steady_slots(l, layer);
        if (l.slots() - slots >= kTile) resize(l, slots);
    }
}

// ANCHOR_END: commit

// ANCHOR: evict
void SlotCache::evict(Layer& layer, Index index, Index keep) {
    if (layer.held <= keep) return;
    evicted_ = true;
    for (Index h = 0; h < shape().kv_heads; ++h) {
        const HeadSlots head = head_slots(layer, index, h, layer.held, layer.state);
        ratings_.resize(std::max(ratings_.size(), usize(layer.slots())));
        const std::span<float> ratings = std::span(ratings_).first(usize(layer.held));
        policy_->rate(head, ratings);
        choose_victims(ratings, head.positions, layer.held - keep, victims_);
        if (!layer.ranks.empty()) update_ranks(layer, h);
        fill_holes(victims_, layer.held, moves_);
        for (const auto& [from, to] : moves_) move_slot(layer, h, from, to);
    }
    layer.held = keep;
}

// ANCHOR_END: evict

void SlotCache::move_slot(Layer& layer, Index kv_head, Index from, Index to) {
    layer.rows->copy_slot(kv_head, from, to);
    const auto move_in = [&](auto& numbers, Index row) {
        auto* const first = numbers.data() + row * layer.slots();
        first[to] = first[from];
    };
    move_in(layer.positions, kv_head);
    if (!layer.ranks.empty()) move_in(layer.ranks, kv_head);
    for (Index r = 0; r < policy_->state_rows(); ++r)
        move_in(layer.state, kv_head * policy_->state_rows() + r);
}

// A slot's rank is the number of slots held with lower positions.
void SlotCache::update_ranks(Layer& layer, Index kv_head) {
    std::int32_t* const ranks = layer.ranks.data() + kv_head * layer.slots();
    if (victims_.size() == 1) {
        const std::int32_t gone = ranks[victims_[0]];
        for (Index s = 0; s < layer.held; ++s) ranks[s] -= ranks[s] > gone ? 1 : 0;
        return;
    }
    // By their old ranks; then those that stay are counted.
    by_position_.assign(usize(layer.held), 0);
    for (Index s = 0; s < layer.held; ++s) at(by_position_, ranks[s]) = s;
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
    for (Layer& layer : layers_) layer.held = to;  // nothing was evicted: slot = position
    if (to == 0) evicted_ = done_ = false;
    prompt_ = std::min(prompt_, to);
}

std::unique_ptr<SteppedStore> SlotCache::copied() const {
    return std::unique_ptr<SlotCache>(new SlotCache(*this, std::ssize(layers_)));
}

SlotCache::SlotCache(const SlotCache& other, Index layers)
    : PolicyStore("slot cache", other.shape(), other.capacity()),
      policy_(other.policy_),
      options_(other.options_),
      attention_(other.attention_),
      prompt_(other.prompt_),
      evicted_(other.evicted_),
      done_(other.done_),
      layers_(usize(layers)) {
    for (Index layer = 0; layer < layers; ++layer) {
        const Layer& from = at(other.layers_, layer);
        Layer& to = at(layers_, layer);
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
    for (const Layer& layer : layers_) {
        const Index numbers = layer.ranks.empty() ? 1 : 2;  // position, rank
        const Index beside = numbers * Index{sizeof(std::int32_t)} +
                             policy_->state_rows() * Index{sizeof(float)};
        bytes.logical +=
            layer.rows->held_bytes(layer.held) + shape().kv_heads * layer.held * beside;
        bytes.allocated += layer.rows->allocated_bytes() + size_of(layer.positions) +
                           size_of(layer.ranks) + size_of(layer.state) + size_of(layer.next);
    }
    return bytes;
}

// ANCHOR_END: bytes

std::span<const std::int32_t> SlotCache::slot_positions(Index layer, Index kv_head) const {
    check_head(layer, kv_head);
    const Layer& l = at(layers_, layer);
    return span_of(l.positions.data() + kv_head * l.slots(), l.held);
}

std::span<const float> SlotCache::state(Index layer, Index kv_head, Index row) const {
    check(row >= 0 && row < policy_->state_rows(), "slot cache: there is no row ", row);
    check_head(layer, kv_head);
    const Layer& l = at(layers_, layer);
    return span_of(l.state.data() + (kv_head * policy_->state_rows() + row) * l.slots(),
                   l.held);
}

std::vector<Index> SlotCache::kept(Index layer, Index kv_head) const {
    const std::span<const std::int32_t> slots = slot_positions(layer, kv_head);
    std::vector<Index> positions(slots.begin(), slots.end());
    std::sort(positions.begin(), positions.end());
    return positions;
}

}  // namespace kvlab
