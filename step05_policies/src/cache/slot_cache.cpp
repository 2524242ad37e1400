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

}  // namespace

SlotCache::SlotCache(const KvShape& shape,
                     Index capacity,
                     std::shared_ptr<const Policy> policy,
                     const SlotCacheOptions& options,
                     const RopeTable* rope,
                     SimdLevel level)
    : PolicyStore("slot cache", shape, slots_for(capacity, options.scheme, rope)),
      policy_(std::move(policy)),
      options_(options),
      attention_("slot cache", level, rope_for(shape, options, rope)),
      layers_(usize(shape.layers)) {
    check(policy_ != nullptr, "slot cache: no policy");
    check(options.prompt >= 0, "slot cache: a prompt of ", options.prompt, " tokens");
    for (Index layer = 0; layer < shape.layers; ++layer) {
        Layer& l = at(layers_, layer);
        check(policy_->keep(layer, 1) >= 1, "slot cache: the policy keeps nothing in layer ",
              layer);
        l.rows = options_.make_rows({layer, 1, shape.kv_heads, shape.head_dim});
        attention_.check_form(*l.rows);
        resize(l, steady_slots(l, layer));
    }
}

// What a layer needs when tokens come one by one from now on.
Index SlotCache::steady_slots(const Layer& layer, Index index) const {
    const Index more = policy_->once() ? layer.held + capacity() - (length() + pending())
                                       : policy_->keep(index, capacity()) + 1;
    return std::clamp<Index>(more, 1, capacity());
}

// Keeps what is held. All tokens of a prompt lie here before they are evicted, so a step may
// need more room than is kept; what it took is given back when it ends.
void SlotCache::resize(Layer& layer, Index slots) {
    Layer wide;
    wide.rows = layer.rows->make(slots);
    const Index total = checked_product("slot cache", {shape().kv_heads, wide.slots()});
    const Index state = checked_product("slot cache", {total, policy_->state_rows()});
    resize_list(wide.positions, total, "slot cache");
    if (options_.scheme == PositionScheme::relative)
        resize_list(wide.ranks, total, "slot cache");
    resize_list(wide.state, state, "slot cache");
    resize_list(wide.next, state, "slot cache");
    wide.held = layer.held;
    if (layer.held > 0) {
        wide.rows->copy_from(*layer.rows, layer.held);
        const auto copy_rows = [&](const auto& from, auto& to) {
            for (Index r = 0; r * wide.slots() < std::ssize(to); ++r)
                std::copy_n(from.begin() + r * layer.slots(), layer.held,
                            to.begin() + r * wide.slots());
        };
        copy_rows(layer.positions, wide.positions);
        copy_rows(layer.ranks, wide.ranks);
        copy_rows(layer.state, wide.state);
    }
    layer = std::move(wide);
}

Index SlotCache::most_held() const {
    Index most = 0;
    for (const Layer& layer : layers_) most = std::max(most, layer.held);
    return most;
}

Index SlotCache::room() const {
    const Index taken = policy_->once() ? length() : most_held();
    return std::min(capacity() - taken, kMostPositions - length());
}

void SlotCache::opened(Index T) {
    check(!policy_->once() || done_ || options_.prompt == 0 || length() + T <= options_.prompt,
          "slot cache: a step of ", T, " tokens goes beyond the prompt of ", options_.prompt);
    for (Layer& layer : layers_)
        if (layer.held + T > layer.slots()) resize(layer, layer.held + T);
    const bool relative = options_.scheme == PositionScheme::relative;
    attention_.reach((relative ? most_held() : length()) + T);
    observed_ = 0;
}

// ANCHOR: append
void SlotCache::write_rows(Index layer,
                           const View<const float>& k,
                           const View<const float>& v) {
    Layer& l = at(layers_, layer);
    l.rows->write(l.held, length(), k, v);
    for (Index h = 0; h < shape().kv_heads; ++h)
        for (Index t = 0; t < pending(); ++t) {
            const Index slot = h * l.slots() + l.held + t;
            at(l.positions, slot) = static_cast<std::int32_t>(length() + t);
            if (!l.ranks.empty()) at(l.ranks, slot) = static_cast<std::int32_t>(l.held + t);
        }
    prepare_state(l, layer);
}

// ANCHOR_END: append

HeadSlots SlotCache::head_slots(const Layer& layer,
                                Index index,
                                Index kv_head,
                                Index slots,
                                std::vector<float>& state) const {
    HeadSlots head;
    head.layer = index;
    head.kv_head = kv_head;
    head.next = length() + pending();
    head.prompt = prompt() > 0 ? prompt() : head.next;
    head.positions = span_of(layer.positions.data() + kv_head * layer.slots(), slots);
    head.state = state.data() + kv_head * policy_->state_rows() * layer.slots();
    head.stride = layer.slots();
    return head;
}

// The open step works on a copy of the state: until commit() nothing has happened.
void SlotCache::prepare_state(Layer& layer, Index index) {
    const Index rows = policy_->state_rows(), n = layer.held;
    if (rows == 0) return;
    float key[AttentionRows::kMaxHeadDim];
    for (Index r = 0; r < shape().kv_heads * rows; ++r) {
        std::copy_n(layer.state.begin() + r * layer.slots(), n,
                    layer.next.begin() + r * layer.slots());
        std::fill_n(layer.next.begin() + r * layer.slots() + n, pending(), 0.0f);
    }
    for (Index h = 0; h < shape().kv_heads; ++h) {
        const HeadSlots head = head_slots(layer, index, h, n + pending(), layer.next);
        for (Index slot = n; slot < n + pending(); ++slot) {
            for (Index i = 0; i < shape().head_dim; ++i) key[i] = layer.rows->key(h, slot, i);
            policy_->arrive(head, slot, span_of<const float>(key, shape().head_dim));
        }
    }
}

}  // namespace kvlab
