// by_hand.hpp - chapter 1: its worked examples, computed. What stands in the text by hand is
// what these print.
#pragma once

#include <cstdio>
#include <string>

namespace kvlab::app {

// On numbers and their rounding (by_hand_numbers.cpp).
void by_hand_order();
void by_hand_blocks();
void by_hand_float();
void by_hand_fma();
void by_hand_zero();
void by_hand_exp2();
void by_hand_libm();

// On rows of numbers (by_hand_rows.cpp).
void by_hand_view();
void by_hand_product();
void by_hand_softmax();
void by_hand_norm();
void by_hand_turn();
void by_hand_draw();

// A number as printf writes it: "%a" loses nothing, "%.4f" is for reading.
inline std::string written(const char* format, float value) {
    char text[64];
    std::snprintf(text, sizeof text, format, static_cast<double>(value));
    return text;
}

}  // namespace kvlab::app
