// slot_classes.hpp - chapter 5: why a token is still there, or that it is gone: for looking at.
//
// No policy writes down its reasons. They are found by asking it again how it rates the slots
// that are held, with the state that it keeps beside them.
#pragma once

#include <cstdint>
#include <vector>

#include <kvlab/policies/policy_store.hpp>

namespace kvlab {

enum class SlotClass : std::uint8_t {
    evicted,
    kept,    // nothing has been evicted here yet, or the store evicts nothing
    sink,    // protected, in an unbroken run from the first token on
    recent,  // protected elsewhere, or rated by its position alone
    heavy,   // by its rating
    merged   // shares a direction with another layer (MiniCache)
};

inline constexpr int kSlotClasses = 6;

const char* class_name(SlotClass slot_class);

// The class of each position that the store has seen, [next_position()], between steps. Throws
// Error for a layer or head that there is not.
std::vector<SlotClass> slot_classes(const PolicyStore& store, Index layer, Index kv_head);

}  // namespace kvlab
