// spread.hpp - chapter 3: how far a figure moves when the text, or the seed, is another one.
//
// One window of text gives one number, and another window another one. A table that shows a
// single number cannot say whether 0.36 is better than 0.38. So whatever depends on a text is
// measured on several windows, and a table has their mean and their standard deviation:
//
//   mean = (x_1 + ... + x_n) / n,   deviation^2 = sum of (x_i - mean)^2 / (n - 1)
//
// Two methods that read the same windows are compared window by window. Most of the deviation
// is that one window is harder than another one, for both methods alike, and the difference of
// a pair has lost it: n pairs can show an order that two means with their deviations cannot.
#pragma once

#include <span>
#include <string>

#include <kvlab/tensor/tensor.hpp>

namespace kvlab {

struct Spread {
    Index count = 0;
    double mean = 0;
    double deviation = 0;  // 0 for a single sample: it says nothing about others
    double least = 0, most = 0;
};

// Throws Error for no samples.
Spread spread_of(std::span<const double> samples);

// a - b, pair by pair, and in how many pairs a is below b. Throws Error for lists of unequal
// length, and for none.
struct Paired {
    Spread difference;
    Index lower = 0;
};

Paired paired(std::span<const double> a, std::span<const double> b);

// "0.036 ± 0.012": as many digits as the deviation has to say. It gets one digit, or two if the
// first of them is a 1, and the mean ends where it ends. Of a single sample, and of equal ones,
// the mean alone, as format_number() writes it.
std::string format_spread(const Spread& spread);

// The text behind as many spaces as it lacks to `width` characters. printf() counts bytes, and
// "±" has two.
std::string right_aligned(const std::string& text, Index width);

}  // namespace kvlab
