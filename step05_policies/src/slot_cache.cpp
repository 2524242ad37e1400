// The steps of a SlotCache: rows in, and their place. Attention, and what policies see of it,
// is in slot_attention.cpp; what goes, and how slots move then, in slot_eviction.cpp.
#include <kvlab/policies/slot_cache.hpp>

#include <algorithm>

namespace kvlab {

namespace {

// Ratings are floats, and a position has to be one exactly.
constexpr Index kMostPositions = Index{1} << 24;

}  // namespace

double PolicyStore::mean_kept() const {
    const KvShape& s = shape();
    Index tokens = 0;
    for (Index layer = 0; layer < s.layers; ++layer)
        for (Index h = 0; h < s.kv_heads; ++h)
            tokens += static_cast<Index>(kept(layer, h).size());
    return static_cast<double>(tokens) / static_cast<double>(s.layers * s.kv_heads);
}

SlotCache::SlotCache(const KvShape& shape,
                     Index capacity,
                     std::shared_ptr<const Policy> policy,
                     const SlotCacheOptions& options,
                     const RopeTable* rope,
                     SimdLevel level)
    : shape_(shape),
      capacity_(capacity),
      policy_(std::move(policy)),
      options_(options),
      rope_(rope),
      level_(level),
      layers_((check_kv_shape("slot cache", shape), static_cast<std::size_t>(shape.layers))) {
    check(capacity > 0 && capacity <= kMostPositions, "slot cache: capacity: expected 1 to ",
          kMostPositions, ", found ", capacity);
    check(policy_ != nullptr, "slot cache: no policy");
    check(options.prompt >= 0, "slot cache: a prompt of ", options.prompt, " tokens");
    if (options.scheme == PositionScheme::relative) {
        check(rope != nullptr && rope->positions() > 0,
              "slot cache: relative positions need a model with RoPE");
        capacity_ = std::min(capacity, rope->positions());
    }
    for (Index layer = 0; layer < shape.layers; ++layer) {
        Layer& l = layers_[static_cast<std::size_t>(layer)];
        check(policy_->keep(layer, 1) >= 1, "slot cache: the policy keeps nothing in layer ",
              layer);
        resize(l, steady_slots(l, layer));
        check(options.scheme == PositionScheme::absolute || !l.tiles->turns(),
              "slot cache: relative positions rotate keys when they are read, so that these "
              "cannot be kept turned");
    }
}

// What a layer needs when tokens come one by one from now on.
Index SlotCache::steady_slots(const Layer& layer, Index index) const {
    const Index more =
        policy_->once() ? layer.held + capacity_ - seen_ : policy_->keep(index, capacity_) + 1;
    return std::clamp<Index>(more, 1, capacity_);
}

// Keeps what is held. All tokens of a prompt lie here before they are evicted, so a step may
// need more room than is kept; what it took is given back when it ends.
void SlotCache::resize(Layer& layer, Index slots) {
    Layer wide;
    wide.tiles = layer.tiles == nullptr
                     ? options_.make_tiles(slots, shape_.kv_heads, shape_.head_dim)
                     : layer.tiles->make(slots);
    const Index total = checked_product("slot cache", {shape_.kv_heads, wide.slots()});
    const Index state = checked_product("slot cache", {total, policy_->state_rows()});
    resize_list(wide.positions, total, "slot cache");
    if (options_.scheme == PositionScheme::relative)
        resize_list(wide.ranks, total, "slot cache");
    resize_list(wide.state, state, "slot cache");
    resize_list(wide.next, state, "slot cache");
    wide.held = layer.held;
    if (layer.held > 0) {
        wide.tiles->copy_from(*layer.tiles, layer.held);
        const auto copy_rows = [&](const auto& from, auto& to) {
            for (Index r = 0; r * wide.slots() < static_cast<Index>(to.size()); ++r)
                std::copy_n(from.begin() + r * layer.slots(), layer.held,
                            to.begin() + r * wide.slots());
        };
        copy_rows(layer.positions, wide.positions);
        copy_rows(layer.ranks, wide.ranks);
        copy_rows(layer.state, wide.state);
    }
    layer = std::move(wide);
}

Index SlotCache::room() const {
    Index held = 0;
    for (const Layer& layer : layers_) held = std::max(held, layer.held);
    const Index taken = policy_->once() ? seen_ : held;
    return std::min(capacity_ - taken, kMostPositions - seen_);
}

void SlotCache::begin(Index T) {
    check(T >= 1 && T <= room(), "slot cache: ", T, " tokens do not fit: there is room for ",
          room());
    check(!policy_->once() || done_ || options_.prompt == 0 || seen_ + T <= options_.prompt,
          "slot cache: a step of ", T, " tokens goes beyond the prompt of ", options_.prompt);
    for (Layer& layer : layers_)
        if (layer.held + T > layer.slots()) resize(layer, layer.held + T);
    if (options_.scheme == PositionScheme::relative) {  // a slot's angle is its rank's
        Index held = 0;
        for (const Layer& layer : layers_) held = std::max(held, layer.held);
        angles_ = reaching(angles_, *rope_, held + T);
    }
    pending_ = T;
    appended_ = observed_ = 0;
}

// ANCHOR: append
void SlotCache::append(Index layer, const View<const float>& k, const View<const float>& v) {
    check(k.rank() == 3 && k.dim(0) == pending_, "slot cache: a step of ", pending_,
          " tokens, found ", k.shape());
    check(layer == appended_ && layer < shape_.layers, "slot cache: expected layer ", appended_,
          " of ", shape_.layers, ", found ", layer);
    Layer& l = layers_[static_cast<std::size_t>(layer)];
    l.tiles->write(l.held, seen_, k, v);
    for (Index h = 0; h < shape_.kv_heads; ++h)
        for (Index t = 0; t < pending_; ++t) {
            const auto slot = static_cast<std::size_t>(h * l.slots() + l.held + t);
            l.positions[slot] = static_cast<std::int32_t>(seen_ + t);
            if (!l.ranks.empty()) l.ranks[slot] = static_cast<std::int32_t>(l.held + t);
        }
    prepare_state(l, layer);
    ++appended_;
}

// ANCHOR_END: append

HeadSlots SlotCache::head_slots(Layer& layer, Index index, Index kv_head, Index slots) const {
    HeadSlots head;
    head.layer = index;
    head.kv_head = kv_head;
    head.prompt = options_.prompt > 0 ? options_.prompt
                  : prompt_ > 0       ? prompt_
                                      : seen_ + pending_;
    head.next = seen_ + pending_;
    head.positions = std::span(layer.positions)
                         .subspan(static_cast<std::size_t>(kv_head * layer.slots()),
                                  static_cast<std::size_t>(slots));
    head.state = layer.next.data() + kv_head * policy_->state_rows() * layer.slots();
    head.stride = layer.slots();
    return head;
}

// The open step works on a copy of the state: until commit() nothing has happened.
void SlotCache::prepare_state(Layer& layer, Index index) {
    const Index rows = policy_->state_rows(), n = layer.held;
    if (rows == 0) return;
    float key[AttentionRows::kMaxHeadDim];
    for (Index r = 0; r < shape_.kv_heads * rows; ++r) {
        std::copy_n(layer.state.begin() + r * layer.slots(), n,
                    layer.next.begin() + r * layer.slots());
        std::fill_n(layer.next.begin() + r * layer.slots() + n, pending_, 0.0f);
    }
    for (Index h = 0; h < shape_.kv_heads; ++h) {
        const HeadSlots head = head_slots(layer, index, h, n + pending_);
        for (Index slot = n; slot < n + pending_; ++slot) {
            for (Index i = 0; i < shape_.head_dim; ++i) key[i] = layer.tiles->key(h, slot, i);
            policy_->arrive(head, slot, {key, static_cast<std::size_t>(shape_.head_dim)});
        }
    }
}

}  // namespace kvlab
