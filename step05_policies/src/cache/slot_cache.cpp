// The steps of a SlotCache: rows in, and their place. Attention, and what policies see of it,
// is in slot_attention.cpp; what goes, and how slots move then, in slot_eviction.cpp.
#include <kvlab/policies/slot_cache.hpp>

#include <algorithm>

namespace kvlab {

namespace {

// Ratings are floats, and a position has to be one exactly.
constexpr Index kMostPositions = Index{1} << 24;

// The slots that a cache of so many has: positions that are counted in it end with the angles.
Index slots_for(Index capacity, PositionScheme scheme, const RopeTable* rope) {
    check(capacity > 0 && capacity <= kMostPositions, "slot cache: capacity: expected 1 to ",
          kMostPositions, ", found ", capacity);
    if (scheme == PositionScheme::absolute) return capacity;
    check(rope != nullptr && rope->positions() > 0,
          "slot cache: relative positions need a model with RoPE");
    return std::min(capacity, rope->positions());
}

// Null if keys are kept after RoPE.
const RopeTable* rope_for(const KvShape& shape,
                          const SlotCacheOptions& options,
                          const RopeTable* rope) {
    check(options.make_rows != nullptr, "slot cache: no rows");
    check_kv_shape("slot cache", shape);
    const auto rows = options.make_rows({0, 1, shape.kv_heads, shape.head_dim});
    rows->check_movable();
    if (options.scheme == PositionScheme::relative) return rope;
    if (rows->key_form() == KeyForm::rotated) return nullptr;
    check(rope != nullptr, "slot cache: keys before RoPE need a model with RoPE");
    return rope;
}

std::shared_ptr<const Policy> given(std::shared_ptr<const Policy> policy) {
    check(policy != nullptr, "slot cache: no policy");
    return policy;
}

}  // namespace

SlotCache::SlotCache(const KvShape& shape,
                     Index capacity,
                     std::shared_ptr<const Policy> policy,
                     const SlotCacheOptions& options,
                     const RopeTable* rope,
                     SimdLevel level)
    : PolicyStore("slot cache", shape, slots_for(capacity, options.scheme, rope)),
      policy_(given(std::move(policy))),
      options_(options),
      attention_("slot cache", level, rope_for(shape, options, rope)),
      parts_(usize(shape.layers * parts_in_layer())) {
    check(options.prompt >= 0, "slot cache: a prompt of ", options.prompt, " tokens");
    check(!(policy_->per_layer() && policy_->allots()),
          "slot cache: one set for all heads of a layer, and budgets for each");
    for (Index i = 0; i < std::ssize(parts_); ++i) {
        Part& part = at(parts_, i);
        part.layer = i / parts_in_layer();
        part.first_head = i % parts_in_layer() * heads_of_part();
        check(policy_->keep(part.layer, 1) >= 1,
              "slot cache: the policy keeps nothing in layer ", part.layer);
        part.rows = options_.make_rows({part.layer, 1, heads_of_part(), shape.head_dim});
        check(part.heads() == heads_of_part(), "slot cache: rows of ", part.heads(),
              " KV heads, which cannot be kept apart");
        attention_.check_form(*part.rows);
        resize(part, steady_slots(part));
    }
}

std::span<SlotCache::Part> SlotCache::parts_of(Index layer) {
    const Index count = parts_in_layer();
    return std::span(parts_).subspan(usize(layer * count), usize(count));
}

const SlotCache::Part& SlotCache::part_of(Index layer, Index kv_head) const {
    return at(parts_, (layer * shape().kv_heads + kv_head) / heads_of_part());
}

// How many of `seen` tokens a head of this part keeps.
Index SlotCache::budget(const Part& part, Index seen) const {
    return policy_->allots() && done_ ? part.budget : policy_->keep(part.layer, seen);
}

// What a part needs when tokens come one by one from now on.
Index SlotCache::steady_slots(const Part& part) const {
    const bool all_stay = policy_->once() || (waits() && !done_);
    const Index more = all_stay ? part.held + capacity() - (length() + pending())
                                : std::min(budget(part, capacity()), capacity()) + 1;
    return std::clamp<Index>(more, 1, capacity());
}

// Keeps what is held. All tokens of a prompt lie here before they are evicted, so a step may
// need more room than is kept; what it took is given back when it ends.
void SlotCache::resize(Part& part, Index slots) {
    Part wide;
    wide.layer = part.layer;
    wide.first_head = part.first_head;
    wide.budget = part.budget;
    wide.rows = part.rows->make(slots);
    const Index total = checked_product("slot cache", {wide.heads(), wide.slots()});
    const Index state = checked_product("slot cache", {total, state_rows()});
    resize_list(wide.positions, total, "slot cache");
    if (options_.scheme == PositionScheme::relative)
        resize_list(wide.ranks, total, "slot cache");
    resize_list(wide.state, state, "slot cache");
    resize_list(wide.next, state, "slot cache");
    wide.held = part.held;
    if (part.held > 0) {
        wide.rows->copy_from(*part.rows, part.held);
        const auto copy_rows = [&](const auto& from, auto& to) {
            for (Index r = 0; r * wide.slots() < std::ssize(to); ++r)
                std::copy_n(from.begin() + r * part.slots(), part.held,
                            to.begin() + r * wide.slots());
        };
        copy_rows(part.positions, wide.positions);
        copy_rows(part.ranks, wide.ranks);
        copy_rows(part.state, wide.state);
    }
    part = std::move(wide);
}

Index SlotCache::most_held() const {
    Index most = 0;
    for (const Part& part : parts_) most = std::max(most, part.held);
    return most;
}

Index SlotCache::room() const {
    const Index taken = policy_->once() ? length() : most_held();
    return std::min(capacity() - taken, kMostPositions - length());
}

void SlotCache::opened(Index T) {
    check(!waits() || done_ || options_.prompt == 0 || length() + T <= options_.prompt,
          "slot cache: a step of ", T, " tokens goes beyond the prompt of ", options_.prompt);
    const auto fits = [&](const Part& part) {  // after a reset the state may be missing
        return part.held + T <= part.slots() &&
               std::ssize(part.state) == part.heads() * state_rows() * part.slots();
    };
    for (Part& part : parts_)
        if (!fits(part)) resize(part, std::max(part.held + T, part.slots()));
    const bool relative = options_.scheme == PositionScheme::relative;
    attention_.reach((relative ? most_held() : length()) + T);
    observed_ = 0;
}

// ANCHOR: append
void SlotCache::write_rows(Index layer,
                           const View<const float>& k,
                           const View<const float>& v) {
    for (Part& part : parts_of(layer)) {
        const Index begin = part.first_head, end = begin + part.heads();
        if (end - begin == shape().kv_heads)
            part.rows->write(part.held, length(), k, v);
        else
            part.rows->write(part.held, length(), k.slice(1, begin, end),
                             v.slice(1, begin, end));
        for (Index h = 0; h < part.heads(); ++h)
            for (Index t = 0; t < pending(); ++t) {
                const Index slot = h * part.slots() + part.held + t;
                at(part.positions, slot) = static_cast<std::int32_t>(length() + t);
                if (!part.ranks.empty())
                    at(part.ranks, slot) = static_cast<std::int32_t>(part.held + t);
            }
        prepare_state(part);
    }
}

// ANCHOR_END: append

HeadSlots SlotCache::head_slots(const Part& part,
                                Index head,
                                Index slots,
                                std::vector<float>& state) const {
    HeadSlots of;
    of.layer = part.layer;
    of.kv_head = part.first_head + head;
    of.next = length() + pending();
    of.prompt = prompt() > 0 ? prompt() : of.next;
    of.positions = span_of(part.positions.data() + head * part.slots(), slots);
    of.state = state.data() + head * state_rows() * part.slots();
    of.stride = part.slots();
    of.rows = part.rows.get();
    of.head_of_rows = head;
    return of;
}

// The open step works on a copy of the state: until commit() nothing has happened.
void SlotCache::prepare_state(Part& part) {
    const Index rows = state_rows(), n = part.held;
    if (rows == 0) return;
    float key[AttentionRows::kMaxHeadDim];
    for (Index r = 0; r < part.heads() * rows; ++r) {
        std::copy_n(part.state.begin() + r * part.slots(), n,
                    part.next.begin() + r * part.slots());
        std::fill_n(part.next.begin() + r * part.slots() + n, pending(), 0.0f);
    }
    for (Index h = 0; h < part.heads(); ++h) {
        const HeadSlots head = head_slots(part, h, n + pending(), part.next);
        for (Index slot = n; slot < n + pending(); ++slot) {
            for (Index i = 0; i < shape().head_dim; ++i) key[i] = part.rows->key(h, slot, i);
            policy_->arrive(head, slot, span_of<const float>(key, shape().head_dim));
        }
    }
}

}  // namespace kvlab
