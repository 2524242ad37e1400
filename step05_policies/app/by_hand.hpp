// by_hand.hpp - chapter 5: what the worked examples share.
#pragma once

#include <span>
#include <vector>

#include <kvlab/policies/policy.hpp>

namespace kvlab::app {

// What a policy is asked about: slots that are positions, with a state beside them. The head
// names their memory, so they stay where they are.
struct Slots {
    Slots(Index slots, Index rows);
    Slots(const Slots&) = delete;
    Slots& operator=(const Slots&) = delete;

    std::vector<std::int32_t> positions;
    std::vector<float> state;
    HeadSlots head;
};

// A name and its numbers; what is protected "stays".
void print_row(const char* name, std::span<const float> numbers, const char* format);

// Of single methods (by_hand_methods.cpp).
void show_quest();
void show_slerp();
void show_shifts();
void show_windows();
void show_adakv();
void show_scissorhands();
void show_keyformer();

}  // namespace kvlab::app
