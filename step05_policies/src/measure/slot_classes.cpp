#include <kvlab/policies/slot_classes.hpp>

#include <algorithm>

#include <kvlab/policies/mini_cache.hpp>
#include <kvlab/policies/slot_cache.hpp>

namespace kvlab {

namespace {

// By position, [seen].
using Classes = std::vector<SlotClass>;

SlotClass& class_at(Classes& classes, Index position) {
    return at(classes, position);
}

void mark_merged(const MiniCache& store, Index layer, Index kv_head, Classes& classes) {
    std::fill(classes.begin(), classes.end(), SlotClass::merged);
    for (const Index position : store.retained(layer, kv_head))
        class_at(classes, position) = SlotClass::kept;
}

// One that evicts once: its window at the end of the prompt stayed, and so does all that came
// behind. Its ratings hold in that moment alone, so it is not asked for them.
void mark_chosen_once(const SlotCache& store, std::span<const Index> held, Classes& classes) {
    const Index first_recent = store.prompt() - store.policy().observed();
    for (const Index position : held)
        class_at(classes, position) =
            position >= first_recent ? SlotClass::recent : SlotClass::heavy;
}

// How the policy rates the slots held, [held], now.
std::vector<float> ratings_now(const SlotCache& store, Index layer, Index kv_head) {
    const Policy& policy = store.policy();
    const Index held = store.held(layer, kv_head);
    std::vector<float> state;  // a copy, since rate() gets state that can be written to
    for (Index row = 0; row < store.state_rows(); ++row) {
        const auto numbers = store.state(layer, kv_head, row);
        state.insert(state.end(), numbers.begin(), numbers.end());
    }
    HeadSlots head;
    head.layer = layer;
    head.kv_head = kv_head;
    head.prompt = store.prompt();
    head.next = store.next_position();
    head.positions = store.slot_positions(layer, kv_head);
    head.state = state.data();
    head.stride = held;
    std::vector<float> ratings(usize(held));
    policy.rate(head, ratings);
    return ratings;
}

void mark_reasons(const SlotCache& store, Index layer, Index kv_head, Classes& classes) {
    const auto positions = store.slot_positions(layer, kv_head);
    const std::vector<float> ratings = ratings_now(store, layer, kv_head);
    bool by_position = true;  // then a rating says no more than that the newest stay
    for (std::size_t s = 0; s < ratings.size(); ++s)
        if (ratings[s] != kProtected && ratings[s] != static_cast<float>(positions[s]))
            by_position = false;
    for (std::size_t s = 0; s < ratings.size(); ++s)
        class_at(classes, positions[s]) =
            ratings[s] == kProtected || by_position ? SlotClass::recent : SlotClass::heavy;
    // The protected run at the start. Something is evicted, so it does not reach the end.
    std::vector<bool> is_protected(classes.size());
    for (std::size_t s = 0; s < ratings.size(); ++s)
        at(is_protected, positions[s]) = ratings[s] == kProtected;
    for (std::size_t p = 0; p < classes.size() && is_protected[p]; ++p)
        classes[p] = SlotClass::sink;
}

}  // namespace

const char* class_name(SlotClass slot_class) {
    constexpr const char* kNames[kSlotClasses] = {"evicted", "kept",  "sink",
                                                  "recent",  "heavy", "merged"};
    return kNames[static_cast<int>(slot_class)];
}

std::vector<SlotClass> slot_classes(const PolicyStore& store, Index layer, Index kv_head) {
    const KvShape& shape = store.shape();
    check(layer >= 0 && layer < shape.layers && kv_head >= 0 && kv_head < shape.kv_heads,
          "classes: there is no layer ", layer, ", KV head ", kv_head);
    const std::vector<Index> held = store.kept(layer, kv_head);
    Classes classes(usize(store.next_position()), SlotClass::evicted);
    for (const Index position : held) class_at(classes, position) = SlotClass::kept;
    if (const auto* const mini = dynamic_cast<const MiniCache*>(&store))
        mark_merged(*mini, layer, kv_head, classes);
    const auto* const slots = dynamic_cast<const SlotCache*>(&store);
    if (slots == nullptr || held.size() == classes.size()) return classes;
    if (slots->policy().once())
        mark_chosen_once(*slots, held, classes);
    else
        mark_reasons(*slots, layer, kv_head, classes);
    return classes;
}

}  // namespace kvlab
