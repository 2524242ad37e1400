// by_hand.hpp - chapter 6: its worked examples, computed. What stands in the text by hand is
// what these print.
#pragma once

#include <cmath>
#include <cstdio>
#include <string>

namespace kvlab::app {

// On rows of a cache (by_hand.cpp).
void by_hand_group();
void by_hand_kept();
void by_hand_sharing();
void by_hand_rotation();
void by_hand_residual();
void by_hand_words();
void by_hand_sketch();

// On weights and products (by_hand_weights.cpp).
void by_hand_nf4();
void by_hand_gptq();
void by_hand_awq();
void by_hand_int8();
void by_hand_smooth();
void by_hand_directions();

inline double wide(float x) {
    return static_cast<double>(x);
}

// For print: what rounding leaves of 0 is 0, without a sign.
inline double tidy(double x) {
    return std::fabs(x) < 1e-6 ? 0.0 : x;
}

// "  words   a   b   c", each in eight places.
template <class Numbers>
void print_row(const char* words, const Numbers& numbers) {
    std::printf("  %-10s", words);
    for (const auto x : numbers) std::printf("%8.4g", tidy(static_cast<double>(x)));
    std::printf("\n");
}

}  // namespace kvlab::app
